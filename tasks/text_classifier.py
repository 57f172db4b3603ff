import warnings

import keras
from keras import ops

from pixmodels._registry import TASKS
from pixmodels.layers import Dropout
from pixmodels.tasks import _classification
from pixmodels.tasks._text_task import TextTask

POOLING = ("mean", "max", "cls")


@TASKS.register("text_classifier")
class TextClassifier(TextTask):
    """One label for a text drawn as patches: PIXEL's sequence head.

    "mean" and "max": the class token is dropped; a dense layer of the
    backbone's width, exact GELU, LayerNorm and dropout stand before the mean
    or maximum over attended patches (text, separators, end patch); a dense
    layer gives the logits. "cls": a dense layer with tanh on the class token,
    dropout, a dense layer. Pixels right of the end patch change no logit.

    Source: xplip/pixel `modeling_pixel.py`
    (PIXELForSequenceClassification), `pooling.py`. Differences: PIXEL has no
    dropout in the "cls" head; attention pooling, which leaks padding there,
    and regression are not here.

    Args:
        backbone: a `PIXELBackbone`, or any encoder that takes `mask`.
        num_classes: int >= 2.
        pooling: "mean", "max" or "cls".
        dropout_rate: of the head, in [0, 1).
        labels: num_classes str, the names of the classes, or None.

    Call arguments:
        inputs: dict with
            `pixels`: (B, H, W) or (B, H, W, C), uint8 in [0, 255] or float in
                [0, 1], white is 1; one channel is repeated to the backbone's;
            `num_patches`: (B,) int, patches without the end patch (optional:
                all patches are attended without it).
            Other keys are ignored, so that a training batch may be given.
        training: bool.

    Returns:
        logits: (B, num_classes) float32, under any dtype policy.

    Raises:
        TypeError: for a backbone that is none.
        ValueError: for an unknown pooling, fewer than two classes, labels
            that do not fit; in a call, for another input structure, height,
            channel count or number of dimensions.

    Example:
        >>> import numpy as np
        >>> backbone = pixmodels.PIXELBackbone(
        ...     (16, 16 * 11, 1), num_layers=1, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> model = pixmodels.tasks.TextClassifier(backbone, 3)
        >>> pixels = np.full((2, 16, 16 * 5), 255, "uint8")
        >>> model({"pixels": pixels, "num_patches": np.array([2, 4])}).shape
        TensorShape([2, 3])
    """

    small_options = {}
    config_names = "num_classes pooling dropout_rate labels"

    def __init__(
        self,
        backbone,
        num_classes,
        *,
        pooling="mean",
        dropout_rate=0.1,
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
        self.head_dense = _classification.dense(
            backbone.hidden_dim, "head_dense", self.dtype_policy
        )
        self.head_norm = None
        if pooling != "cls":
            self.head_norm = keras.layers.LayerNormalization(
                epsilon=backbone.layer_norm_epsilon,
                name="head_norm",
                dtype=self.dtype_policy,
            )
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
        width = self.backbone.hidden_dim
        self.head_dense.build((None, None, width))
        if self.head_norm is not None:
            self.head_norm.build((None, None, width))
        self.head_logits.build((None, width))
        self.built = True

    def call(self, inputs, training=None):
        sequence, mask = self.encode(inputs, training)
        if self.pooling == "cls":
            pooled = ops.tanh(self.head_dense(sequence[:, 0]))
            pooled = self.head_dropout(pooled, training=training)
        else:
            x = self.head_dense(sequence[:, 1:])
            x = self.head_norm(ops.gelu(x, approximate=False))
            x = self.head_dropout(x, training=training)
            pooled = self._pool(ops.cast(x, "float32"), mask)
        return ops.cast(self.head_logits(pooled), "float32")

    def _pool(self, x, mask):
        """(B, N, D) float32 -> (B, D)."""
        if mask is None:
            pool = ops.mean if self.pooling == "mean" else ops.max
            return pool(x, axis=1)
        mask = mask[..., None]
        if self.pooling == "max":
            return ops.max(ops.where(mask, x, -1e9), axis=1)
        # `where`, not a product: padding may hold anything, even NaN.
        total = ops.sum(ops.where(mask, x, 0.0), axis=1)
        return total / ops.sum(ops.cast(mask, "float32"), axis=1)

    def sums(self, outputs, batch):
        return _classification.cross_entropy_sums(outputs, batch)

    def classify(self, texts, renderer, *, batch_size=64):
        """Draws texts and names their likeliest labels.

        Args:
            texts: a str, or a list of what the renderer takes.
            renderer: `pixmodels.renderers.CairoRenderer` with the backbone's
                patch size.
            batch_size: texts that are drawn and read at once.

        Returns:
            list of (label: str, probability: float), one for each text; the
            label is the number of the class where the model has no labels.
            Texts that do not fit are cut with a UserWarning.

        Raises:
            ValueError: for a renderer with another patch size.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if (renderer.patch_size,) * 2 != tuple(self.backbone.patch_size):
            raise ValueError(
                "Expected a renderer with patches of "
                f"{self.backbone.patch_size}. Received: "
                f"renderer.patch_size={renderer.patch_size}."
            )
        answers = []
        for start in range(0, len(texts), batch_size):
            drawn = self._draw(texts[start : start + batch_size], renderer)
            cut = [start + i for i, x in enumerate(drawn.truncated) if x]
            if cut:
                warnings.warn(
                    f"Texts {cut} are longer than the model reads and were "
                    "cut.",
                    stacklevel=2,
                )
            logits = self(
                {"pixels": drawn.pixels, "num_patches": drawn.num_patches},
                training=False,
            )
            answers += _classification.best(self, logits)
        return answers

    def _draw(self, texts, renderer):
        most = self.backbone.image_shape[1] // self.backbone.patch_size[1]
        longest = int(renderer.widths(texts).max())
        return renderer(texts, num_patches=max(2, min(longest, most)))
