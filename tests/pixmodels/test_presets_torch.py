"""Beside transformers, on tiny models with every tensor random."""

import argparse

import numpy as np
import pytest
from harness import loss_and_gradients
from keras import ops

import pixmodels
from pixmodels import tasks
from pixmodels.presets import facebook_mae
from pixmodels.presets import hf_vit
from pixmodels.presets import hf_vit_mae
from pixmodels.presets._table import Facts
from pixmodels.presets._table import variable_at

pytestmark = pytest.mark.parity
# transformers warns of what it initialises and of torch's own ways.
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SIZES = {
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 13,
    "patch_size": 5,
}
DECODER = {
    "decoder_hidden_size": 8,
    "decoder_num_attention_heads": 2,
    "decoder_num_hidden_layers": 2,
    "decoder_intermediate_size": 11,
}


def _random(model, seed=3):
    """Every tensor away from its initial value; fresh ones hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return model.eval()


def _images(height, width, seed=5):
    rng = np.random.default_rng(seed)
    return rng.random((2, height, width, 3)).astype("float32")


def _torch(images):
    return torch.tensor(images.transpose(0, 3, 1, 2))


def _close(ours, theirs, atol=1e-5):
    if hasattr(theirs, "detach"):
        theirs = theirs.detach().numpy()
    np.testing.assert_allclose(
        ops.convert_to_numpy(ours), theirs, rtol=0, atol=atol
    )


@pytest.mark.parametrize(
    "options",
    [
        {"layer_norm_eps": 1e-5, "image_size": [10, 15]},
        {"hidden_act": "gelu_pytorch_tanh", "image_size": 10},
        {"hidden_act": "gelu_new", "image_size": 10, "qkv_bias": False},
        {"hidden_act": "relu", "image_size": [10, 15], "num_channels": 3},
    ],
)
def test_vit(options, tmp_path):
    config = transformers.ViTConfig(**SIZES, **options)
    theirs = _random(transformers.ViTModel(config))
    theirs.save_pretrained(tmp_path / "vit")
    ours = pixmodels.from_preset(tmp_path / "vit")
    assert isinstance(ours, pixmodels.ViTBackbone)
    images = _images(*ours.image_shape[:2])
    expected = theirs(_torch(images), output_hidden_states=True)
    _close(ours(images), expected.last_hidden_state)
    hidden = ours.intermediates(images)
    _close(hidden["embedding"], expected.hidden_states[0])
    _close(hidden["block_0"], expected.hidden_states[1])
    _close(hidden["block_1"], expected.hidden_states[2])
    ours.to_hf(tmp_path / "back")
    again = transformers.ViTModel.from_pretrained(
        tmp_path / "back", add_pooling_layer=False
    ).eval()
    again = again(_torch(images)).last_hidden_state
    _close(again.detach().numpy(), expected.last_hidden_state, atol=1e-6)


def test_vit_at_another_resolution(tmp_path):
    config = transformers.ViTConfig(**SIZES, image_size=15)
    theirs = _random(transformers.ViTModel(config))
    theirs.save_pretrained(tmp_path / "vit")
    ours = pixmodels.from_preset(tmp_path / "vit", image_shape=(20, 35, 3))
    images = _images(20, 35)
    expected = theirs(_torch(images), interpolate_pos_encoding=True)
    _close(ours(images), expected.last_hidden_state)


def test_vit_gradients(tmp_path):
    config = transformers.ViTConfig(**SIZES, image_size=10)
    theirs = _random(transformers.ViTModel(config, add_pooling_layer=False))
    theirs.save_pretrained(tmp_path / "vit")
    ours = pixmodels.from_preset(tmp_path / "vit")
    images = _images(10, 10)
    target = np.linspace(-1, 1, 12, dtype="float32")
    hidden = theirs(_torch(images)).last_hidden_state
    (hidden - torch.tensor(target)).square().sum().backward()
    entries = hf_vit.encoder_entries(config.to_dict())
    _gradients(
        ours,
        lambda: ops.sum(ops.square(ops.subtract(ours(images), target))),
        entries,
        theirs,
        Facts.of(ours),
    )


def _gradients(ours, loss, entries, theirs, facts):
    """Every trainable weight of both has the same gradient."""
    found = {hf_vit.canonical(n): p.grad for n, p in theirs.named_parameters()}
    pairs = [(variable_at(ours, e.ours), e) for e in entries]
    pairs = [(v, e) for v, e in pairs if v.trainable]
    assert len(pairs) == len(ours.trainable_weights)
    _, gradients = loss_and_gradients(loss, [v for v, _ in pairs])
    for (variable, entry), gradient in zip(pairs, gradients, strict=True):
        expected = entry.layout.inward(found[entry.theirs].numpy(), facts)
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(
            gradient,
            expected,
            rtol=0,
            atol=1e-4 * scale,
            err_msg=variable.path,
        )


def test_image_classifier(tmp_path):
    labels = {0: "cat", 1: "dog", 2: "owl", 3: "eel", 4: "elk"}
    config = transformers.ViTConfig(
        **SIZES, image_size=10, id2label=labels, num_labels=5
    )
    theirs = _random(transformers.ViTForImageClassification(config))
    theirs.save_pretrained(tmp_path / "vit")
    processor = transformers.ViTImageProcessor(
        size={"height": 10, "width": 10},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    processor.save_pretrained(tmp_path / "vit")
    ours = pixmodels.from_preset(tmp_path / "vit")
    assert isinstance(ours, tasks.ImageClassifier)
    assert ours.labels == tuple(labels.values())
    pixels = np.random.default_rng(3).integers(0, 256, (2, 10, 10, 3), "uint8")
    seen = processor(list(pixels), return_tensors="pt")["pixel_values"]
    expected = theirs(seen).logits
    _close(ours(pixels), expected)
    raw = pixmodels.from_preset(tmp_path / "vit", normalization="none")
    _close(raw(seen.numpy().transpose(0, 2, 3, 1)), expected)
    # And back: the processor that is written leaves pixels in [0, 1].
    ours.to_hf(tmp_path / "back")
    again = transformers.ViTForImageClassification.from_pretrained(
        tmp_path / "back"
    ).eval()
    assert again.config.id2label == labels
    processor = transformers.ViTImageProcessor.from_pretrained(
        tmp_path / "back"
    )
    seen = processor(list(pixels), return_tensors="pt")["pixel_values"]
    _close(again(seen).logits.detach().numpy(), expected)


@pytest.fixture
def mae(tmp_path):
    """(their model, our folder, images, noise)."""
    config = transformers.ViTMAEConfig(
        **SIZES,
        **DECODER,
        image_size=20,
        norm_pix_loss=True,
        mask_ratio=0.6,
    )
    theirs = _random(transformers.ViTMAEForPreTraining(config))
    theirs.save_pretrained(tmp_path / "mae")
    noise = np.random.default_rng(7).random((2, 16)).astype("float32")
    return theirs, tmp_path / "mae", _images(20, 20), noise


def _loss(model, images, noise):
    batch = {"pixels": images, "noise": noise, "example_id": np.arange(2)}
    numerators, counts = model.loss_sums(batch, [0, 0], training=False)
    return numerators["loss"] / counts["loss"]


def test_mae(mae, tmp_path):
    theirs, folder, images, noise = mae
    expected = theirs(_torch(images), noise=torch.tensor(noise))
    ours = pixmodels.from_preset(folder)
    assert ours.encoder.positions == "sincos"
    outputs = ours({"pixels": images, "noise": noise})
    _close(outputs["logits"], expected.logits)
    np.testing.assert_array_equal(outputs["mask"], expected.mask.numpy())
    found = float(ops.convert_to_numpy(_loss(ours, images, noise)))
    assert abs(found - float(expected.loss.detach())) < 1e-6
    expected.loss.backward()
    config = theirs.config.to_dict()
    entries = [
        e.placed(ours="encoder.") for e in hf_vit.encoder_entries(config)
    ]
    entries += hf_vit_mae.decoder_entries(config)
    _gradients(
        ours,
        lambda: _loss(ours, images, noise),
        entries,
        theirs,
        Facts.of(ours.encoder),
    )
    ours.to_hf(tmp_path / "back")
    again = transformers.ViTMAEForPreTraining.from_pretrained(
        tmp_path / "back"
    ).eval()
    again = again(_torch(images), noise=torch.tensor(noise))
    _close(again.logits.detach().numpy(), expected.logits, atol=1e-6)
    assert abs(float(again.loss.detach() - expected.loss.detach())) < 1e-6


SPELLINGS = {
    "as written": lambda name: name,
    "in memory": None,
    "old decoder": lambda name: name.replace(
        "decoder.decoder_encoder.layer.", "decoder.decoder_layers."
    ),
    "without prefix": lambda name: name.removeprefix("vit."),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_mae_spellings(spelling, kind, mae, tmp_path):
    from safetensors.numpy import load_file
    from safetensors.numpy import save_file

    theirs, folder, images, noise = mae
    file = folder / "model.safetensors"
    arrays = load_file(file)
    assert any("decoder.decoder_encoder.layer.0" in name for name in arrays)
    rename = SPELLINGS[spelling]
    if rename is None:
        state = theirs.state_dict()
        assert any("layers.0.attention.q_proj" in name for name in state)
        arrays = {n: x.numpy() for n, x in state.items()}
    else:
        arrays = {rename(n): x for n, x in arrays.items()}
    if kind == "bin":
        file.unlink()
        state = {n: torch.tensor(x) for n, x in arrays.items()}
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file(arrays, file)
    expected = theirs(_torch(images), noise=torch.tensor(noise))
    ours = pixmodels.from_preset(folder)
    _close(ours({"pixels": images, "noise": noise})["logits"], expected.logits)


def test_mae_encoder_alone(mae, tmp_path):
    theirs, folder, images, _ = mae
    theirs.vit.save_pretrained(tmp_path / "encoder")
    for name in (folder, tmp_path / "encoder"):
        ours = pixmodels.ViTBackbone.from_preset(name)
        theirs.vit.config.mask_ratio = 0.0
        noise = torch.arange(32.0).reshape(2, 16)
        expected = theirs.vit(_torch(images), noise=noise).last_hidden_state
        _close(ours(images), expected)


# --- MAE's own files --------------------------------------------------------

RENAMED = (
    ("vit.embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("vit.embeddings.cls_token", "cls_token"),
    ("vit.embeddings.position_embeddings", "pos_embed"),
    ("vit.layernorm", "norm"),
    ("vit.layers", "blocks"),
    ("decoder.decoder_layers", "decoder_blocks"),
    ("decoder.", ""),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("attention.o_proj", "attn.proj"),
)


def _facebook(theirs):
    """transformers' weights under MAE's names, query, key, value fused."""
    state = {}
    for name, tensor in theirs.state_dict().items():
        for old, new in RENAMED:
            name = name.replace(old, new, 1)
        state[name] = tensor
    for name in [n for n in state if "attention.q_proj" in n]:
        parts = [state.pop(name.replace("q_proj", f"{x}_proj")) for x in "qkv"]
        state[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    return state


@pytest.mark.parametrize("training", [False, True])
def test_facebook_mae(training, mae, tmp_path):
    theirs, _, images, noise = mae
    content = {"model": _facebook(theirs)}
    known = {"decoder_num_heads": 2, "backbone_options": {"num_heads": 3}}
    if training:
        content["args"] = argparse.Namespace(
            norm_pix_loss=True, mask_ratio=0.6, lr=1e-3
        )
        content["optimizer"] = {"state": {0: torch.zeros(3)}}
    else:
        known.update(norm_pix_loss=True, mask_ratio=0.6)
    torch.save(content, tmp_path / "mae.pth")
    ours = pixmodels.from_preset(
        tmp_path / "mae.pth", normalization="none", **known
    )
    # The tiny model has transformers' epsilon, MAE 1e-6.
    assert ours.encoder.layer_norm_epsilon == 1e-6
    theirs.config.layer_norm_eps = 1e-6
    for module in theirs.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    expected = theirs(_torch(images), noise=torch.tensor(noise))
    outputs = ours({"pixels": images, "noise": noise})
    _close(outputs["logits"], expected.logits)
    found = float(ops.convert_to_numpy(_loss(ours, images, noise)))
    assert abs(found - float(expected.loss.detach())) < 1e-6
    mean, deviation = map(np.float32, facebook_mae.IMAGENET)
    with pytest.raises(ValueError, match="normalization='none'"):
        pixmodels.from_preset(tmp_path / "mae.pth", **known)
    known["norm_pix_loss"] = False
    folded = pixmodels.from_preset(tmp_path / "mae.pth", **known)
    seen = (images - mean) / deviation
    expected = theirs(_torch(seen), noise=torch.tensor(noise)).logits
    pixels = expected.detach().numpy().reshape(2, 16, 25, 3) * deviation + mean
    found = folded({"pixels": images, "noise": noise})["logits"]
    _close(found, pixels.reshape(2, 16, 75))


def test_facebook_mae_needs_heads_of_unknown_widths(mae, tmp_path):
    theirs, _, _, _ = mae
    torch.save({"model": _facebook(theirs)}, tmp_path / "mae.pth")
    with pytest.raises(ValueError, match="Pass num_heads"):
        pixmodels.from_preset(tmp_path / "mae.pth")


@pytest.fixture
def finetuned():
    """(arrays of a ViT under MAE's names, images, hidden states of it)."""
    config = transformers.ViTConfig(**SIZES, image_size=20, layer_norm_eps=1e-6)
    theirs = _random(transformers.ViTModel(config, add_pooling_layer=False))
    images = _images(20, 20)
    found = theirs(_torch(images), output_hidden_states=True)
    whole = torch.nn.Module()
    whole.vit = theirs
    return _facebook(whole), images, found


def test_facebook_mae_finetuned_with_global_pooling(finetuned, tmp_path):
    """`models_vit.py`: blocks, mean of the patches, `fc_norm`, `head`."""
    state, images, found = finetuned
    for name in ("norm.weight", "norm.bias"):
        del state[name]
    fc_norm, head = torch.nn.LayerNorm(12, eps=1e-6), torch.nn.Linear(12, 7)
    for name, module in (("fc_norm", fc_norm), ("head", head)):
        _random(module, seed=11)
        for part, tensor in module.state_dict().items():
            state[f"{name}.{part}"] = tensor
    torch.save({"model": state}, tmp_path / "finetuned.pth")
    ours = pixmodels.from_preset(
        tmp_path / "finetuned.pth",
        normalization="none",
        backbone_options={"num_heads": 3},
    )
    assert isinstance(ours, tasks.ImageClassifier)
    before = found.hidden_states[-1]  # no final LayerNorm
    _close(ours.backbone(images), before)
    _close(ours(images), head(fc_norm(before[:, 1:].mean(1))))
    ours.save_to_preset(tmp_path / "ours")
    again = pixmodels.from_preset(tmp_path / "ours")
    _close(again(images), ops.convert_to_numpy(ours(images)), atol=0)
    with pytest.raises(ValueError, match="final_norm=True"):
        ours.to_hf(tmp_path / "hf")


@pytest.mark.parametrize("probe", [False, True])
def test_facebook_mae_classifiers_on_the_class_token(
    probe, finetuned, tmp_path
):
    state, images, found = finetuned
    head = _random(torch.nn.Linear(12, 7), seed=11)
    pooled = found.last_hidden_state[:, 0]
    name = "head"
    if probe:
        norm = torch.nn.BatchNorm1d(12, affine=False, eps=1e-6)
        norm(torch.randn(5, 12, generator=torch.Generator().manual_seed(3)))
        pooled, name = norm.eval()(pooled), "head.1"
        for part, tensor in norm.state_dict().items():
            state[f"head.0.{part}"] = tensor
    for part, tensor in head.state_dict().items():
        state[f"{name}.{part}"] = tensor
    torch.save({"model": state}, tmp_path / "classifier.pth")
    ours = pixmodels.from_preset(
        tmp_path / "classifier.pth",
        normalization="none",
        backbone_options={"num_heads": 3},
    )
    assert ours.linear_probe is probe
    _close(ours(images), head(pooled))


class _Payload:
    def __reduce__(self):
        return print, ("code ran",)


def test_pickles_that_run_code_are_refused(tmp_path, capsys):
    torch.save({"model": _Payload()}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="weights and nothing else"):
        pixmodels.from_preset(tmp_path / "bad.pth")
    assert "code ran" not in capsys.readouterr().out
    (tmp_path / "cut.pth").write_bytes(
        (tmp_path / "bad.pth").read_bytes()[:100]
    )
    with pytest.raises(ValueError, match=r"cut\.pth"):
        pixmodels.from_preset(tmp_path / "cut.pth")
