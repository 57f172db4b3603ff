import harness
import mixer_numbers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from pixmodels import attention


def test_golden_numbers(shared):
    """Of a reference of our own: it proves the description alone."""
    arrays = mixer_numbers.golden(shared, "context_pool")
    layer = attention.get("context_pool")(2, hidden_dim=8)
    layer.build((None, 64, 16))
    layer.kernel_1.assign(arrays["w/conv1_kernel"])
    layer.bias_1.assign(arrays["w/conv1_bias"])
    layer.kernel_2.assign(arrays["w/conv2_kernel"])
    layer.bias_2.assign(arrays["w/conv2_bias"])
    weight, size = layer.supports(arrays["in/x"])
    mixer_numbers.close(weight, arrays["out/weight"])
    mixer_numbers.close(size[..., 0], arrays["out/size"])
    mixer_numbers.close(layer.pool(arrays["in/x"]), arrays["out/y"])


def _numpy(weight):
    return np.float64(ops.convert_to_numpy(weight))


def _convolved(field, weight, bias, real):
    """Place by place, (R, C, D) to (R, C, F), 0 where nothing real stands."""
    if weight.ndim == 3:
        weight = weight[None]  # along the row only
    found = np.zeros((*field.shape[:2], weight.shape[-1]))
    down, right = (n // 2 for n in weight.shape[:2])
    for r, c in zip(*np.nonzero(real), strict=True):
        found[r, c] = bias
        for i in range(field.shape[0]):
            for j in range(field.shape[1]):
                if abs(i - r) <= down and abs(j - c) <= right:
                    tap = weight[i - r + down, j - c + right]
                    found[r, c] += field[i, j] @ tap
    return found


def _pooled(layer, x, mask, positions, grid):
    """One example after the other, in float64, at real tokens."""
    weights = [
        _numpy(w)
        for w in (layer.kernel_1, layer.bias_1, layer.kernel_2, layer.bias_2)
    ]
    if layer.dimensions == 1:
        grid = (1, 1 + positions.max())
    found = np.float64(x).copy()
    for b, row in enumerate(positions):
        at = np.stack(np.divmod(row, grid[1]), axis=-1)[mask[b]]
        tokens = np.float64(x[b, mask[b]])
        field = np.zeros((*grid, x.shape[-1]))
        real = np.zeros(grid, bool)
        field[tuple(at.T)], real[tuple(at.T)] = tokens, True
        hidden = np.maximum(_convolved(field, *weights[:2], real), 0)
        result = _convolved(hidden, *weights[2:], real)[tuple(at.T)]
        w, s = 1 / (1 + np.exp(-result.T))
        if not mask[b].any():
            continue
        extent = 1 + at.max(0)
        new = []
        for i in range(len(tokens)):
            sigma = layer.radius * extent * s[i]
            apart = np.square((at - at[i]) / sigma)
            if layer.dimensions == 1:
                apart = apart[:, 1:]
            share = w * np.exp(-apart.sum(-1) / 2)
            new.append(share @ tokens / share.sum())
        found[b, mask[b]] = new
    return found


def _plain(layer, x, mask, positions, prefix, grid):
    pooled = _pooled(layer, x[:, prefix:], mask[:, prefix:], positions, grid)
    pooled = np.concatenate([np.float64(x[:, :prefix]), pooled], axis=1)
    allowed = np.repeat(mask[:, None], x.shape[1], axis=1)
    return pooled, mixer_numbers.dense_attention(layer.mixer, pooled, allowed)


@settings(max_examples=24)
@given(
    st.sampled_from([1, 2, 7, 13]),
    st.sampled_from([0, 2]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 3, 5]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_its_pairs(
    length, prefix, dimensions, kernel, subset, masked, seed
):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made(
        "context_pool",
        length=13,
        hidden_dim=7,
        radius=0.3,
        kernel_size=kernel,
        dimensions=dimensions,
    )
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < (0.7 if masked else 2)
    mask[:, 0] = True
    grid = (3, 5)
    positions = np.stack([np.arange(length)] * 2).astype("int32")
    if subset:
        positions = np.stack(
            [np.sort(rng.permutation(15)[:length]) for _ in range(2)]
        ).astype("int32")
    call = {
        "mask": mask if masked else None,
        "positions": positions if subset else None,
        "prefix": prefix,
        "grid": grid,
    }
    pooled, expected = _plain(layer, x, mask, positions, prefix, grid)
    mixer_numbers.close(layer.pool(x, **call), pooled, mask, atol=2e-5)
    mixer_numbers.close(layer(x, **call), expected, mask, atol=2e-5)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_gradient(dimensions):
    layer = mixer_numbers.made(
        "context_pool", length=13, radius=0.3, dimensions=dimensions
    )
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    mask = np.ones((2, 13), bool)
    positions = np.stack([np.arange(13)] * 2)

    def plain(x):
        return _plain(layer, x, mask, positions, 0, (3, 5))[1]

    mixer_numbers.check_gradient(layer, plain, x, grid=(3, 5))


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
    "options",
    [{"dimensions": 2}, {"attention": "linear"}],
    ids=["grid", "linear"],
)
def test_forms_hold_the_contract(options, check):
    check(harness.mixer_case("context_pool", **options))


def test_positions_in_order_are_no_positions():
    for dimensions in (1, 2):
        layer = mixer_numbers.made(
            "context_pool", length=13, dimensions=dimensions
        )
        x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
        mask = np.arange(13) < [[13], [7]]
        positions = np.stack([np.arange(13)] * 2)
        a, b = (
            ops.convert_to_numpy(layer.pool(x, mask, positions=p, grid=(3, 5)))
            for p in (None, positions)
        )
        np.testing.assert_allclose(a[mask], b[mask], rtol=0, atol=1e-6)


def test_a_tiny_radius_pools_nothing_and_a_huge_one_all():
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    layer = mixer_numbers.made("context_pool", length=13, radius=1e-9)
    mixer_numbers.close(layer.pool(x), x, atol=1e-6)
    layer = mixer_numbers.made("context_pool", length=13, radius=1e6)
    weight = ops.convert_to_numpy(layer.supports(x)[0])[..., None]
    mean = (weight * x).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
    pooled = ops.convert_to_numpy(layer.pool(x))
    np.testing.assert_allclose(
        pooled, np.broadcast_to(mean, x.shape), rtol=0, atol=1e-5
    )


def test_extremes_are_finite():
    layer = mixer_numbers.made("context_pool", length=13)
    layer.bias_2.assign([-1e30, -1e30])
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    assert np.isfinite(ops.convert_to_numpy(layer(x))).all()


def test_the_mechanism_inside_is_any():
    layer = attention.get("context_pool")(
        3, attention="linformer", attention_options={"rank": 5}
    )
    assert not layer.any_length
    layer.build((None, 13, 15))
    assert layer.max_length == 13
    assert type(layer.mixer) is attention.get("linformer")
    fourier = attention.get("context_pool")(3, attention="fnet")
    assert not fourier.length_invariant


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention": "sofmax"}, "Did you mean 'softmax'"),
        ({"attention_options": {"causal": True}}, "looks at both sides"),
        ({"attention": "luna"}, "attention='luna'"),
        ({"causal": True}, "has no causal form"),
        ({"radius": 0}, "radius=0"),
        ({"kernel_size": 2}, "kernel_size=2"),
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"hidden_dim": 0}, "hidden_dim=0"),
        ({"dimensions": 3}, "dimensions=3"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        attention.get("context_pool")(3, **options)


def test_more_tokens_than_the_grid_are_refused():
    layer = attention.get("context_pool")(3, dimensions=2)
    with pytest.raises(ValueError, match=r"grid=\(2, 5\)"):
        layer(np.ones((1, 11, 15), "float32"), grid=(2, 5))
