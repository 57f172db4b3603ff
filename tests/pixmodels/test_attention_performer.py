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


@pytest.mark.parametrize(
    ("fixture", "options"),
    [
        ("performer_softmax", {}),
        ("performer_softmax_causal", {"causal_shift": "sequence"}),
        ("performer_relu", {}),
        ("performer_relu_causal", {"causal_shift": "sequence", "block": 7}),
        ("performer_relu_causal", {}),
    ],
)
def test_golden_numbers(shared, fixture, options):
    arrays = mixer_numbers.golden(shared, fixture)
    layer = mixer_numbers.load(
        "performer",
        arrays,
        2,
        kernel=fixture.split("_")[1],
        causal=fixture.endswith("causal"),
        num_features=len(arrays["in/projection"]),
        **options,
    )
    layer.directions.assign(arrays["in/projection"])
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"])


def _plain(layer, x, mask):
    """Every pair of a query and a key, in float64."""
    query, key, value = mixer_numbers.heads_of(layer, x)
    scale = query.shape[-1] ** -0.25
    w = np.float64(ops.convert_to_numpy(layer.directions)).T
    query, key = query * scale, key * scale
    u, v = query @ w, key @ w
    real = mask[:, None, None, :]
    if layer.kernel == "relu":
        query = np.maximum(u, 0) + 1e-3
        pairs = query @ (np.maximum(v, 0) + 1e-3).transpose(0, 1, 3, 2)
    else:
        half = (query**2).sum(-1, keepdims=True) / 2
        query = np.exp(u - half - u.max(-1, keepdims=True)) + 1e-4
        top = np.where(mask[:, None], v.max(-1), -np.inf)  # (B, A, N)
        if layer.causal:
            top = np.maximum.accumulate(top, axis=-1)[..., None]
        else:
            top = np.broadcast_to(top.max(-1), x.shape[1:2] + top.shape[:2])
            top = top.transpose(1, 2, 0)[..., None]
        half = (key**2).sum(-1, keepdims=True) / 2
        # (B, A, queries, keys, m): the maximum is that of the query's past.
        with np.errstate(invalid="ignore", over="ignore"):
            features = np.exp((v - half)[:, :, None] - top[..., None]) + 1e-4
        features = np.where(real[..., None], features, 0)
        past = np.tril(np.ones(pairs_shape(x))) if layer.causal else 1
        features = np.where(np.asarray(past)[..., None] > 0, features, 0)
        pairs = np.einsum("baim,baijm->baij", query, features)
    pairs = np.where(real, pairs, 0)
    if layer.causal:
        pairs = np.tril(pairs)
    total = pairs.sum(-1, keepdims=True)
    pairs = pairs / np.where(total > 0, total, 1)
    return pairs, mixer_numbers.output(layer, pairs @ value)


def pairs_shape(x):
    return (x.shape[1], x.shape[1])


@settings(max_examples=25)
@given(
    st.sampled_from([1, 2, 13, 43]),
    st.sampled_from([1, 5, 64]),
    st.sampled_from(["softmax", "relu"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_its_pairs(length, block, kernel, causal, masked, seed):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made(
        "performer", num_features=11, kernel=kernel, causal=causal, block=block
    )
    x = rng.normal(size=(2, length, 15)).astype("float32")
    mask = rng.random((2, length)) < (0.7 if masked else 2)
    pairs, expected = _plain(layer, x, mask)
    mask = mask if masked else None
    mixer_numbers.close(layer(x, mask=mask), expected)
    if kernel == "relu" or not causal:
        mixer_numbers.close(layer.attention_map(x, mask), pairs)


def test_more_blocks_than_one_product_adds():
    # Keys grow, so that all that came before fades in every block.
    rng = np.random.default_rng(3)
    layer = mixer_numbers.made(
        "performer", num_features=11, causal=True, block=2
    )
    x = rng.normal(size=(1, 139, 15)).astype("float32")
    x *= np.linspace(0.1, 3, 139, dtype="float32")[:, None]
    _, expected = _plain(layer, x, np.ones((1, 139), bool))
    mixer_numbers.close(layer(x), expected)
    _, expected = _plain(layer, x[:, ::-1], np.ones((1, 139), bool))
    mixer_numbers.close(layer(x[:, ::-1]), expected)


def test_a_later_key_of_any_size_changes_nothing_before():
    layer = mixer_numbers.made("performer", num_features=11, causal=True)
    x = np.random.default_rng(3).normal(size=(1, 13, 15)).astype("float32")
    changed = x.copy()
    changed[:, 7] *= 60
    a, b = (ops.convert_to_numpy(layer(t)) for t in (x, changed))
    np.testing.assert_array_equal(a[:, :7], b[:, :7])
    assert np.isfinite(b).all()


def test_many_features_come_near_softmax():
    # The error falls as m^(-1/2): sixteen times the features, a quarter.
    softmax = mixer_numbers.made("softmax", scale=0.15)
    x = np.random.default_rng(3).normal(size=(2, 31, 15)).astype("float32")
    exact = ops.convert_to_numpy(softmax(x))
    errors = []
    for count in (250, 4000):
        found = []
        for seed in range(5):
            layer = mixer_numbers.made(
                "performer", num_features=count, seed=seed
            )
            for mine, theirs in zip(
                layer.trainable_weights, softmax.weights, strict=True
            ):
                mine.assign(theirs)
            y = ops.convert_to_numpy(layer(x))
            found.append(np.sqrt(np.mean((y - exact) ** 2)))
        errors.append(np.mean(found))
    assert errors[1] < 0.01 * np.abs(exact).max()
    assert errors[0] / errors[1] > 3


def test_orthogonal_directions():
    w = _random_features.draw(11, 5, seed=3, salt="a")
    assert w.shape == (11, 5)
    for group in (w[:5], w[5:10]):
        gram = group @ group.T
        assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-5
    many = _random_features.draw(5 * 4001, 5, seed=3, salt="a")
    # Rows are standard normal: mean, covariance and lengths say so.
    assert np.abs(many.mean(0)).max() < 0.03
    assert np.abs(np.cov(many.T) - np.eye(5)).max() < 0.05
    np.testing.assert_array_equal(
        w, _random_features.draw(11, 5, seed=3, salt="a")
    )
    assert (w != _random_features.draw(11, 5, seed=3, salt="b")).all()
    assert (w != _random_features.draw(11, 5, seed=4, salt="a")).all()


def test_directions_of_the_graph():
    many = ops.convert_to_numpy(
        _random_features.redraw(5 * 4001, 5, seed=3, number=7, salt="a")
    )
    gram = many[:5] @ many[:5].T
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-5
    assert np.abs(many.mean(0)).max() < 0.03
    assert np.abs(np.cov(many.T) - np.eye(5)).max() < 0.05
    lengths = np.square(many).sum(1)  # chi squared with 5 degrees
    assert abs(lengths.mean() - 5) < 0.15
    assert abs(lengths.var() - 10) < 1


def test_redraw_is_a_function_of_the_step():
    layer = mixer_numbers.made("performer", num_features=11, redraw_interval=3)
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


def test_directions_are_saved_and_not_trained():
    layer = mixer_numbers.made("performer", num_features=11, seed=3)
    assert [w.name for w in layer.non_trainable_weights] == ["directions"]
    again = type(layer).from_config(layer.get_config())
    again.build((None, None, 15))
    np.testing.assert_array_equal(layer.directions, again.directions)
    assert attention.get("performer")(2, head_dim=64).build((1, 3, 8)) is None
    default = attention.get("performer")(2, head_dim=64)
    default.build((None, None, 8))
    assert default.directions.shape == (266, 64)
    mixed = attention.get("performer")(2, dtype="mixed_bfloat16")
    mixed.build((None, None, 8))
    assert keras.backend.standardize_dtype(mixed.directions.dtype) == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "cosine"}, "kernel='cosine'"),
        ({"causal_shift": "future"}, "causal_shift='future'"),
        ({"num_features": 0}, "num_features=0"),
        ({"redraw_interval": 0}, "redraw_interval=0"),
        ({"block": 0}, "block=0"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        attention.get("performer")(3, **options)


def test_no_map_of_a_kernel_that_depends_on_the_query():
    layer = mixer_numbers.made("performer", causal=True)
    with pytest.raises(ValueError, match="kernel='softmax'"):
        layer.attention_map(np.ones((1, 3, 15), "float32"))
