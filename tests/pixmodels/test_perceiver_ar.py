"""Perceiver AR: golden numbers, causality, input dropout, sampling."""

import harness
import keras
import numpy as np
import pytest
from keras import ops

from pixmodels import random
from pixmodels.models import PerceiverARStack
from pixmodels.models import TokenDecoder

WIDTH, LATENTS = 8, 5


def array(x):
    return ops.convert_to_numpy(x)


def close(actual, expected, atol=2e-5):
    np.testing.assert_allclose(
        array(actual), array(expected), rtol=0, atol=atol
    )


def stack_of(**options):
    keras.utils.set_random_seed(3)
    options = {"num_latents": LATENTS, **options}
    stack = PerceiverARStack(1, 2, 11, **options)
    stack.build((None, None, WIDTH))
    rng = np.random.default_rng(5)
    for weight in stack.trainable_weights:
        noise = rng.normal(size=weight.shape) * 0.4
        weight.assign(array(weight) + noise)
    return stack


def x_of(length, batch=3, seed=7):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, length, WIDTH)).astype("float32")


def golden(shared):
    arrays = dict(np.load(shared("fixtures/layers/perceiver_ar.npz")))
    stack = PerceiverARStack(
        2,
        2,
        128,
        num_latents=40,
        head_dim=32,
        rotary_fraction=1.0,
        layer_norm_epsilon=1e-5,
        final_norm=False,
    )
    model = TokenDecoder(
        stack,
        vocabulary_size=40,
        hidden_dim=32,
        tie_embedding=False,
        positions="learned",
        position_grid=(1, 64),
    )
    w = {k[2:]: v for k, v in arrays.items() if k.startswith("w/")}
    model.embedding.assign(w["token_emb"])
    model.position_embedding.table.assign(w["pos_emb"])
    model.head_kernel.assign(w["logits_kernel"].T)
    for block, name in zip(
        stack.blocks, ("cross0", "self0", "self1"), strict=True
    ):
        if block.cross:
            query = w["cross0_q_kernel"]
            key, value = np.split(w["cross0_kv_kernel"], 2, axis=1)
            block.norm_keys.gamma.assign(w["cross0_ln_gain"])
            block.norm_keys.beta.assign(w["cross0_ln_bias"])
            block.output_dense.bias.assign(w["cross0_o_bias"])
        else:
            query, key, value = np.split(w[f"{name}_qkv_kernel"], 3, axis=1)
        for part, kernel in (
            (block.query, query),
            (block.key, key),
            (block.value, value),
            (block.output_dense, w[f"{name}_o_kernel"]),
            (block.dense_1, w[f"{name}_ff1_kernel"]),
            (block.dense_2, w[f"{name}_ff2_kernel"]),
        ):
            part.kernel.assign(kernel)
        block.norm_1.gamma.assign(w[f"{name}_ln_gain"])
        block.norm_1.beta.assign(w[f"{name}_ln_bias"])
        block.norm_2.gamma.assign(w[f"{name}_ffln_gain"])
        block.norm_2.beta.assign(w[f"{name}_ffln_bias"])
    return model, arrays


def test_golden_numbers(shared):
    model, arrays = golden(shared)
    ids = arrays["in/ids"]
    x = model.position_embedding(model.embed(ops.convert_to_tensor(ids)))
    logits = model.head(model.body(x))  # their inputs are not moved by one
    close(logits, arrays["out/logits"], 1e-4)
    scale = np.abs(arrays["out/logits"]).max()
    assert np.abs(array(logits) - arrays["out/logits"]).max() < 2e-6 * scale


def test_causal_by_perturbation():
    stack, x = stack_of(terminal_positions=11), x_of(9)
    before = array(stack(x))  # places 4, ..., 8
    for i in (0, 4, 6, 8):
        changed = x.copy()
        changed[:, i] = -2 * changed[:, i]
        after = array(stack(changed))
        first = max(0, i - 4)
        np.testing.assert_array_equal(after[:, :first], before[:, :first])
        assert np.abs(after[:, first] - before[:, first]).max() > 1e-2


@pytest.mark.parametrize(
    ("length", "options"),
    [
        (9, {}),
        (3, {}),
        (8, {"terminal_positions": 8, "rotary_fraction": 0.0}),
        (7, {"rotary_fraction": 1.0, "head_dim": 6, "num_latents": 1}),
    ],
)
def test_steps_are_rows_of_the_call(length, options):
    stack, x = stack_of(**options), x_of(length)
    whole = array(stack(x))
    cache = stack.initial_cache(3, length)
    start = length - whole.shape[1]
    begin = 0
    if length > 7:  # the first tokens at once
        begin = 6
        cache = stack.prefill(ops.convert_to_tensor(x[:, :6]), cache)
        early = stack.initial_cache(3, length)
        early = stack.prefill(ops.convert_to_tensor(x[:, :2]), early)
        for i in range(2, 6):
            _, early = stack.step(x[:, i], early, i)
        for a, b in zip(*map(keras.tree.flatten, (cache, early)), strict=True):
            close(a, b)
    for i in range(begin, length):
        y, cache = stack.step(x[:, i], cache, i)
        if i >= start:
            close(y, whole[:, i - start])
        else:
            assert not array(y).any()


def test_positions_are_relative_to_the_end():
    stack = stack_of(terminal_positions=11)
    stack.table.assign(10 * np.eye(11, WIDTH))
    x = x_of(9)
    moved = array(stack._positioned(ops.convert_to_tensor(x), 9, 9)) - x
    close(moved[0, ::-1], 10 * np.eye(9, WIDTH), 1e-5)
    # Rotary positions know offsets only: more inputs that nobody sees change
    # nothing.
    stack = stack_of(rotary_fraction=1.0)
    longer = np.concatenate([x_of(4, seed=9), x], axis=1)
    mask = np.arange(13) >= np.full((3, 1), 4)
    close(stack(longer, mask=mask), stack(x))


def test_padding_is_never_seen():
    stack, x = stack_of(), x_of(9)
    mask = np.arange(9) >= np.array([[0], [3], [9]])
    noisy = np.where(mask[..., None], x, 9 * x_of(9, seed=11))
    y, other = array(stack(x, mask=mask)), array(stack(noisy, mask=mask))
    np.testing.assert_array_equal(y[:2], other[:2])
    assert np.isfinite(y).all()


def test_input_dropout_keeps_a_share_of_the_context():
    stack = stack_of(input_dropout=0.4)
    x, key = x_of(13), np.array([3, 5], "int32")
    ids = np.array([7, 2, 11], "int32")
    with random.key_scope(key, ids):
        inputs, mask, places = stack._thinned(ops.convert_to_tensor(x), None, 8)
        first = array(stack(x, training=True))
    places = array(places)
    assert places.shape == (3, 13 - 3)
    assert mask is None
    assert (np.diff(places, axis=1) > 0).all()
    np.testing.assert_array_equal(places[:, 5:], [np.arange(8, 13)] * 3)
    assert len({tuple(row) for row in places.tolist()}) > 1
    np.testing.assert_array_equal(
        array(inputs), np.take_along_axis(x, places[..., None], 1)
    )
    # As if what is left out were padding.
    kept = np.zeros((3, 13), bool)
    np.put_along_axis(kept, places, True, axis=1)
    close(first, stack(x, mask=kept))
    with random.key_scope(key, ids[::-1].copy()):
        again = array(stack(x[::-1].copy(), training=True))
    np.testing.assert_allclose(again[::-1], first, rtol=0, atol=1e-5)
    free = array(stack(x, training=True))
    assert np.abs(free - array(stack(x))).max() > 1e-3


@pytest.mark.slow
def test_language_model_and_its_samples():
    model = TokenDecoder(
        stack_of(input_dropout=0.3, dropout_rate=0.1),
        vocabulary_size=5,
        hidden_dim=WIDTH,
    )
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 5, (4, 9)).astype("int32")
    batch = {"tokens": tokens, "example_id": np.arange(4, dtype="int32")}
    key = np.array([3, 5], "int32")
    sums, counts = model.loss_sums(batch, key, training=False)
    logits = model(tokens)["logits"]
    assert logits.shape == (4, LATENTS, 5)
    nats = array(model.losses(logits, ops.convert_to_tensor(tokens[:, 4:])))
    np.testing.assert_allclose(array(sums["loss"]), nats.sum(), rtol=1e-5)
    assert array(counts["loss"]) == 4 * LATENTS
    rounds = stack_of().sampling_rounds(5, 8)
    assert rounds == [(5, 7), (7, 8)]
    assert stack_of().sampling_rounds(2, 4) == [(2, 4)]
    drawn = array(model.sample(3, prompt=tokens[:, :5], temperature=0))
    for begin, end in rounds:
        expected = array(model(drawn[:, :end])["logits"]).argmax(-1)
        count = end - begin
        np.testing.assert_array_equal(
            drawn[:, begin:end], expected[:, LATENTS - count :]
        )
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    history = model.fit(tokens, batch_size=2, epochs=2, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


@pytest.mark.slow
def test_steps_under_xla():
    stack, x = stack_of(), ops.convert_to_tensor(x_of(7))

    def run(x):
        def body(i, cache, _):
            y, cache = stack.step(ops.take(x, i, axis=1), cache, i)
            return i + 1, cache, y

        zero = ops.convert_to_tensor(0, "int32")
        start = (zero, stack.initial_cache(3, 7), x[:, 0])
        return ops.while_loop(lambda i, *_: i < 7, body, start)[2]

    close((harness.compiled(run, True) or run)(x), array(stack(x))[:, -1])


def test_short_empty_and_nan():
    stack = stack_of()
    assert stack(x_of(0)).shape == (3, 0, WIDTH)
    assert stack(x_of(1)).shape == (3, 1, WIDTH)
    x = x_of(9)
    x[1, 3] = np.nan
    assert np.isfinite(array(stack(x))).all(axis=(1, 2)).tolist() == [
        True,
        False,
        True,
    ]


def test_configs_and_refusals():
    stack = stack_of(head_dim=12)
    config = stack.get_config()
    assert PerceiverARStack.from_config(config).get_config() == config
    assert stack.compute_output_shape((3, 9, 8)) == (3, LATENTS, 8)
    for options, words in (
        ({"num_latents": 0}, "num_latents=0"),
        ({"rotary_fraction": 1.5}, "rotary_fraction=1.5"),
        ({"rotary_fraction": 0.25}, "even number"),
        ({"input_dropout": 1.0}, "input_dropout=1.0"),
        ({"terminal_positions": 0}, "terminal_positions=0"),
    ):
        with pytest.raises(ValueError, match=words):
            stack_of(**options)
    with pytest.raises(ValueError, match="num_heads=2"):
        PerceiverARStack(1, 2, 3, num_latents=2).build((None, None, 5))
    with pytest.raises(ValueError, match="at most 4 inputs"):
        stack_of(terminal_positions=4)(x_of(5))
    with pytest.raises(ValueError, match="cache of batch size 3"):
        stack.step(x_of(5)[:, 0], stack.initial_cache(2, 5), 0)
    with pytest.raises(ValueError, match="name='pg19'"):
        PerceiverARStack.named("pg19")
