import importlib.util
import re
import sys

import numpy as np
import pytest

from pixmodels.training import _attention_benchmark
from pixmodels.training import _peak_memory
from pixmodels.training import _peer_benchmark
from pixmodels.training import main

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="the system does not tell"
)


@linux
def test_grown_by_what_is_allocated():
    size = 64 * 2**20

    def call():
        assert np.ones(size, np.uint8).sum() == size

    # Twice: what was freed does not hide what comes again. The kernel counts
    # pages per processor and adds them up now and then.
    for _ in range(2):
        found = _peak_memory.grown_by(call)
        assert 0.99 * size <= found <= 1.2 * size
    assert _peak_memory.grown_by(lambda: None) < size / 8
    assert _peak_memory.free() > size


def bench(times, memory=2**20, budget=60.0):
    """A bench with given seconds of the core: dict from length to seconds."""
    candidates = {"softmax": ("softmax", {})}
    found = _attention_benchmark.Bench(candidates, (1, 1, 1), 1, budget)
    for length, seconds in times.items():
        for kind in _attention_benchmark.KINDS:
            cell = _attention_benchmark.Cell([seconds], "XLA", memory)
            found.cells["softmax", kind, length] = cell
        found._lengths.append(length)
    return found


def test_growth_is_the_exponent_from_4096_on():
    times = {512: 3.0, 1024: 3.0}
    times.update({n: 1e-7 * n**1.5 for n in (4096, 8192, 32768)})
    assert bench(times).growth("softmax", "core") == pytest.approx(1.5)
    short = {n: 1e-7 * n**1.25 for n in (128, 512)}
    assert bench(short).growth("softmax", "core") == pytest.approx(1.25)
    assert bench({128: 1.0}).growth("softmax", "core") is None


def test_calls_beyond_the_budget_are_left_out():
    found = bench({1000: 1.0, 2000: 4.0}, budget=17.0)
    assert found._too_much("softmax", "core", 4000) is None  # 16 s
    assert "about 36 s" in found._too_much("softmax", "core", 6000)
    # A length that was left out says nothing; the longest measured one does.
    found.cells["softmax", "core", 6000] = _attention_benchmark.Cell()
    found._lengths.append(6000)
    assert "about 64 s" in found._too_much("softmax", "core", 8000)
    # Overheads of short lengths do not make growth less than linear.
    found = bench({1000: 1.0, 2000: 1.0}, budget=17.0)
    assert found._too_much("softmax", "core", 30000) is None
    assert "about 20 s" in found._too_much("softmax", "core", 40000)


def test_lengths_at_which_nothing_is_measured():
    found = bench({1000: 1.0, 2000: 4.0}, budget=17.0)
    found.measure(6000)
    cell = found.cells["softmax", "core", 6000]
    assert cell.median is None
    assert "about 36 s" in cell.reason


@linux
def test_calls_beyond_the_memory_are_left_out():
    found = bench({1000: 1e-3, 2000: 4e-3}, memory=_peak_memory.free())
    assert "GiB" in found._too_much("softmax", "core", 4000)


def test_a_core_is_the_mixer_without_its_projections():
    """local in one window over all: softmax(q k' / sqrt E) v, head by head."""
    call = _attention_benchmark.caller(
        "local", "core", 5, (1, 3, 2), False, {"window": 5}
    )
    function = next(
        cell.cell_contents
        for cell in call.__closure__
        if hasattr(cell.cell_contents, "get_concrete_function")
    )
    q, k, v = np.random.default_rng(7).normal(size=(3, 1, 5, 6))
    found = function(*(x.astype("float32") for x in (q, k, v))).numpy()
    for head in range(3):
        part = slice(2 * head, 2 * head + 2)
        logits = q[0, :, part] @ k[0, :, part].T / 2**0.5
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        expected = weights @ v[0, :, part]
        np.testing.assert_allclose(found[0, :, part], expected, atol=1e-6)


def run(*more):
    names = ["--attention", "fnet"]
    return main.main(["benchmark", "attention", *names, *more, "--rounds", "1"])


@pytest.mark.slow
def test_command(capsys, tmp_path):
    picture = tmp_path / "times.png"
    argv = ("--lengths", "7,11", "--plot", str(picture))
    assert run(*argv) == 0
    out = capsys.readouterr().out
    for words in ("tensorflow", "cores", "N=7", "N=11", "grows as N"):
        assert words in out
    for name in ("softmax", "fnet"):
        row = re.search(rf"\n{name} .*", out)[0]
        assert len(re.findall(r"\(x\d+\.\d\d\)", row)) == 4
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_the_command_refuses(capsys):
    assert run("--lengths", "7", "--kinds", "cores") == 2
    assert "Expected kinds among core," in capsys.readouterr().err
    assert run("--lengths", "11,7") == 2
    assert "ascending" in capsys.readouterr().err
    argv = ["benchmark", "attention", "--attention", "sofmax"]
    assert main.main(argv) == 2
    assert "sofmax" in capsys.readouterr().err
    argv = ["benchmark", "attention", "--peers", "--attention", "fnet"]
    assert main.main(argv) == 2
    assert "with a package to compare" in capsys.readouterr().err


@pytest.mark.parity
@pytest.mark.parametrize("name", _peer_benchmark.PEERS)
def test_beside_a_peer(name, capsys):
    from pixmodels import attention

    package, module, _ = _peer_benchmark.PEERS[name]
    if name not in attention.names():
        pytest.skip(f"{name} is not registered")
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{package} is not installed")
    # BigBird of fewer than 11 blocks is full attention.
    _peer_benchmark.run([name], [1024], rounds=1, heads=2, head_dim=16, batch=1)
    assert re.search(rf"{name} .* ms  {package} .*x\d", capsys.readouterr().out)
