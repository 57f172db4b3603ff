import math

import keras
from keras import ops

from pixmodels import random
from pixmodels.layers.hierarchy_level import HierarchyLevel
from pixmodels.layers.sequence_pooling import SequencePooling


@keras.saving.register_keras_serializable(package="pixmodels")
class HierarchicalEncoder(keras.Model):
    """A document read by levels: word, sentence, note, patient.

    An encoder reads each sentence by itself and is pooled to a vector; a
    `HierarchyLevel` makes one vector of the sentences of a note, the next one
    of the notes of a patient. Cost is the sum over levels, not the square of
    the document. Over drawn pages the levels are patch, line, page, document.

    Masks are real at every level: a sentence or a note is real if any part of
    it is, and what is not real is never attended, whatever stands in it.

    Source: the three-level transformer for clinical notes
    (`models/BertTransformer.py`, its defaults), where padded sentences and
    notes are attended. Further differences: any encoder of ours instead of
    BERT, any number of levels, any mixer.

    Args:
        first: the encoder of the lowest level, called as
            `first(x, mask=mask, training=training)`, with `hidden_dim` and
            `prefix`: a `PatchBackbone` for images, a `TokenEncoder` for ids.
            None: inputs are vectors of the sentences already.
        num_levels: levels above `first`, 2 for word, sentence, note, patient.
        hidden_dim: D, width above `first`; its own by default. Needed without
            `first`.
        num_layers, num_heads, mlp_dim: of every level above `first`.
        pooling: of these levels: "first", "mean", "max", "mean_max" or
            "last".
        first_pooling: of `first`; "first" takes its class token if it has
            one.
        positions, attention, attention_options, dropout_rate,
        attention_dropout, layer_norm_epsilon, activation: of these levels, as
            `HierarchyLevel`.
        num_classes: None, or the units of a last linear layer.

    Call arguments:
        inputs: (B, n_1, ..., n_L, ...) with L = `num_levels`: what `first`
            takes for each of the n_1 * ... * n_L lowest parts, such as ids
            (B, notes, sentences, words) int32 or images (B, pages, lines, H,
            W, C); without `first` (B, n_1, ..., n_L, D) floating point.
        mask: (B, n_1, ..., n_L, N) bool, True = real token of `first` (without
            its prefix), or (B, n_1, ..., n_L), True = real part. None means
            all are.
        training: bool.

    Returns:
        (B, D), or (B, num_classes); zeros before the last layer for a
        document without anything real.

    Raises:
        ValueError: for another rank of the inputs, a mask of another shape or
            dtype, or an axis of length 0.

    Example:
        >>> import numpy as np
        >>> words = pixmodels.models.TokenEncoder(
        ...     97, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
        >>> model = pixmodels.models.HierarchicalEncoder(
        ...     words, num_layers=1, num_heads=2, mlp_dim=16, num_classes=3)
        >>> ids = np.ones((2, 3, 5, 7), "int32")
        >>> model(ids, mask=ids > 0).shape
        TensorShape([2, 3])
    """

    def __init__(
        self,
        first=None,
        *,
        num_levels=2,
        hidden_dim=None,
        num_layers=2,
        num_heads=8,
        mlp_dim=2048,
        pooling="first",
        first_pooling="first",
        positions=True,
        attention="softmax",
        attention_options=None,
        dropout_rate=0.1,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
        activation="relu",
        num_classes=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        if hidden_dim is None:
            hidden_dim = getattr(first, "hidden_dim", None)
        if not hidden_dim or num_levels < 1:
            raise ValueError(
                "Expected num_levels >= 1, and hidden_dim or an encoder with "
                f"one. Received: num_levels={num_levels}, "
                f"hidden_dim={hidden_dim}, first={first!r}."
            )
        # === Config ===
        self.first = first
        self.num_levels = num_levels
        self.hidden_dim = hidden_dim
        self.first_pooling = first_pooling
        self.num_classes = num_classes
        self._level_config = dict(
            num_layers=num_layers,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            pooling=pooling,
            positions=positions,
            attention=attention,
            attention_options=dict(attention_options or {}),
            dropout_rate=dropout_rate,
            attention_dropout=attention_dropout,
            layer_norm_epsilon=layer_norm_epsilon,
            activation=activation,
        )
        # === Layers ===
        if first is not None:
            self.first_pool = SequencePooling(
                first_pooling,
                hidden_dim=hidden_dim,
                name="first_pool",
                dtype=self.dtype_policy,
            )
        self.levels = [
            HierarchyLevel(
                **self._level_config,
                salt=f"level_{i}",
                name=f"level_{i}",
                dtype=self.dtype_policy,
            )
            for i in range(1, num_levels + 1)
        ]
        if num_classes:
            self.head = keras.layers.Dense(
                num_classes, name="head", dtype=self.dtype_policy
            )
        self.build(None)

    def build(self, input_shape=None):
        if self.built:
            return
        if self.first is not None:
            self.first_pool.build((None, None, self.first.hidden_dim))
        for level in self.levels:
            level.build((None, None, self.hidden_dim))
        if self.num_classes:
            self.head.build((None, self.hidden_dim))
        self.built = True

    def call(self, inputs, mask=None, training=None):
        return self._encode(inputs, mask, training)["output"]

    def intermediate_names(self):
        """What `intermediates` gives, a tuple of str."""
        return (
            *(f"level_{i}" for i in range(self.num_levels + 1)),
            "output",
        )

    def intermediates(self, inputs, *, mask=None, training=None):
        """The vectors of every level.

        Args:
            inputs, mask, training: as in a call.

        Returns:
            dict: "level_0" (B, n_1, ..., n_L, D), vectors of the lowest
            parts, "level_1" (B, n_1, ..., D), ..., up to (B, D), and "output",
            what a call returns. Vectors of what is not real are zeros.
        """
        inputs = ops.convert_to_tensor(inputs)
        if mask is not None:
            mask = ops.convert_to_tensor(mask)
        return self._encode(inputs, mask, training)

    def _encode(self, inputs, mask, training):
        self._check(inputs, mask)
        sizes = ops.shape(inputs)[: self.num_levels + 1]
        x, mask = self._lowest(inputs, mask, sizes, training)
        found = {"level_0": self._split(x, sizes)}
        for i, level in enumerate(self.levels, start=1):
            outer, count = sizes[: len(sizes) - i], sizes[len(sizes) - i]
            x = ops.reshape(x, (-1, count, self.hidden_dim))
            mask = None if mask is None else ops.reshape(mask, (-1, count))
            with random.part_scope(math.prod(outer[1:])):
                x = level(x, mask=mask, training=training)
            if mask is not None:
                mask = ops.any(mask, axis=1)
                x = ops.where(mask[:, None], x, ops.zeros_like(x))
            found[f"level_{i}"] = self._split(x, outer)
        found["output"] = self.head(x) if self.num_classes else x
        return found

    def _split(self, x, sizes):
        """(B * n_1 * ..., D) -> (B, n_1, ..., D)."""
        return ops.reshape(x, (-1, *sizes[1:], self.hidden_dim))

    def _lowest(self, inputs, mask, sizes, training):
        """Vectors (M, D) of the lowest parts and which are real, (M,)."""
        inner = tuple(inputs.shape)[self.num_levels + 1 :]
        x = ops.reshape(inputs, (-1, *inner))
        tokens = mask is not None and len(mask.shape) > len(sizes)
        if tokens:
            mask = ops.reshape(mask, (-1, mask.shape[-1]))
            real = ops.any(mask, axis=1)
        else:
            real = None if mask is None else ops.reshape(mask, (-1,))
        if self.first is None:
            x = ops.cast(x, self.compute_dtype)
        else:
            with random.part_scope(math.prod(sizes[1:])):
                x = self._first(x, mask if tokens else None, training)
        if real is not None:
            x = ops.where(real[:, None], x, ops.zeros_like(x))
        return x, real

    def _first(self, x, mask, training):
        x = self.first(x, mask=mask, training=training)
        prefix = getattr(self.first, "prefix", 0)
        if mask is not None and prefix:
            mask = ops.pad(mask, ((0, 0), (prefix, 0)), constant_values=True)
        return self.first_pool(x, mask=mask, prefix=prefix)

    def _check(self, inputs, mask):
        shape, axes = tuple(inputs.shape), self.num_levels + 1
        fits = len(shape) > axes and 0 not in shape
        if self.first is None:
            fits = fits and shape[axes:] == (self.hidden_dim,)
        if not fits:
            last = f"{self.hidden_dim}" if self.first is None else "..."
            levels = ", ".join(f"n_{i}" for i in range(1, axes))
            raise ValueError(
                f"Expected inputs of shape (B, {levels}, {last}), no axis "
                f"empty. Received: inputs.shape={shape}."
            )
        if mask is None:
            return
        given = tuple(mask.shape)
        bool_ = keras.backend.standardize_dtype(mask.dtype) == "bool"
        same = all(
            a == b or None in (a, b) for a, b in zip(given, shape[:axes])
        )
        ranks = (axes,) if self.first is None else (axes, axes + 1)
        if not (bool_ and same and len(given) in ranks):
            raise ValueError(
                f"Expected a bool mask of shape {shape[:axes]}, or with one "
                "more axis for the tokens of the first encoder. Received: "
                f"mask.shape={given}, dtype={mask.dtype}."
            )

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def get_config(self):
        config = super().get_config()
        first = self.first
        config.update(
            first=first and keras.saving.serialize_keras_object(first),
            num_levels=self.num_levels,
            hidden_dim=self.hidden_dim,
            first_pooling=self.first_pooling,
            num_classes=self.num_classes,
            **self._level_config,
        )
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config["first"], dict):
            config["first"] = keras.saving.deserialize_keras_object(
                config["first"]
            )
        return cls(**config)
