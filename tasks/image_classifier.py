import keras
from keras import ops

from pixmodels import patches
from pixmodels._registry import TASKS
from pixmodels.layers import Dropout
from pixmodels.layers import MAPPooling
from pixmodels.tasks import _classification
from pixmodels.tasks.task import Task
from pixmodels.tasks.task import check_class_token
from pixmodels.tasks.task import example_specs
from pixmodels.tasks.task import prefix_of

POOLING = ("cls", "mean", "map")


@TASKS.register("image_classifier")
class ImageClassifier(Task):
    """One label for an image: dropout and a dense layer on a backbone.

    Source: Dosovitskiy et al. 2021, eq. 4 ("cls", fine-tuning form without a
    hidden layer) and appendix D.3 ("mean": global average pooling of the
    patches, class token left out); Zhai et al. 2022 ("map":
    `pixmodels.layers.MAPPooling` of the patches, class token left out, with
    the sizes of the backbone's blocks). Linear probing: He et al. 2021,
    appendix A.1 and `main_linprobe.py`, whose normalisation of the pooled
    vector is one of batches, without gain and offset, epsilon 1e-6, momentum
    0.9; under several replicas each normalises by its own examples, as MAE's
    do. Differences there: the running variance is the biased one, and filler
    examples (weight 0) do not count.

    Args:
        backbone: a `ViTBackbone`.
        num_classes: int >= 2.
        pooling: "cls", "mean" or "map".
        dropout_rate: of the head, in [0, 1).
        labels: num_classes str, the names of the classes, or None.
        representation_dim: width of a dense layer with tanh between pooling
            and dropout, as in pre-training (Dosovitskiy et al. 2021, appendix
            D.1; `pre_logits` in Google's files); None for none.
        pooled_norm: whether the pooled vector has a LayerNorm of its own, with
            the backbone's epsilon. With `final_norm=False` in the backbone
            and pooling "mean" this is MAE's form of fine-tuning (`fc_norm` in
            its `models_vit.py`).
        linear_probe: whether only the head is trained. The backbone itself is
            set to `trainable = False` and runs without dropout.
        probe_norm: whether a linear probe normalises the pooled vectors.

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
            that do not fit, a backbone without the class token that "cls"
            needs; in a call, for another size, channel count or
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
    config_names = (
        "num_classes pooling dropout_rate labels representation_dim "
        "pooled_norm linear_probe probe_norm"
    )

    def __init__(
        self,
        backbone,
        num_classes,
        *,
        pooling="cls",
        dropout_rate=0.0,
        labels=None,
        representation_dim=None,
        pooled_norm=False,
        linear_probe=False,
        probe_norm=True,
        **kwargs,
    ):
        super().__init__(backbone, **kwargs)
        _classification.check_choice("pooling", pooling, POOLING)
        if pooling == "cls":
            check_class_token(backbone, "pooling='cls'")
        # === Config ===
        self.num_classes = num_classes
        self.pooling = pooling
        self.dropout_rate = dropout_rate
        self.labels = _classification.check_classes(num_classes, labels)
        self.representation_dim = representation_dim
        self.pooled_norm = pooled_norm
        self.linear_probe = linear_probe
        self.probe_norm = probe_norm
        if linear_probe:
            # Twice: a backbone made from its config has the value already,
            # its layers do not, and keras 3.15 then passes nothing on.
            backbone.trainable = True
            backbone.trainable = False
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
        self.head_hidden = None
        if representation_dim is not None:
            self.head_hidden = _classification.dense(
                representation_dim, "head_hidden", self.dtype_policy
            )
        self.head_pooling = self._pooling() if pooling == "map" else None
        self.head_pooled_norm = None
        if pooled_norm:
            self.head_pooled_norm = keras.layers.LayerNormalization(
                epsilon=backbone.layer_norm_epsilon,
                name="head_pooled_norm",
                dtype=self.dtype_policy,
            )
        self.head_norm = None
        if linear_probe and probe_norm:
            self.head_norm = keras.layers.BatchNormalization(
                center=False,
                scale=False,
                epsilon=1e-6,
                momentum=0.9,
                name="head_norm",
                dtype=self.dtype_policy,
            )
        self.build(None)

    def _pooling(self):
        return MAPPooling(
            self.backbone.num_heads,
            mlp_dim=self.backbone.mlp_dim,
            layer_norm_epsilon=self.backbone.layer_norm_epsilon,
            activation=self.backbone.activation,
            name="head_pooling",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape=None):
        if self.built:
            return
        width = self.backbone.hidden_dim
        if self.head_pooling is not None:
            self.head_pooling.build((None, None, width))
        if self.head_pooled_norm is not None:
            self.head_pooled_norm.build((None, width))
        if self.head_norm is not None:
            self.head_norm.build((None, width))
        if self.head_hidden is not None:
            self.head_hidden.build((None, width))
            width = self.representation_dim
        self.head_logits.build((None, width))
        self.built = True

    def call(self, inputs, training=None):
        images = patches.images_of(inputs, self.backbone.image_shape[-1])
        learns = training and not self.linear_probe
        pooled = self._pool(self.backbone(images, training=learns))
        if self.head_pooled_norm is not None:
            pooled = self.head_pooled_norm(pooled)
        if self.head_norm is not None:
            real = None
            if isinstance(inputs, dict) and inputs.get("weight") is not None:
                real = ops.cast(inputs["weight"], "float32") > 0
            pooled = self.head_norm(pooled, training=training, mask=real)
        if self.head_hidden is not None:
            pooled = ops.tanh(self.head_hidden(pooled))
        pooled = self.head_dropout(pooled, training=training)
        return ops.cast(self.head_logits(pooled), "float32")

    def _pool(self, sequence):
        """(B, prefix + N, D) -> (B, D)."""
        if self.pooling == "cls":
            return sequence[:, 0]
        tokens = sequence[:, prefix_of(self.backbone) :]
        if self.pooling == "map":
            return self.head_pooling(tokens)
        return ops.mean(tokens, axis=1)

    def sums(self, outputs, batch):
        return _classification.cross_entropy_sums(outputs, batch)

    def serve(self, inputs):
        return _classification.with_probabilities(self(inputs, training=False))

    def serve_shapes(self):
        shape = (None, self.num_classes)
        return {"logits": shape, "probabilities": shape}

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
