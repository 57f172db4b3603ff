"""What `to_hf` refuses to write; what it writes is in test_presets_torch."""

import preset_files
import pytest

import pixmodels
from pixmodels import tasks

pytest.importorskip("safetensors")


def test_models_of_ours_alone_are_refused(tmp_path):
    def vit(**options):
        return pixmodels.ViTBackbone(
            (10, 15, 3), 5, **preset_files.TINY, **options
        )

    for options, name in (
        ({"attention": "local"}, "attention"),
        ({"pixel_offset": 1.0}, "pixel_offset"),
        ({"num_registers": 3}, "num_registers"),
        ({"positions": "none"}, "positions"),
    ):
        with pytest.raises(ValueError, match=f"{name}="):
            vit(**options).to_hf(tmp_path / "no")
    model = pixmodels.MaskedAutoencoder(
        vit(),
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=8,
        decoder_mlp_dim=7,
    )
    with pytest.raises(ValueError, match="square images"):
        model.to_hf(tmp_path / "no")
    with pytest.raises(ValueError, match="pooling='mean'"):
        tasks.ImageClassifier(vit(), 3, pooling="mean").to_hf(tmp_path / "no")
    with pytest.raises(ValueError, match="TextClassifier on ViTBackbone"):
        tasks.TextClassifier(vit(), 3).to_hf(tmp_path / "no")
    assert not (tmp_path / "no").exists()
    vit().to_hf(tmp_path / "yes")
    with pytest.raises(ValueError, match="overwrite=True"):
        vit().to_hf(tmp_path / "yes")
    vit().to_hf(tmp_path / "yes", overwrite=True)
