"""The wheel holds every package, works away from the repository, and says so.

PIXEL's own wheel is empty; a list of packages written by hand is how that
happens, so the list is compared with the folders here.
"""

import configparser
import json
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOMS = {
    "pixmodels": "pixmodels",
    "pixmodels.renderers": "renderers",
    "pixmodels.tasks": "tasks",
    "pixmodels.training": "training",
    "pixmodels.saved_models": "saved_models",
}

# Run with the folder of the installed wheel, away from the repository, in a
# folder where a user keeps packages named as our rooms. The hook of an
# editable install is taken out: it would lend what the wheel forgot.
PROBE = """
import importlib, importlib.metadata, json, sys
site, user = sys.argv[1:3]
hooked = lambda f: getattr(f, "__module__", "").startswith("__editable__")
sys.meta_path[:] = [f for f in sys.meta_path if not hooked(f)]
sys.path[:0] = [site, user]
names = json.loads(sys.argv[3])
files = {n: importlib.import_module(n).__file__ for n in names}
[found] = importlib.metadata.distributions(name="pixmodels", path=[site])
[script] = found.entry_points.select(group="console_scripts")
files["script"] = script.load().__code__.co_filename
import tasks
files["tasks"] = tasks.__file__
print(json.dumps([script.name, files]))
"""


def read_setup(root):
    parser = configparser.ConfigParser()
    parser.read(root / "setup.cfg", encoding="utf-8")
    return parser


def listed_packages(root):
    return read_setup(root)["options"]["packages"].split()


def packages_on_disk(root):
    """Dotted names of all folders of the rooms that hold a Python file."""
    found = set()
    for package, folder in ROOMS.items():
        for file in (root / folder).rglob("*.py"):
            inner = file.parent.relative_to(root / folder).parts
            found.add(".".join((package, *inner)))
    return found


def modules_in_wheel_form(root):
    """Paths inside the wheel of all Python files of the rooms."""
    found = set()
    for package, folder in ROOMS.items():
        for file in (root / folder).rglob("*.py"):
            inner = file.relative_to(root / folder).as_posix()
            found.add(f"{package.replace('.', '/')}/{inner}")
    return found


def run(*command, cwd):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    """A wheel built from a copy, so that no stale build/ folder is in it."""
    copy = tmp_path_factory.mktemp("source")
    for file in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (root / file).exists():
            shutil.copy(root / file, copy)
    no_cache = shutil.ignore_patterns("__pycache__")
    for folder in ROOMS.values():
        shutil.copytree(root / folder, copy / folder, ignore=no_cache)
    pip = [sys.executable, "-m", "pip", "wheel", ".", "-q", "-w", "wheels"]
    run(*pip, "--no-deps", "--no-build-isolation", cwd=copy)
    [built] = (copy / "wheels").glob("*.whl")
    return built


def test_the_list_of_packages_equals_the_folders(root):
    listed = listed_packages(root)
    assert len(listed) == len(set(listed))
    assert set(listed) == packages_on_disk(root)


def test_every_package_has_an_init_with_a_short_docstring(root):
    for name in listed_packages(root):
        room = max(
            (r for r in ROOMS if f"{name}.".startswith(f"{r}.")), key=len
        )
        inner = name[len(room) :].replace(".", "/").strip("/")
        init = root / ROOMS[room] / inner / "__init__.py"
        assert init.exists(), f"{init} is missing"
        match = re.match(r'"""(.*?)"""', init.read_text("utf-8"), re.DOTALL)
        assert match, f"{init} has no docstring"
        lines = [line for line in match[1].splitlines() if line.strip()]
        assert len(lines) <= 6, init


def test_the_mapping_is_that_of_the_rooms(root):
    lines = read_setup(root)["options"]["package_dir"].strip().splitlines()
    assert dict(re.split(r"\s*=\s*", line) for line in lines) == ROOMS


def test_the_wheel_holds_every_module_and_nothing_else(root, wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {n for n in names if n.endswith(".py")} == modules_in_wheel_form(
        root
    )
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"pixmodels"}
    assert any(name.endswith("LICENSE") for name in names)


def test_the_wheel_works_away_from_the_repository(root, wheel, tmp_path):
    site, user = tmp_path / "site", tmp_path / "user"
    run(
        *[sys.executable, "-m", "pip", "install", "-q", "--no-deps"],
        *["--target", site, wheel],
        cwd=tmp_path,
    )
    for folder in ROOMS.values():  # a user's own tasks/, training/, ...
        if folder != "pixmodels":
            (user / folder).mkdir(parents=True)
            (user / folder / "__init__.py").write_text("OWN = True\n")
    packages = json.dumps(listed_packages(root))
    out = run(sys.executable, "-I", "-c", PROBE, site, user, packages, cwd=user)
    name, files = json.loads(out.splitlines()[-1])
    assert name == "pixmodels"
    own = pathlib.Path(files.pop("tasks"))
    assert own == user / "tasks" / "__init__.py"
    for module, file in files.items():
        assert pathlib.Path(file).is_relative_to(site), (module, file)
