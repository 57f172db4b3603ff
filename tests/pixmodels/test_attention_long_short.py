import mixer_numbers
import numpy as np
import pixel_weights
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

from pixmodels import attention


def _load(arrays, heads, **options):
    layer = mixer_numbers.load("long_short", arrays, heads, **options)
    layer.scores.kernel.assign(arrays["w/dconv_kernel"])
    for norm, name in ((layer.norm_window, "l"), (layer.norm_sums, "s")):
        norm.gamma.assign(arrays[f"w/ln_{name}_gain"])
        norm.beta.assign(arrays[f"w/ln_{name}_bias"])
    return layer


def test_golden_numbers(shared):
    arrays = mixer_numbers.golden(shared, "transformer_ls")
    layer = _load(arrays, 2, window=8, rank=4)
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"])


def test_golden_numbers_of_the_past(shared):
    arrays = mixer_numbers.golden(shared, "transformer_ls_causal")
    layer = _load(arrays, 2, window=16, chunk=8, chunk_rank=2, causal=True)
    layer.window_distances.kernel.assign(arrays["w/rnet_kernel"])
    pixel_weights.load_dense(layer.chunk_distances, arrays, "w/rchunk")
    layer.content_bias.assign(arrays["w/r_w_bias"])
    layer.distance_bias.assign(arrays["w/r_r_bias"])
    # The fixture has random numbers where a model has sinusoids.
    tables = [arrays["in/pos_chunks"][::-1], arrays["in/pos_window"][::-1]]
    layer.distance_table = lambda count, width: {len(t): t for t in tables}[
        count
    ]
    known = np.ones(arrays["in/cache"].shape[:2], bool)
    y, (tokens, real) = layer(arrays["in/x"], state=(arrays["in/cache"], known))
    mixer_numbers.close(y, arrays["out/y"])
    np.testing.assert_array_equal(tokens, arrays["in/x"][:, -16:])
    assert ops.convert_to_numpy(real).all()


def _numbers(layer, name):
    return [np.float64(ops.convert_to_numpy(w)) for w in _part(layer, name)]


def _part(layer, name):
    found = getattr(layer, name)
    return found.weights if hasattr(found, "weights") else [found]


def _dense(layer, name, x):
    kernel, *bias = _numbers(layer, name)
    return x @ kernel + (bias[0] if bias else 0)


def _norm(layer, name, x):
    gamma, beta = _numbers(layer, name)
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * gamma + beta


def _softmax(x):
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def _sum(layer, x, real, part, norm=None):
    """All sums over the real tokens of some: (count, A E)."""
    scores = _dense(layer, "scores", x[real])
    heads = layer.num_heads
    projected = _dense(layer, part, x[real])
    if norm is not None:
        projected = _norm(layer, norm, projected)
    pieces = np.split(projected, heads, axis=-1)
    scores = np.split(scores, heads, axis=-1)
    found = [
        [_softmax(column) @ piece for column in score.T]
        for score, piece in zip(scores, pieces, strict=True)
    ]  # (A, count, E)
    return np.concatenate(found, axis=-1)


def _look(query, keys, values, heads, extra=0.0):
    """One query over rows of keys, head by head."""
    parts = zip(
        *(np.split(x, heads, axis=-1) for x in (query, keys, values)),
        strict=True,
    )
    found = []
    for head, (q, k, v) in enumerate(parts):
        logits = k @ q / np.sqrt(len(q))
        logits = logits + (extra[head] if np.ndim(extra) else extra)
        found.append(_softmax(logits) @ v)
    return np.concatenate(found)


def _both_sides(layer, x, real, places, prefix):
    """One example by the definition, token by token."""
    x, heads = np.float64(x), layer.num_heads
    query, key, value = (_dense(layer, p, x) for p in ("query", "key", "value"))
    body, known = x[prefix:], real[prefix:]
    sums = []
    for part, whole in (("key", key), ("value", value)):
        found = [whole[:prefix][real[:prefix]]]
        if known.any():
            found.append(_sum(layer, body, known, part, "norm_window"))
        sums.append(_norm(layer, "norm_sums", np.concatenate(found)))
    near = [_norm(layer, "norm_window", t[prefix:]) for t in (key, value)]
    half = max(layer.window // 2, 1)
    mixed = np.zeros_like(query)
    for i, place in enumerate(places):
        start = place // layer.window * layer.window
        seen = known & (places >= start - half)
        seen &= places < start + layer.window + half
        keys, values = (
            np.concatenate([s, t[seen]])
            for s, t in zip(sums, near, strict=True)
        )
        if len(keys):
            mixed[prefix + i] = _look(query[prefix + i], keys, values, heads)
    for i in range(prefix):
        keys = np.concatenate([key[:prefix], mixed[prefix:]])[real]
        values = np.concatenate([value[:prefix], mixed[prefix:]])[real]
        if len(keys):
            mixed[i] = _look(query[i], keys, values, heads)
    return _dense(layer, "output_dense", mixed)


@settings(max_examples=15)
@given(
    st.sampled_from([1, 7, 41]),
    st.sampled_from([0, 2]),
    st.sampled_from([1, 3, 8, 37]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_its_definition(length, prefix, window, subset, masked, seed):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made("long_short", window=window, rank=5)
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < (0.8 if masked else 2)
    positions, places = None, np.stack([np.arange(length)] * 2)
    if subset:
        places = np.stack(
            [np.sort(rng.permutation(83)[:length]) for _ in range(2)]
        )
        positions = places.astype("int32")
    y = layer(
        x, mask=mask if masked else None, positions=positions, prefix=prefix
    )
    expected = [
        _both_sides(layer, *row, prefix)
        for row in zip(x, mask, places, strict=True)
    ]
    mixer_numbers.close(y, np.stack(expected), mask)


def _distance(layer, name, distances):
    """Projected sinusoids, (distances, A, E)."""
    i = np.arange(0, 15, 2)
    angles = np.array(distances)[:, None] / 10000 ** (i / 15)
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :15]
    rows = _dense(layer, name, np.float64(np.float32(table)))
    width = rows.shape[-1] // layer.num_heads
    return rows.reshape(len(distances), layer.num_heads, width)


def _past(layer, x, real, places, prefix):
    """One example by the definition, token by token; chunks by place."""
    x, heads, rank = np.float64(x), layer.num_heads, layer.chunk_rank
    query, key, value = (_dense(layer, p, x) for p in ("query", "key", "value"))
    body, known = x[prefix:], real[prefix:]
    near = [_norm(layer, "norm_window", t[prefix:]) for t in (key, value)]
    mixed = np.zeros_like(query)
    for i, place in enumerate(places):
        q = query[prefix + i].reshape(heads, -1)
        scale = np.sqrt(q.shape[1])
        keys, values = ([t[:prefix][real[:prefix]]] for t in (key, value))
        extra = [np.zeros((len(keys[0]), heads))]
        for chunk in range(place // layer.chunk):
            inside = known & (places // layer.chunk == chunk)
            if inside.any():
                keys.append(_sum(layer, body, inside, "key"))
                values.append(_sum(layer, body, inside, "value"))
                last = (place // layer.chunk - chunk) * rank - 1
                rows = [last - r for r in range(rank)]
                if layer.relative:
                    r = _distance(layer, "chunk_distances", rows)
                    extra.append(np.einsum("ahe,he->ah", r, q) / scale)
                else:
                    extra.append(np.zeros((rank, heads)))
        keys, values = (
            [_norm(layer, "norm_sums", np.concatenate(t))]
            for t in (keys, values)
        )
        seen = known & (places <= place) & (places > place - layer.window)
        keys.append(near[0][seen])
        values.append(near[1][seen])
        if layer.relative:
            content, moved = (
                _numbers(layer, f"{name}_bias")[0]
                for name in ("content", "distance")
            )
            r = _distance(layer, "window_distances", place - places[seen])
            k = near[0][seen].reshape(-1, heads, q.shape[1])
            more = np.einsum("ahe,he->ah", r, q / scale + moved)
            extra.append(more + np.einsum("ahe,he->ah", k, content))
        else:
            extra.append(np.zeros((seen.sum(), heads)))
        keys, values = np.concatenate(keys), np.concatenate(values)
        if len(keys):
            extra = np.concatenate(extra).T
            mixed[prefix + i] = _look(q.ravel(), keys, values, heads, extra)
    for i in range(prefix):
        keys, values = (t[: i + 1][real[: i + 1]] for t in (key, value))
        if len(keys):
            mixed[i] = _look(query[i], keys, values, heads)
    return _dense(layer, "output_dense", mixed)


@settings(max_examples=15)
@given(
    st.sampled_from([1, 7, 41]),
    st.sampled_from([0, 2]),
    st.sampled_from([(1, 3, 1), (3, 5, 2), (37, 7, 3), (5, 37, 2)]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_past_equals_its_definition(
    length, prefix, sizes, relative, subset, masked, seed
):
    rng = np.random.default_rng(seed)
    window, chunk, rank = sizes
    layer = mixer_numbers.made(
        "long_short",
        window=window,
        chunk=chunk,
        chunk_rank=rank,
        relative=relative,
        causal=True,
    )
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < (0.8 if masked else 2)
    options, places = {}, np.stack([np.arange(length)] * 2)
    if subset:
        places = np.stack(
            [np.sort(rng.permutation(59)[:length]) for _ in range(2)]
        )
        options = {"positions": places.astype("int32"), "grid": (1, 59)}
    y = layer(x, mask=mask if masked else None, prefix=prefix, **options)
    expected = [
        _past(layer, *row, prefix) for row in zip(x, mask, places, strict=True)
    ]
    mixer_numbers.close(y, np.stack(expected), mask)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("subset", [False, True])
def test_attention_map(causal, subset):
    rng = np.random.default_rng(3)
    layer = mixer_numbers.made(
        "long_short",
        window=4,
        rank=3,
        chunk=5,
        chunk_rank=2,
        causal=causal,
    )
    x = rng.normal(size=(2, 43, 15)).astype("float32")
    mask = np.arange(43) < np.array([[43], [29]])
    options = {"mask": mask, "prefix": 2}
    if subset:
        places = [np.sort(rng.permutation(59)[:41]) for _ in range(2)]
        options["positions"] = np.stack(places).astype("int32")
        options["grid"] = (1, 59)
    maps = ops.convert_to_numpy(layer.attention_map(x, **options))
    np.testing.assert_allclose(maps.sum(-1), 1, rtol=0, atol=1e-5)
    real = mask[:, None, :, None]
    assert not maps[
        np.broadcast_to(real & ~mask[:, None, None], maps.shape)
    ].any()
    if causal:
        assert not np.triu(maps, 1)[np.broadcast_to(real, maps.shape)].any()
    # Without LayerNorms of values it is all that there is to it; but for the
    # prefix, which compares itself with mixtures of values.
    rows = mask & ((np.arange(43) >= 2) | causal)
    for name in ("norm_window", "norm_sums"):
        norms = iter([getattr(layer, name), lambda t: t])  # keys, values
        # Past keras and torch, which take layers only.
        object.__setattr__(layer, name, lambda t, n=norms: next(n)(t))
    y = layer(x, **options)
    value = mixer_numbers.heads_of(layer, x)[2]
    mixed = maps @ value
    mixer_numbers.close(y, mixer_numbers.output(layer, mixed), rows)


def test_state():
    layer = mixer_numbers.made(
        "long_short", window=4, chunk=3, chunk_rank=2, causal=True
    )
    x = np.random.default_rng(3).normal(size=(2, 17, 15)).astype("float32")
    mask = np.arange(17) < np.array([[17], [13]])
    # Nothing was before: as without a state.
    empty = layer.initial_memory(x, 9)
    y, state = layer(x[:, :12], mask=mask[:, :12], state=empty)
    plain = ops.convert_to_numpy(layer(x[:, :12], mask=mask[:, :12]))
    mixer_numbers.close(y, plain, mask[:, :12])
    np.testing.assert_array_equal(state[0], x[:, 3:12])
    assert ops.convert_to_numpy(state[1]).all()
    # The window reaches into it: the first token sees the three before it.
    y, state = layer(x[:, 12:], mask=mask[:, 12:], state=state)
    assert y.shape == (2, 5, 15)
    np.testing.assert_array_equal(state[1], mask[:, 8:])
    other = x.copy()
    other[:, 11] += 1
    _, moved = layer(other[:, :12], state=empty)
    z, _ = layer(x[:, 12:], mask=mask[:, 12:], state=moved)
    changed = np.abs(ops.convert_to_numpy(y) - ops.convert_to_numpy(z))
    assert (changed[0] > 0).any(-1).all()
    # What a state hides does not count.
    noise = np.random.default_rng(5).normal(size=(2, 9, 15)).astype("float32")
    y, _ = layer(x, state=(noise, np.zeros((2, 9), bool)))
    mixer_numbers.close(y, ops.convert_to_numpy(layer(x)))


def test_windows_across_a_state_are_those_of_one_sequence():
    # Sums of the state are projected after they are taken, those of a
    # sequence before: equal for one head, but for LayerNorms alone.
    layer = mixer_numbers.made(
        "long_short",
        1,
        window=7,
        chunk=3,
        chunk_rank=2,
        causal=True,
        use_bias=False,
    )
    x = np.random.default_rng(3).normal(size=(2, 17, 15)).astype("float32")
    whole = ops.convert_to_numpy(layer(x))
    _, state = layer(x[:, :9], state=layer.initial_memory(x, 9))
    y, _ = layer(x[:, 9:], state=state)
    mixer_numbers.close(y, whole[:, 9:])


@pytest.mark.parametrize("causal", [False, True])
def test_gradients(causal):
    layer = mixer_numbers.made(
        "long_short",
        **attention.get("long_short").small_options,
        causal=causal,
    )
    x = np.random.default_rng(7).normal(size=(2, 13, 15)).astype("float32")
    mixer_numbers.check_weight_gradients(layer, x, step=3e-3, prefix=1)


def test_what_cannot_be_is_refused():
    cls = attention.get("long_short")
    for name in ("window", "rank", "chunk", "chunk_rank"):
        with pytest.raises(ValueError, match=f"{name} >= 1. .*{name}=0"):
            cls(3, **{name: 0})
    x = np.ones((2, 7, 15), "float32")
    state = np.zeros((2, 6, 15), "float32"), np.zeros((2, 6), bool)
    with pytest.raises(ValueError, match="only the causal form"):
        cls(3)(x, state=state)
    with pytest.raises(ValueError, match="grid=None"):
        cls(3, causal=True)(x, positions=np.stack([np.arange(7)] * 2))
    layer = cls(3, causal=True, chunk=4)
    with pytest.raises(ValueError, match=r"whole chunks \(4\)"):
        layer(x, state=state)
    with pytest.raises(ValueError, match="prefix=1"):
        layer(x, state=layer.initial_memory(x, 8), prefix=1)
