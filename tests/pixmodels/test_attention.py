import numpy as np
import pixel_weights
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import pixmodels
from pixmodels import attention


def _load(layer, arrays):
    layer.build((None, None, arrays["in/x"].shape[-1]))
    for part, mine in {
        "q": layer.query,
        "k": layer.key,
        "v": layer.value,
        "o": layer.output_dense,
    }.items():
        pixel_weights.load_dense(mine, arrays, f"w/{part}")


@pytest.mark.parametrize(
    ("name", "fixture", "options"),
    [
        ("softmax", "softmax_mha", {}),
        ("local", "local_block", {"window": 16}),
    ],
)
def test_golden_numbers(fixtures, name, fixture, options):
    arrays = dict(np.load(fixtures / f"{fixture}.npz"))
    layer = attention.get(name)(4, **options)
    _load(layer, arrays)
    mask = arrays.get("in/mask")
    y = ops.convert_to_numpy(layer(arrays["in/x"], mask=mask))
    np.testing.assert_allclose(y, arrays["out/y"], rtol=0, atol=1e-5)


def _oracle(layer, x, allowed):
    """Attention over the pairs of a dense mask, in float64 numpy."""

    def dense(part, x):
        kernel, bias = (np.float64(w) for w in part.get_weights())
        return x @ kernel + bias

    def heads(x):
        shape = (*x.shape[:2], layer.num_heads, -1)
        return x.reshape(shape).transpose(0, 2, 1, 3)

    x = np.float64(x)
    q, k, v = (
        heads(dense(part, x)) for part in (layer.query, layer.key, layer.value)
    )
    logits = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    logits = np.where(allowed[:, None], logits, -np.inf)
    with np.errstate(invalid="ignore"):
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
    y = (weights @ v).transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1)
    return dense(layer.output_dense, y)


@settings(max_examples=30)
@given(
    st.integers(1, 19),
    st.integers(0, 2),
    st.integers(1, 7),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_local_equals_its_dense_mask(
    length, prefix, window, causal, subset, seed
):
    rng = np.random.default_rng(seed)
    layer = attention.get("local")(3, window=window, causal=causal)
    layer.build((None, None, 15))
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < 0.8
    positions = None
    dense = [layer.dense_mask(total, prefix)] * 2
    if subset:
        positions = np.stack(
            [np.sort(rng.permutation(31)[:length]) for _ in range(2)]
        ).astype("int32")
        dense = [layer.dense_mask(total, prefix, row) for row in positions]
    allowed = np.stack(dense) & mask[:, None, :]
    y = layer(x, mask=mask, positions=positions, prefix=prefix)
    y = ops.convert_to_numpy(y)
    assert np.isfinite(y).all()
    rows = allowed.any(-1)
    np.testing.assert_allclose(
        y[rows], _oracle(layer, x, allowed)[rows], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("causal", [False, True])
def test_softmax_equals_its_dense_mask(causal):
    rng = np.random.default_rng(3)
    layer = attention.get("softmax")(3, head_dim=7, causal=causal)
    layer.build((None, None, 11))
    x = rng.normal(size=(2, 13, 11)).astype("float32")
    mask = rng.random((2, 13)) < 0.8
    mask[:, 0] = True
    allowed = layer.dense_mask(13)[None] & mask[:, None]
    y = ops.convert_to_numpy(layer(x, mask=mask))
    np.testing.assert_allclose(y, _oracle(layer, x, allowed), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", attention.names())
def test_fully_masked_rows_are_finite(name):
    cls = attention.get(name)
    layer = cls(3, **cls.small_options)
    x = np.ones((2, 7, 15), "float32")
    y = layer(x, mask=np.zeros((2, 7), bool))
    assert np.isfinite(ops.convert_to_numpy(y)).all()


@pytest.mark.parametrize(
    "name", [n for n in attention.names() if attention.get(n).causal]
)
def test_causal_by_perturbation(name):
    cls = attention.get(name)
    layer = cls(3, causal=True, **cls.small_options)
    x = np.random.default_rng(5).normal(size=(1, 11, 15)).astype("float32")
    changed = x.copy()
    changed[:, 7] += 1
    a, b = (ops.convert_to_numpy(layer(t, prefix=2)) for t in (x, changed))
    # A later token moves an earlier one's pairs to other slots of reformer's
    # chunks, not to other pairs: the same terms are added in another order.
    atol = 4 * np.finfo("float32").eps * abs(a).max() * (name == "reformer")
    np.testing.assert_allclose(a[:, :7], b[:, :7], rtol=0, atol=atol)
    assert (abs(a[:, 7] - b[:, 7]) > atol).any()


@pytest.mark.parametrize("name", attention.names())
def test_length_invariance(name):
    cls = attention.get(name)
    if not cls.length_invariant:
        pytest.skip(f"the result of {name} depends on the length")
    layer = cls(3, **cls.small_options)
    x = np.random.default_rng(5).normal(size=(2, 13, 15)).astype("float32")
    mask = np.arange(13)[None] < np.array([[7], [5]])
    long = ops.convert_to_numpy(layer(x, mask=mask))[:, :7]
    short = ops.convert_to_numpy(layer(x[:, :7], mask=mask[:, :7]))
    np.testing.assert_allclose(
        long[mask[:, :7]], short[mask[:, :7]], rtol=0, atol=1e-6
    )


def test_dropout_of_probabilities_is_active():
    layer = attention.get("softmax")(3, dropout_rate=0.5, salt="a")
    x = np.random.default_rng(5).normal(size=(2, 7, 15)).astype("float32")
    still = ops.convert_to_numpy(layer(x))
    with pixmodels.random.key_scope([1, 2], [3, 4]):
        moved = ops.convert_to_numpy(layer(x, training=True))
    assert (still != moved).any()


def test_names_and_errors():
    assert {"softmax", "local"} <= set(attention.names())
    with pytest.raises(ValueError, match=r"Did you mean 'softmax'\?"):
        attention.get("sofmax")
    with pytest.raises(ValueError, match="num_heads=4"):
        attention.get("softmax")(4).build((None, 7, 15))
    with pytest.raises(ValueError, match="carries no state"):
        attention.get("softmax")(3)(np.ones((1, 3, 15)), state=np.ones(3))
    with pytest.raises(ValueError, match="window=0"):
        attention.get("local")(3, window=0)
