"""`hf://` addresses, against a hub on the loopback interface."""

import sys

import hub_server
import numpy as np
import preset_files
import pytest
from keras import ops

import pixmodels

pytest.importorskip("huggingface_hub")
pytest.importorskip("safetensors")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """(root of the repositories, requests seen)."""
    root = tmp_path / "hub"
    root.mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with hub_server.serve(root) as (address, seen):
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield root, seen


def _pixel(root, fixtures, name="Team-PIXEL/pixel-base"):
    arrays = np.load(fixtures / "pretraining_tiny_norm.npz")
    weights = {k[2:]: arrays[k] for k in arrays if k.startswith("w/")}
    folder = root.joinpath(*name.split("/"))
    return preset_files.hf_folder(folder, preset_files.pixel_config(), weights)


def _gets(seen):
    return [p for method, p in seen if method == "GET" and "/resolve/" in p]


def test_a_repository_is_fetched_once(hub, fixtures, monkeypatch):
    root, seen = hub
    folder = _pixel(root, fixtures)
    (folder / "pytorch_model.bin").write_bytes(b"never fetched")
    (folder / "README.md").write_text("never fetched")
    (folder / "GoNotoCurrent.ttf").write_bytes(b"a font, for the renderer")
    (folder / "text_renderer_config.json").write_text(
        '{"font_file": "GoNotoCurrent.ttf", "max_seq_length": 529}'
    )
    model = pixmodels.from_preset("hf://Team-PIXEL/pixel-base")
    assert isinstance(model, pixmodels.MaskedAutoencoder)
    names = sorted(p.rpartition("/")[2] for p in _gets(seen))
    assert names == [
        "GoNotoCurrent.ttf",
        "config.json",
        "model.safetensors",
        "text_renderer_config.json",
    ]
    config = pixmodels.presets.renderer_config("hf://Team-PIXEL/pixel-base")
    assert config["max_patches"] == 529
    count = len(_gets(seen))
    again = pixmodels.PIXELBackbone.from_preset("hf://Team-PIXEL/pixel-base")
    assert len(_gets(seen)) == count
    np.testing.assert_array_equal(
        ops.convert_to_numpy(again.encoder.norm.gamma),
        ops.convert_to_numpy(model.encoder.encoder.norm.gamma),
    )
    # Without a hub the cache answers, told to be offline or not.
    total = len(seen)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pixmodels.from_preset("hf://Team-PIXEL/pixel-base")
    assert len(seen) == total
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    pixmodels.from_preset("hf://Team-PIXEL/pixel-base")


def test_bigrams_are_known_by_the_name_of_the_repository(hub, fixtures):
    root, _ = hub
    folder = _pixel(root, fixtures, "Team-PIXEL/pixel-base-bigrams")
    (folder / "text_renderer_config.json").write_text('{"font_file": "a.ttf"}')
    address = "hf://Team-PIXEL/pixel-base-bigrams"
    assert pixmodels.presets.renderer_config(address)["layout"] == "bigrams"
    assert pixmodels.from_preset(address, load_weights=False)


def test_our_own_presets_and_single_files(hub):
    root, seen = hub
    vit = pixmodels.ViTBackbone(
        (10, 15, 1), 5, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=7
    )
    vit.save_to_preset(root / "lab" / "vit")
    again = pixmodels.from_preset("hf://lab/vit@main")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(again.encoder.norm.gamma),
        ops.convert_to_numpy(vit.encoder.norm.gamma),
    )
    (root / "google" / "vit").mkdir(parents=True)
    for name in ("a", "b"):
        arrays = preset_files.google_arrays(rows=4)
        np.savez(root / "google" / "vit" / f"{name}.npz", **arrays)
    pixmodels.ViTBackbone.from_preset("hf://google/vit/b.npz")
    assert _gets(seen)[-1].endswith("b.npz")
    assert not any(p.endswith("a.npz") for p in _gets(seen))


def test_what_is_not_there_is_refused(hub, monkeypatch):
    root, _ = hub
    with pytest.raises(ValueError, match=r"nobody/nothing.*"):
        pixmodels.from_preset("hf://nobody/nothing")
    (root / "lab" / "notes").mkdir(parents=True)
    (root / "lab" / "notes" / "README.md").write_text("words")
    with pytest.raises(ValueError, match="repository with weights"):
        pixmodels.from_preset("hf://lab/notes")
    with pytest.raises(ValueError, match="lab/notes@v9"):
        pixmodels.from_preset("hf://lab/notes@v9")
    with pytest.raises(ValueError, match=r"notes/none\.npz"):
        pixmodels.from_preset("hf://lab/notes/none.npz")
    for address in ("hf://", "hf://name", "hf://a b/c", "hf://a/b@"):
        with pytest.raises(ValueError, match="Expected an address"):
            pixmodels.from_preset(address)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match="a connection"):
        pixmodels.from_preset("hf://other/model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="a connection"):
        pixmodels.from_preset("hf://other/model")


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install pixmodels\[hub\]"):
        pixmodels.from_preset("hf://lab/vit")
