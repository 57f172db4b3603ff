import math

import harness
import keras
import mixer_numbers
import numpy as np
import pixel_weights
import pytest
from keras import ops

from pixmodels import attention
from pixmodels import sequence

BIDIRECTIONAL = ("softmax", "laplace", "relu2", "chunk")
FIXTURES = (*BIDIRECTIONAL, "laplace_causal", "chunk_causal")


def golden(shared, name, **more):
    """The block of a fixture, and its arrays."""
    arrays = mixer_numbers.golden(shared, f"mega_{name}")
    causal = name.endswith("causal")
    chunk = 16 if name.startswith("chunk") else None
    function = name.split("_")[0]
    block = sequence.MegaBlock(
        arrays["w/fc1_bias"].shape[0],
        options={
            "shared_dim": 8,
            "value_dim": arrays["w/v_bias"].shape[0],
            "state_dim": arrays["w/ema_beta"].shape[1],
            "function": "softmax" if chunk else function,
            "chunk": chunk,
            "causal": causal,
            "block": 11,
            **more,
        },
        norm_first=name not in ("softmax", "chunk"),
    )
    block.build((None, *arrays["in/x"].shape[1:]))
    mega = block.mega
    for part in ("delta", "alpha", "beta", "gamma", "omega"):
        getattr(mega.ema, part).assign(arrays[f"w/ema_{part}"])
    for part, layer in {
        "v": mega.dense_value,
        "mx": mega.dense_gates,
        "h": mega.dense_output,
        "fc1": block.dense_1,
        "fc2": block.dense_2,
    }.items():
        pixel_weights.load_dense(layer, arrays, f"w/{part}")
    for i, layer in ((1, block.norm_1), (2, block.norm_2)):
        layer.gamma.assign(arrays[f"w/norm{i}_gain"])
        layer.beta.assign(arrays[f"w/norm{i}_bias"])
    mega.gains.assign(arrays["w/qk_gain"])
    mega.shifts.assign(arrays["w/qk_bias"])
    mega.distances.assign(arrays["w/rel_bias"])
    return block, arrays


@pytest.mark.parametrize("name", FIXTURES)
def test_golden_numbers(shared, name):
    block, arrays = golden(shared, name)
    x = ops.convert_to_tensor(arrays["in/x"])
    mixer_numbers.close(block(x), arrays["out/y"], atol=2e-5)
    # The mixer with the residual and, where it is the paper's, the norm.
    if block.norm_first:
        y = x + block.mega.change(block.norm_1(x), x)
    else:
        y = block.norm_1(x + block.mega(x))
    mixer_numbers.close(y, arrays["out/attn"], atol=2e-5)


@pytest.mark.parametrize("name", ["laplace_causal", "chunk_causal"])
def test_golden_numbers_token_by_token(shared, name):
    block, arrays = golden(shared, name)
    x = arrays["in/x"]
    cache = block.initial_cache(*x.shape[:2])
    found = []
    for i in range(x.shape[1]):
        y, cache = block.step(x[:, i], cache, i)
        found.append(y)
    mixer_numbers.close(ops.stack(found, 1), arrays["out/y"], atol=2e-5)


def made(**options):
    sizes = {"shared_dim": 5, "value_dim": 7, "state_dim": 3, "block": 3}
    length = options.pop("length", None)
    return mixer_numbers.made("mega", 1, 11, length, **{**sizes, **options})


def numbers(length, batch=3):
    x = np.random.default_rng(3).normal(size=(batch, length, 11))
    return x.astype("float32")


def plain(layer, x, mask):
    """The layer as it is written, in float64, without positions."""
    x = np.float64(x) * mask[..., None]
    weights = {
        w.path.split("/", 1)[1]: mixer_numbers.float64(w) for w in layer.weights
    }
    averaged = mixer_numbers.float64(
        layer.ema(ops.convert_to_tensor(x, "float32"), mask=mask)
    )

    def dense(name, x):
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def silu(x):
        return x * sigmoid(x)

    u, z, r, h = np.split(dense("gates", averaged), [11, 16, 23], axis=-1)
    q, k = (
        silu(z) * weights["gains"][i] + weights["shifts"][i] for i in range(2)
    )
    v = silu(dense("value", x))
    length = x.shape[1]
    mixed = np.zeros(v.shape)
    for b, i in np.ndindex(*x.shape[:2]):
        chunk = layer.chunk or length
        first = i // chunk * chunk
        keys = [
            j
            for j in range(first, min(first + chunk, length))
            if mask[b, j] and not (layer.causal and j > i)
        ]
        if not keys:
            continue
        middle = len(weights["distances"]) // 2
        bias = weights["distances"][middle + np.array(keys) - i]
        scores = k[b, keys] @ q[b, i]
        if layer.function == "softmax":
            share = mixer_numbers.softmax(scores / np.sqrt(5) + bias)
        else:
            share = scores / len(keys) + bias
            if layer.function == "relu2":
                share = np.maximum(share, 0) ** 2
            else:
                erf = np.vectorize(math.erf)
                share = (1 + erf((share - 0.707107) / 0.282095 / 2**0.5)) / 2
        mixed[b, i] = share @ v[b, keys]
    h = silu(h + dense("output", mixed * silu(r)))
    return sigmoid(u) * (h - x)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("function", ["softmax", "laplace", "relu2"])
@pytest.mark.parametrize("chunk", [None, 4])
def test_padding_and_chunks_that_do_not_fit(function, chunk, causal):
    mask = np.arange(13) < np.array([[13], [7], [1]])
    mask[0, 3] = False
    x = numbers(13)
    layer = made(function=function, chunk=chunk, causal=causal, max_length=17)
    expected = plain(layer, x, mask)
    x[~mask] = np.nan
    mixer_numbers.close(layer(x, mask=mask), expected, mask)


@pytest.mark.parametrize("chunk", [None, 4])
def test_short_and_padded_through_and_through(chunk):
    layer = made(chunk=chunk, max_length=17)
    assert layer(numbers(0)).shape == (3, 0, 11)
    one = np.ones((3, 1), bool)
    mixer_numbers.close(layer(numbers(1)), plain(layer, numbers(1), one))
    none = np.zeros((3, 5), bool)
    for function in ("softmax", "laplace", "relu2"):
        layer = made(chunk=chunk, max_length=17, function=function)
        y = ops.convert_to_numpy(layer(numbers(5), mask=none))
        assert np.isfinite(y).all()
        _, found = harness.loss_and_gradients(
            lambda layer=layer: ops.sum(layer(numbers(5), mask=none)),
            layer.trainable_weights,
        )
        assert all(np.isfinite(gradient).all() for gradient in found)


@pytest.mark.parametrize("chunk", [None, 4])
def test_the_future_changes_nothing(chunk):
    layer = made(chunk=chunk, causal=True, max_length=17)
    x = numbers(13)
    before = ops.convert_to_numpy(layer(x))
    for t in (0, 3, 4, 12):
        changed = x.copy()
        changed[:, t:] += 1
        after = ops.convert_to_numpy(layer(changed))
        mixer_numbers.close(after[:, :t], before[:, :t])
        assert np.abs(after[:, t:] - before[:, t:]).max() > 1e-2


def test_nan_stays_in_its_example():
    layer = made(chunk=4)
    x = numbers(13)
    expected = ops.convert_to_numpy(layer(x))
    x[1, 6] = np.nan
    y = ops.convert_to_numpy(layer(x))
    assert np.isnan(y[1, 6]).all()
    mixer_numbers.close(y[[0, 2]], expected[[0, 2]])


def test_squares_beyond_half_precision_are_finite():
    layer = made(chunk=4, function="relu2", dtype="mixed_float16")
    # Weights of 300^2, more than 65,504.
    layer.distances.assign(np.full(7, 300.0))
    y = ops.cast(layer(numbers(13)), "float32")
    assert np.isfinite(ops.convert_to_numpy(y)).all()


@pytest.mark.parametrize("prefix", [0, 2])
def test_a_subset_leaves_padding(prefix):
    layer = made(chunk=4)
    positions = np.array([[0, 3, 4, 11], [2, 5, 13, 14]], "int32")
    x = numbers(prefix + 4, 2)
    whole = np.zeros((2, prefix + 15, 11))
    mask = np.zeros((2, prefix + 15), bool)
    mask[:, :prefix] = True
    whole[:, :prefix] = x[:, :prefix]
    for row in range(2):
        whole[row, prefix + positions[row]] = x[row, prefix:]
        mask[row, prefix + positions[row]] = True
    expected = plain(layer, whole, mask)
    y = layer(x, positions=positions, prefix=prefix, grid=(3, 5))
    y = ops.convert_to_numpy(y)
    mixer_numbers.close(y[:, :prefix], expected[:, :prefix])
    for row in range(2):
        found = expected[row, prefix + positions[row]]
        mixer_numbers.close(y[row, prefix:], found)


@pytest.mark.parametrize("function", ["softmax", "laplace", "relu2"])
def test_gradients(function):
    layer = made(chunk=4, function=function, causal=True)
    mixer_numbers.check_weight_gradients(layer, numbers(13), step=3e-3)


def test_constant_caches_in_chunks():
    layer = made(chunk=4, causal=True)
    short, long = layer.initial_cache(2, 7), layer.initial_cache(2, 7000)
    sizes = [
        [tuple(part.shape) for part in keras.tree.flatten(cache)]
        for cache in (short, long)
    ]
    assert sizes[0] == sizes[1]


def test_what_cannot_be_is_refused():
    cls = attention.get("mega")
    with pytest.raises(ValueError, match="function='relu'"):
        cls(1, function="relu")
    with pytest.raises(ValueError, match="chunk >= 1"):
        cls(1, chunk=0)
    with pytest.raises(ValueError, match="head_dim=5"):
        cls(1, head_dim=5)
    with pytest.raises(ValueError, match="max_length=None"):
        cls(1).build((None, None, 11))
    layer = made(max_length=5, causal=True)
    with pytest.raises(ValueError, match="max_length=5"):
        layer(numbers(7))
    with pytest.raises(ValueError, match="max_length=5"):
        layer.initial_cache(3, 7)
    with pytest.raises(ValueError, match="grid=None"):
        made(chunk=4)(numbers(2, 1), positions=np.array([[0, 3]]))
    with pytest.raises(ValueError, match="batch size 3"):
        layer.step(numbers(1)[:, 0], layer.initial_cache(2, 5), 0)
    with pytest.raises(ValueError, match="norm='group'"):
        sequence.MegaBlock(13, norm="group")


@pytest.mark.parametrize("norm", ["scale", "batch", "layer"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_blocks_of_other_norms(norm, norm_first):
    block = sequence.MegaBlock(
        13,
        options={"shared_dim": 5, "chunk": 4, "state_dim": 3},
        norm=norm,
        norm_first=norm_first,
        dropout_rate=0.25,
    )
    mask = np.arange(7) < np.array([[7], [5], [3]])
    x = numbers(7)
    y = ops.convert_to_numpy(block(x, mask=mask))
    x[~mask] = 5.0
    again = type(block).from_config(block.get_config())
    again.build(x.shape)
    again.set_weights(block.get_weights())
    mixer_numbers.close(again(x, mask=mask), y, mask, atol=1e-6)


def test_scale_norm_is_its_formula():
    layer = sequence.ScaleNorm(epsilon=0.5)
    x = numbers(2)
    layer.build(x.shape)
    layer.gain.assign(3.0)
    expected = 3 * x / np.sqrt((x**2).mean(-1, keepdims=True) + 0.5)
    mixer_numbers.close(layer(x), expected)
