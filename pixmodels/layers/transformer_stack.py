import keras

from pixmodels.layers import _stacked
from pixmodels.layers.transformer_block import TransformerBlock
from pixmodels.remat import rematerialized


@keras.saving.register_keras_serializable(package="pixmodels")
class TransformerStack(keras.layers.Layer):
    """Transformer blocks and a final LayerNorm: an encoder or a decoder.

    Inside `pixmodels.remat.remat_scope` its blocks are rematerialised. What a
    mixer carries (`Mixer.initial_state`) goes from block to block and ends
    with the last one.

    Args:
        num_layers: blocks.
        final_norm: False leaves the final LayerNorm out.
        final_norm_epsilon: of the final LayerNorm; `layer_norm_epsilon` by
            default (PIXEL's decoder has 1e-5 there and 1e-12 in its blocks).
        drop_path_rate: of the last block; it rises in equal steps from 0 at
            the first one (Huang et al. 2016, eq. 4, as in DeiT and timm).
        Others, call arguments and result: as `TransformerBlock`; `salt` is
            extended by the number of the block.
    """

    def __init__(
        self,
        num_layers,
        num_heads,
        mlp_dim,
        *,
        attention="softmax",
        attention_options=None,
        dropout_rate=0.0,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
        final_norm=True,
        final_norm_epsilon=None,
        activation="gelu",
        qkv_bias=True,
        layer_scale=None,
        drop_path_rate=0.0,
        rotary=None,
        salt="stack",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self._width = None  # known once the stack is built
        self.num_layers = num_layers
        self.final_norm = final_norm
        self.final_norm_epsilon = final_norm_epsilon
        self.drop_path_rate = drop_path_rate
        self.salt = salt
        self._block_config = dict(
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            attention=attention,
            attention_options=dict(attention_options or {}),
            dropout_rate=dropout_rate,
            attention_dropout=attention_dropout,
            layer_norm_epsilon=layer_norm_epsilon,
            activation=activation,
            qkv_bias=qkv_bias,
            layer_scale=layer_scale,
            rotary=rotary,
        )

    def build(self, input_shape):
        self._width = input_shape[-1]
        count, last = self.num_layers, max(1, self.num_layers - 1)
        self.blocks = _stacked.blocks(
            self,
            TransformerBlock,
            count,
            self._block_config,
            drop_path_rate=[
                self.drop_path_rate * i / last for i in range(count)
            ],
        )
        for layer in self.blocks:
            layer.build(input_shape)
        if self.final_norm:
            epsilon = self.final_norm_epsilon
            if epsilon is None:
                epsilon = self._block_config["layer_norm_epsilon"]
            self.norm = keras.layers.LayerNormalization(
                epsilon=epsilon, name="norm", dtype=self.dtype_policy
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
        state = _stacked.initial_state(self, x)
        for block in self.blocks:
            x, state = _step(
                rematerialized(block, training),
                x,
                state,
                mask=mask,
                positions=positions,
                prefix=prefix,
                training=training,
                grid=grid,
            )
        return self.norm(x) if self.final_norm else x

    def with_context(self, x, training=None, **call):
        """The result of a call and the input of the last block's MLP.

        Args:
            x, training, call: as a call.

        Returns:
            two of (B, N, D).

        Raises:
            ValueError: for a stack of no blocks.
        """
        if not self.blocks:
            raise ValueError(
                f"Expected num_layers >= 1. Received: {self.num_layers}."
            )
        state = _stacked.initial_state(self, x)
        for block in self.blocks[:-1]:
            x, state = _step(
                rematerialized(block, training),
                x,
                state,
                training=training,
                **call,
            )
        x, context = self.blocks[-1].with_context(
            x, state=state, training=training, **call
        )
        x = x if state is None else x[0]
        return (self.norm(x) if self.final_norm else x), context

    def initial_cache(self, batch_size, length):
        """What `step` starts from: nothing was given yet.

        Args:
            batch_size: B.
            length: most tokens that will be given.

        Returns:
            dict of the caches of the blocks, see `Mixer.initial_cache`, and
            of the `state` that the first mixer starts from, if any.

        Raises:
            ValueError: if the mixer is not causal, or the stack not built.
        """
        return _stacked.initial_cache(self, batch_size, length, self._width)

    def step(self, x, cache, index, *, training=False):
        """One more token through all blocks.

        Args:
            x: (B, D) floating point.
            cache: from `initial_cache`, or from the step before.
            index: int or int scalar tensor, the token's number from 0.
            training: bool.

        Returns:
            ((B, D), the next cache): row `index` of the call on the whole.

        Raises:
            ValueError: as `Mixer.step`.
        """
        options = {"training": training}
        if "state" in cache:
            options["state"] = cache["state"]
        after = dict(cache)
        for i, block in enumerate(self.blocks):
            name = f"block_{i}"
            x, after[name] = block.step(x, cache[name], index, **options)
        return (self.norm(x) if self.final_norm else x), after

    def intermediate_names(self):
        """What `intermediates` can give, in the order of computation."""
        names = []
        for i in range(self.num_layers):
            names += [f"block_{i}/attention", f"block_{i}"]
        return (*names, "output")

    def intermediates(self, x, names, *, training=None, **call):
        """Values between the blocks.

        Args:
            x: (B, N, D).
            names: some of `intermediate_names()`: "block_0" is the output of
                the first block (B, N, D), "block_0/attention" the attention
                map inside it (B, A, N, N), "output" what the call returns.
            training: bool.
            call: mask, positions, prefix, grid: as in a call.

        Returns:
            dict with these names; blocks after the last one that is needed
            are not computed.
        """
        found, state = {}, _stacked.initial_state(self, x)
        for i, block in enumerate(self.blocks):
            if len(found) == len(names):
                return found
            if f"block_{i}/attention" in names:
                found[f"block_{i}/attention"] = block.attention_map(x, **call)
            if len(found) == len(names):
                return found
            x, state = _step(block, x, state, training=training, **call)
            if f"block_{i}" in names:
                found[f"block_{i}"] = x
        if "output" in names:
            found["output"] = self.norm(x) if self.final_norm else x
        return found

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            num_layers=self.num_layers,
            final_norm=self.final_norm,
            final_norm_epsilon=self.final_norm_epsilon,
            drop_path_rate=self.drop_path_rate,
            salt=self.salt,
            **self._block_config,
        )
        return config


def _step(block, x, state, **call):
    """A block's output and its next state, None where nothing is carried."""
    if state is None:
        return block(x, **call), None
    return block(x, state=state, **call)
