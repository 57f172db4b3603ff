"""The snippets of docs/sequence.md run, section by section."""

import re

import keras
import marks
import pytest

SECTIONS = {
    "Autoregressive pixels": (),
    "Block-Recurrent Transformer": (),
    "Decoding token by token": (),
    "EMA, Mega": (),
    "GSS": (),
    "Hierarchical encoders": (),
    "Perceiver AR": (),
    "S4, S4D, DSS, S5": (),
    "SPADE": (),
    "Sequence to sequence": (),
    "TRIME: memories in training and at test time": ("faiss",),
}
SLOW = {"Autoregressive pixels", "Perceiver AR", "Sequence to sequence"}


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="they are TensorFlow's"
)
@pytest.mark.parametrize(
    "title", marks.but_slow(SECTIONS, SECTIONS.keys() - SLOW)
)
def test_snippets(title, root, tmp_path, monkeypatch):
    for package in SECTIONS[title]:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    page = (root / "docs" / "sequence.md").read_text("utf-8")
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.M | re.S)[1]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert blocks
    namespace = {}
    for block in blocks:
        exec(compile(block, "sequence.md", "exec"), namespace)
