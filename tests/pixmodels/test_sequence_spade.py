import keras
import mixer_numbers
import numpy as np
import pixel_weights
import pytest
from keras import ops

from pixmodels import attention
from pixmodels.layers import TransformerStack
from pixmodels.sequence._relative_window import RelativeWindowAttention

S4D = {"global_mixer": "s4d", "global_options": {"state_size": 4}}


def test_golden_numbers_of_the_local_attention(shared):
    arrays = mixer_numbers.golden(shared, "longt5_local")
    mixer = attention.get("spade")(
        4,
        window=7,
        global_mixer=None,
        use_bias=False,
        local_options={"scale": False},
    )
    mixer.build(arrays["in/x"].shape)
    load_window(mixer.near, arrays, "")
    mixer_numbers.close(mixer(arrays["in/x"]), arrays["out/y"])


def test_golden_numbers(shared):
    """The whole layer around: norms, residuals and the small network."""
    arrays = mixer_numbers.golden(shared, "spade_layer")
    mixer = attention.get("spade")(
        2,
        window=7,
        causal=True,
        global_mixer="s4",
        global_options={"state_size": 12, "num_systems": 1},
        local_options={"use_bias": False, "qkv_bias": False},
    )
    x = arrays["in/x"]
    mixer.build(x.shape)
    load_window(mixer.near, arrays, "local_")
    far = mixer.far
    real, imaginary = np.moveaxis(np.float64(arrays["w/s4_Lambda"]), -1, 0)
    far.log_a_real.assign(np.log(-real))
    far.a_imag.assign(imaginary)
    for name in ("P", "B", "C", "log_dt", "D"):
        weight = getattr(far, {"D": "skip"}.get(name, name.lower()))
        weight.assign(arrays[f"w/s4_{name}"])
    for name, norm in (
        ("global", mixer.norm_global),
        ("local", mixer.norm_local),
    ):
        norm.gamma.assign(arrays[f"w/ln_{name}_gain"])
        norm.beta.assign(arrays[f"w/ln_{name}_bias"])
    pixel_weights.load_dense(mixer.dense, arrays, "w/agg")

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * arrays[f"w/{name}_gain"] + arrays[f"w/{name}_bias"]

    normed = norm(x, "ln1")
    mixer_numbers.close(far(normed), arrays["out/s4"])
    y = x + ops.convert_to_numpy(mixer(normed))
    hidden = norm(y, "ln2") @ arrays["w/fc1_kernel"] + arrays["w/fc1_bias"]
    hidden = np.maximum(hidden, 0) @ arrays["w/fc2_kernel"]
    mixer_numbers.close(y + hidden + arrays["w/fc2_bias"], arrays["out/y"])


def load_window(layer, arrays, front):
    parts = (layer.query, layer.key, layer.value, layer.output_dense)
    for part, mine in zip("qkvo", parts, strict=True):
        mine.kernel.assign(arrays[f"w/{front}{part}_kernel"])
    layer.distances.assign(arrays[f"w/{front}rel_bias"])


def numbers(length, batch=3):
    x = np.random.default_rng(3).normal(size=(batch, length, 15))
    return x.astype("float32")


def made(heads=3, **options):
    return mixer_numbers.made("spade", heads, 15, **{**S4D, **options})


def plain_window(layer, x, mask, prefix=0):
    """Attention in the band with biases, in float64; `buckets` by hand."""
    query, key, value = mixer_numbers.heads_of(layer, x)
    length = x.shape[1]
    table = np.float64(ops.convert_to_numpy(layer.distances))
    bias = np.zeros((layer.num_heads, length, length))
    for i in range(prefix, length):
        for j in range(prefix, length):
            bias[:, i, j] = table[bucket(j - i, layer)]
    pairs = layer.dense_mask(length, prefix)[None] & mask[:, None]
    logits = query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1])
    weights = mixer_numbers.softmax(logits + bias, pairs[:, None])
    return mixer_numbers.output(layer, weights @ value)


def bucket(offset, layer):
    """As the fixtures say it."""
    count, base = layer.num_buckets, 0
    if not layer.causal:
        count //= 2
        base = count if offset > 0 else 0
    far = max(-offset, 0) if layer.causal else abs(offset)
    half = count // 2
    if far < half:
        return base + far
    wide = np.log(far / half) / np.log(layer.max_distance / half) * half
    return base + min(count - 1, half + int(np.floor(wide)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("window", [3, 41])
def test_local_attention_is_the_band(window, prefix, causal):
    layer = RelativeWindowAttention(
        3, window=window, causal=causal, num_buckets=8, max_distance=19
    )
    x = numbers(43)
    layer.build(x.shape)
    rng = np.random.default_rng(5)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5)
    mask = np.arange(43) < np.array([[43], [23], [11]])
    expected = plain_window(layer, x, mask, prefix)
    found = layer(x, mask=mask, prefix=prefix)
    mixer_numbers.close(found, expected, mask)
    maps = layer.attention_map(x, mask, None, prefix)
    value = mixer_numbers.heads_of(layer, x)[2]
    found = mixer_numbers.output(layer, mixer_numbers.float64(maps) @ value)
    mixer_numbers.close(found, expected, mask)


def parts(layer, x, **call):
    """What `far` and `near` give, alone."""
    return layer.far(x, **call), layer.near(x, **call)


@pytest.mark.parametrize("local", ["window", "chunk", "mega"])
def test_three_ways_to_combine(local):
    x, mask = numbers(13), np.arange(13) < np.array([[13], [7], [5]])
    options = {"window": 4, "local": local}
    if local == "mega":
        options["local_options"] = {"shared_dim": 5, "state_dim": 3}
    layer = made(combine="add", global_weight=0.25, **options)
    far, near = parts(layer, x, mask=mask)

    def norm(x, layer):
        x = mixer_numbers.float64(x)
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(
            x.var(-1, keepdims=True) + 1e-5
        )
        gamma, beta = map(mixer_numbers.float64, (layer.gamma, layer.beta))
        return x * gamma + beta

    expected = 0.25 * norm(far, layer.norm_global)
    expected = expected + 0.75 * norm(near, layer.norm_local)
    mixer_numbers.close(layer(x, mask=mask), expected, mask)

    layer = made(**options)
    both = np.concatenate(
        [
            norm(part, own)
            for part, own in zip(
                parts(layer, x, mask=mask),
                (layer.norm_global, layer.norm_local),
                strict=True,
            )
        ],
        axis=-1,
    )
    expected = both @ mixer_numbers.float64(layer.dense.kernel)
    expected = expected + mixer_numbers.float64(layer.dense.bias)
    mixer_numbers.close(layer(x, mask=mask), expected, mask)

    layer = made(combine="stack", **options)
    expected = layer.near(layer.far(x, mask=mask), mask=mask)
    mixer_numbers.close(layer(x, mask=mask), expected, mask)


@pytest.mark.parametrize("combine", ["concat", "add", "stack"])
@pytest.mark.parametrize("local", ["window", "chunk", "mega"])
def test_causal_and_token_by_token(local, combine):
    layer = made(window=3, local=local, combine=combine, causal=True)
    x = numbers(13)
    before = ops.convert_to_numpy(layer(x))
    for t in (0, 5, 12):
        changed = x.copy()
        changed[:, t:] += 1
        after = ops.convert_to_numpy(layer(changed))
        mixer_numbers.close(after[:, :t], before[:, :t])
        assert np.abs(after[:, t:] - before[:, t:]).max() > 1e-2
    cache = layer.initial_cache(3, 13)
    for i in range(13):
        y, cache = layer.step(x[:, i], cache, i)
        mixer_numbers.close(y, before[:, i])


def test_only_the_bottom_layer_sees_everything():
    def layers(**options):
        stack = TransformerStack(
            5, 3, 7, attention="spade", attention_options={**S4D, **options}
        )
        stack.build((None, 13, 15))
        return [block.mixer.far is not None for block in stack.blocks]

    assert layers() == [True, False, False, False, False]
    assert layers(every=2) == [True, False, True, False, True]
    assert not any(layers(global_mixer=None))


def test_a_frozen_global_part():
    layer = made(train_global=False)
    assert layer.far.weights
    assert not layer.far.trainable_weights
    again = type(layer).from_config(layer.get_config())
    again.build((None, 13, 15))
    assert len(again.trainable_weights) == len(layer.trainable_weights)
    assert len(made().trainable_weights) > len(layer.trainable_weights)


def test_a_subset_leaves_padding():
    layer = made(window=3)
    positions = np.array([[0, 3, 4, 11], [2, 5, 13, 14]], "int32")
    x = numbers(6, 2)
    whole = np.full((2, 17, 15), 9.0, "float32")
    mask = np.zeros((2, 17), bool)
    mask[:, :2] = True
    whole[:, :2] = x[:, :2]
    for row in range(2):
        whole[row, 2 + positions[row]] = x[row, 2:]
        mask[row, 2 + positions[row]] = True
    expected = ops.convert_to_numpy(layer(whole, mask=mask, prefix=2))
    y = layer(x, positions=positions, prefix=2, grid=(3, 5))
    y = ops.convert_to_numpy(y)
    mixer_numbers.close(y[:, :2], expected[:, :2])
    for row in range(2):
        found = expected[row, 2 + positions[row]]
        mixer_numbers.close(y[row, 2:], found)


def test_short_padded_and_not_a_number():
    layer = made(window=3)
    assert layer(numbers(0)).shape == (3, 0, 15)
    for length in (1, 2):
        y = ops.convert_to_numpy(layer(numbers(length)))
        assert np.isfinite(y).all()
    x = numbers(13)
    expected = ops.convert_to_numpy(layer(x))
    x[1] = np.nan
    y = ops.convert_to_numpy(layer(x))
    assert np.isnan(y[1]).all()
    mixer_numbers.close(y[[0, 2]], expected[[0, 2]])
    mask = np.ones((3, 13), bool)
    mask[1] = False
    y = layer(x, mask=mask)
    mixer_numbers.close(y, expected, mask)


def test_what_cannot_be_is_refused():
    cls = attention.get("spade")
    with pytest.raises(ValueError, match="local='band'"):
        cls(3, local="band")
    with pytest.raises(ValueError, match="combine='sum'"):
        cls(3, combine="sum")
    with pytest.raises(ValueError, match="name='s5d'"):
        cls(3, global_mixer="s5d")
    with pytest.raises(ValueError, match="every >= 1"):
        cls(3, every=0, **S4D)
    with pytest.raises(ValueError, match=r"num_heads=7.*15\)"):
        made(heads=7)
    with pytest.raises(ValueError, match="grid=None"):
        made()(numbers(2, 1), positions=np.array([[0, 3]]))
    layer = made(causal=True)
    with pytest.raises(ValueError, match="batch size 3"):
        layer.step(numbers(1)[:, 0], layer.initial_cache(2, 5), 0)
    window = RelativeWindowAttention(3)
    with pytest.raises(ValueError, match="positions=None"):
        window(numbers(2, 1), positions=np.array([[0, 3]]))


def test_caches_are_constant():
    layer = made(window=3, causal=True)
    short, long = layer.initial_cache(2, 7), layer.initial_cache(2, 7000)
    sizes = [
        [tuple(part.shape) for part in keras.tree.flatten(cache)]
        for cache in (short, long)
    ]
    assert sizes[0] == sizes[1]
