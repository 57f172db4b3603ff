import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from pixmodels.training import launch

SLEEP = "import time; time.sleep(300)"
# Runs `launch.Processes` over the programs in its arguments.
LAUNCH = (
    "import sys; from pixmodels.training import launch as l; p = sys.argv[1:];"
    "sys.exit(l.Processes([[sys.executable, '-c', x] for x in p], "
    "l.environments(len(p))).wait())"
)


def start(*programs):
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, *programs],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_alive(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_environments():
    first, second = launch.environments(2)
    configs = [json.loads(e["TF_CONFIG"]) for e in (first, second)]
    assert configs[0]["cluster"] == configs[1]["cluster"]
    assert len(set(configs[0]["cluster"]["worker"])) == 2
    assert [c["task"]["index"] for c in configs] == [0, 1]
    assert first["PATH"] == os.environ["PATH"]


def test_lines_are_numbered():
    program = (
        "import json, os, sys; t = json.loads(os.environ['TF_CONFIG'])['task'];"
        "print('out', t['index']); print('err', t['index'], file=sys.stderr)"
    )
    process = start(program, program)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert sorted(out.splitlines()) == ["[0] out 0", "[1] out 1"]
    assert sorted(err.splitlines()) == ["[0] err 0", "[1] err 1"]


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        ("sys.exit(7)", 7, "worker 1 ended with status 7"),
        ("os.kill(os.getpid(), 9)", 137, "worker 1 ended by signal SIGKILL"),
    ],
)
def test_first_failure_ends_all(monkeypatch, end, status, words):
    # The other one ignores SIGTERM and has a child: both must go.
    stubborn = (
        "import os, signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"c = subprocess.Popen([sys.executable, '-c', '{SLEEP}']);"
        "print(os.getpid(), c.pid, flush=True); time.sleep(300)"
    )
    process = start(stubborn, f"import os, sys, time; time.sleep(1); {end}")
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert words in err
    pids = [int(pid) for pid in out.split()[1:]]
    assert len(pids) == 2
    wait_for(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on(number):
    program = (
        "import signal, sys, time;"
        "stop = lambda n, f: (print('got', n, flush=True), sys.exit(n));"
        "signal.signal(15, stop); signal.signal(2, stop);"
        "print('ready', flush=True); time.sleep(300)"
    )
    process = start(program, program)
    lines = [process.stdout.readline() for _ in range(2)]
    assert sorted(lines) == ["[0] ready\n", "[1] ready\n"]
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == number
    assert sorted(out.splitlines()) == [f"[{i}] got {number}" for i in (0, 1)]


def test_nobody_outlives_a_killed_launcher():
    program = (
        "import os, time; from pixmodels.training import launch;"
        "launch.die_with(os.getppid());"
        "print(os.getpid(), flush=True); time.sleep(300)"
    )
    process = start(program, program)
    pids = [int(process.stdout.readline().split()[1]) for _ in range(2)]
    assert all(map(is_alive, pids))
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Received: none"),
        (["--", "render", "x"], "pretrain or finetune. Received: render x"),
        (["pretrain", "--strategy", "mirrored"], "--strategy mirrored"),
        (["pretrain", "--strategy=none"], "--strategy none"),
    ],
)
def test_bad_commands(arguments, message):
    with pytest.raises(ValueError, match=message):
        launch.run(arguments)
    with pytest.raises(ValueError, match="--workers 0"):
        launch.run(["pretrain"], 0)
