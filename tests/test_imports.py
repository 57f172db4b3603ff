"""Imports point one way, and importing the rooms stays light.

The directions are read from the source (DESIGN.md, "The rooms"); weight is
read from the source too, and measured once in a new process.
"""

import ast
import configparser
import json
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOMS = {
    "pixmodels": "pixmodels",
    "pixmodels.renderers": "renderers",
    "pixmodels.tasks": "tasks",
    "pixmodels.training": "training",
    "pixmodels.saved_models": "saved_models",
}
CORE, RENDERERS, TASKS, TRAINING, SAVED = ROOMS
MAY_IMPORT = {
    CORE: {CORE},
    RENDERERS: {RENDERERS},
    TASKS: {TASKS, CORE, RENDERERS},
    SAVED: {SAVED, TASKS, CORE, RENDERERS},
    TRAINING: set(ROOMS),
}
# What a room never imports, not even inside a function.
FRAMEWORKS = {"tensorflow", "tensorflow_text", "jax", "torch", "flax"}
NEVER = {
    CORE: FRAMEWORKS | {"absl", "cairo", "uharfbuzz", "tensorflow_datasets"},
    RENDERERS: FRAMEWORKS | {"keras", "absl", "tensorflow_datasets"},
}
# The in-graph renderer, which is loaded when first asked for, is TensorFlow.
GRAPH = re.compile(r"pixmodels\.renderers\._?graph_\w+")
# Files that torch.save wrote can be read by torch only.
TORCH_FILES = "pixmodels.presets._torch_file"
# Gradients of our own and loops with constant memory, which keras.ops lacks:
# a form for each backend, loaded when that backend calls it.
BACKEND_FORMS = {
    "pixmodels.attention._chunked",
    "pixmodels.layers._reversible",
    "pixmodels.sequence._convolve",
}
# What may load when a room is imported; all else waits for its first use.
LIGHT = {"keras", "numpy", "wrapt"}
# Import name -> name on the package index, where the two differ.
INDEX_NAMES = {
    "PIL": "pillow",
    "cairo": "pycairo",
    "faiss": "faiss-cpu",
    "fontTools": "fonttools",
    "gi": "PyGObject",
    "google": "protobuf",
    "sklearn": "scikit-learn",
    "tensorflow_datasets": "tensorflow-datasets",
    "tensorflow_serving": "tensorflow-serving-api",
    "tensorflow_text": "tensorflow-text",
}
# Installed by a dependency that cannot do without them.
CARRIED = {
    "array_record": "grain",
    "h5py": "keras",
    "jaxlib": "jax",
    "protobuf": "tensorflow",
    "scipy": "scikit-learn",
}
HEAVY = [
    *["PIL", "array_record", "babel", "cairo", "fontTools"],
    *["grain", "grpc", "jax", "matplotlib", "pandas", "regex", "rich"],
    *["faiss", "rouge_score", "sacrebleu"],
    *["huggingface_hub", "safetensors", "scipy", "sklearn", "tensorboard"],
    *["tensorflow_datasets", "tensorflow_text", "torch", "transformers"],
    *["uharfbuzz"],
]


def collect_modules():
    """Dotted name -> file, for every module of every room."""
    found = {}
    for package, folder in ROOMS.items():
        for file in (ROOT / folder).rglob("*.py"):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            found[".".join((package, *parts))] = file
    return found


MODULES = collect_modules()


def room_of(name):
    """The room that a dotted name lives in, or None for other packages."""
    rooms = [r for r in ROOMS if f"{name}.".startswith(f"{r}.")]
    return max(rooms, key=len, default=None)


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def statements(tree, at_import):
    """All nodes, or those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if at_import:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from node.decorator_list
                continue
            if isinstance(node, ast.Lambda) or is_type_checking(node):
                continue
        yield node
        yield from statements(node, at_import)


def absolute(node, name):
    """The module that a `from` statement in module `name` starts from."""
    if not node.level:
        return node.module
    is_package = MODULES[name].name == "__init__.py"
    parts = name.split(".")
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def imports(name, at_import=False):
    """Dotted names that module `name` imports.

    `from a import b` counts as `a.b` where that is a module of ours, else as
    `a`; `import_module("a")` and the renderers' `load("a")` count too.
    """
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    for node in statements(tree, at_import):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = absolute(node, name)
            for alias in node.names:
                inner = f"{start}.{alias.name}"
                yield inner if inner in MODULES else start
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).removeprefix("importlib.")
            known = called in ("import_module", "__import__", "load")
            if known and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value


def top(name):
    return name.split(".")[0]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_directions(name):
    room = room_of(name)
    for target in imports(name):
        other = room_of(target)
        if other:
            assert other in MAY_IMPORT[room], f"{name} imports {target}"
        else:
            assert top(target) != "tests", f"{name} imports {target}"
            # The folders' own names reach ours only from the repository.
            assert top(target) not in ROOMS.values(), f"{name}: {target}"
            never = NEVER.get(room, set())
            if GRAPH.fullmatch(name):
                never = never - {"tensorflow"}
            if name == TORCH_FILES:
                never = never - {"torch"}
            if name in BACKEND_FORMS:
                never = never - {"tensorflow", "jax", "torch"}
            assert top(target) not in never, f"{name}: {target}"


def loaded_with(name):
    """Modules of ours and others that `import name` loads, read statically."""
    ours, others, todo = set(), {}, [name]
    while todo:
        module = todo.pop()
        parts = module.split(".")
        todo += [
            parent
            for parent in (".".join(parts[:n]) for n in range(1, len(parts)))
            if parent not in ours
        ]
        if module in ours or module not in MODULES:
            continue
        ours.add(module)
        for target in imports(module, at_import=True):
            if room_of(target):
                todo.append(target)
            else:
                others.setdefault(top(target), module)
    return ours, others


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_loads_only_light_packages(room):
    _, others = loaded_with(room)
    heavy = {
        package: module
        for package, module in others.items()
        if package not in LIGHT and package not in sys.stdlib_module_names
    }
    assert not heavy, f"import {room} loads (package: by module) {heavy}"


def requirements():
    """Names of all packages that setup.cfg asks for, extras included."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    texts = [parser["options"]["install_requires"]]
    texts += parser["options.extras_require"].values()
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return {re.match(r"[\w.-]+", line)[0] for line in lines if line}


def test_every_imported_package_is_required_and_explained():
    known = requirements()
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    assert [name for name in known if f"`{name}`" not in page] == []
    for name in MODULES:
        for target in map(top, imports(name)):
            if target in ROOMS or target in sys.stdlib_module_names:
                continue
            package = INDEX_NAMES.get(target, target)
            package = CARRIED.get(package, package)
            # The index takes both for the same.
            names = {package, package.replace("_", "-")}
            assert names & known, f"{name} imports {target}"


PROBE = """
import json, sys, time
import keras
before = set(sys.modules)
found = {}
for name in json.loads(sys.argv[1]):
    start = time.process_time()
    __import__(name)
    seconds = time.process_time() - start
    new = sorted(set(sys.modules) - before)
    found[name] = [seconds, new, sys.modules[name].__file__]
print(json.dumps(found))
"""


def import_all(folder):
    """Room -> (seconds, modules beyond keras' own, file), in a new process."""
    names = json.dumps([CORE, RENDERERS, TASKS, SAVED, TRAINING])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, names],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_imports_are_fast_light_silent_and_ours(tmp_path):
    """Each room, after keras and the rooms before it, in a new process.

    It runs in a folder where a user keeps packages named as our rooms.
    """
    for folder in ROOMS.values():
        if folder != CORE:
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "__init__.py").write_text("OWN = True\n")
    best = dict.fromkeys(ROOMS, float("inf"))
    for _ in range(3):
        for name, (seconds, new, file) in import_all(tmp_path).items():
            assert not set(new) & set(HEAVY), f"{name}: {set(new) & set(HEAVY)}"
            assert not pathlib.Path(file).is_relative_to(tmp_path), name
            best[name] = min(seconds, best[name])
        if max(best.values()) < 0.5:
            break
    assert max(best.values()) < 0.5, best
