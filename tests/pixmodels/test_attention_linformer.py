import mixer_numbers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import pixmodels
from pixmodels import attention


def test_golden_numbers(shared):
    arrays = mixer_numbers.golden(shared, "linformer")
    layer = mixer_numbers.load("linformer", arrays, 4, rank=16)
    layer.key_sums.assign(arrays["w/E"])
    layer.value_sums.assign(arrays["w/F"])
    assert layer.max_length == 64
    # The reference itself is float32: it is 1e-5 away from float64.
    mixer_numbers.close(layer(arrays["in/x"]), arrays["out/y"], atol=2e-5)


def _plain(layer, x, mask, rows):
    query, key, value = mixer_numbers.heads_of(layer, x)
    real = mask[:, None, :, None]

    def sums(weight, tokens):
        weight = np.float64(ops.convert_to_numpy(weight))
        if not layer.per_head:
            weight = np.stack([weight] * layer.num_heads)
        weight = np.stack([weight[:, row] for row in rows])  # (B, A, N, r)
        return weight.transpose(0, 1, 3, 2) @ (tokens * real)

    key = sums(layer.key_sums, key)
    shared = layer.share_kv
    value = sums(layer.key_sums if shared else layer.value_sums, value)
    logits = query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1])
    return mixer_numbers.output(layer, mixer_numbers.softmax(logits) @ value)


@settings(max_examples=20)
@given(
    st.sampled_from([1, 2, 7, 19]),
    st.sampled_from([0, 2]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_equals_plain_sums(
    length, prefix, share_kv, per_head, subset, masked, seed
):
    rng = np.random.default_rng(seed)
    layer = mixer_numbers.made(
        "linformer",
        rank=7,
        max_length=31,
        share_kv=share_kv,
        per_head=per_head,
    )
    total = length + prefix
    x = rng.normal(size=(2, total, 15)).astype("float32")
    mask = rng.random((2, total)) < (0.8 if masked else 2)
    positions, rows = None, [np.arange(total)] * 2
    if subset:
        positions = np.stack(
            [np.sort(rng.permutation(29)[:length]) for _ in range(2)]
        ).astype("int32")
        rows = [
            np.concatenate([np.arange(prefix), prefix + p]) for p in positions
        ]
    y = layer(
        x, mask=mask if masked else None, positions=positions, prefix=prefix
    )
    mixer_numbers.close(y, _plain(layer, x, mask, rows))


def test_number_of_weights():
    for options, count in (
        ({}, 2 * 31 * 7),
        ({"share_kv": True}, 31 * 7),
        ({"per_head": True}, 2 * 3 * 31 * 7),
        ({"per_head": True, "share_kv": True}, 3 * 31 * 7),
    ):
        layer = attention.get("linformer")(
            3, rank=7, max_length=31, use_bias=False, **options
        )
        layer.build((None, None, 15))
        assert layer.count_params() == count + 4 * 15 * 15


def test_what_cannot_be_is_refused():
    cls = attention.get("linformer")
    with pytest.raises(ValueError, match="rank=0"):
        cls(3, rank=0)
    with pytest.raises(ValueError, match="has no causal form"):
        cls(3, causal=True)
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


def test_the_length_is_in_the_config():
    layer = attention.get("linformer")(3, rank=5)
    layer(np.ones((2, 11, 15), "float32"))
    assert layer.get_config()["max_length"] == 11
    with pytest.raises(ValueError, match="a layer built for a static length"):
        pixmodels.ViTBackbone(
            (4, 4, 1),
            2,
            num_layers=1,
            num_heads=2,
            hidden_dim=12,
            mlp_dim=13,
            attention="linformer",
        )
