"""The snippets of README.md run, in order, as a reader would run them."""

import re
import shlex

import pytest

from pixmodels.training.main import main


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text("utf-8")


def _blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_python_snippets(readme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in _blocks(readme, "python"):
        exec(compile(block, "README.md", "exec"), namespace)
    answers = namespace["model"].classify(["Нидерланды"], namespace["renderer"])
    assert answers[0][0] in namespace["names"].labels
    assert (tmp_path / "text.png").stat().st_size > 100
    assert (tmp_path / "language_model" / "saved_model.pb").is_file()


def test_shell_snippets(readme, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = [
        line.split("#")[0].strip()
        for block in _blocks(readme, "bash")
        for line in block.splitlines()
    ]
    targets = re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), re.M)
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "make":
            assert set(arguments) <= set(targets)
        else:
            assert program == "pixmodels"
            assert main(arguments) == 0
    assert (tmp_path / "text.png").is_file()


def test_links_exist(readme, root):
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    assert len(links) > 3
    for link in links:
        assert link.startswith("http") or (root / link).exists(), link
