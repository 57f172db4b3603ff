from keras import ops

from pixmodels import patches
from pixmodels._registry import TASKS
from pixmodels.layers import Dropout
from pixmodels.tasks import _classification
from pixmodels.tasks._task import Task
from pixmodels.tasks._task import example_specs

POOLING = ("cls", "mean")


@TASKS.register("image_classifier")
class ImageClassifier(Task):
    """One label for an image: dropout and a dense layer on a backbone.

    Source: Dosovitskiy et al. 2021, eq. 4 ("cls", fine-tuning form without a
    hidden layer) and appendix D.3 ("mean": global average pooling of the
    patches, class token left out).

    Args:
        backbone: a `ViTBackbone`.
        num_classes: int >= 2.
        pooling: "cls" or "mean".
        dropout_rate: of the head, in [0, 1).
        labels: num_classes str, the names of the classes, or None.

    Call arguments:
        inputs: images (B, H, W) or (B, H, W, C), uint8 in [0, 255] or float in
            [0, 1]; one channel is repeated to the backbone's. Or a dict with
            these as `pixels`; its other keys are ignored, so that a training
            batch may be given.
        training: bool.

    Returns:
        logits: (B, num_classes) float32, under any dtype policy.

    Raises:
        TypeError: for a backbone that is none.
        ValueError: for an unknown pooling, fewer than two classes, labels
            that do not fit; in a call, for another size, channel count or
            number of dimensions.

    Example:
        >>> import numpy as np
        >>> backbone = pixmodels.ViTBackbone(
        ...     (8, 8, 1), 2, num_layers=1, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> model = pixmodels.tasks.ImageClassifier(backbone, 10)
        >>> model(np.zeros((3, 8, 8), "uint8")).shape
        TensorShape([3, 10])
    """

    small_options = {}
    config_names = "num_classes pooling dropout_rate labels"

    def __init__(
        self,
        backbone,
        num_classes,
        *,
        pooling="cls",
        dropout_rate=0.0,
        labels=None,
        **kwargs,
    ):
        super().__init__(backbone, **kwargs)
        _classification.check_choice("pooling", pooling, POOLING)
        # === Config ===
        self.num_classes = num_classes
        self.pooling = pooling
        self.dropout_rate = dropout_rate
        self.labels = _classification.check_classes(num_classes, labels)
        # === Layers ===
        self.head_dropout = Dropout(
            dropout_rate,
            salt="head/dropout",
            name="head_dropout",
            dtype=self.dtype_policy,
        )
        self.head_logits = _classification.dense(
            num_classes, "head_logits", self.dtype_policy
        )
        self.build(None)

    def build(self, input_shape=None):
        if self.built:
            return
        self.head_logits.build((None, self.backbone.hidden_dim))
        self.built = True

    def call(self, inputs, training=None):
        images = patches.images_of(inputs, self.backbone.image_shape[-1])
        sequence = self.backbone(images, training=training)
        if self.pooling == "cls":
            pooled = sequence[:, 0]
        else:
            pooled = ops.mean(sequence[:, 1:], axis=1)
        pooled = self.head_dropout(pooled, training=training)
        return ops.cast(self.head_logits(pooled), "float32")

    def sums(self, outputs, batch):
        return _classification.cross_entropy_sums(outputs, batch)

    def classify(self, images, *, batch_size=64):
        """Names the likeliest labels of images.

        Args:
            images: as for the call.
            batch_size: images that are read at once.

        Returns:
            list of (label: str, probability: float), one for each image; the
            label is the number of the class where the model has no labels.
        """
        answers = []
        for start in range(0, len(images), batch_size):
            logits = self(images[start : start + batch_size], training=False)
            answers += _classification.best(self, logits)
        return answers

    def batch_spec(self, batch_size, length=None):
        height, width, channels = self.backbone.image_shape
        shape = (batch_size, height, width)
        if channels > 1:
            shape += (channels,)
        return {
            "pixels": (shape, "uint8"),
            "label": ((batch_size,), "int32"),
            **example_specs(batch_size),
        }
