"""Beside Hugging Face's models, every tensor random: `make test-parity`."""

import re

import numpy as np
import pixel_weights
import pytest
from harness import arrays_of
from harness import loss_and_gradients
from keras import ops

import pixmodels

pytestmark = pytest.mark.parity
SIZE = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 29,
    "image_size": 24,
    "patch_size": 6,
}
OURS = {"num_layers": 2, "num_heads": 3, "hidden_dim": 24, "mlp_dim": 29}
# Names in memory (transformers 5) -> names of files and of `load_pixel`.
SPELLINGS = (
    (r"^(?=embeddings|layers|layernorm)", "vit."),
    (r"^vit\.layers\.", "vit.encoder.layer."),
    (r"attention\.([qkv])_proj", r"attention.attention.\1_"),
    (r"attention\.q_", "attention.query"),
    (r"attention\.k_", "attention.key"),
    (r"attention\.v_", "attention.value"),
    (r"attention\.o_proj", "attention.output.dense"),
    (r"mlp\.fc1", "intermediate.dense"),
    (r"mlp\.fc2", "output.dense"),
)


def _random(model, seed=3):
    """Every tensor away from its initial value; the weights by file name."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor += 0.2 * torch.randn(tensor.shape, generator=generator)
            for pattern, new in SPELLINGS:
                name = re.sub(pattern, new, name)
            weights[name] = tensor.numpy().copy()
    return weights


def _images(*shape):
    images = np.random.default_rng(5).random(shape).astype("float32")
    return images, images.transpose(0, 3, 1, 2).copy()


def _close(ours, theirs, atol=1e-5, **about):
    theirs = theirs.detach().numpy()
    ours = ops.convert_to_numpy(ours)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol, **about)


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize(
    ("act", "ours"), [("gelu", "gelu"), ("gelu_new", "gelu_approximate")]
)
def test_vit_hidden_states_and_maps(act, ours, qkv_bias):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        **SIZE,
        hidden_act=act,
        qkv_bias=qkv_bias,
        attn_implementation="eager",
    )
    theirs = transformers.ViTModel(config, add_pooling_layer=False).eval()
    weights = _random(theirs)
    vit = pixmodels.ViTBackbone(
        (24, 24, 3),
        6,
        layer_norm_epsilon=1e-12,
        activation=ours,
        qkv_bias=qkv_bias,
        resample_positions=True,
        **OURS,
    )
    pixel_weights.load_vit(vit, weights)
    for shape in ((2, 24, 24, 3), (2, 18, 36, 3), (1, 30, 30, 3)):
        images, pixels = _images(*shape)
        with torch.no_grad():
            out = theirs(
                torch.from_numpy(pixels),
                output_hidden_states=True,
                output_attentions=True,
                interpolate_pos_encoding=shape[1] != 24,
            )
        found = vit.intermediates(images, vit.intermediate_names())
        _close(found["output"], out.last_hidden_state)
        names = ["embedding", "block_0", "block_1"]
        for name, value in zip(names, out.hidden_states, strict=True):
            _close(found[name], value)
        for i, value in enumerate(out.attentions):
            _close(found[f"block_{i}/attention"], value)
        _close(vit(images), out.last_hidden_state)


@pytest.mark.parametrize("norm_pix_loss", [False, True])
def test_mae_loss_and_gradients(norm_pix_loss):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTMAEConfig(
        **SIZE,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=13,
        norm_pix_loss=norm_pix_loss,
    )
    theirs = transformers.ViTMAEForPreTraining(config).eval()
    weights = _random(theirs)
    encoder = pixmodels.ViTBackbone(
        (24, 24, 3), 6, layer_norm_epsilon=1e-12, positions="sincos", **OURS
    )
    model = pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=2,
        decoder_num_heads=2,
        decoder_hidden_dim=16,
        decoder_mlp_dim=13,
        mask_ratio=0.75,
        norm_pix_loss=norm_pix_loss,
        decoder_norm_epsilon=1e-12,
    )
    pairs = pixel_weights.load_pixel(model, weights)
    images, pixels = _images(2, 24, 24, 3)
    noise = np.random.default_rng(7).random((2, 16)).astype("float32")
    out = theirs(torch.from_numpy(pixels), noise=torch.from_numpy(noise))
    out.loss.backward()
    batch = {
        "pixels": images,
        "noise": noise,
        "example_id": np.arange(2, dtype="int32"),
    }
    outputs = arrays_of(model(batch))
    _close(outputs["logits"], out.logits)
    _close(outputs["mask"], out.mask, atol=0)

    def loss():
        sums, counts = model.loss_sums(batch, [0, 0], training=False)
        return sums["loss"] / counts["loss"]

    value, gradients = loss_and_gradients(loss, [v for _, v, _ in pairs])
    assert abs(value / out.loss.item() - 1) < 1e-6
    found = {}
    for name, parameter in theirs.named_parameters():
        for pattern, new in SPELLINGS:
            name = re.sub(pattern, new, name)
        found[name] = parameter.grad
    assert len(pairs) == len(model.trainable_weights)
    for (name, _, transform), ours in zip(pairs, gradients, strict=True):
        expected = transform(found[name].numpy())
        np.testing.assert_allclose(
            ours, expected, rtol=0, atol=1e-4, err_msg=name
        )


def test_registers_and_layer_scale_equal_dinov2():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    size = {k: v for k, v in SIZE.items() if k != "intermediate_size"}
    config = transformers.Dinov2WithRegistersConfig(
        **size, mlp_ratio=2, num_register_tokens=3
    )
    theirs = transformers.Dinov2WithRegistersModel(config).eval()
    weights = _random(theirs)
    vit = pixmodels.ViTBackbone(
        (24, 24, 3),
        6,
        num_registers=3,
        layer_scale=1.0,
        **{**OURS, "mlp_dim": 48},
    )
    named = {
        name.replace("norm1", "layernorm_before").replace(
            "norm2", "layernorm_after"
        ): value
        for name, value in weights.items()
    }
    named = {
        name if name.startswith("vit.") else f"vit.{name}": value
        for name, value in named.items()
    }
    pixel_weights.load_vit(vit, named)
    vit.embedding.registers.assign(named["vit.embeddings.register_tokens"])
    for i, block in enumerate(vit.encoder.blocks):
        at = f"vit.encoder.layer.{i}.layer_scale"
        block.scale_1.gamma.assign(named[f"{at}1.lambda1"])
        block.scale_2.gamma.assign(named[f"{at}2.lambda1"])
    images, pixels = _images(2, 24, 24, 3)
    with torch.no_grad():
        out = theirs(torch.from_numpy(pixels))
    _close(vit(images), out.last_hidden_state)
