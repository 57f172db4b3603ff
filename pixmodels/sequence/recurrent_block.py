import keras
from keras import ops

from pixmodels.attention import _blocks
from pixmodels.attention import _checks
from pixmodels.sequence import _gates
from pixmodels.sequence import _scaled_attention
from pixmodels.sequence.sliding_window_block import SlidingWindowBlock

UPDATES = ("skip", "dual", "single")


@keras.saving.register_keras_serializable(package="pixmodels")
class RecurrentBlock(SlidingWindowBlock):
    """A sliding-window block with a recurrent state of several vectors.

    Tokens of a window attend, beside the tokens before them, to the S vectors
    of the state that the windows before have left, with queries of their own;
    the heads of both stand beside each other before the output projection.
    After each window the state attends to itself and to the keys of that
    window and of the one before, and a gate puts what it finds in the place of
    the old state. So a segment of n windows is n steps of a recurrent network
    whose cells are attention, trained through the whole segment; from segment
    to segment the state is carried without gradients.

    Source: Hutchins et al. 2022, "Block-Recurrent Transformers", sections 3.2
    to 3.5; numbers as google-research/meliad cc1aef5, `transformer/memory`,
    where keys and values of states have projections of their own (the paper
    describes shared ones). Where we differ: as `SlidingWindowBlock`; a window
    of padding alone leaves the state as it is.

    Args:
        num_heads, mlp_dim: as `SlidingWindowBlock`.
        num_states: S.
        gate: "fixed", `g old + (1 - g) new` with a learned g for each
            feature, or "lstm", with a forget and an input gate.
        update: "skip", attention, a projection and the gate; "dual", then a
            norm, an MLP and a second gate; "single", attention straight into
            an MLP that ends in a tanh, and the gate.
        Others: as `SlidingWindowBlock`.

    Call arguments:
        As `SlidingWindowBlock`.

    Returns:
        As `SlidingWindowBlock`; a memory also has `state` (B, S, D) and
        `started` (B,) bool, False where the learned first state is due.

    Raises:
        ValueError: for an unknown gate or update, and as
            `SlidingWindowBlock`.

    Example:
        >>> import numpy as np
        >>> block = pixmodels.sequence.RecurrentBlock(
        ...     2, 16, window=3, num_states=7)
        >>> block.build((None, None, 8))
        >>> x = np.ones((5, 6, 8), "float32")
        >>> y, memory = block(x, memory=block.initial_memory(5))
        >>> memory["state"].shape
        TensorShape([5, 7, 8])
    """

    kept_windows = 2

    def __init__(
        self,
        num_heads,
        mlp_dim,
        *,
        num_states=512,
        gate="fixed",
        update="skip",
        **kwargs,
    ):
        super().__init__(num_heads, mlp_dim, **kwargs)
        _checks.check_counts(num_states=num_states)
        for name, value, known in (
            ("gate", gate, _gates.GATES),
            ("update", update, UPDATES),
        ):
            if value not in known:
                raise ValueError(
                    f"Expected {name} among {known}. Received: "
                    f"{name}={value!r}."
                )
        self.num_states = num_states
        self.gate = gate
        self.update = update

    def build(self, input_shape):
        super().build(input_shape)
        width, inner = self._width, self.num_heads * self._head_dim
        self.query_2 = self._dense(inner, "query_2", width)
        self.scale_2 = self._scale("scale_2")
        self.state_norm = self._norm("state_norm")
        for name in ("query", "query_2", "key", "value"):
            name = f"state_{name}"
            setattr(self, name, self._dense(inner, name, width))
        self.state_scale = self._scale("state_scale")
        self.state_scale_2 = self._scale("state_scale_2")
        shape = (self.num_states, width)
        for name, deviation in (("position", 1.0), ("initial", 0.1)):
            normal = keras.initializers.RandomNormal(stddev=deviation)
            name = f"state_{name}"
            weight = self.add_weight(name=name, shape=shape, initializer=normal)
            setattr(self, name, weight)
        self._build_update(width, 2 * inner)

    def _build_update(self, width, found):
        """Layers from the heads of the state's attention to the new state."""
        if self.update != "single":
            self.state_output = self._dense(width, "state_output", found)
            self.gate_1 = self._gate("gate_1", found)
        if self.update != "skip":
            start = found if self.update == "single" else width
            self.state_dense_1 = self._dense(
                self.mlp_dim, "state_dense_1", start
            )
            self.state_dense_2 = self._dense(
                width, "state_dense_2", self.mlp_dim
            )
            self.gate_2 = self._gate("gate_2", self.mlp_dim)
        if self.update == "dual":
            self.state_norm_2 = self._norm("state_norm_2")

    def _mixed_width(self, inner):
        return 2 * inner

    def _gate(self, name, hidden):
        layer = _gates.gate(
            self.gate, self._width, name=name, dtype=self.dtype_policy
        )
        layer.build((None, None, hidden))
        return layer

    # --- The state ----------------------------------------------------------

    def initial_memory(self, batch_size):
        memory = super().initial_memory(batch_size)
        shape = (batch_size, self.num_states, self._width)
        memory["state"] = ops.zeros(shape, dtype=self.compute_dtype)
        memory["started"] = ops.zeros((batch_size,), dtype="bool")
        return memory

    def _first_state(self, x, memory):
        """The state before a segment: (B, S, D)."""
        first = ops.cast(self.state_initial, self.compute_dtype)[None]
        first = first + ops.zeros_like(x[:, :1, :1])
        if memory is None:
            return first
        started = ops.cast(memory["started"], "bool")[:, None, None]
        return ops.where(started, ops.cast(memory["state"], x.dtype), first)

    def _state_parts(self, state):
        """(query, query_2, key, value) of a state, each (B, A, S, E)."""
        s = self.state_norm(state)
        s = s + ops.cast(self.state_position, s.dtype)
        return self._projected(
            s,
            self.state_query,
            self.state_query_2,
            self.state_key,
            self.state_value,
        )

    def _next_state(self, state, parts, key, value, real):
        """The state after a window of keys (B, A, C, E), real (B, C)."""
        query, query_2, own_key, own_value = parts
        own = _scaled_attention.attend(
            query, own_key, own_value, self.state_scale
        )
        tokens = _scaled_attention.attend(
            query_2,
            key,
            value,
            self.state_scale_2,
            allowed=real[:, None, None],
        )
        found = ops.concatenate([own, tokens], axis=1)
        found = self.merge_heads(found)
        if self.update != "single":
            new = self.state_output(found)
            state = self.gate_1(state, new, found)
            if self.update == "skip":
                return state
            found = self.state_norm_2(state)
        hidden = self._activation(self.state_dense_1(found))
        new = self.state_dense_2(hidden)
        if self.update == "single":
            new = ops.tanh(new)
        return self.gate_2(state, new, hidden)

    def _far(self, t, windows, mask, memory, training):
        key, value, real = windows
        size, count = key.shape[3] // 2, key.shape[2]
        state = self._first_state(t, memory)
        seen = []
        for i in range(count):
            parts = self._state_parts(state)
            seen.append(parts[2:])
            if i == count - 1 and memory is None:
                break  # nobody will see that state
            after = self._next_state(
                state, parts, key[:, :, i], value[:, :, i], real[:, i]
            )
            if mask is not None:
                some = ops.any(real[:, i, size:], axis=1)
                after = ops.where(some[:, None, None], after, state)
            state = after
        own_key, own_value = (
            ops.stack(part, axis=2) for part in zip(*seen, strict=True)
        )
        query = self.split_heads(self.query_2(t))
        far = _scaled_attention.attend(
            _blocks.split(_scaled_attention.normalised(query), 2, size),
            own_key,
            own_value,
            self.scale_2,
            dropout=self._dropped(training),
        )
        carried = {"state": state}
        if memory is not None:
            started = ops.ones_like(t[:, 0, 0], dtype="bool")
            carried["started"] = started
        return _blocks.joined(far, t.shape[1]), carried

    # --- Token by token -----------------------------------------------------

    def initial_cache(self, batch_size, length, memory=None):
        cache = super().initial_cache(batch_size, length, memory)
        x = ops.zeros((batch_size, 1, self._width), dtype=self.compute_dtype)
        state = self._first_state(x, memory)
        *_, key, value = self._state_parts(state)
        return {**cache, "state": state, "state_key": key, "state_value": value}

    def _far_step(self, t, cache, index, training):
        query = self.split_heads(self.query_2(t))
        far = _scaled_attention.attend(
            _scaled_attention.normalised(query),
            cache["state_key"],
            cache["state_value"],
            self.scale_2,
            dropout=self._dropped(training),
        )
        names = ("state", "state_key", "state_value")
        old = tuple(cache[name] for name in names)

        def after_window():
            state = cache["state"]
            state = self._next_state(
                state,
                self._state_parts(state),
                *(cache[name] for name in ("key", "value", "real")),
            )
            *_, key, value = self._state_parts(state)
            return state, key, value

        full = ops.equal(ops.mod(index + 1, self.window), 0)
        new = ops.cond(full, after_window, lambda: old)
        return far, {**cache, **dict(zip(names, new, strict=True))}

    def get_config(self):
        config = super().get_config()
        for name in ("num_states", "gate", "update"):
            config[name] = getattr(self, name)
        return config
