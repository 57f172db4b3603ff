import keras
from keras import ops

from pixmodels import random
from pixmodels._precision import at_least_float32
from pixmodels.layers import _reversible
from pixmodels.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable(package="pixmodels")
class ReversibleStack(keras.layers.Layer):
    """Transformer blocks whose inputs are computed back from their outputs.

    Of two streams, `y1 = x1 + attention(x2)` and `y2 = x2 + mlp(y1)`; both
    begin as the input, and the final LayerNorm takes their mean. For gradients
    `x2 = y2 - mlp(y1)` and `x1 = y1 - attention(x2)` give the inputs of each
    block again, so that training keeps two sequences and not 2 or more for
    each block: memory does not grow with the depth. It costs one more forward
    pass, as rematerialisation does.

    Source: Kitaev et al. 2020, "Reformer", section 3 (Gomez et al. 2017,
    "The Reversible Residual Network", eqs. 8 and 9). Inputs computed back
    differ from the true ones by roundings, which add up through the blocks:
    in float32 they do not matter; under mixed precision both streams stay
    float32.

    Args:
        num_layers: blocks.
        final_norm: False leaves the final LayerNorm out.
        salt: extended by the number of the block.
        Others: as `TransformerBlock`.

    Call arguments:
        As `TransformerBlock`, without `state`: a mixer that carries one
        begins anew in each block.

    Returns:
        (B, N, D).

    Raises:
        ValueError: for fewer than one layer; in a call, for dropout in
            training outside of `pixmodels.random.key_scope`, where it would
            not be the same when blocks are computed again.

    Example:
        >>> import numpy as np
        >>> cls = pixmodels.layers.ReversibleStack
        >>> options = {"chunk": 3, "num_buckets": 4}
        >>> stack = cls(
        ...     2, num_heads=2, mlp_dim=16, attention="reformer",
        ...     attention_options=options)
        >>> stack(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    def __init__(
        self,
        num_layers,
        num_heads,
        mlp_dim,
        *,
        final_norm=True,
        layer_norm_epsilon=1e-6,
        salt="stack",
        **kwargs,
    ):
        own = ("name", "trainable", "dtype", "autocast")
        super().__init__(**{k: v for k, v in kwargs.items() if k in own})
        if num_layers < 1:
            raise ValueError(
                f"Expected num_layers >= 1. Received: num_layers={num_layers}."
            )
        self.supports_masking = True
        self.num_layers = num_layers
        self.final_norm = final_norm
        self.salt = salt
        self._block_config = dict(
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            layer_norm_epsilon=layer_norm_epsilon,
            **{k: v for k, v in kwargs.items() if k not in own},
        )

    def build(self, input_shape):
        self.blocks = [
            TransformerBlock(
                **self._block_config,
                salt=f"{self.salt}/{i}",
                name=f"block_{i}",
                dtype=self.dtype_policy,
            )
            for i in range(self.num_layers)
        ]
        for layer in self.blocks:
            layer.build(input_shape)
        if self.final_norm:
            self.norm = keras.layers.LayerNormalization(
                epsilon=self._block_config["layer_norm_epsilon"],
                name="norm",
                dtype=self.dtype_policy,
            )
            self.norm.build(input_shape)
        self.built = True

    def call(
        self,
        x,
        mask=None,
        positions=None,
        prefix=0,
        training=None,
        grid=None,
    ):
        self._check_dropout(training)
        options = dict(
            mask=mask,
            positions=positions,
            prefix=prefix,
            training=training,
            grid=grid,
        )
        branches = []
        for block in self.blocks:
            branches += _branches(block, options, x.dtype)
        stream = at_least_float32(x)
        streams = _reversible.coupled(branches, ops.stack([stream, stream]))
        x = ops.cast(ops.mean(streams, axis=0), x.dtype)
        return self.norm(x) if self.final_norm else x

    def _check_dropout(self, training):
        names = ("dropout_rate", "attention_dropout", "drop_path_rate")
        rates = {
            name: self._block_config[name]
            for name in names
            if self._block_config.get(name)
        }
        if training and rates and not random.in_key_scope():
            raise ValueError(
                "Expected pixmodels.random.key_scope around a training call "
                "with dropout: it must be the same when blocks are computed "
                f"again. Received: {rates}."
            )

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            num_layers=self.num_layers,
            final_norm=self.final_norm,
            salt=self.salt,
            **self._block_config,
        )
        return config


def _branches(block, call, dtype):
    """The two branches of a block, in the precision of its input."""

    def attention(x):
        return block.attention_branch(ops.cast(x, dtype), **call)

    def mlp(x):
        training = call["training"]
        return block.mlp_branch(ops.cast(x, dtype), training=training)

    parts = (
        (attention, ("norm_1", "mixer", "dropout_1", "scale_1", "drop_path_1")),
        (
            mlp,
            (
                "norm_2",
                "dense_1",
                "dense_2",
                "dropout_2",
                "scale_2",
                "drop_path_2",
            ),
        ),
    )
    branches = []
    for function, names in parts:
        layers = [getattr(block, n) for n in names if hasattr(block, n)]
        branches.append(
            _reversible.Branch(
                random.in_this_scope(_widened(function)),
                [w for layer in layers for w in layer.trainable_variables],
                [w for layer in layers for w in layer.non_trainable_variables],
            )
        )
    return branches


def _widened(function):
    """Its results in float32 or more, so that streams lose nothing."""
    return lambda x: at_least_float32(function(x))
