"""Block-Recurrent Transformers: golden numbers, an oracle, segments, steps."""

import harness
import keras
import numpy as np
import pytest
from keras import ops

from pixmodels.models import BlockRecurrentStack
from pixmodels.models import TokenDecoder
from pixmodels.sequence import RecurrentBlock
from pixmodels.sequence import SlidingWindowBlock
from pixmodels.sequence import _gates
from pixmodels.sequence import _relative_bias
from pixmodels.sequence import _scaled_attention

WINDOW, WIDTH, STATES = 3, 10, 7
FORMS = [
    (gate, update)
    for gate in ("fixed", "lstm")
    for update in ("skip", "dual", "single")
]


def shaken(layer, seed=5, scale=0.4):
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        noise = rng.normal(size=weight.shape) * scale
        weight.assign(ops.convert_to_numpy(weight) + noise)
    return layer


def block_of(cls=RecurrentBlock, **options):
    keras.utils.set_random_seed(3)
    if cls is RecurrentBlock:
        options = {"num_states": STATES, **options}
    block = cls(2, 11, window=WINDOW, num_buckets=2, max_distance=5, **options)
    block.build((None, None, WIDTH))
    return shaken(block)


def stack_of(num_layers=2, recurrent_layers=(0,), **options):
    keras.utils.set_random_seed(3)
    stack = BlockRecurrentStack(
        num_layers,
        2,
        11,
        recurrent_layers=recurrent_layers,
        window=WINDOW,
        num_states=STATES,
        **options,
    )
    stack.build((None, None, WIDTH))
    return shaken(stack)


def x_of(length, batch=2, seed=7):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, length, WIDTH)).astype("float32")


def array(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, atol=2e-5):
    np.testing.assert_allclose(
        array(actual), array(expected), rtol=0, atol=atol
    )


# --- Golden numbers ---------------------------------------------------------

NAMES = {
    "q": "query",
    "q2": "query_2",
    "k": "key",
    "v": "value",
    "o": "output_dense",
    "sq": "state_query",
    "sq2": "state_query_2",
    "sk": "state_key",
    "sv": "state_value",
    "so": "state_output",
}


def golden_block(arrays):
    block = RecurrentBlock(2, 5, window=16, num_states=8)
    block.build((None, None, 24))
    for theirs, ours in NAMES.items():
        getattr(block, ours).kernel.assign(arrays[f"w/{theirs}_kernel"])
    for weight, name in (
        (block.norm_1.scale, "norm"),
        (block.state_norm.scale, "snorm"),
        (block.state_position, "spos"),
        (block.scale, "scale_self"),
        (block.scale_2, "scale_cross"),
        (block.state_scale, "scale_sself"),
        (block.state_scale_2, "scale_scross"),
        (block.bias, "rel_bias"),
        (block.gate_1.gate_bias, "gate_bias"),
    ):
        weight.assign(arrays[f"w/{name}"])
    block.dense_2.kernel.assign(np.zeros((5, 24)))  # they have no MLP
    return block


def golden_memory(arrays):
    return {
        "key": arrays["in/prev_k"],
        "value": arrays["in/prev_v"],
        "real": np.ones((2, 16), bool),
        "state": arrays["in/state"],
        "started": np.ones(2, bool),
    }


def test_golden_numbers(shared):
    path = shared("fixtures/layers/block_recurrent_oracle.npz")
    arrays = dict(np.load(path))
    block, memory = golden_block(arrays), golden_memory(arrays)
    y, after = block(arrays["in/x"], memory=memory)
    close(y, arrays["out/y"], 1e-5)
    close(after["state"], arrays["out/state"], 1e-5)
    for i in range(2):
        part = slice(16 * i, 16 * i + 16)
        y, memory = block(arrays["in/x"][:, part], memory=memory)
        close(y, arrays["out/y"][:, part], 1e-5)
        close(memory["state"], arrays["out/states"][i], 1e-5)


def test_golden_numbers_token_by_token(shared):
    path = shared("fixtures/layers/block_recurrent_oracle.npz")
    arrays = dict(np.load(path))
    block = golden_block(arrays)
    memory = keras.tree.map_structure(
        ops.convert_to_tensor, golden_memory(arrays)
    )
    cache = block.initial_cache(2, 18, memory)
    for i in range(18):  # two tokens with the second state
        y, cache = block.step(arrays["in/x"][:, i], cache, i)
        close(y, arrays["out/y"][:, i], 1e-5)
    close(cache["state"], arrays["out/states"][0], 1e-5)


def test_mechanism_of_another_implementation(shared):
    """Its heads share keys and values and see their own place, so the parts."""
    path = shared("fixtures/layers/block_recurrent_pytorch.npz")
    w = {k: np.asarray(v) for k, v in np.load(path).items()}

    def norm(x, gain):
        x = x - x.mean(-1, keepdims=True)
        return gain * x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)

    def heads(x):
        return x.reshape(2, x.shape[1], -1, 12).transpose(0, 2, 1, 3)

    def attend(query, key, value, name, allowed=None):
        query, key = (
            array(_scaled_attention.normalised(ops.convert_to_tensor(part)))
            for part in (query, key)
        )
        query = query * w[f"w/{name}_q_scale"] * 12**-0.5
        key = key * w[f"w/{name}_k_scale"]
        return array(
            _scaled_attention.attend(
                *(ops.convert_to_tensor(p) for p in (query, key, value)),
                np.ones(2, "float32"),
                allowed=None if allowed is None else ops.array(allowed),
            )
        )

    t = norm(w["in/x"], w["w/ln_gain"])
    kv = t @ w["w/kv_kernel"]
    key, value = (np.repeat(heads(p), 2, 1) for p in np.split(kv, 2, -1))
    state = np.repeat(w["w/init_state"][None], 2, 0)
    n = norm(state, w["w/ln_state_gain"]) + w["w/state_pos"]
    own = n @ w["w/s_kv_kernel"]
    own_key, own_value = (
        np.repeat(heads(p), 2, 1) for p in np.split(own, 2, -1)
    )
    near = attend(
        heads(t @ w["w/q_kernel"]), key, value, "self", np.tri(16) > 0
    )
    far = attend(heads(t @ w["w/sq_to_kernel"]), own_key, own_value, "to_state")
    y = np.concatenate([near, far], 1).transpose(0, 2, 1, 3).reshape(2, 16, 48)
    close(y @ w["w/o_kernel"], w["out/y"], 1e-5)
    near = attend(
        heads(n @ w["w/s_q_kernel"]), own_key, own_value, "state_self"
    )
    far = attend(heads(n @ w["w/sq_from_kernel"]), key, value, "from_state")
    found = np.concatenate([near, far], -1).transpose(0, 2, 1, 3)
    new = found.reshape(2, 8, 48) @ w["w/s_o_kernel"]
    new = new @ w["w/s_gate_kernel"] + w["w/s_gate_bias"]
    gate = _gates.FixedGate(24)
    gate.build((None, None, 24))
    gate.gate_bias.assign(-w["w/gate_beta"])  # theirs weighs the new state
    close(gate(state, new, new), w["out/state"], 1e-5)


# --- An oracle in numpy -----------------------------------------------------


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Oracle:
    """One window after another in float64, from the weights of a block."""

    def __init__(self, block):
        self.w = {
            weight.path.split("/", 1)[1]: array(weight).astype("float64")
            for weight in block.weights
        }
        self.block = block

    def norm(self, x, name):
        scale = self.w[f"{name}/scale"]
        return scale * x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)

    def heads(self, x, name, unit=True):
        y = x @ self.w[f"{name}/kernel"]
        y = y.reshape(len(x), 2, -1).swapaxes(0, 1)
        if not unit:
            return y
        return y / np.sqrt((y * y).sum(-1, keepdims=True) + 1e-6)

    def attend(self, query, key, value, scale, bias=0.0, allowed=True):
        scale = np.abs(self.w[scale])[:, None, None]
        logits = scale * (query @ key.swapaxes(1, 2) + bias)
        weights = np.exp(logits) * allowed
        total = weights.sum(-1, keepdims=True)
        return (weights / np.where(total > 0, total, 1)) @ value

    def merged(self, *parts):
        parts = np.concatenate(parts)
        return parts.swapaxes(0, 1).reshape(parts.shape[1], -1)

    def gate(self, name, old, new, hidden):
        if self.block.gate == "fixed":
            share = _sigmoid(self.w[f"{name}/gate_bias"])
            return share * old + (1 - share) * new
        forget, write = (
            hidden @ self.w[f"{name}/{part}/kernel"]
            + self.w[f"{name}/{part}/bias"]
            for part in ("forget", "input")
        )
        return _sigmoid(forget + 1) * old + _sigmoid(write - 1) * new

    def next_state(self, state, key, value):
        s = self.norm(state, "state_norm") + self.w["state_position"]
        own = self.attend(
            self.heads(s, "state_query"),
            self.heads(s, "state_key"),
            self.heads(s, "state_value", False),
            "state_scale",
        )
        query = self.heads(s, "state_query_2")
        tokens = self.attend(query, key, value, "state_scale_2")
        found = self.merged(own, tokens)
        if self.block.update != "single":
            new = found @ self.w["state_output/kernel"]
            state = self.gate("gate_1", state, new, found)
            if self.block.update == "skip":
                return state
            found = self.norm(state, "state_norm_2")
        hidden = np.maximum(found @ self.w["state_dense_1/kernel"], 0)
        new = hidden @ self.w["state_dense_2/kernel"]
        if self.block.update == "single":
            new = np.tanh(new)
        return self.gate("gate_2", state, new, hidden)

    def __call__(self, x):
        """One example (N, D); returns its outputs and the last state."""
        x, length = x.astype("float64"), len(x)
        t = self.norm(x, "norm_1")
        key, value = self.heads(t, "key"), self.heads(t, "value", False)
        query, query_2 = self.heads(t, "query"), self.heads(t, "query_2")
        state = self.w["state_initial"]
        distance = np.arange(length)[:, None] - np.arange(length)[None]
        near = (distance >= 1) & (distance <= WINDOW)
        found = _relative_bias.buckets(np.arange(1, WINDOW + 1), 2, 5)
        table = self.w["relative_bias"][found]  # (W, A)
        bias = table[np.clip(distance, 1, WINDOW) - 1].transpose(2, 0, 1)
        tokens = self.attend(query, key, value, "scale", bias, near)
        rows = []
        for i in range(0, length, WINDOW):
            s = self.norm(state, "state_norm") + self.w["state_position"]
            rows.append(
                self.attend(
                    query_2[:, i : i + WINDOW],
                    self.heads(s, "state_key"),
                    self.heads(s, "state_value", False),
                    "scale_2",
                )
            )
            part = slice(max(0, i - WINDOW), i + WINDOW)
            state = self.next_state(state, key[:, part], value[:, part])
        far = np.concatenate(rows, axis=1)
        y = x + self.merged(tokens, far) @ self.w["output/kernel"]
        hidden = self.norm(y, "norm_2") @ self.w["dense_1/kernel"]
        return y + np.maximum(hidden, 0) @ self.w["dense_2/kernel"], state


@pytest.mark.parametrize(("gate", "update"), FORMS)
def test_every_gate_and_update_is_that_of_the_oracle(gate, update):
    block, x = block_of(gate=gate, update=update), x_of(9)
    y, memory = block(x, memory=block.initial_memory(2))
    for i in range(2):
        expected, state = Oracle(block)(x[i])
        close(y[i], expected, 1e-4)
        close(memory["state"][i], state, 1e-4)


# --- Segments ---------------------------------------------------------------


@pytest.mark.parametrize("recurrent_layers", [(), (-2,), (0, 1)])
def test_segments_are_as_the_whole(recurrent_layers):
    stack, x = stack_of(recurrent_layers=recurrent_layers), x_of(12)
    whole = stack(x)
    first, memory = stack(x[:, :6], memory=stack.initial_memory(2))
    second, memory = stack(x[:, 6:], memory=memory)
    close(ops.concatenate([first, second], axis=1), whole)
    again = stack.restarted(memory, np.array([False, True]))
    fresh, _ = stack(x[:, :6], memory=again)
    close(fresh[1], first[1])
    assert np.abs(array(fresh)[0] - array(first)[0]).max() > 1e-2


@pytest.mark.parametrize("length", [1, 2, 4, 11])
def test_any_length_without_a_memory(length):
    stack, x = stack_of(), x_of(12)
    close(stack(x[:, :length]), stack(x)[:, :length])


def test_lengths_zero():
    stack = stack_of()
    assert stack(x_of(0)).shape == (2, 0, WIDTH)
    y, memory = stack(x_of(0), memory=stack.initial_memory(2))
    assert y.shape == (2, 0, WIDTH)
    assert not array(memory["block_0"]["real"]).any()


def test_causal_by_perturbation_and_far_by_the_state():
    stack, x = stack_of(), x_of(11)
    before = array(stack(x))
    for i in (0, 4, 10):
        changed = x.copy()
        changed[:, i] += 3.0
        after = array(stack(changed))
        np.testing.assert_array_equal(after[:, :i], before[:, :i])
        assert np.abs(after[:, i] - before[:, i]).max() > 1e-2
    # Two layers of windows of 3 reach back 6 places; the state does the rest.
    changed = x.copy()
    changed[:, 0] += 3.0
    moved = np.abs(array(stack(changed)) - before)[:, 9:].max()
    plain = stack_of(recurrent_layers=())
    still = np.abs(array(plain(changed)) - array(plain(x)))[:, 9:].max()
    assert moved > 1e-3
    assert still == 0


def test_padding_is_never_seen():
    stack, x = stack_of(), x_of(9)
    mask = np.arange(9) < np.array([[9], [4]])
    noisy = np.where(mask[..., None], x, 9 * x_of(9, seed=11))
    memory = stack.initial_memory(2)
    y, after = stack(x, mask=mask, memory=memory)
    other, later = stack(noisy, mask=mask, memory=memory)
    np.testing.assert_array_equal(array(y)[mask], array(other)[mask])
    _, state = stack(x[:, :6], mask=mask[:, :6], memory=memory)
    for a, b in ((after, later), (after, state)):
        a, b = (array(part["block_0"]["state"])[1] for part in (a, b))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    nothing, kept = stack(x, mask=np.zeros((2, 9), bool), memory=memory)
    assert np.isfinite(array(nothing)).all()
    close(kept["block_0"]["state"][0], stack.blocks[0].state_initial, 1e-6)


def test_nan_stays_with_its_example_from_its_window_on():
    stack, x = stack_of(), x_of(6)
    x[1, 4] = np.nan
    y, memory = stack(x, memory=stack.initial_memory(2))
    assert np.isfinite(array(y)[0]).all()
    assert np.isfinite(array(y)[1, :3]).all()
    assert np.isnan(array(y)[1, 4:]).any(axis=1).all()
    assert np.isfinite(array(memory["block_0"]["state"])[0]).all()


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="its gradients"
)
def test_gradients_pass_windows_and_stop_between_segments():
    import tensorflow as tf

    stack = stack_of()
    x = tf.constant(x_of(12))
    memory = stack.initial_memory(2)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        _, memory = stack(x[:, :3], memory=memory)
        y, _ = stack(x[:, 3:], memory=memory)
        far = tf.reduce_sum(y[:, -1] ** 2)
    gradient = array(tape.gradient(far, x))
    assert np.abs(gradient[:, :3]).max() == 0
    assert np.abs(gradient[:, 3]).min() > 0  # only the state reaches back
    first = stack.blocks[0]
    assert np.abs(array(tape.gradient(far, first.state_initial))).max() == 0
    gate = tape.gradient(far, first.gate_1.gate_bias)
    assert np.abs(array(gate)).min() > 0


# --- Token by token ---------------------------------------------------------


@pytest.mark.parametrize(("gate", "update"), [FORMS[0], FORMS[4]])
def test_steps_go_on_from_a_memory(gate, update):
    stack, x = stack_of(1, gate=gate, update=update), x_of(10)
    whole = array(stack(x))
    _, memory = stack(x[:, :6], memory=stack.initial_memory(2))
    for start, carried in ((0, None), (6, memory)):
        cache = stack.initial_cache(2, 10 - start, carried)
        for i in range(10 - start):
            y, cache = stack.step(x[:, start + i], cache, i)
            close(y, whole[:, start + i])


@pytest.mark.slow
def test_steps_in_a_loop_under_xla():
    stack, x = stack_of(1), ops.convert_to_tensor(x_of(7))
    whole = array(stack(x))

    def run(x):
        def body(i, cache, _):
            y, cache = stack.step(ops.take(x, i, axis=1), cache, i)
            return i + 1, cache, y

        start = (
            ops.convert_to_tensor(0, "int32"),
            stack.initial_cache(2, 7),
            x[:, 0],
        )
        return ops.while_loop(lambda i, *_: i < 7, body, start)[2]

    close((harness.compiled(run, True) or run)(x), whole[:, 6])


# --- Around it --------------------------------------------------------------


@pytest.mark.slow
def test_language_model_over_segments(tmp_path):
    model = TokenDecoder(
        stack_of(dropout_rate=0.1), vocabulary_size=5, hidden_dim=WIDTH
    )
    tokens = np.random.default_rng(3).integers(0, 5, (2, 12)).astype("int32")
    whole = array(model(tokens)["logits"])
    memory, key = model.initial_memory(2), np.array([3, 5], "int32")
    total = 0.0
    for i in (0, 6):
        batch = {
            "tokens": tokens[:, i : i + 6],
            "example_id": np.arange(2, dtype="int32"),
            "previous": tokens[:, i - 1] if i else np.array([-1, -1]),
        }
        sums, _, memory = model.loss_sums(batch, key, False, memory)
        total += array(sums["loss"])
    expected = model.losses(ops.convert_to_tensor(whole), tokens)
    np.testing.assert_allclose(total, array(expected).sum(), rtol=1e-5)
    drawn = array(model.sample(4, prompt=tokens[:, :2], temperature=0))
    logits = array(model(drawn)["logits"])
    np.testing.assert_array_equal(drawn[:, 2:], logits.argmax(-1)[:, 2:])
    after = model.sample(
        3, previous=tokens[:, 11], memory=memory, temperature=0
    )
    longer = model.sample(3, prompt=tokens, temperature=0)
    np.testing.assert_array_equal(array(after), array(longer)[:, 12:])
    path = str(tmp_path / "recurrent.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(array(loaded(tokens)["logits"]), whole)


def test_configs_and_settings():
    for layer in (
        block_of(gate="lstm", update="single"),
        block_of(SlidingWindowBlock),
        stack_of(recurrent_layers=(-1,)),
    ):
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config
    stack = BlockRecurrentStack.named("rec_lstm_dual", mlp_dim=17)
    config = stack.get_config()
    assert config["recurrent_layers"] == (-3,)
    assert (config["gate"], config["update"]) == ("lstm", "dual")
    assert (config["window"], config["mlp_dim"]) == (512, 17)


def test_all_scales_begin_as_asked():
    """Those of tokens and states, in each block: nothing else differs."""
    one, seven = stack_of(), stack_of(initial_scale=7.0)
    found = []
    for a, b in zip(one.weights, seven.weights, strict=True):
        times = 6.0 * (a.shape == (2,))  # a number for each head
        np.testing.assert_allclose(array(b) - array(a), times, atol=1e-5)
        found.append(times)
    # A recurrent block has four, the other one.
    assert sum(map(bool, found)) == 5


def test_mixed_precision_is_near():
    keras.utils.set_random_seed(3)
    x = x_of(6)
    stack = stack_of()
    config = {**stack.get_config(), "dtype": "mixed_bfloat16"}
    half = BlockRecurrentStack.from_config(config)
    half.build((None, None, WIDTH))
    half.set_weights(stack.get_weights())
    a, b = array(stack(x)), array(ops.cast(half(x), "float32"))
    assert np.abs(a - b).max() < 0.06 * np.abs(a).max()


def test_refusals():
    block, x = block_of(), x_of(6)
    with pytest.raises(ValueError, match="memory of batch size 2"):
        block(x, memory=block.initial_memory(3))
    with pytest.raises(ValueError, match="whole windows of 3"):
        block(x_of(4), memory=block.initial_memory(2))
    with pytest.raises(ValueError, match="cache of batch size 2"):
        block.step(x[:, 0], block.initial_cache(3, 5), 0)
    with pytest.raises(ValueError, match="one token"):
        block.step(x, block.initial_cache(2, 5), 0)
    with pytest.raises(ValueError, match="Received: -1"):
        block.step(x[:, 0], block.initial_cache(2, 5), -1)
    with pytest.raises(ValueError, match="gate='gru'"):
        block_of(gate="gru")
    with pytest.raises(ValueError, match="update='once'"):
        block_of(update="once")
    with pytest.raises(ValueError, match="window=0"):
        SlidingWindowBlock(2, 5, window=0)
    with pytest.raises(ValueError, match="initial_scale=0"):
        SlidingWindowBlock(2, 5, initial_scale=0)
    with pytest.raises(ValueError, match=r"recurrent_layers=\(2,\)"):
        stack_of(recurrent_layers=(2,))
    with pytest.raises(ValueError, match="name='slide_14'"):
        BlockRecurrentStack.named("slide_14")
    for layer in (
        SlidingWindowBlock(2, 5),
        BlockRecurrentStack(1, 2, 5, recurrent_layers=()),
    ):
        with pytest.raises(ValueError, match="built=False"):
            layer.initial_memory(2)
        with pytest.raises(ValueError, match="built=False"):
            layer.initial_cache(2, 3)
    with pytest.raises(ValueError, match="num_heads=3"):
        SlidingWindowBlock(3, 5).build((None, None, 10))
