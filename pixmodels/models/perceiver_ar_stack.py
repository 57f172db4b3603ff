import keras
from keras import ops

from pixmodels import random
from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.attention import _steps
from pixmodels.models import _shuffle
from pixmodels.models._latent_block import LatentBlock
from pixmodels.models._latent_block import rotary_table
from pixmodels.sequence import _carried

# Sweeps of google-research/perceiver-ar cc756f5, `experiment.py`, at D = 1,024:
# what a stack is made with. Inputs: 12,416 and 131,072.
_PAPER = {
    "num_heads": 16,
    "mlp_dim": 4096,
    "num_latents": 1024,
    "activation": "squared_relu",
    "dropout_rate": 0.1,
}
SETTINGS = {
    "imagenet_64": {**_PAPER, "num_layers": 60, "rotary_base": 12416.0},
    "copy_131072": {**_PAPER, "num_layers": 6, "rotary_base": 131072.0},
}


@keras.saving.register_keras_serializable(package="pixmodels")
class PerceiverARStack(keras.layers.Layer):
    """Causal attention of a few latents to a long context (Perceiver AR).

    The latents are the last M places of the sequence. One block of causal
    cross-attention lets each of them see all inputs up to its own place; the
    blocks after it are causal attention among the latents. It costs
    O(N M + layers M^2), and predicts the items at the last M places: a causal
    body for `pixmodels.models.TokenDecoder` and `PatchDecoder`.

    Source: Hawthorne et al. 2022, "General-purpose, long-context
    autoregressive modeling with Perceiver AR", section 3; numbers as
    perceiver-ar-pytorch 0.0.10. Where we differ: the norm of the keys is one
    over all inputs; projections have biases. Rotary positions turn by offsets
    only, so they count from either end alike.

    Args:
        num_layers: blocks of attention among the latents.
        num_heads, mlp_dim: of every block.
        num_latents: M.
        head_dim: E; D / A by default.
        rotary_fraction: share of a head's features that rotary positions
            turn, in [0, 1]; 0.5 in the paper.
        rotary_base: of their frequencies.
        terminal_positions: None, or the longest N for a learned table that is
            added to the inputs and counts from the end.
        input_dropout: share of the inputs before the latents that training
            leaves out, the same number for each example; which ones is a
            function of the key scope, as in `pixmodels.layers.Dropout`.
        dropout_rate, attention_dropout, layer_norm_epsilon, activation: as
            `TransformerBlock`.
        final_norm: whether a LayerNorm ends the stack.
        salt: str, place in the model, for stateless dropout.

    Call arguments:
        x: (B, N, D) floating point; N static.
        mask: (B, N) bool, True = real; padding belongs in front, as the
            latents are at the end.
        training: bool.

    Returns:
        (B, min(M, N), D), the outputs of the last places.

    Raises:
        ValueError: for fewer than one latent, a share outside its limits, an
            odd number of turned features, or more inputs than the table has.

    Example:
        >>> import numpy as np
        >>> stack = pixmodels.models.PerceiverARStack(
        ...     1, num_heads=2, mlp_dim=16, num_latents=3)
        >>> stack(np.ones((5, 7, 8), "float32")).shape
        TensorShape([5, 3, 8])
    """

    def __init__(
        self,
        num_layers,
        num_heads,
        mlp_dim,
        *,
        num_latents,
        head_dim=None,
        rotary_fraction=0.5,
        rotary_base=10000.0,
        terminal_positions=None,
        input_dropout=0.0,
        dropout_rate=0.0,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
        activation="gelu",
        final_norm=True,
        salt="stack",
        **kwargs,
    ):
        super().__init__(**kwargs)
        _checks.check_counts(
            num_latents=num_latents,
            terminal_positions=terminal_positions,
            optional=("terminal_positions",),
        )
        if not 0 <= rotary_fraction <= 1:
            raise ValueError(
                "Expected 0 <= rotary_fraction <= 1. Received: "
                f"rotary_fraction={rotary_fraction}."
            )
        if not 0 <= input_dropout < 1:
            raise ValueError(
                "Expected 0 <= input_dropout < 1. Received: "
                f"input_dropout={input_dropout}."
            )
        self.supports_masking = True
        self.num_layers = num_layers
        self.num_latents = num_latents
        self.rotary_fraction = rotary_fraction
        self.rotary_base = rotary_base
        self.terminal_positions = terminal_positions
        self.input_dropout = input_dropout
        self.final_norm = final_norm
        self.salt = salt
        self._block_config = dict(
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            head_dim=head_dim,
            dropout_rate=dropout_rate,
            attention_dropout=attention_dropout,
            layer_norm_epsilon=layer_norm_epsilon,
            activation=activation,
        )

    @classmethod
    def named(cls, name, **changes):
        """A stack of the paper by name.

        Args:
            name: a key of `SETTINGS`.
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
        width = input_shape[-1]
        self.blocks = []
        for i in range(self.num_layers + 1):
            name = f"block_{i - 1}" if i else "cross"
            block = LatentBlock(
                **self._block_config,
                cross=not i,
                salt=f"{self.salt}/{name}",
                name=name,
                dtype=self.dtype_policy,
            )
            block.build((None, None, width))
            self.blocks.append(block)
        self._features = self._turned_features()
        if self.terminal_positions is not None:
            self.table = self.add_weight(
                name="terminal_positions",
                shape=(self.terminal_positions, width),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
            )
        if self.final_norm:
            self.norm = keras.layers.LayerNormalization(
                epsilon=self._block_config["layer_norm_epsilon"],
                name="norm",
                dtype=self.dtype_policy,
            )
            self.norm.build((None, None, width))
        if self.input_dropout:
            self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def _turned_features(self):
        size = self.blocks[0].head_size
        features = self.rotary_fraction * size
        if features % 2:
            raise ValueError(
                "Expected rotary_fraction to turn an even number of a head's "
                f"{size} features. Received: rotary_fraction="
                f"{self.rotary_fraction}."
            )
        return int(features)

    def _turns(self, length):
        """Cosines and sines of all places: two of (N, R / 2)."""
        table = rotary_table(length, self._features, self.rotary_base)
        return tuple(map(ops.convert_to_tensor, table))

    def call(self, x, mask=None, training=None):
        length = _blocks.static_length(x)
        _checks.check_call(x, mask, None, 0)
        if not length:
            return x
        x = self._positioned(x, length, length)
        start = length - min(self.num_latents, length)
        turns = self._turns(length)
        inputs, places = x, None
        if training and self.input_dropout and start:
            inputs, mask, places = self._thinned(x, mask, start)
        allowed = self._allowed(mask, places, start, length)
        at = turns
        if places is not None:
            at = tuple(ops.take(part, places, axis=0) for part in turns)
        latents = x[:, start:]
        turns = tuple(part[start:] for part in turns)
        for block in self.blocks:
            key = block.keys_and_values(inputs, at)
            latents = block(
                latents, *key, allowed, turns=turns, training=training
            )
            if block.cross:
                at = turns
                allowed = allowed[..., -latents.shape[1] :]
            inputs = latents
        return self.norm(latents) if self.final_norm else latents

    def _positioned(self, x, length, given):
        """The first `given` of `length` tokens with terminal positions."""
        if self.terminal_positions is None:
            return x
        if length > self.terminal_positions:
            raise ValueError(
                f"Expected at most {self.terminal_positions} inputs, the size "
                f"of the table. Received: x.shape={tuple(x.shape)}."
            )
        rows = ops.convert_to_tensor(self.table)[length - given : length]
        rows = ops.flip(rows, axis=0)
        return x + ops.cast(rows, x.dtype)

    def _thinned(self, x, mask, start):
        """Inputs without a random part of those before the latents.

        Returns:
            (inputs (B, K + M, D), mask or None, places (B, K + M) int32).
        """
        kept = start - round(self.input_dropout * start)
        if random.in_key_scope():
            salt = random.salt_of(f"{self.salt}/inputs")
            noise = random.uniform(salt, start)
        else:
            shape = (ops.shape(x)[0], start)
            noise = keras.random.uniform(shape, seed=self.seed_generator)
        order = ops.argsort(ops.argsort(noise, axis=1), axis=1)
        places = _shuffle.true_places(order < kept, kept)
        latents = ops.arange(start, x.shape[1], dtype="int32")[None]
        latents = latents + ops.zeros_like(places[:, :1])
        places = ops.concatenate([ops.cast(places, "int32"), latents], axis=1)
        inputs = ops.take_along_axis(x, places[..., None], axis=1)
        if mask is not None:
            mask = ops.take_along_axis(mask, places, axis=1)
        return inputs, mask, places

    def _allowed(self, mask, places, start, length):
        """Which inputs each latent sees: (B or 1, 1, M, K + M) bool."""
        if places is None:
            places = ops.arange(length, dtype="int32")[None]
        own = ops.arange(start, length, dtype="int32")
        allowed = places[:, None, None, :] <= own[None, None, :, None]
        if mask is not None:
            mask = ops.cast(ops.convert_to_tensor(mask), "bool")
            allowed = allowed & mask[:, None, None, :]
        return allowed

    # --- Token by token -----------------------------------------------------

    def initial_cache(self, batch_size, length):
        """What `step` starts from; as `Mixer.initial_cache`.

        Args:
            batch_size: B.
            length: N, how many tokens there will be: the latents are the last
                M of them.
        """
        _carried.check_built(self)
        count = min(self.num_latents, length)
        config = self._block_config
        cache = {}
        for i, block in enumerate(self.blocks):
            slots = count if i else length
            shape = (batch_size, config["num_heads"], slots, block.head_size)
            zeros = ops.zeros(shape, dtype=self.compute_dtype)
            cache[f"block_{i}"] = {"key": zeros, "value": zeros}
        return cache

    def prefill(self, x, cache, *, training=False):
        """The cache after the first tokens, all at once.

        Args:
            x: (B, P, D), the first P <= N tokens.
            cache: from `initial_cache`.
            training: bool.

        Returns:
            The cache that P calls of `step` would give.
        """
        length = cache["block_0"]["key"].shape[2]
        count, given = min(self.num_latents, length), x.shape[1]
        start = length - count
        x = ops.cast(x, self.compute_dtype)
        if self.terminal_positions is not None:
            x = self._positioned(x, length, given)
        turns = tuple(part[:given] for part in self._turns(length))
        allowed = self._allowed(None, None, start, length)[
            :, :, : given - start
        ]
        latents, inputs, after = x[:, start:], x, dict(cache)
        for i, block in enumerate(self.blocks):
            name = f"block_{i}"
            key = block.keys_and_values(inputs, turns)
            rest = cache[name]["key"].shape[2] - inputs.shape[1]
            more = ((0, 0), (0, 0), (0, rest), (0, 0))
            after[name] = {
                "key": ops.pad(key[0], more),
                "value": ops.pad(key[1], more),
            }
            if given <= start:
                break
            first = 0 if i else start
            own = tuple(part[first:] for part in turns)
            known = allowed[..., start if i else 0 : given]
            latents = block(latents, *key, known, turns=own, training=training)
            inputs, turns = latents, own
        return after

    def step(self, x, cache, index, *, training=False):
        """One more token (B, D); as `Mixer.step`.

        Tokens before the latents are only remembered: 0 comes back for them.
        """
        _steps.check_token(x, cache, index)
        length = cache["block_0"]["key"].shape[2]
        count = min(self.num_latents, length)
        index = ops.cast(index, "int32")
        x = ops.cast(x, self.compute_dtype)[:, None]
        if self.terminal_positions is not None:
            row = ops.take(self.table, length - 1 - index, axis=0)
            x = x + ops.cast(row, x.dtype)
        turns = tuple(
            ops.take(part, index, axis=0)[None] for part in self._turns(length)
        )
        first = self._written(0, x, cache, index, turns)
        number = index - (length - count)

        def latent():
            return self._latent_step(
                x, {**cache, "block_0": first}, index, number, turns, training
            )

        def remembered():
            return ops.zeros_like(x[:, 0]), {**cache, "block_0": first}

        if count == length:
            return latent()
        return ops.cond(number >= 0, latent, remembered)

    def _latent_step(self, x, cache, index, number, turns, training):
        cache = dict(cache)
        for i, block in enumerate(self.blocks):
            name, place = f"block_{i}", index
            if i:
                cache[name] = self._written(i, x, cache, number, turns)
                place = number
            slots = cache[name]["key"].shape[2]
            past = ops.arange(slots, dtype="int32") <= place
            x = block(
                x,
                cache[name]["key"],
                cache[name]["value"],
                past[None, None, None],
                turns=turns,
                training=training,
            )
        x = self.norm(x) if self.final_norm else x
        return x[:, 0], cache

    def _written(self, i, x, cache, slot, turns):
        """A block's cache with the key and value of one more input."""
        key, value = self.blocks[i].keys_and_values(x, turns)
        return _steps.written(cache[f"block_{i}"], key, value, slot)

    def sampling_rounds(self, given, length):
        """Places (begin, end) that are drawn with one cache after another.

        Latents are the last M places of a cache; the next one begins when at
        most half of them are left, so that every draw sees M / 2 of them.

        Args:
            given: places that are given.
            length: of the whole.

        Returns:
            list of pairs of ints.
        """
        rounds, stride = [], max(1, self.num_latents // 2)
        while given < length:
            end = min(length, max(self.num_latents, given + stride))
            rounds.append((given, end))
            given = end
        return rounds

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        batch, length, width = input_shape
        if length is not None:
            length = min(length, self.num_latents)
        return batch, length, width

    def get_config(self):
        config = super().get_config()
        names = (
            "num_layers num_latents rotary_fraction rotary_base "
            "terminal_positions input_dropout final_norm salt"
        )
        config.update({name: getattr(self, name) for name in names.split()})
        config.update(self._block_config)
        return config
