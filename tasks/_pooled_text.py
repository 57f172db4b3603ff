"""PIXEL's sequence head: drawn text to one vector to scores.

Here: the layers and poolings. Not here: what the scores mean
(`text_classifier`, `text_regressor`)."""

import keras
import numpy as np
from keras import ops

from pixmodels.layers import AttentionPooling
from pixmodels.layers import Dropout
from pixmodels.tasks import _classification
from pixmodels.tasks import _reading
from pixmodels.tasks.task import check_class_token
from pixmodels.tasks.task import prefix_of
from pixmodels.tasks.text_task import TextTask

POOLING = ("mean", "max", "cls", "attention")


class PooledTextTask(TextTask):
    """The sequence head with `num_outputs` scores; see `TextClassifier`."""

    def __init__(
        self,
        backbone,
        num_outputs,
        *,
        pooling,
        dropout_rate,
        pooling_heads,
        leaky,
        **kwargs,
    ):
        super().__init__(backbone, **kwargs)
        _classification.check_choice("pooling", pooling, POOLING)
        if pooling != "attention" and (leaky or pooling_heads is not None):
            raise ValueError(
                "Expected pooling='attention' for pooling_heads and leaky. "
                f"Received: pooling={pooling!r}, "
                f"pooling_heads={pooling_heads}, leaky={leaky}."
            )
        if pooling == "cls":
            check_class_token(backbone, "pooling='cls'")
        # === Config ===
        self.pooling = pooling
        self.dropout_rate = dropout_rate
        self.pooling_heads = pooling_heads
        self.leaky = leaky
        # === Layers ===
        self.head_dense = None
        if pooling != "attention":
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
            num_outputs, "head_logits", self.dtype_policy
        )
        self.head_pooling = None
        if pooling == "attention":
            self.head_pooling = AttentionPooling(
                pooling_heads or backbone.num_heads,
                leaky=leaky,
                name="head_pooling",
                dtype=self.dtype_policy,
            )
        self.build(None)

    def build(self, input_shape=None):
        if self.built:
            return
        width = self.backbone.hidden_dim
        for layer in (self.head_dense, self.head_norm, self.head_pooling):
            if layer is not None:
                layer.build((None, None, width))
        self.head_logits.build((None, width))
        self.built = True

    def call(self, inputs, training=None):
        sequence, mask = self.encode(inputs, training)
        if self.pooling == "cls":
            pooled = ops.tanh(self.head_dense(sequence[:, 0]))
            pooled = self.head_dropout(pooled, training=training)
        else:
            x = sequence[:, prefix_of(self.backbone) :]
            if self.head_dense is not None:
                x = ops.gelu(self.head_dense(x), approximate=False)
            x = self.head_dropout(self.head_norm(x), training=training)
            pooled = self._pool(x, mask)
        return ops.cast(self.head_logits(pooled), "float32")

    def _pool(self, x, mask):
        """(B, N, D) -> (B, D)."""
        if self.pooling == "attention":
            return self.head_pooling(x, mask=mask)
        x = ops.cast(x, "float32")
        if mask is None:
            pool = ops.mean if self.pooling == "mean" else ops.max
            return pool(x, axis=1)
        mask = mask[..., None]
        if self.pooling == "max":
            return ops.max(ops.where(mask, x, -1e9), axis=1)
        # `where`, not a product: padding may hold anything, even NaN.
        total = ops.sum(ops.where(mask, x, 0.0), axis=1)
        count = ops.sum(ops.cast(mask, "float32"), axis=1)
        return total / ops.maximum(count, 1.0)

    def predict_texts(
        self,
        texts,
        renderer,
        *,
        batch_size=64,
        buckets=None,
        progress=None,
        compiled=False,
    ):
        """Draws texts and computes their scores; padding is not computed.

        Texts are sorted by length, drawn in batches of a few static widths
        and read at these; results come in the order of the texts.

        Args:
            texts: a str, or a list of what the renderer takes.
            renderer: `pixmodels.renderers.CairoRenderer` with the backbone's
                patch size.
            batch_size: texts that are drawn and read at once.
            buckets: rising ints, widths in patches;
                `pixmodels.patches.BUCKETS` by default.
            progress: called with (texts read, all texts) after each batch;
                None shows a bar on a terminal where there are several.
            compiled: whether each bucket is compiled (by XLA where the
                backend has it): faster for many texts.

        Returns:
            (n, num_classes) float32 numpy array. Texts that do not fit are
            cut with a UserWarning; one says so, too, where padding cannot be
            left out.

        Raises:
            ValueError: for a renderer with another patch size, or bad sizes.
        """
        texts = _reading.listed(texts)
        logits = np.zeros((len(texts), self.head_logits.units), "float32")
        for indices, _, outputs in _reading.read(
            self,
            texts,
            renderer,
            batch_size=batch_size,
            buckets=buckets,
            progress=progress,
            compiled=compiled,
        ):
            logits[indices] = outputs
        return logits

    def depends_on_padding(self):
        if self.leaky:
            return "attention pooling with leaky=True sees the padding"
        return super().depends_on_padding()
