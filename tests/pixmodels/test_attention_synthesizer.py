import harness
import mixer_numbers
import numpy as np
import pixel_weights
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from pixmodels import attention
from pixmodels import random

VARIANTS = (
    "random",
    "factorised",
    "dense",
    "random+dot_product",
    "dense+dot_product",
    "dense+factorised+random",
)


def test_golden_numbers(shared):
    for variant in ("random", "factorised", "dense"):
        arrays = mixer_numbers.golden(shared, f"synthesizer_{variant}")
        layer = attention.get("synthesizer")(4, variant=variant)
        layer.build((None, *arrays["in/x"].shape[1:]))
        pixel_weights.load_dense(layer.value, arrays, "w/v")
        pixel_weights.load_dense(layer.output_dense, arrays, "w/o")
        if variant == "random":
            layer.random_logits.assign(arrays["w/R"])
        elif variant == "factorised":
            layer.row_factors.assign(arrays["w/R1"])
            layer.column_factors.assign(arrays["w/R2"])
        else:
            pixel_weights.load_dense(layer.query, arrays, "w/s")
            layer.hidden_kernel.assign(arrays["w/W1"])
            layer.hidden_bias.assign(arrays["w/b1"][:, None])
            layer.place_kernel.assign(arrays["w/W2"])
            layer.place_bias.assign(arrays["w/b2"][:, None])
        mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"])


def _numpy(weight):
    return np.float64(ops.convert_to_numpy(weight))


def _heads(layer, part, x):
    kernel, bias = (_numpy(w) for w in part.weights)
    y = (np.float64(x) @ kernel + bias).reshape(
        *x.shape[:2], layer.num_heads, -1
    )
    return y.transpose(0, 2, 1, 3)


def _logits(layer, part, x, places):
    """Pair by pair: (B, A, N, N)."""
    length = x.shape[1]
    found = np.zeros((len(x), layer.num_heads, length, length))
    query = None
    if part in ("dense", "dot_product"):
        query = _heads(layer, layer.query, x)
    if part == "dot_product":
        key = _heads(layer, layer.key, x)
        return query @ key.transpose(0, 1, 3, 2) / np.sqrt(key.shape[-1])
    if part == "dense":
        hidden = query @ _numpy(layer.hidden_kernel)
        hidden = np.maximum(hidden + _numpy(layer.hidden_bias), 0)
        every = hidden @ _numpy(layer.place_kernel) + _numpy(layer.place_bias)
    for b, row in enumerate(places):
        for i, p in enumerate(row):
            for j, q in enumerate(row):
                if part == "random":
                    found[b, :, i, j] = _numpy(layer.random_logits)[:, p, q]
                elif part == "factorised":
                    left = _numpy(layer.row_factors)[:, p]
                    right = _numpy(layer.column_factors)[:, q]
                    found[b, :, i, j] = (left * right).sum(-1)
                else:
                    found[b, :, i, j] = every[b, :, i, q]
    return found


def _plain(layer, x, mask, places):
    parts = layer.variant.split("+")
    shares = np.ones(len(parts))
    if layer.weighted and len(parts) > 1:
        shares = mixer_numbers.softmax(_numpy(layer.mixture))
    logits = sum(
        share * _logits(layer, part, x, places)
        for share, part in zip(shares, parts, strict=True)
    )
    allowed = mask[:, None, None, :]
    if layer.causal:
        allowed = allowed & np.tril(np.ones(logits.shape[2:], bool))
    pairs = mixer_numbers.softmax(logits, allowed)
    value = _heads(layer, layer.value, x)
    return pairs, mixer_numbers.output(layer, pairs @ value)


@settings(max_examples=24)
@given(
    st.sampled_from(VARIANTS),
    st.sampled_from([1, 2, 7, 13]),
    st.sampled_from([0, 2]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_its_pairs(
    variant, length, prefix, causal, weighted, subset, seed
):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made(
        "synthesizer",
        variant=variant,
        rank=5,
        max_length=31,
        causal=causal,
        weighted=weighted,
    )
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < 0.8
    mask[:, 0] = True
    positions, places = None, [np.arange(total)] * 2
    if subset:
        positions = np.stack(
            [np.sort(rng.permutation(29)[:length]) for _ in range(2)]
        ).astype("int32")
        places = [
            np.concatenate([np.arange(prefix), prefix + p]) for p in positions
        ]
    call = {"mask": mask, "positions": positions, "prefix": prefix}
    pairs, expected = _plain(layer, x, mask, places)
    mixer_numbers.close(layer(x, **call), expected, atol=2e-6)
    mixer_numbers.close(layer.attention_map(x, **call), pairs, atol=2e-6)


@pytest.mark.parametrize("variant", ["dense+dot_product"])
def test_gradient(variant):
    layer = mixer_numbers.made("synthesizer", variant=variant, max_length=13)
    x = np.random.default_rng(3).normal(size=(2, 11, 15)).astype("float32")
    mask = np.arange(11) < [[11], [7]]
    places = [np.arange(11)] * 2
    mixer_numbers.check_gradient(
        layer, lambda x: _plain(layer, x, mask, places)[1], x, mask=mask
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
    "variant", ["random", "factorised", "random+dense+dot_product"]
)
def test_variants_hold_the_contract(variant, check):
    check(harness.mixer_case("synthesizer", variant=variant))


def test_weights_are_those_that_are_used():
    for options, count in (
        ({"variant": "random"}, 3 * 7 * 7),
        ({"variant": "factorised", "rank": 2}, 3 * 2 * 7 * 2),
        ({"variant": "dense"}, 15 * 15 + 3 * (5 * 5 + 5 + 5 * 7 + 7)),
        ({"variant": "random+dot_product"}, 2 * 15 * 15 + 3 * 7 * 7 + 2),
        (
            {"variant": "random+dot_product", "weighted": False},
            2 * 15 * 15 + 3 * 7 * 7,
        ),
    ):
        layer = attention.get("synthesizer")(3, use_bias=False, **options)
        layer.build((None, 7, 15))
        assert layer.count_params() == count + 2 * 15 * 15, options
        assert layer.get_config()["max_length"] == 7


def test_all_pairs_attend():
    cls = attention.get("synthesizer")
    assert cls(3, max_length=17).num_pairs(13) == 13 * 13
    assert cls(3, max_length=17, causal=True).num_pairs(13) == 13 * 14 // 2


def test_a_fixed_table_is_not_trained():
    layer = attention.get("synthesizer")(3, variant="random", learned=False)
    layer.build((None, 211, 15))
    assert [w.name for w in layer.non_trainable_weights] == ["random_logits"]
    # Normal logits: the largest share of a row is far above 1 / N.
    table = ops.convert_to_numpy(layer.random_logits)
    assert abs(table.mean()) < 0.02
    assert abs(table.std() - 1) < 0.02
    factors = attention.get("synthesizer")(3, variant="factorised")
    factors.build((None, 211, 15))
    rows, columns = (
        ops.convert_to_numpy(w)
        for w in (factors.row_factors, factors.column_factors)
    )
    # A variance of few factors: 8 x 211 numbers on each side.
    assert abs((rows @ columns.transpose(0, 2, 1)).std() - 1) < 0.1


def test_examples_drop_pairs_of_their_own():
    layer = mixer_numbers.made(
        "synthesizer", variant="random", max_length=7, dropout_rate=0.5
    )
    x = np.random.default_rng(3).normal(size=(1, 7, 15)).astype("float32")
    x = np.repeat(x, 2, axis=0)
    with random.key_scope([3, 5], [0, 1]):
        a, b = ops.convert_to_numpy(layer(x, training=True))
    assert (a != b).any()
    a, b = ops.convert_to_numpy(layer(x, training=True))
    assert (a != b).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "mixture"}, "variant='mixture'"),
        ({"variant": "dot_product"}, "'softmax'"),
        ({"variant": "dense+dense"}, r"variant='dense\+dense'"),
        ({"rank": 0}, "rank=0"),
        ({"max_length": 0}, "max_length=0"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        attention.get("synthesizer")(3, **options)


def test_a_sequence_too_long_is_refused():
    cls = attention.get("synthesizer")
    with pytest.raises(ValueError, match="max_length=None"):
        cls(3).build((None, None, 15))
    layer = cls(3, max_length=7)
    with pytest.raises(ValueError, match=r"max_length=7 .* Received: 11"):
        layer(np.ones((2, 11, 15), "float32"))
    with pytest.raises(ValueError, match=r"prefix=1 included. Received: 8"):
        layer(
            np.ones((2, 4, 15), "float32"),
            positions=np.array([[0, 2, 5]] * 2),
            prefix=1,
            grid=(1, 7),
        )
