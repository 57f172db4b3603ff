"""docs/from_xplip.md: its snippets run, its names exist, none is left out.

The names of xplip/pixel are in fixtures/xplip_names.json. Weights are made on
the spot: a tiny model in a folder with PIXEL's own files.
"""

import argparse
import fnmatch
import importlib
import inspect
import itertools
import json
import re
import shlex

import pytest

import pixmodels
from pixmodels.renderers import FontStack
from pixmodels.training import ExperimentConfig
from pixmodels.training import _settings
from pixmodels.training import main as command_line

ADDRESS = "hf://Team-PIXEL/pixel-base"
ROOMS = (
    "renderers tasks training saved_models presets models layers masking "
    "attention patches positions random"
).split()
SECTIONS = ("model", "data", "renderer", "train")
FILES = (".cfg", ".json", ".md", ".py", ".txt", "LICENSE")
NOT_HERE = ("*not here*", "*planned*")
_NOTHING = object()
# Slow, or with inputs that this machine lacks; their flags are checked.
NOT_RUN = ("pixmodels pretrain --config", "pixmodels render-corpus wiki.txt")


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "from_xplip.md").read_text("utf-8")


@pytest.fixture(scope="module")
def theirs(fixtures):
    return json.loads((fixtures / "xplip_names.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def pixel_base(tmp_path_factory):
    """A folder as PIXEL's code writes it: config, weights, renderer, font."""
    pytest.importorskip("safetensors")
    folder = tmp_path_factory.mktemp("hub") / "pixel-base"
    encoder = pixmodels.PIXELBackbone(
        num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=19
    )
    model = pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=1,
        decoder_num_heads=2,
        decoder_hidden_dim=16,
        decoder_mlp_dim=19,
    )
    model.to_hf(folder)
    font = FontStack.default().paths[0].rpartition("#")[0]
    (folder / "font.ttf").symlink_to(font)
    config = {
        "background_color": "white",
        "dpi": 120,
        "font_color": "black",
        "font_file": "font.ttf",
        "font_size": 8,
        "max_seq_length": 529,
        "pad_size": 3,
        "pixels_per_patch": 16,
        "text_renderer_type": "PyGameTextRenderer",
    }
    path = folder / "text_renderer_config.json"
    path.write_text(json.dumps(config), "utf-8")
    return folder


def _blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
@pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_python_snippets(page, pixel_base, tmp_path, monkeypatch, compiled):
    tf = pytest.importorskip("tensorflow")
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(not compiled)
    try:
        _run_snippets(page, pixel_base, tmp_path, monkeypatch)
    finally:
        tf.config.run_functions_eagerly(before)


def _run_snippets(page, pixel_base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in _blocks(page, "python"):
        code = block.replace(ADDRESS, str(pixel_base))
        exec(compile(code, "from_xplip.md", "exec"), namespace)
    best, context = namespace["best"], namespace["context"]
    assert best.text == context[best.start : best.end]
    # Of the windows of the question, the last holds the answer.
    source = namespace["source"]
    batch = source.get_batch(range(len(source)))
    assert len(source) > 1
    assert (batch["start"][:-1] == -1).all()
    assert 0 < batch["start"][-1] <= batch["end"][-1]
    assert namespace["tree"].is_tree()
    assert namespace["renderer"].baseline == "pygame"
    assert namespace["pictures"]["masked"].shape[1] == 16
    assert namespace["trainer"].step == 2
    assert namespace["noisy"] != namespace["texts"]


def test_shell_snippets(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.txt").write_text("one text a line\nanother text\n")
    commands = "".join(_blocks(page, "bash")).splitlines()
    assert len(commands) > 5
    for command in commands:
        assert not problems_of_command(command), command
        arguments = shlex.split(command)[1:]
        assert command_line._parser().parse_args(arguments)
        if not command.startswith(NOT_RUN):
            assert command_line.main(arguments) == 0, command
    assert (tmp_path / "text.png").is_file()
    assert (tmp_path / "noisy" / "manifest.json").is_file()


def test_tables_name_what_exists(page, root):
    rows = list(table_rows(page))
    assert len(rows) > 100
    problems = []
    for _, here, differs in rows:
        tokens = re.findall(r"`([^`]+)`", here)
        if not tokens and not any(mark in here for mark in NOT_HERE):
            problems.append(f"nothing here: {here!r}")
        for token in tokens:
            problems += problems_of(token, root)
        for token in re.findall(r"`([^`]+)`", differs):
            if is_ours(token):
                problems += problems_of(token, root)
    assert not problems, "\n".join(sorted(set(problems)))


def test_text_names_what_exists(page, root):
    text = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    lines = [x for x in text.splitlines() if not x.startswith("|")]
    problems = []
    for token in re.findall(r"`([^`]+)`", " ".join(lines)):
        if is_ours(token):
            problems += problems_of(token, root)
    assert not problems, "\n".join(sorted(set(problems)))


def test_links(page, root):
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in headings
    }
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) > 5
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif not link.startswith("http"):
            assert (root / "docs" / link).exists(), link


def test_every_file_is_on_the_page(page, theirs):
    patterns = their_tokens(page)
    missing = [
        file
        for file in theirs["files"]
        if not any(fnmatch.fnmatchcase(file, p) for p in patterns)
    ]
    assert len(theirs["files"]) > 90
    assert not missing


def test_every_flag_is_on_the_page(page, theirs):
    known = set(their_tokens(page))
    flags = {flag for group in theirs["flags"].values() for flag in group}
    assert len(flags) > 100
    assert not flags - known


def test_every_class_and_function_is_on_the_page(page, theirs):
    patterns = their_tokens(page)
    names = {name for group in theirs["names"].values() for name in group}
    assert len(names) > 250
    missing = {
        name
        for name in names
        if not any(fnmatch.fnmatchcase(name, p) for p in patterns)
    }
    assert not missing


def test_no_invented_names_of_theirs(page, theirs):
    """First columns hold nothing that xplip/pixel does not have."""
    names = set(theirs["files"])
    for group in (*theirs["flags"].values(), *theirs["names"].values()):
        names.update(group)
    # Spelt so in its documentation, arguments of methods, other weights.
    names |= {"--span_mask", "text_a_max_length", "PreTrainedTextRenderer"}
    names |= {"output_attentions", "output_hidden_states"}
    names |= {"random_masking", "controlled_masking", "patchify", "unpatchify"}
    names |= {"forward_loss", "interpolate_pos_encoding", "compute_loss"}
    text = page.partition("## Published weights")[0]
    invented = [
        token
        for token in their_tokens(text)
        if not fnmatch.filter(names, token)
    ]
    assert not invented


def table_rows(page):
    """(theirs, here, what differs) of every row of every table."""
    for line in page.splitlines():
        if line.startswith("| ") and not line.split("|")[2] == " here ":
            cells = line.strip("|").split("|")
            assert len(cells) == 3, line
            yield cells


def their_tokens(page):
    return [
        token
        for cells in table_rows(page)
        for token in re.findall(r"`([^`]+)`", cells[0])
    ]


def is_ours(token):
    if re.fullmatch(rf"({'|'.join(SECTIONS)})\.\w+", token):
        return not token.endswith(".json")  # of a folder of weights
    head = re.split(r"[.( ]", token)[0]
    dotted = "." in token and head in ROOMS
    return dotted or head in ("pixmodels", "make", *pixmodels.__all__)


def problems_of(token, root):
    """What is wrong with a name of ours: a list, empty if nothing is."""
    if token.startswith(("pixmodels ", "make ")):
        return problems_of_command(token, root)
    if "(" not in token and ("/" in token or token.endswith(FILES)):
        return [] if (root / token).exists() else [f"no file {token}"]
    section, _, key = token.partition(".")
    fields = ExperimentConfig.__dataclass_fields__
    if section in SECTIONS or (not key and section in fields):
        return problems_of_setting(token)
    return problems_of_name(token.removeprefix("pixmodels."))


def problems_of_setting(path):
    values = _settings.to_dict(ExperimentConfig())
    for key in path.split("."):
        if not isinstance(values, dict) or key not in values:
            return [f"no setting {path}"]
        values = values[key]
    return []


def problems_of_command(text, root=None):
    program, name, *rest = shlex.split(text)
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), 8)
        return [] if name in targets else [f"no target {name}"]
    actions = command_line._parser()._actions
    [commands] = [
        x for x in actions if isinstance(x, argparse._SubParsersAction)
    ]
    if name not in commands.choices:
        return [f"no command {name}"]
    known = commands.choices[name]._option_string_actions
    problems = [
        f"no flag {flag} of {name}"
        for flag in rest
        if flag.startswith("-") and flag not in known
    ]
    for flag, value in itertools.pairwise(rest):
        if flag == "--set":
            problems += problems_of_setting(value.partition("=")[0])
        if flag == "--config" and value not in _recipes():
            problems.append(f"no recipe {value}")
    return problems


def _recipes():
    return importlib.import_module("pixmodels.training.recipes").names()


def problems_of_name(text):
    """Of `room.Name.attribute(argument=, ...)`; `()` before is a call."""
    path, paren, arguments = text.partition("(")
    called = arguments.startswith(")(")
    arguments = arguments.removeprefix(")(")
    found = pixmodels
    for part in [] if path == "pixmodels" else path.split("."):
        found = attribute_of(found, part)
        if found is _NOTHING:
            return [f"no name {text}"]
    if not paren:
        return []
    known = arguments_of(found.__call__ if called else found)
    wanted = re.findall(r"(\w+)=", arguments)
    return [f"no argument {x} of {path}" for x in wanted if x not in known]


def attribute_of(thing, name):
    if hasattr(thing, name):
        return getattr(thing, name)
    if name in getattr(thing, "__dataclass_fields__", ()):
        return thing.__dataclass_fields__[name]
    if inspect.ismodule(thing):
        try:
            return importlib.import_module(f"{thing.__name__}.{name}")
        except ImportError:
            return _NOTHING
    return _NOTHING


def arguments_of(thing):
    if not inspect.isclass(thing):
        return set(inspect.signature(thing).parameters)
    return {
        name
        for cls in thing.__mro__
        if "__init__" in vars(cls)
        for name in inspect.signature(cls.__init__).parameters
    }
