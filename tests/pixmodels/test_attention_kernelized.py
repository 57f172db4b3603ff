import harness
import keras
import mixer_numbers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from pixmodels import attention
from pixmodels import random
from pixmodels.attention import _random_features
from pixmodels.attention import _spectral

VARIANTS = {
    "gmm": {"num_features": 12},
    "positive": {"num_features": 14},
    "fastfood": {},
    "generator": {"num_features": 22},
}


def _fold(arrays, i, noise):
    """Running statistics of a batch norm as gain and shift of ours."""
    kernel, bias, gain, shift, mean, variance = (
        np.float64(arrays[f"w/gen{i}_{name}"])
        for name in "kernel bias bn_gain bn_bias bn_mean bn_var".split()
    )
    hidden = noise @ kernel
    scale = gain / np.sqrt(variance + 1e-5)
    ours = scale * np.sqrt(hidden.var(0) + 1e-5)
    shift = shift + scale * (hidden.mean(0) + bias - mean)
    after = (hidden + bias - mean) * scale + np.float64(
        arrays[f"w/gen{i}_bn_bias"]
    )
    return kernel, ours, shift, np.where(after > 0, after, 0.01 * after)


@pytest.mark.parametrize("variant", ["gmm", "fastfood", "generator"])
def test_golden_numbers(shared, variant):
    arrays = mixer_numbers.golden(shared, f"kernelized_{variant}")
    count = None if variant == "fastfood" else 32
    heads = 4 if variant == "gmm" else 2
    layer = mixer_numbers.load(
        "kernelized", arrays, heads, variant=variant, num_features=count
    )
    if variant == "gmm":
        layer.noise.assign(arrays["in/omega"].T)
        layer.spread.assign(arrays["w/sigma"])
        layer.mean.assign(arrays["w/mu"])
    elif variant == "fastfood":
        layer.noise.assign(arrays["in/permutation"])
        layer.first_diagonal.assign(arrays["w/B"])
        layer.middle_diagonal.assign(arrays["w/G"])
        layer.last_diagonal.assign(arrays["w/S"])
    else:
        noise = np.float64(arrays["in/omega"])
        layer.noise.assign(noise)
        for i in range(2):
            kernel, gain, shift, noise = _fold(arrays, i, noise)
            getattr(layer, f"generator_kernel_{i}").assign(kernel)
            getattr(layer, f"generator_gain_{i}").assign(gain)
            getattr(layer, f"generator_shift_{i}").assign(shift)
        layer.generator_kernel.assign(arrays["w/gen2_kernel"])
        layer.generator_bias.assign(arrays["w/gen2_bias"])
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"])


def _numpy(weight):
    return np.float64(ops.convert_to_numpy(weight))


def _frequencies(layer):
    """(A, m, E), one frequency after the other."""
    noise = _numpy(layer.noise)
    size = layer._head_dim
    if layer.variant == "fastfood":
        # Column by column, as the product of vectors of Le et al.
        wide = len(noise)
        hadamard = np.array(
            [
                [(-1) ** bin(i & j).count("1") for j in range(wide)]
                for i in range(wide)
            ]
        )
        found = np.zeros((wide, size))
        for j in range(size):
            z = hadamard @ (_numpy(layer.first_diagonal) * np.eye(wide)[j])
            z = _numpy(layer.middle_diagonal) * z[noise.astype(int)]
            z = _numpy(layer.last_diagonal) * (hadamard @ z)
            found[:, j] = z / np.sqrt(wide)
        return np.stack([found] * layer.num_heads)
    if layer.variant == "generator":
        for i in range(2):
            kernel, gain, shift = (
                _numpy(getattr(layer, f"generator_{name}_{i}"))
                for name in ("kernel", "gain", "shift")
            )
            z = noise @ kernel
            z = (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) * gain + shift
            noise = np.where(z > 0, z, 0.01 * z)
        found = noise @ _numpy(layer.generator_kernel)
        found = np.tanh(found + _numpy(layer.generator_bias))
        return np.stack([found] * layer.num_heads)
    mean, spread = _numpy(layer.mean), _numpy(layer.spread)
    if layer.variant == "gmm":
        return np.stack(
            [
                [s.T @ e + sign * m for sign in (1, -1) for e in noise]
                for s, m in zip(spread, mean, strict=True)
            ]
        )
    half = len(noise) // 2
    return np.stack(
        [
            [s * e + (m if i < half else -m) for i, e in enumerate(noise)]
            for s, m in zip(spread, mean, strict=True)
        ]
    )


def _plain(layer, x, mask):
    """The kernel of every pair, from their differences (sums)."""
    query, key, value = mixer_numbers.heads_of(layer, x)
    scale = query.shape[-1] ** -0.25
    query, key = query[:, :, :, None] * scale, key[:, :, None] * scale
    frequencies = _frequencies(layer)[:, None, None]  # (A, 1, 1, m, E)
    smoothing = layer.smoothing
    if layer.variant == "positive":
        angles = ((query + key)[..., None, :] * frequencies).sum(-1)
        pairs = np.exp(angles).mean(-1)
        pairs = pairs * np.exp(-(query**2).sum(-1) - (key**2).sum(-1))
        smoothing = smoothing or 0
    else:
        angles = ((query - key)[..., None, :] * frequencies).sum(-1)
        factor = 2 if layer.variant == "gmm" else 1
        pairs = factor * np.cos(angles).mean(-1)
        smoothing = 1 if smoothing is None else smoothing
    pairs = (pairs + smoothing**2) * mask[:, None, None, :]
    if layer.causal:
        pairs = np.tril(pairs)
    total = pairs.sum(-1, keepdims=True)
    pairs = pairs / np.where(total > 0, total, 1)
    return pairs, mixer_numbers.output(layer, pairs @ value)


@settings(max_examples=24)
@given(
    st.sampled_from(list(VARIANTS)),
    st.sampled_from([1, 2, 13, 29]),
    st.sampled_from([1, 5, 64]),
    st.booleans(),
    st.sampled_from([None, 1.7]),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_its_pairs(
    variant, length, block, causal, smoothing, masked, seed
):
    rng = np.random.default_rng(seed)
    if variant == "gmm" and smoothing is None:
        smoothing = 1.5  # else a sum of kernels may come near 0
    layer = mixer_numbers.made(
        "kernelized",
        variant=variant,
        causal=causal,
        block=block,
        smoothing=smoothing,
        **VARIANTS[variant],
    )
    x = rng.normal(size=(2, length, 15)).astype("float32")
    mask = rng.random((2, length)) < (0.7 if masked else 2)
    mask[:, 0] |= not causal
    pairs, expected = _plain(layer, x, mask)
    mask = mask if masked else None
    mixer_numbers.close(layer(x, mask=mask), expected)
    rows = pairs.sum(-1) > 0
    mixer_numbers.close(layer.attention_map(x, mask), pairs, where=rows)


@pytest.mark.parametrize("variant", ["gmm", "positive"])
def test_gradient(variant):
    layer = mixer_numbers.made(
        "kernelized", variant=variant, smoothing=1.5, num_features=12
    )
    x = np.random.default_rng(3).normal(size=(2, 11, 15)).astype("float32")
    mask = np.arange(11) < [[11], [7]]
    mixer_numbers.check_gradient(
        layer, lambda x: _plain(layer, x, mask)[1], x, mask=mask
    )


@pytest.mark.parametrize(
    "check",
    [
        harness.check_config,
        harness.check_compiled,
        harness.check_padding,
        harness.check_training_step,
    ],
    ids=lambda check: check.__name__,
)
@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("positive", {"causal": True}),
        ("fastfood", {"num_features": None}),
        ("generator", {}),
    ],
    ids=str,
)
def test_variants_hold_the_contract(variant, options, check):
    check(harness.mixer_case("kernelized", variant=variant, **options))


def test_many_features_come_near_the_kernel():
    # The mixtures' characteristic function and the like in closed form.
    rng = np.random.default_rng(3)
    query, key = rng.normal(size=(2, 5, 7)) * 0.5
    for variant, scale in (("gmm", 0.3), ("positive", 0.3)):
        layer = mixer_numbers.made(
            "kernelized",
            1,
            7,
            variant=variant,
            num_features=4 * 2003,
            scale=scale,
        )
        frequencies = ops.convert_to_numpy(
            _spectral.frequencies(
                layer, variant, ops.convert_to_tensor(layer.noise), 7
            )
        )[0]
        mean, spread = _numpy(layer.mean)[0], _numpy(layer.spread)[0]
        apart, both = query - key, query + key
        if variant == "gmm":
            found = np.cos(apart @ frequencies.T).mean(-1)
            exact = np.exp(-np.square(apart @ spread.T).sum(-1) / 2)
            exact = exact * np.cos(apart @ mean)
        else:
            found = np.exp(both @ frequencies.T).mean(-1)
            exact = np.exp(np.square(both * spread).sum(-1) / 2)
            exact = exact * np.cosh(both @ mean)
        np.testing.assert_allclose(found, exact, rtol=0.05, atol=0.03)


def test_fastfood_begins_with_frequencies_of_one_length():
    layer = attention.get("kernelized")(
        2, variant="fastfood", head_dim=64, use_bias=False
    )
    layer.build((None, None, 8))
    found = _frequencies(layer)[0]
    length = np.linalg.norm(_numpy(layer.middle_diagonal))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), length)
    assert abs(length - 8) < 2  # about that of a normal vector


@pytest.mark.parametrize("variant", VARIANTS)
def test_redraw_is_a_function_of_the_step(variant):
    layer = mixer_numbers.made(
        "kernelized", variant=variant, redraw_interval=3, **VARIANTS[variant]
    )
    x = np.random.default_rng(3).normal(size=(2, 7, 15)).astype("float32")

    def at(step, training=True, seed=5):
        with random.key_scope([seed, step], [0, 1]):
            return ops.convert_to_numpy(layer(x, training=training))

    np.testing.assert_array_equal(at(3), at(5))
    assert (at(5) != at(6)).any()
    assert (at(3) != at(3, seed=6)).any()
    still = ops.convert_to_numpy(layer(x))
    np.testing.assert_array_equal(at(3, training=False), still)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer(x, training=True)), still
    )


def test_permutations():
    seen = set()
    for number in range(5):
        found = _random_features.redraw_permutation(
            7, seed=3, number=number, salt="a"
        )
        found = ops.convert_to_numpy(found)
        assert sorted(found) == list(range(7))
        seen.add(tuple(found))
    assert len(seen) > 1
    drawn = [
        tuple(_random_features.draw_permutation(7, seed=s, salt=salt))
        for s, salt in ((3, "a"), (3, "a"), (4, "a"), (3, "b"))
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


def test_noise_is_saved_and_not_trained():
    for variant, shape in (
        ("gmm", (128, 64)),
        ("positive", (512, 64)),
        ("fastfood", (64,)),
        ("generator", (256, 32)),
    ):
        layer = attention.get("kernelized")(
            2, variant=variant, head_dim=64, seed=3, dtype="mixed_bfloat16"
        )
        layer.build((None, None, 8))
        assert [w.name for w in layer.non_trainable_weights] == ["noise"]
        assert layer.noise.shape == shape
        again = type(layer).from_config(layer.get_config())
        again.build((None, None, 8))
        a, b = (ops.convert_to_numpy(m.noise) for m in (layer, again))
        np.testing.assert_array_equal(a, b)
        for weight in layer.trainable_weights:
            dtype = keras.backend.standardize_dtype(weight.dtype)
            assert dtype == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "rbf"}, "variant='rbf'"),
        ({"smoothing": -1}, "smoothing=-1"),
        ({"num_features": 0}, "num_features=0"),
        ({"num_features": 6}, "multiple of 4 for 'gmm'"),
        ({"num_features": 5, "variant": "generator"}, "multiple of 2"),
        ({"num_features": 8, "variant": "fastfood"}, "num_features=8"),
        ({"redraw_interval": 0}, "redraw_interval=0"),
        ({"block": 0}, "block=0"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        attention.get("kernelized")(3, **options)
