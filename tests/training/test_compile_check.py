"""`compile-check`: what is read from the compiler's answers, and mistakes.

The compilations themselves are slow, and skipped without libtpu.
"""

import importlib.util

import pytest

from pixmodels.training import _compile_worker as worker
from pixmodels.training import compile_check
from pixmodels.training import recipes
from pixmodels.training.config import override
from pixmodels.training.main import main

HLO = """
  %add = f32[3,5]{1,0} add(%a, %b)
  %all-reduce.1 = (f32[]{:T(128)}, bf16[7,11]{1,0:T(8,128)(2,1)S(1)}) \
all-reduce(%x, %y), channel_id=1, to_apply=%sum
  %all-gather-start = (s8[13]{0}, s8[26]{0}) all-gather-start(%z)
  ROOT %fusion = f32[3]{0} fusion(%all-reduce.1), calls=%f
"""


def test_collectives():
    assert worker._collectives(HLO) == {
        "all-reduce": [1, 4 + 2 * 7 * 11],
        "all-gather": [1, 13 + 26],
    }


def test_shapes():
    text = "%a: tensor<6x5xui8>, %b: tensor<bf16>, %c: tensor<3xi1>"
    assert worker._tensors(text) == [
        ((6, 5), "uint8"),
        ((), "bfloat16"),
        ((3,), "bool"),
    ]


def test_dynamic_and_float64():
    for text, count in (("f32[<=8,3]{1,0}", 1), ("tensor<?x3xf32>", 1)):
        assert len(worker._DYNAMIC.findall(text)) == count
        assert not worker._FLOAT64.findall(text)
    assert not worker._DYNAMIC.findall("f32[8,3]{1,0} tensor<8x3xf32>")
    assert len(worker._FLOAT64.findall("f64[3] tensor<5xf64> tensor<f64>")) == 3


def test_memory_messages():
    text = "temporaries (67.12G) exceeds available HBM (15.75G)."
    assert worker._bytes(*worker._TOO_MUCH.search(text).groups()) == (
        67.12 * 2**30
    )
    assert worker._bytes(*worker._AVAILABLE.search(text).groups()) == (
        15.75 * 2**30
    )


def test_the_largest_batch_is_looked_for_on_a_line():
    """A chip of 100 bytes; a batch of n takes 10 + 7 n."""
    check = object.__new__(compile_check.CompileCheck)
    check.chips, check.memory, lines = 2, 100, []
    check.say = lines.append

    def compiled(config):
        used = 10 + 7 * (config.train.batch_size // 2)
        if used > 100:
            return {"reason": "too large", "needed": used}
        zeros = ("outputs", "aliased", "temporaries", "code")
        return {"flops": 1, "arguments": used, **dict.fromkeys(zeros, 0)}

    check._jax = compiled
    config = override(recipes.get("digits_vit"), ["train.batch_size=4"])
    for first in (None, compiled(config)):
        assert check._largest(config, first)["best"] == 12
    config = override(config, ["train.batch_size=40"])
    assert check._largest(config, None)["best"] == 12


def test_mistakes(capsys, monkeypatch):
    assert main(["compile-check"]) == 2
    assert "Received: neither" in capsys.readouterr().err
    assert main(["compile-check", "--mechanisms", "lokal"]) == 2
    assert "Did you mean 'local'" in capsys.readouterr().err
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "libtpu" else find(name, *rest),
    )
    assert main(["compile-check", "--mechanisms"]) == 2
    assert "pixmodels[tpu-compile]" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: True)
    assert main(["compile-check", "--mechanisms", "--topology", "big"]) == 2
    assert "topology='big'" in capsys.readouterr().err


TINY = """
model.num_layers=1 model.num_heads=2 model.hidden_dim=32 model.mlp_dim=64
model.decoder_num_layers=1 model.decoder_num_heads=2 model.decoder_hidden_dim=32
model.decoder_mlp_dim=64 model.max_patches=17 renderer.max_patches=17
data.buckets=17 train.batch_size=8 train.remat=true
"""


@pytest.mark.slow
def test_a_tiny_model_compiles():
    pytest.importorskip("libtpu")
    lines = []
    check = compile_check.CompileCheck("v5e:2x2", lines.append)
    config = override(recipes.get("pixel_tiny_pretrain"), TINY.split())
    found = check.steps(config, largest=False)
    for name in ("jax", "tensorflow"):
        assert found[name]["flops"] > 1e6
        assert not found[name]["dynamic"]
        assert not found[name]["float64"]
    assert set(found["jax"]["collectives"]) == {"all-reduce"}
    assert found["tensorflow"]["collectives"] == {}
    assert any("TPUStrategy" in line for line in lines)
    with pytest.raises(ValueError, match="multiple of 4"):
        check.steps(override(config, ["train.batch_size=6"]))
    with pytest.raises(ValueError, match="topology='v5e:2x3'"):
        compile_check.CompileCheck("v5e:2x3", lines.append)
