import keras
import numpy as np
import pixel_weights
import pytest
from harness import arrays_of
from harness import loss_and_gradients
from keras import ops

import pixmodels


def test_vit_golden_numbers(fixtures):
    arrays = dict(np.load(fixtures / "vit.npz"))
    vit = pixmodels.ViTBackbone(
        (24, 24, 3),
        6,
        num_layers=2,
        num_heads=4,
        hidden_dim=32,
        mlp_dim=64,
        layer_norm_epsilon=1e-12,
    )
    vit.embedding.projection.kernel.assign(arrays["w/patch_kernel"])
    vit.embedding.projection.bias.assign(arrays["w/patch_bias"])
    vit.embedding.class_token.assign(arrays["w/cls"][None, None])
    vit.position_embedding.table.assign(arrays["w/pos"])
    pixel_weights.load_stack(vit.encoder, arrays, "", "lnf")
    tokens = ops.convert_to_numpy(vit(arrays["in/image"]))
    np.testing.assert_allclose(tokens, arrays["out/tokens"], rtol=0, atol=1e-5)


def test_mae_golden_numbers(fixtures):
    arrays = dict(np.load(fixtures / "vit_mae.npz"))
    encoder = pixmodels.ViTBackbone(
        (24, 24, 3),
        6,
        num_layers=2,
        num_heads=4,
        hidden_dim=32,
        mlp_dim=64,
        layer_norm_epsilon=1e-12,
        positions="sincos",
    )
    model = pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=24,
        decoder_mlp_dim=48,
        mask_ratio=0.75,
        norm_pix_loss=False,
        decoder_norm_epsilon=1e-12,
    )
    for table, name in (
        (encoder.position_embedding.table, "w/pos"),
        (model.decoder_positions.table, "w/decoder_pos"),
    ):
        np.testing.assert_allclose(
            ops.convert_to_numpy(table), arrays[name], rtol=0, atol=1e-6
        )
    encoder.embedding.projection.kernel.assign(arrays["w/patch_kernel"])
    encoder.embedding.projection.bias.assign(arrays["w/patch_bias"])
    encoder.embedding.class_token.assign(arrays["w/cls"][None, None])
    model.mask_token.assign(arrays["w/mask_token"][None, None])
    pixel_weights.load_stack(encoder.encoder, arrays, "enc_", "lnf")
    pixel_weights.load_stack(model.decoder, arrays, "dec_", "lnf")
    for layer, name in (
        (model.decoder_embedding, "w/dec_embed"),
        (model.prediction, "w/dec_pred"),
    ):
        pixel_weights.load_dense(layer, arrays, name)
    batch = {"pixels": arrays["in/image"], "noise": arrays["in/noise"]}
    batch["example_id"] = np.arange(2)
    outputs = arrays_of(model(batch))
    np.testing.assert_allclose(
        outputs["logits"], arrays["out/logits"], rtol=0, atol=1e-5
    )
    np.testing.assert_array_equal(outputs["mask"], arrays["out/mask"])
    numerators, counts = arrays_of(model.loss_sums(batch, [0, 0]))
    loss = float(numerators["loss"] / counts["loss"])
    np.testing.assert_allclose(loss, arrays["out/loss"].item(), rtol=1e-6)


@pytest.fixture(scope="module")
def pixel(fixtures):
    """The tiny PIXEL of the fixtures: (model, batch, arrays, pairs)."""
    arrays = dict(np.load(fixtures / "pretraining_tiny_norm.npz"))
    encoder = pixmodels.PIXELBackbone(
        (16, 400, 3), num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64
    )
    model = pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=2,
        decoder_num_heads=2,
        decoder_hidden_dim=16,
        decoder_mlp_dim=32,
    )
    weights = {k[2:]: v for k, v in arrays.items() if k.startswith("w/")}
    pairs = pixel_weights.load_pixel(model, weights)
    attended = arrays["in/attention_mask"].sum(1).astype("int32")
    batch = {
        "pixels": arrays["in/pixel_values"].transpose(0, 2, 3, 1),
        "num_patches": attended - 1,
        "patch_mask": arrays["in/patch_mask"],
        "example_id": np.arange(3, dtype="int32"),
    }
    return model, batch, arrays, pairs


def test_pixel_golden_numbers(pixel):
    model, batch, arrays, _ = pixel
    outputs = arrays_of(model(batch))
    np.testing.assert_allclose(
        outputs["logits"], arrays["out/logits"], rtol=0, atol=1e-5
    )
    np.testing.assert_array_equal(outputs["mask"], arrays["out/mask"])
    np.testing.assert_array_equal(
        outputs["ids_restore"], arrays["out/ids_restore"]
    )
    for row, mask in zip(outputs["ids_keep"], arrays["out/mask"], strict=True):
        np.testing.assert_array_equal(row, np.flatnonzero(mask == 0))
    numerators, counts = arrays_of(
        model.loss_sums(batch, [0, 0], training=False)
    )
    loss = float(numerators["loss"] / counts["loss"])
    # 1.3547246 with the biased variance.
    assert abs(loss - 1.3534283638) < 1e-6


def test_pixel_golden_gradients(pixel):
    model, batch, arrays, pairs = pixel

    def loss():
        numerators, counts = model.loss_sums(batch, [0, 0], training=False)
        return numerators["loss"] / counts["loss"]

    _, gradients = loss_and_gradients(loss, [v for _, v, _ in pairs])
    assert len(gradients) == 76
    assert len({id(v) for _, v, _ in pairs}) == len(model.trainable_weights)
    for (name, _, transform), ours in zip(pairs, gradients, strict=True):
        expected = transform(arrays[f"grad/{name}"])
        np.testing.assert_allclose(
            ours, expected, rtol=0, atol=1e-4, err_msg=name
        )


def test_pixel_base_parameters():
    model = pixmodels.MaskedAutoencoder(pixmodels.PIXELBackbone())
    assert model.count_params() == 112_334_080
    assert model.encoder.count_params() == 86_054_400
    decoder = model.count_params() - model.encoder.count_params()
    assert decoder == 26_279_680
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trainable == 111_655_680


def _tiny(**options):
    keras.utils.set_random_seed(11)
    options = {"image_shape": (5, 55, 1), "patch_size": 5, **options}
    return pixmodels.PIXELBackbone(
        num_layers=2, num_heads=3, hidden_dim=12, mlp_dim=13, **options
    )


def test_trimming_padding_changes_no_logit():
    model = _tiny()
    rng = np.random.default_rng(3)
    images = rng.random((2, 5, 55, 1)).astype("float32")
    mask = np.arange(11)[None] < np.array([[7], [5]])
    long = ops.convert_to_numpy(model(images, mask=mask))[:, :8]
    short = model(images[:, :, :35], mask=mask[:, :7])
    short = ops.convert_to_numpy(short)
    real = np.pad(mask[:, :7], ((0, 0), (1, 0)), constant_values=True)
    np.testing.assert_allclose(long[real], short[real], rtol=0, atol=1e-6)


def test_local_attention_sees_true_positions_in_masked_training():
    # Windows of 3 positions: patches 0 1 2 | 3 4 5 | 6 7 8 | 9 10. What is
    # kept of one window must not depend on what is kept of another.
    model = _tiny(attention="local", attention_options={"window": 3})
    rng = np.random.default_rng(3)
    images = rng.random((1, 5, 55, 1)).astype("float32")
    changed = images.copy()
    changed[:, :, 5 * 9 :] = 0
    keep = np.array([[0, 2, 3, 5, 6, 9]], "int32")
    one = _tiny(attention="local", attention_options={"window": 3})
    one.encoder.num_layers = 1
    layer = model.encoder.blocks[0]
    x = model.position_embedding(
        model.embedding(rng.random((1, 6, 25)).astype("float32")), keep
    )
    other = ops.convert_to_numpy(x).copy()
    other[:, -1] += 1  # patch 9, alone in its window
    a, b = (
        ops.convert_to_numpy(layer(t, positions=keep, prefix=1))
        for t in (x, other)
    )
    np.testing.assert_array_equal(a[:, 1:-1], b[:, 1:-1])
    assert (a[:, -1] != b[:, -1]).any()
    assert (a[:, 0] != b[:, 0]).any()  # the class token sees everything


def _batch(model, seed=3):
    rng = np.random.default_rng(seed)
    return {
        "pixels": rng.integers(0, 256, (3, 5, 55)).astype("uint8"),
        "num_patches": np.array([10, 6, 2], "int32"),
        "example_id": np.array([5, 7, 13], "int32"),
        "weight": np.ones(3, "float32"),
    }


def _autoencoder(**options):
    return pixmodels.MaskedAutoencoder(
        _tiny(**options),
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=8,
        decoder_mlp_dim=7,
    )


@pytest.mark.slow
def test_random_masks_hide_text_of_every_example():
    model = _autoencoder()
    batch = _batch(model)
    seen = set()
    for step in range(41):
        with pixmodels.random.key_scope([1, step], batch["example_id"]):
            mask = ops.convert_to_numpy(model(batch)["mask"])
        np.testing.assert_array_equal(mask.sum(1), [3, 3, 3])
        text = np.arange(11)[None] <= batch["num_patches"][:, None]
        assert (mask * text).sum(1).min() >= 1
        seen.add(mask.tobytes())
    assert len(seen) == 41


def test_a_patch_mask_of_another_count_is_cut_to_the_static_one():
    model = _autoencoder()
    batch = _batch(model)
    hidden = np.zeros((3, 11), "uint8")
    hidden[0, [1, 2, 3]] = 1
    hidden[1, [4]] = 1  # two too few: the last kept ones are hidden too
    hidden[2, [0, 1, 5, 7, 9]] = 1  # two too many: the first ones are kept
    # Values of tensors are not looked at, those of arrays are.
    tensors = {k: ops.convert_to_tensor(v) for k, v in batch.items()}
    tensors["patch_mask"] = ops.convert_to_tensor(hidden)
    outputs = arrays_of(model(tensors))
    rows = [list(np.flatnonzero(row)) for row in outputs["mask"]]
    assert rows == [[1, 2, 3], [4, 9, 10], [5, 7, 9]]


def test_filler_examples_count_for_nothing():
    model = _autoencoder()
    batch = _batch(model)
    hidden = np.zeros((3, 11), "uint8")
    hidden[:, [1, 2, 3]] = 1
    batch["patch_mask"] = hidden
    weight = np.array([1, 1, 0], "float32")
    a = arrays_of(model.loss_sums({**batch, "weight": weight}, [1, 2]))
    two = {k: v[:2] for k, v in batch.items()}
    b = arrays_of(model.loss_sums(two, [1, 2]))
    np.testing.assert_allclose(a[0]["loss"], b[0]["loss"], rtol=1e-6)
    assert float(a[1]["loss"]) == float(b[1]["loss"]) == 6.0


def test_plain_fit_lowers_the_loss():
    model = _autoencoder()
    batch = _batch(model)
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    history = model.fit(batch, epochs=31, batch_size=3, verbose=0)
    loss = history.history["loss"]
    assert np.isfinite(loss).all()
    assert np.mean(loss[-5:]) < np.mean(loss[:5])


def test_reconstruct_keeps_what_is_not_hidden():
    model = _autoencoder()
    batch = _batch(model)
    pictures = model.reconstruct(batch)
    original = batch["pixels"][..., None] / 255
    np.testing.assert_allclose(pictures["original"], original, atol=1e-6)
    grey = (pictures["masked"] == 0.5).reshape(3, 5, 11, 5).all((1, 3))
    np.testing.assert_array_equal(grey.sum(1), [3, 3, 3])
    same = np.isclose(pictures["reconstructed"], original, atol=1e-6)
    same = same[..., 0].reshape(3, 5, 11, 5).all((1, 3))
    np.testing.assert_array_equal(same, ~grey)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 5, 55, 3), "images.shape"),
        ((2, 6, 55, 1), "images.shape"),
        ((2, 5, 54, 1), "images.shape"),
        ((5, 55, 1), "images.shape"),
        ((2, 5, 5 * 17, 1), "at most 16 patches"),
    ],
)
def test_wrong_images_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        _tiny()(np.zeros(shape, "float32"))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="image_shape"):
        _tiny(image_shape=(5, 55))
    with pytest.raises(ValueError, match="divisible"):
        _tiny(image_shape=(5, 54, 1))
    with pytest.raises(ValueError, match="Did you mean 'softmax'"):
        _tiny(attention="softmx")
    with pytest.raises(ValueError, match="positions='rotari'"):
        _tiny(positions="rotari")
    with pytest.raises(ValueError, match="mask_ratio=1"):
        pixmodels.MaskedAutoencoder(_tiny(), mask_ratio=1)
    with pytest.raises(ValueError, match="pixels"):
        _autoencoder()({"images": np.zeros((2, 5, 55))})
    with pytest.raises(ValueError, match="activation='gelly'"):
        _tiny(activation="gelly")
