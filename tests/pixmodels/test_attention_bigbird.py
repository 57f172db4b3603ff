import mixer_numbers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import pixmodels
from pixmodels import attention
from pixmodels.attention._random_blocks import random_blocks


def test_golden_numbers(shared):
    arrays = mixer_numbers.golden(shared, "bigbird")
    layer = mixer_numbers.load("bigbird", arrays, 2, block=8, num_random=2)
    table = arrays["in/random_blocks"]
    assert layer.random_table(16).shape == table.shape
    layer.random_table = lambda count: table
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_random_blocks_are_distinct_and_anywhere(count):
    blocks, heads = 23, 5
    seen = np.zeros((blocks, blocks), int)
    for seed in range(60):
        table = random_blocks(seed, 7, heads, blocks, count)
        assert table.shape == (heads, blocks - 2, count)
        for row in table:
            for i, chosen in enumerate(row, start=1):
                banned = {0, i - 1, i, i + 1, blocks - 1}
                assert len(set(chosen)) == count
                assert not set(chosen) & banned
                seen[i, chosen] += 1
    # Each of 18 free blocks (19 beside an end) is as likely as the other.
    expected = 60 * heads * count / 18
    free = [
        seen[i, j]
        for i in range(2, blocks - 2)
        for j in range(1, blocks - 1)
        if abs(i - j) > 1
    ]
    if count:
        error = (np.array(free) - expected) / np.sqrt(expected)
        assert abs(np.mean(error**2) - 1) < 0.2
        assert np.abs(error).max() < 5


def test_random_blocks_are_the_same_everywhere():
    cls = attention.get("bigbird")
    a, b = (cls(2, salt=salt).random_table(17) for salt in ("0", "1"))
    assert (a != b).any()
    assert (a != cls(2, salt="0", seed=1).random_table(17)).any()
    np.testing.assert_array_equal(a, cls(2, salt="0").random_table(17))
    # As first computed: a saved model must find its blocks again.
    found = random_blocks(3, 5, 2, 11, 2)[:, :3].tolist()
    assert found == [[[4, 5], [6, 9], [1, 7]], [[9, 3], [9, 4], [7, 5]]]


def _brute_force(layer, length, prefix, places, whole):
    """Pairs by the definition: (A, N, N) bool."""
    count = -(-whole // layer.block)
    found = np.ones((layer.num_heads, length, length), bool)
    if whole <= (5 + 2 * layer.num_random) * layer.block:
        return found
    table = layer.random_table(count)
    block = [place // layer.block for place in places]
    for head, row, column in np.ndindex(found[:, prefix:, prefix:].shape):
        i, j = block[row], block[column]
        ends = {0, count - 1}
        near = i in ends or j in ends or abs(i - j) <= 1
        chosen = near or j in table[head, i - 1]
        found[head, prefix + row, prefix + column] = chosen
    return found


@settings(max_examples=15)
@given(
    st.sampled_from([1, 13, 29, 37, 53]),
    st.sampled_from([0, 2]),
    st.sampled_from([(1, 1), (3, 0), (3, 2), (5, 1)]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_its_dense_mask(length, prefix, sizes, subset, masked, seed):
    rng = np.random.default_rng(seed)
    block, chosen = sizes
    layer = mixer_numbers.made("bigbird", block=block, num_random=chosen)
    total, whole = length + prefix, length
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < 0.8 if masked else None
    options, places = {}, np.stack([np.arange(length)] * 2)
    if subset:
        whole = 59
        places = np.stack(
            [np.sort(rng.permutation(whole)[:length]) for _ in range(2)]
        )
        options = {"positions": places.astype("int32"), "grid": (1, whole)}
    allowed = np.stack(
        [_brute_force(layer, total, prefix, row, whole) for row in places]
    )
    for head in range(3):
        found = layer.dense_mask(
            total,
            prefix,
            places[1] if subset else None,
            options.get("grid"),
            head,
        )
        np.testing.assert_array_equal(found, allowed[1, head])
    found = layer.dense_mask(
        total, prefix, places[1] if subset else None, options.get("grid")
    )
    np.testing.assert_array_equal(found, allowed[1].any(0))
    if masked:
        allowed &= mask[:, None, None, :]
    y = layer(x, mask=mask, prefix=prefix, **options)
    expected = mixer_numbers.dense_attention(layer, x, allowed)
    rows = allowed.any(-1).all(1)
    mixer_numbers.close(y, expected, rows)
    maps = ops.convert_to_numpy(
        layer.attention_map(x, mask, prefix=prefix, **options)
    )
    np.testing.assert_allclose(maps.sum(-1), 1, rtol=0, atol=1e-5)
    real = np.broadcast_to(allowed.any(-1)[..., None], maps.shape)
    assert not maps[real & ~allowed].any()


def test_weights_of_softmax_load():
    softmax = mixer_numbers.made("softmax")
    layer = mixer_numbers.made("bigbird", block=2, num_random=1)
    layer.set_weights(softmax.get_weights())
    x = np.random.default_rng(3).normal(size=(2, 14, 15)).astype("float32")
    mixer_numbers.close(layer(x), ops.convert_to_numpy(softmax(x)))
    more = np.concatenate([x, x[:, :1]], axis=1)
    y = ops.convert_to_numpy(softmax(more))
    assert np.abs(ops.convert_to_numpy(layer(more)) - y).max() > 1e-3


def test_gradients():
    layer = mixer_numbers.made("bigbird", block=2, num_random=1)
    x = np.random.default_rng(7).normal(size=(2, 24, 15)).astype("float32")
    mixer_numbers.check_weight_gradients(layer, x, prefix=1)
    places = np.array([np.arange(23), np.arange(8, 31)], "int32")
    mixer_numbers.check_weight_gradients(
        layer, x, prefix=1, positions=places, grid=(1, 31)
    )


def test_layers_of_a_model_have_other_blocks():
    model = pixmodels.ViTBackbone(
        (4, 120, 1),
        4,
        num_layers=2,
        num_heads=3,
        hidden_dim=12,
        mlp_dim=13,
        attention="bigbird",
        attention_options={"block": 2, "num_random": 2},
    )
    a, b = (block.mixer.random_table(15) for block in model.encoder.blocks)
    assert (a != b).any()


def test_explain_counts_the_pairs_of_one_head():
    layer = attention.get("bigbird")(5, block=1, num_random=2)
    # Two ends over all 23; 19 blocks with 3 + 2 + 2, two with 2 + 2 + 2.
    pairs = 2 * 23 + 19 * 7 + 2 * 6
    assert f"Pairs at N = 23: {pairs} of 529" in layer.explain(23)


def test_what_cannot_be_is_refused():
    cls = attention.get("bigbird")
    for options in ({"block": 0}, {"num_random": -1}, {"seed": -1}):
        with pytest.raises(ValueError, match="Received: [a-z_]+=(0|-1)"):
            cls(3, **options)
    with pytest.raises(ValueError, match="block attends to the last one"):
        cls(3, causal=True)
    layer = cls(3, block=1)
    with pytest.raises(ValueError, match="Expected grid with positions"):
        layer(
            np.ones((1, 4, 15), "float32"),
            positions=np.array([[0, 3, 5, 9]], "int32"),
        )


@pytest.mark.parity
def test_beside_transformers():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from transformers.models.big_bird import modeling_big_bird

    config = transformers.BigBirdConfig(
        hidden_size=30,
        num_attention_heads=3,
        block_size=4,
        num_random_blocks=2,
        max_position_embeddings=64,
        attention_probs_dropout_prob=0.0,
    )
    theirs = modeling_big_bird.BigBirdBlockSparseAttention(config, seed=3)
    layer = mixer_numbers.made("bigbird", 3, 30, block=4, num_random=2)
    for part in ("query", "key", "value"):
        there = getattr(theirs, part)
        kernel, bias = (
            torch.tensor(ops.convert_to_numpy(w))
            for w in getattr(layer, part).weights
        )
        there.weight.data, there.bias.data = kernel.T, bias
    # Their own blocks lie in the first part of a sequence; they get ours.
    theirs._bigbird_block_rand_mask_with_head = lambda **_: list(
        layer.random_table(16)
    )
    x = np.random.default_rng(3).normal(size=(2, 64, 30)).astype("float32")
    real = np.arange(64) < np.array([[64], [45]])
    blocked, band, start, end = (
        modeling_big_bird.BigBirdModel.create_masks_for_block_sparse_attn(
            torch.tensor(real, dtype=torch.float32), 4
        )
    )
    with torch.no_grad():
        mixed = theirs(
            torch.tensor(x),
            band_mask=band,
            from_mask=start,
            to_mask=end,
            from_blocked_mask=blocked,
            to_blocked_mask=blocked,
        )[0].numpy()
    kernel, bias = (ops.convert_to_numpy(w) for w in layer.output_dense.weights)
    mixer_numbers.close(layer(x, mask=real), mixed @ kernel + bias, real)
