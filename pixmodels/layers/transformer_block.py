import keras
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.layers.drop_path import DropPath
from pixmodels.layers.dropout import Dropout
from pixmodels.layers.layer_scale import LayerScale

ACTIVATIONS = ("gelu", "gelu_approximate", "relu", "silu", "squared_relu")


def activation(name):
    """The function of a name; "gelu" is the exact (erf) form."""
    if name not in ACTIVATIONS:
        raise ValueError(
            f"Expected an activation among {ACTIVATIONS}. Received: "
            f"activation={name!r}."
        )
    if name.startswith("gelu"):
        approximate = name == "gelu_approximate"
        return lambda x: keras.ops.gelu(x, approximate=approximate)
    if name == "squared_relu":
        return lambda x: keras.ops.square(keras.ops.relu(x))
    return getattr(keras.ops, name)


@keras.saving.register_keras_serializable(package="pixmodels")
class TransformerBlock(keras.layers.Layer):
    """A pre-norm transformer block around any registered mixer.

    `x + drop(mixer(norm(x)))`, then `x + drop(mlp(norm(x)))` with one hidden
    layer (Dosovitskiy et al. 2021, eqs. 2 and 3). Dropout stands on both
    branch outputs and on the attention probabilities, as in Hugging Face's ViT
    and PIXEL; vit_jax has one more inside the MLP.

    Args:
        num_heads: A; must divide the width D.
        mlp_dim: width of the hidden layer.
        attention: name of a mixer (`pixmodels.attention.names()`).
        attention_options: dict of further constructor arguments of the mixer.
        dropout_rate: on the two branch outputs.
        attention_dropout: on attention probabilities.
        layer_norm_epsilon: of both LayerNorms.
        activation: "gelu" (exact), "gelu_approximate", "relu", "silu" or
            "squared_relu".
        qkv_bias: biases in the projections of queries, keys and values.
        layer_scale: None, or the initial gain of each branch's output
            (`LayerScale`).
        drop_path_rate: share of examples for which a branch is left out in
            training (`DropPath`).
        rotary: None, or the base of rotary positions, as `Mixer`.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x, mask, positions, prefix, state, training, grid: as
            `pixmodels.attention.Mixer`.

    Returns:
        (B, N, D); with a `state` the pair of it and the next state.
    """

    def __init__(
        self,
        num_heads,
        mlp_dim,
        *,
        attention="softmax",
        attention_options=None,
        dropout_rate=0.0,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
        activation="gelu",
        qkv_bias=True,
        layer_scale=None,
        drop_path_rate=0.0,
        rotary=None,
        salt="",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.attention = attention
        self.attention_options = dict(attention_options or {})
        self.dropout_rate = dropout_rate
        self.attention_dropout = attention_dropout
        self.layer_norm_epsilon = layer_norm_epsilon
        self.activation = activation
        self.qkv_bias = qkv_bias
        self.layer_scale = layer_scale
        self.drop_path_rate = drop_path_rate
        self.rotary = rotary
        self.salt = salt

    def build(self, input_shape):
        shape = tuple(input_shape)
        width = shape[-1]
        self._activation = activation(self.activation)
        self.mixer = MIXERS.get(self.attention)(
            self.num_heads,
            dropout_rate=self.attention_dropout,
            salt=f"{self.salt}/attention",
            name="mixer",
            dtype=self.dtype_policy,
            **self._mixer_options(),
        )
        self.norm_1 = self._norm("norm_1")
        self.norm_2 = self._norm("norm_2")
        self.dense_1 = self._dense(self.mlp_dim, "dense_1")
        self.dense_2 = self._dense(width, "dense_2")
        self.dropout_1 = self._dropout("dropout_1")
        self.dropout_2 = self._dropout("dropout_2")
        for layer in (self.mixer, self.norm_1, self.norm_2, self.dense_1):
            layer.build(shape)
        self.dense_2.build((*shape[:-1], self.mlp_dim))
        if self.layer_scale is not None:
            self.scale_1 = self._scale("scale_1", shape)
            self.scale_2 = self._scale("scale_2", shape)
        self.drop_path_1 = self._drop_path("drop_path_1")
        self.drop_path_2 = self._drop_path("drop_path_2")
        self.built = True

    def _mixer_options(self):
        """Only what is asked for, so that a mixer need not know the rest."""
        options = {}
        if not self.qkv_bias:
            options["qkv_bias"] = False
        if self.rotary is not None:
            options["rotary"] = self.rotary
        return {**options, **self.attention_options}

    def _scale(self, name, shape):
        layer = LayerScale(self.layer_scale, name=name, dtype=self.dtype_policy)
        layer.build(shape)
        return layer

    def _drop_path(self, name):
        return DropPath(
            self.drop_path_rate,
            salt=f"{self.salt}/{name}",
            name=name,
            dtype=self.dtype_policy,
        )

    def _norm(self, name):
        return keras.layers.LayerNormalization(
            epsilon=self.layer_norm_epsilon, name=name, dtype=self.dtype_policy
        )

    def _dense(self, units, name):
        return keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name=name,
            dtype=self.dtype_policy,
        )

    def _dropout(self, name):
        return Dropout(
            self.dropout_rate,
            salt=f"{self.salt}/{name}",
            name=name,
            dtype=self.dtype_policy,
        )

    def call(
        self,
        x,
        mask=None,
        positions=None,
        prefix=0,
        state=None,
        training=None,
        grid=None,
    ):
        y, _ = self.with_context(
            x,
            mask=mask,
            positions=positions,
            prefix=prefix,
            state=state,
            training=training,
            grid=grid,
        )
        return y

    def attention_branch(self, x, state=None, training=None, **call):
        """What is added to x first; arguments and result as in a call."""
        call = {k: v for k, v in call.items() if k != "grid" or v is not None}
        mixed = self.mixer(
            self._mixer_input(x), state=state, training=training, **call
        )
        if state is not None:
            mixed, state = mixed
        mixed = self._branch(mixed, training)
        return mixed if state is None else (mixed, state)

    def _branch(self, mixed, training):
        """What the mixer gives, on its way to be added to x."""
        mixed = self.dropout_1(mixed, training=training)
        if self.layer_scale is not None:
            mixed = self.scale_1(mixed)
        return self.drop_path_1(mixed, training=training)

    def _mixer_input(self, x):
        return self.norm_1(x)

    def mlp_branch(self, x, training=None):
        """What is added to x then, (B, N, D)."""
        return self._mlp(self.norm_2(x), training)

    def _joined(self, x, mixed, training):
        """The block's result and its context; see `with_context`."""
        x = x + mixed
        context = self.norm_2(x)
        return x + self._mlp(context, training), context

    def with_context(self, x, state=None, training=None, **call):
        """The block's result and what its MLP was given.

        Args:
            x, state, training, call: as a call.

        Returns:
            (result of the call, (B, N, D)); the second is the context that
            memories are made of (`pixmodels.models.TRIMEDecoder`).
        """
        mixed = self.attention_branch(x, state=state, training=training, **call)
        if state is not None:
            mixed, state = mixed
        x, context = self._joined(x, mixed, training)
        return (x if state is None else (x, state)), context

    def _mlp(self, x, training):
        hidden = self._activation(self.dense_1(x))
        hidden = self.dropout_2(self.dense_2(hidden), training=training)
        if self.layer_scale is not None:
            hidden = self.scale_2(hidden)
        return self.drop_path_2(hidden, training=training)

    def initial_state(self, x):
        """The mixer's state before the first block, or None."""
        return self.mixer.initial_state(x)

    def initial_cache(self, batch_size, length):
        """The mixer's cache for `step`; as `Mixer.initial_cache`."""
        return self.mixer.initial_cache(batch_size, length)

    def step(self, x, cache, index, *, state=None, training=False):
        """One more token through the block; as `Mixer.step`."""
        x = ops.cast(x, self.compute_dtype)[:, None]
        options = {} if state is None else {"state": state}
        mixed, cache = self.mixer.step(
            self._mixer_input(x)[:, 0],
            cache,
            index,
            training=training,
            **options,
        )
        mixed = self._branch(mixed[:, None], training)
        return self._joined(x, mixed, training)[0][:, 0], cache

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        """The mixer's attention map for the block's input `x`."""
        return self.mixer.attention_map(
            self._mixer_input(x),
            mask=mask,
            positions=positions,
            prefix=prefix,
            grid=grid,
        )

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            num_heads=self.num_heads,
            mlp_dim=self.mlp_dim,
            attention=self.attention,
            attention_options=self.attention_options,
            dropout_rate=self.dropout_rate,
            attention_dropout=self.attention_dropout,
            layer_norm_epsilon=self.layer_norm_epsilon,
            activation=self.activation,
            qkv_bias=self.qkv_bias,
            layer_scale=self.layer_scale,
            drop_path_rate=self.drop_path_rate,
            rotary=self.rotary,
            salt=self.salt,
        )
        return config
