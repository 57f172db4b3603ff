import re

import keras
import numpy as np
import pytest

from pixmodels import attention
from pixmodels.training import _attention_benchmark
from pixmodels.training import _mixer_cores
from pixmodels.training import _recurrent_benchmark
from pixmodels.training import _sequence_benchmark
from pixmodels.training import main


def run(*more):
    argv = ["benchmark", "sequence", "--rounds", "1", "--lengths", "7,11"]
    return main.main([*argv, *more])


@pytest.mark.slow
def test_command(capsys, monkeypatch):
    monkeypatch.setattr(_sequence_benchmark, "CONTEXTS", (5, 7))
    monkeypatch.setattr(_sequence_benchmark, "_TOKENS", 2)
    assert run("--attention", "ema", "--parts", "core,step") == 0
    out = capsys.readouterr().out
    for words in ("tensorflow", "cores", "N=7", "N=11", "grows as N"):
        assert words in out
    table = out[out.index("tokens before") :]
    assert re.search(r"before +5 +7\n", table)
    for name in ("softmax", "ema"):
        row = re.search(rf"\n{name} .*", table)[0]
        assert len(re.findall(r"\d+\.\d +(graph|XLA)", row)) == 2
        assert re.search(r"last over first x\d+\.\d\d", row)


@pytest.mark.slow
def test_models(capsys):
    sizes = {"width": 6, "heads": 2, "window": 3, "windows": 2}
    timings = _recurrent_benchmark.run(1, **sizes)
    out = capsys.readouterr().out
    assert re.search(r"\nrec_fixed_skip \((graph|XLA)\) .* x\d", out)
    assert len(timings) == 2
    assert timings[0].ratio == 1


@pytest.mark.slow
def test_a_step_of_a_model_trains_it():
    sizes = {"num_heads": 2, "head_dim": 3, "mlp_dim": 7, "window": 3}
    call = _recurrent_benchmark.step_caller(
        "rec_fixed_skip", {**sizes, "num_layers": 3}, (1, 6, 6), False
    )
    losses = [call() for _ in range(5)]
    assert losses[-1] < losses[0]


def test_what_the_command_refuses(capsys):
    assert run("--parts", "cores") == 2
    assert "Expected parts among core, step, model" in capsys.readouterr().err
    assert run("--attention", "emma") == 2
    assert "Did you mean 'ema'?" in capsys.readouterr().err


def test_forms_are_mixers():
    for name, options in _sequence_benchmark.FORMS.values():
        attention.get(name)(2, **options)


@pytest.mark.parametrize(
    ("name", "options", "names"),
    [
        ("mega", {"chunk": 3}, ["dense_value", "dense_gates"]),
        ("spade", {"window": 3}, ["query", "key", "value"]),
        ("ema", {}, []),
        ("gss", {"state_size": 3, "ssm_dim": 2}, ["u_dense", "v_dense"]),
    ],
)
def test_a_core_is_given_what_projections_make(name, options, names):
    keras.utils.set_random_seed(0)
    layer = attention.get(name)(3, **options)
    layer.build((1, 5, 6))
    parts = _mixer_cores.projections(layer)
    assert [part for _, part, _ in parts] == names
    call = _attention_benchmark.caller(
        name, "core", 5, (1, 3, 2), False, options
    )
    function = next(
        cell.cell_contents
        for cell in call.__closure__
        if hasattr(cell.cell_contents, "get_concrete_function")
    )
    rng = np.random.default_rng(3)
    widths = [6, *(units for _, _, units in parts)]
    given = [
        rng.normal(size=(1, 5, width)).astype("float32") for width in widths
    ]
    before = np.asarray(function(*given))
    assert before.shape == (1, 5, 6)
    # Nothing that is given is left unused.
    for i in range(int(name == "gss"), len(given)):  # x only makes those
        changed = list(given)
        changed[i] = given[i][:, ::-1]
        found = np.asarray(function(*changed))
        assert np.abs(found - before).max() > 1e-6


def test_steps_are_those_of_the_mixer(monkeypatch):
    monkeypatch.setattr(_sequence_benchmark, "_TOKENS", 3)
    found = _sequence_benchmark.step_caller(
        "ema", {"causal": True}, 5, (1, 3, 2), False
    )()
    keras.utils.set_random_seed(0)
    layer = attention.get("ema")(3, causal=True)
    layer.build((1, 8, 6))
    rng = np.random.default_rng(0)
    cache = {"state": np.float32(rng.normal(size=(1, 6, 16)) * 0.1)}
    x = rng.normal(size=(1, 6)).astype("float32")
    token = x
    for index in range(5, 8):
        y, cache = layer.step(token, cache, index)
        token = x + np.tanh(y)
    assert found == pytest.approx(float(token[0, 0]), abs=1e-5)
