import mixer_numbers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from pixmodels import attention


@pytest.mark.parametrize(
    ("fixture", "heads", "options"),
    [
        ("nystromformer", 4, {"num_landmarks": 8}),
        (
            "nystromformer_conv_nomask",
            2,
            {"num_landmarks": 16, "conv_kernel": 5},
        ),
    ],
)
def test_golden_numbers(shared, fixture, heads, options):
    arrays = mixer_numbers.golden(shared, fixture)
    layer = mixer_numbers.load(
        "nystrom", arrays, heads, pinv_scale="batch", **options
    )
    if "w/conv" in arrays:
        layer.filters.assign(arrays["w/conv"])
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"])


def _plain(layer, x, mask, places, prefix):
    """Each example without its padding, in float64."""
    query, key, value = mixer_numbers.heads_of(layer, x)
    out = np.zeros_like(value)
    for row in range(len(x)):
        real = mask[row]
        q, k, v = (t[row][:, real] for t in (query, key, value))
        out[row][:, real] = _one(layer, q, k, v)
        if layer.conv_kernel:
            after = real[prefix:]
            at = places[row][after]
            tokens = value[row][:, prefix:][:, after]
            sums = _convolved(layer, tokens, at)
            index = prefix + np.flatnonzero(after)
            out[row][:, index] += sums
    return mixer_numbers.output(layer, out)


def _one(layer, query, key, value):
    length = query.shape[1]
    if not length:
        return value
    count = min(layer.num_landmarks, length)
    segment = [i * count // length for i in range(length)]

    def means(x):
        rows = [
            x[:, [i for i in range(length) if segment[i] == s]].mean(1)
            for s in range(count)
        ]
        return np.stack(rows, axis=1)

    def weights(a, b):
        return mixer_numbers.softmax(
            a @ b.transpose(0, 2, 1) / np.sqrt(a.shape[-1])
        )

    near, far = means(query), means(key)
    a = weights(near, far)
    z = a.transpose(0, 2, 1) / a.sum(1).max(-1)[:, None, None]
    eye = np.eye(count)
    for _ in range(layer.iterations):
        az = a @ z
        z = z @ (13 * eye - az @ (15 * eye - az @ (7 * eye - az))) / 4
    return weights(query, far) @ z @ (weights(near, key) @ value)


def _convolved(layer, tokens, places):
    filters = np.float64(ops.convert_to_numpy(layer.filters))
    half = layer.conv_kernel // 2
    out = np.zeros_like(tokens)
    for i, here in enumerate(places):
        for j, there in enumerate(places):
            if abs(there - here) <= half:
                weight = filters[:, there - here + half]
                out[:, i] += weight[:, None] * tokens[:, j]
    return out


@settings(max_examples=20)
@given(
    st.sampled_from([1, 2, 7, 23]),
    st.sampled_from([0, 2]),
    st.sampled_from([1, 5, 29]),
    st.sampled_from([None, 5]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_each_example_alone(
    length, prefix, landmarks, kernel, subset, masked, seed
):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made(
        "nystrom", num_landmarks=landmarks, conv_kernel=kernel
    )
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < (0.7 if masked else 2)
    positions, places = None, [np.arange(length)] * 2
    if subset:
        places = np.stack(
            [np.sort(rng.permutation(31)[:length]) for _ in range(2)]
        )
        positions = places.astype("int32")
    y = layer(
        x, mask=mask if masked else None, positions=positions, prefix=prefix
    )
    expected = _plain(layer, x, mask, places, prefix)
    mixer_numbers.close(y, expected, where=mask)


def test_convolution_by_blocks():
    rng = np.random.default_rng(3)
    layer = mixer_numbers.made("nystrom", num_landmarks=3, conv_kernel=7)
    value = rng.normal(size=(2, 3, 151, 5)).astype("float32")
    places = np.stack([np.sort(rng.permutation(211)[:149]) for _ in range(2)])
    found = layer._convolved(
        ops.convert_to_tensor(value), places.astype("int32"), 2
    )
    found = ops.convert_to_numpy(found)
    assert not found[:, :, :2].any()
    for row in range(2):
        expected = _convolved(layer, np.float64(value[row, :, 2:]), places[row])
        np.testing.assert_allclose(found[row, :, 2:], expected, atol=1e-5)
    plain = ops.convert_to_numpy(
        layer._convolved(ops.convert_to_tensor(value), None, 2)
    )
    expected = _convolved(layer, np.float64(value[0, :, 2:]), np.arange(149))
    np.testing.assert_allclose(plain[0, :, 2:], expected, atol=1e-5)


def test_a_landmark_for_each_token_is_softmax():
    softmax = mixer_numbers.made("softmax")
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    exact = ops.convert_to_numpy(softmax(x))
    errors = []
    for iterations in (2, 6, 18):
        layer = mixer_numbers.made("nystrom", iterations=iterations)
        layer.set_weights(softmax.get_weights())
        y = ops.convert_to_numpy(layer(x))
        errors.append(np.abs(y - exact).max() / np.abs(exact).max())
    assert errors[0] > 10 * errors[1]
    assert errors[2] < 1e-3


def test_the_batch_does_not_matter():
    layer = mixer_numbers.made("nystrom", num_landmarks=5)
    released = mixer_numbers.made(
        "nystrom", num_landmarks=5, pinv_scale="batch", iterations=2
    )
    x = np.random.default_rng(3).normal(size=(2, 13, 15)).astype("float32")
    x[1] *= 9
    mixer_numbers.close(layer(x)[:1], ops.convert_to_numpy(layer(x[:1])))
    pair, alone = (ops.convert_to_numpy(released(t)) for t in (x, x[:1]))
    assert np.abs(pair[:1] - alone).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_landmarks": 0}, "num_landmarks=0"),
        ({"iterations": 0}, "iterations=0"),
        ({"conv_kernel": 4}, "an odd length.*conv_kernel=4"),
        ({"pinv_scale": "row"}, "pinv_scale='row'"),
        ({"causal": True}, "has no causal form"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        attention.get("nystrom")(3, **options)
