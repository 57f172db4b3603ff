"""Closed forms of operations beside the products of the traced graph."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import pixmodels
from pixmodels import attention
from pixmodels import tasks
from pixmodels.training import flops
from pixmodels.training import peaks

# Sizes are primes; 5 x 7 patches of 3 x 2 pixels, of which a fifth is hidden.
SIZE = (15, 14)
QUICK = ("softmax", "linear", "performer")
MIXERS = {
    "softmax": {},
    "wide": {"head_dim": 13},
    "linear": {},
    "performer": {"num_features": 13},
    "linformer": {"rank": 11, "max_length": 37},
    "kernelized": {"num_features": 12},
    "context_pool": {"hidden_dim": 5},
    "nystrom": {"num_landmarks": 5, "iterations": 3},
    "synthesizer": {"variant": "dense+dot_product", "max_length": 37},
    "luna": {"packed_length": 5},
    "reformer": {"chunk": 7, "num_buckets": 6, "num_hashes": 3},
}


def autoencoder(attention="softmax", **options):
    encoder = pixmodels.ViTBackbone(
        (*SIZE, 1),
        (3, 2),
        num_layers=2,
        num_heads=2,
        hidden_dim=44,
        mlp_dim=29,
        attention=attention,
        attention_options=options,
    )
    return pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=28,
        decoder_mlp_dim=19,
        mask_ratio=0.2,
    )


def batch(rows=1):
    return {
        "pixels": np.zeros((rows, *SIZE), "uint8"),
        "example_id": np.arange(rows, dtype="int32"),
        "label": np.zeros(rows, "int32"),
    }


def products(function):
    """Operations of all matrix products in the graph of a function."""
    import tensorflow as tf

    # No simplification takes place in a graph as traced.
    graph = tf.function(function, autograph=False).get_concrete_function().graph
    total, kinds = 0, set()
    for op in graph.get_operations():
        kinds.add(op.type)
        assert op.type not in ("Einsum", "Conv2D", "PartitionedCall"), op
        if op.type not in ("MatMul", "BatchMatMulV2"):
            continue
        turned = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
        inner = op.inputs[0].shape[-2 if turned else -1]
        total += 2 * inner * op.outputs[0].shape.num_elements()
    assert total
    return total


def step(model, data):
    """The gradients of a step, as the TensorFlow driver takes them."""
    import tensorflow as tf

    def gradients():
        with tf.GradientTape() as tape:
            numerators, _ = model.loss_sums(data, np.array([0, 0], "int32"))
        return tape.gradient(numerators["loss"], model.trainable_variables)

    return gradients


def tensors(data):
    return {k: keras.ops.convert_to_tensor(v) for k, v in data.items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(
            pytest.param(
                *item,
                marks=[] if item[0] in QUICK else [pytest.mark.slow],
            )
            for item in MIXERS.items()
        ),
        ("kernelized", {"variant": "positive", "num_features": 14}),
        ("kernelized", {"variant": "fastfood", "smoothing": 0}),
        ("kernelized", {"variant": "generator", "num_features": 14}),
        ("synthesizer", {"variant": "factorised", "max_length": 37}),
        ("synthesizer", {"variant": "random", "max_length": 37}),
    ],
    ids=str,
)
def test_masked_autoencoder(name, options):
    model, data = autoencoder(name, **options), tensors(batch())
    key = np.array([0, 0], "int32")
    traced = products(lambda: model.loss_sums(data, key, training=False))
    assert flops.of_forward(model, SIZE) == traced


def test_a_step_is_three_forward_passes():
    model, data = autoencoder(), tensors(batch())
    assert flops.of_step(model, SIZE) == products(step(model, data))
    # By hand: 28 of 35 patches are kept; (multiply-adds) x 2 x 3, but the
    # pixels have no gradient.
    embedding = 28 * 6 * 44
    encoder = 2 * (4 * 29 * 44**2 + 2 * 29**2 * 44 + 2 * 29 * 44 * 29)
    decoder = 29 * 44 * 28
    decoder += 4 * 36 * 28**2 + 2 * 36**2 * 28 + 2 * 36 * 28 * 19 + 35 * 28 * 6
    total = 2 * embedding + 3 * (encoder + decoder)
    assert flops.of_step(model, SIZE) == 2 * total


@pytest.mark.parametrize(
    ("pooling", "attention", "options"),
    [
        ("mean", "softmax", {}),
        ("cls", "softmax", {}),
        ("mean", "sinkhorn", {"block": 7}),
        ("mean", "luna", {"packed_length": 5, "tie_kv": False}),
    ],
)
def test_classifier(pooling, attention, options):
    backbone = pixmodels.PIXELBackbone(
        (3, 3 * 11, 1),
        3,
        num_layers=1,
        num_heads=2,
        hidden_dim=28,
        mlp_dim=17,
        attention=attention,
        attention_options=options,
    )
    model = tasks.TextClassifier(backbone, 5, pooling=pooling)
    pixels = keras.ops.zeros((1, 3, 3 * 7), "uint8")
    traced = products(lambda: model({"pixels": pixels}))
    assert flops.of_forward(model, (3, 3 * 7)) == traced


@pytest.mark.parametrize("name", ["local", "sliding_window"])
@pytest.mark.parametrize("causal", [False, True])
def test_windows_count_the_pairs_that_attend(name, causal):
    """Blocks are computed whole; what is masked in them is no need."""
    options = {"window": 3, "causal": causal}
    windows = autoencoder(name, **options)
    dense = autoencoder("softmax", causal=causal)
    missing = 0
    for part, places in (
        (windows.encoder.encoder, 29),
        (windows.decoder, 36),
    ):
        for block in part.blocks:
            place = np.arange(places) - 1
            apart = np.abs(place[:, None] - place[None, :]) > 3
            if name == "local":
                apart = place[:, None] // 3 != place[None, :] // 3
            apart[0], apart[:, 0] = False, False  # the class token
            if causal:
                apart = np.tril(apart)
            width = block.dense_2.units
            missing += 2 * 2 * apart.sum() * width
    found = flops.of_forward(windows, SIZE)
    assert found == flops.of_forward(dense, SIZE) - missing


@pytest.mark.parametrize("chunk", [None, 7])
def test_mega_is_its_products_and_those_of_the_averages(chunk):
    """7 divides 14; averages are counted as a recurrence, by hand."""
    options = {"shared_dim": 5, "value_dim": 19, "state_dim": 3}
    mixer = attention.get("mega")(1, chunk=chunk, max_length=17, **options)
    mixer.build((None, 14, 11))
    x = keras.ops.ones((1, 14, 11))
    traced = products(lambda: mixer(x)) - products(lambda: mixer.ema(x))
    averages = 14 * 11 * 3 * 2 * 2
    count = flops._MIXERS["mega"](mixer, 14, 0, 11)
    assert 2 * count == traced + 2 * averages
    assert flops._MIXERS["ema"](mixer.ema, 14, 0, 11) == averages


@pytest.mark.parametrize("causal", [False, True])
def test_state_spaces_count_their_recurrence(causal):
    options = {"state_size": 6, "causal": causal}
    model = autoencoder("s4d", **options).encoder
    model = tasks.ImageClassifier(model, 5, pooling="mean")
    # 36 tokens in two layers: a product with each number of the state and
    # one for the output, 44 to 88 and the MLP; patches and head.
    layer = (1 if causal else 2) * 36 * 44 * 2 * 6
    layer += 36 * 44 * 88 + 2 * 36 * 44 * 29
    total = 2 * layer + 35 * 6 * 44 + 44 * 5
    assert flops.of_forward(model, SIZE) == 2 * total


def test_spade_is_its_two_parts_and_what_joins_them():
    options = {"window": 3, "global_options": {"state_size": 4}}
    mixer = attention.get("spade")(3, **options)
    mixer.build((None, 13, 15))
    x = keras.ops.ones((1, 13, 15))
    joined = products(lambda: mixer(x)) - products(
        lambda: (mixer.near(x), mixer.far(x))
    )
    parts = flops._MIXERS["s4d"](mixer.far, 13, 0, 15) + 4 * 13 * 15**2
    parts += flops._MIXERS["sliding_window"](mixer.near, 13, 0, 15)
    assert flops._MIXERS["spade"](mixer, 13, 0, 15) == joined // 2 + parts


def test_what_is_not_known_is_none():
    assert flops.of_step(keras.Sequential(), SIZE) is None
    model = autoencoder()
    model.encoder.encoder.blocks[0].attention = "new"
    assert flops.of_step(model, SIZE) is None
    assert flops.of_forward(model, SIZE) is None


XLA = """
import keras, numpy as np, jax
import pixmodels
from pixmodels.training import flops
encoder = pixmodels.PIXELBackbone((16, 16 * 67, 1), num_layers=2, num_heads=4,
    hidden_dim=256, mlp_dim=1024, dropout_rate=0.0, attention_dropout=0.0)
model = pixmodels.MaskedAutoencoder(encoder, decoder_num_layers=1,
    decoder_num_heads=4, decoder_hidden_dim=128, decoder_mlp_dim=512)
data = {"pixels": np.zeros((3, 16, 16 * 67), "uint8"),
        "example_id": np.arange(3, dtype="int32")}
values = [v.value for v in model.trainable_variables]
frozen = [v.value for v in model.non_trainable_variables]
key = np.array([0, 0], "int32")
def loss(values):
    mapping = list(zip(model.trainable_variables, values))
    mapping += list(zip(model.non_trainable_variables, frozen))
    with keras.StatelessScope(mapping):
        return model.loss_sums(data, key, training=True)[0]["loss"]
cost = jax.jit(jax.grad(loss)).lower(values).compile().cost_analysis()
cost = cost[0] if isinstance(cost, list) else cost
print(3 * flops.of_step(model, (16, 16 * 67)) / cost["flops"])
"""


@pytest.mark.parity
def test_xla_counts_as_much():
    """XLA's own count also has what goes element by element."""
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-c", XLA],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 0.95 < float(done.stdout.split()[-1]) < 1.0


@pytest.mark.parametrize(
    ("kind", "dtype", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", "mixed_bfloat16", 989.4),
        ("NVIDIA H100 PCIe", "mixed_float16", 756),
        ("NVIDIA A100-SXM4-40GB", "float32", 156),
        ("NVIDIA A10G", "mixed_bfloat16", 70),
        ("NVIDIA A10", "mixed_bfloat16", 125),
        ("NVIDIA L40S", "mixed_bfloat16", 362),
        ("NVIDIA L4", "mixed_bfloat16", 121),
        ("Tesla V100-SXM2-16GB", "mixed_float16", 125),
        ("Tesla T4", "float32", 8.1),
        ("TPU v2", "mixed_bfloat16", 23),
        ("TPU v4", "mixed_bfloat16", 275),
        ("TPU v5 lite", "mixed_bfloat16", 197),
        ("TPU v5", "mixed_bfloat16", 459),
        ("TPU v6 lite", "mixed_bfloat16", 918),
        ("TPU7x", "mixed_bfloat16", 1153.5),
        ("v5litepod-8", "mixed_bfloat16", 197),
        ("v6e-8", "mixed_bfloat16", 918),
        ("v3-8", "mixed_bfloat16", 61.5),
    ],
)
def test_peaks(kind, dtype, tera):
    assert peaks.peak_flops(kind, dtype) == tera * 1e12


def test_no_peak():
    for kind, dtype in (
        (None, "float32"),
        ("x86_64", "float32"),
        ("NVIDIA A1000", "float32"),
        ("Tesla T4", "mixed_bfloat16"),
        ("TPU v4", "float64"),
    ):
        assert peaks.peak_flops(kind, dtype) is None
    assert peaks.device_kind() is None or peaks.device_kind() != ""
