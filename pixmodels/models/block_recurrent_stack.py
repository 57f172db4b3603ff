import keras
from keras import ops

from pixmodels.sequence import _carried
from pixmodels.sequence.recurrent_block import RecurrentBlock
from pixmodels.sequence.sliding_window_block import SlidingWindowBlock

# Table 1 of Hutchins et al. 2022, at D = 1,024 and segments of 4,096 tokens
# ("xl_512" and "xl_2048": of one window): what a stack is made with.
_PAPER = {"num_heads": 8, "head_dim": 128, "mlp_dim": 4096, "window": 512}
_RECURRENT = {**_PAPER, "num_layers": 12, "recurrent_layers": (-3,)}
SETTINGS = {
    "xl_512": {**_PAPER, "num_layers": 13, "recurrent_layers": ()},
    "xl_2048": {
        **_PAPER,
        "num_layers": 13,
        "recurrent_layers": (),
        "window": 2048,
    },
    "slide_12": {**_PAPER, "num_layers": 12, "recurrent_layers": ()},
    "slide_13": {**_PAPER, "num_layers": 13, "recurrent_layers": ()},
    **{
        f"rec_{gate}_{update}": {**_RECURRENT, "gate": gate, "update": update}
        for gate in ("fixed", "lstm")
        for update in ("skip", "dual", "single")
    },
}


@keras.saving.register_keras_serializable(package="pixmodels")
class BlockRecurrentStack(keras.layers.Layer):
    """Sliding-window blocks, some of them with a recurrent state.

    A causal body for `pixmodels.models.TokenDecoder` and `PatchDecoder`. Long
    texts are read in segments: what the blocks carry is given back as a
    `memory` and taken with the next segment. Without recurrent layers it is a
    Transformer-XL with sliding windows, the model to compare with.

    Source: Hutchins et al. 2022, "Block-Recurrent Transformers"; the layers
    are `pixmodels.sequence.SlidingWindowBlock` and `RecurrentBlock`.

    Args:
        num_layers: blocks.
        num_heads, mlp_dim: as the blocks.
        recurrent_layers: numbers of the recurrent blocks, from 0 or, below 0,
            from the end; the third from the end as in the paper. () for none.
        num_states, gate, update: as `RecurrentBlock`.
        head_dim, window, num_buckets, max_distance, initial_scale,
        dropout_rate, attention_dropout, norm_epsilon, activation: as
            `SlidingWindowBlock`.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x: (B, N, D) floating point; N static, of whole windows with a memory.
        mask: (B, N) bool, True = real.
        memory: None, or `initial_memory`, or what the segment before gave.
        training: bool.

    Returns:
        (B, N, D); with a `memory` the pair of it and the next memory, without
        gradients.

    Raises:
        ValueError: for a recurrent layer that does not exist, and as the
            blocks.

    Example:
        >>> import numpy as np
        >>> stack = pixmodels.models.BlockRecurrentStack(
        ...     2, 2, 16, recurrent_layers=(1,), window=3, num_states=5)
        >>> x = np.ones((7, 6, 8), "float32")
        >>> y = stack(x)
        >>> first, memory = stack(x, memory=stack.initial_memory(7))
        >>> second, memory = stack(x, memory=memory)
        >>> second.shape
        TensorShape([7, 6, 8])
    """

    def __init__(
        self,
        num_layers,
        num_heads,
        mlp_dim,
        *,
        recurrent_layers=(-3,),
        num_states=512,
        gate="fixed",
        update="skip",
        head_dim=None,
        window=512,
        num_buckets=32,
        max_distance=128,
        initial_scale=1.0,
        dropout_rate=0.0,
        attention_dropout=0.0,
        norm_epsilon=1e-6,
        activation="relu",
        salt="stack",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_layers = num_layers
        self.recurrent_layers = tuple(recurrent_layers)
        if any(not -num_layers <= i < num_layers for i in recurrent_layers):
            raise ValueError(
                f"Expected recurrent_layers among {num_layers} layers. "
                f"Received: recurrent_layers={self.recurrent_layers}."
            )
        self.norm_epsilon = norm_epsilon
        self.salt = salt
        self._state_config = dict(
            num_states=num_states, gate=gate, update=update
        )
        self._block_config = dict(
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            head_dim=head_dim,
            window=window,
            num_buckets=num_buckets,
            max_distance=max_distance,
            initial_scale=initial_scale,
            dropout_rate=dropout_rate,
            attention_dropout=attention_dropout,
            norm_epsilon=norm_epsilon,
            activation=activation,
        )

    @classmethod
    def named(cls, name, **changes):
        """A stack of the paper's Table 1, by name.

        Args:
            name: a key of `SETTINGS`: "slide_13", "rec_fixed_skip", ...
            changes: constructor arguments that replace its own.

        Raises:
            ValueError: for an unknown name.
        """
        if name not in SETTINGS:
            raise ValueError(
                f"Expected a name among {tuple(SETTINGS)}. Received: "
                f"name={name!r}."
            )
        return cls(**{**SETTINGS[name], **changes})

    def build(self, input_shape):
        recurrent = {i % self.num_layers for i in self.recurrent_layers}
        self.blocks = []
        for i in range(self.num_layers):
            cls, config = SlidingWindowBlock, self._block_config
            if i in recurrent:
                cls, config = RecurrentBlock, {**config, **self._state_config}
            block = cls(
                **config,
                salt=f"{self.salt}/{i}",
                name=f"block_{i}",
                dtype=self.dtype_policy,
            )
            block.build(input_shape)
            self.blocks.append(block)
        self.norm = keras.layers.RMSNormalization(
            epsilon=self.norm_epsilon, name="norm", dtype=self.dtype_policy
        )
        self.norm.build(input_shape)
        self.built = True

    def call(self, x, mask=None, memory=None, training=None):
        after = {}
        for i, block in enumerate(self.blocks):
            name = f"block_{i}"
            if memory is None:
                x = block(x, mask=mask, training=training)
            else:
                x, after[name] = block(
                    x, mask=mask, memory=memory[name], training=training
                )
        x = self.norm(x)
        return x if memory is None else (x, after)

    def initial_memory(self, batch_size):
        """The memory before a first segment, a dict of those of the blocks.

        Args:
            batch_size: B.
        """
        _carried.check_built(self)
        return {
            f"block_{i}": block.initial_memory(batch_size)
            for i, block in enumerate(self.blocks)
        }

    def restarted(self, memory, rows):
        """A memory in which some examples start anew, as new texts do.

        Args:
            memory: dict.
            rows: (B,) bool, True = start anew.
        """
        kept = ops.logical_not(ops.cast(ops.convert_to_tensor(rows), "bool"))
        after = {}
        for name, part in memory.items():
            part = {**part, "real": part["real"] & kept[:, None]}
            if "started" in part:
                part["started"] = part["started"] & kept
            after[name] = part
        return after

    def initial_cache(self, batch_size, length, memory=None):
        """What `step` starts from; as `Mixer.initial_cache`.

        Args:
            batch_size: B.
            length: most tokens that will be given.
            memory: None, or what the segment before gave.
        """
        _carried.check_built(self)
        return {
            f"block_{i}": block.initial_cache(
                batch_size,
                length,
                None if memory is None else memory[f"block_{i}"],
            )
            for i, block in enumerate(self.blocks)
        }

    def step(self, x, cache, index, *, training=False):
        """One more token (B, D) through all blocks; as `Mixer.step`."""
        after = {}
        for i, block in enumerate(self.blocks):
            name = f"block_{i}"
            x, after[name] = block.step(
                x, cache[name], index, training=training
            )
        return self.norm(x), after

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def get_config(self):
        config = super().get_config()
        config.update(
            num_layers=self.num_layers,
            recurrent_layers=self.recurrent_layers,
            salt=self.salt,
            **self._state_config,
            **self._block_config,
        )
        return config
