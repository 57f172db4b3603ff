import json
import os
import socket
import threading
import time

import pytest

from pixmodels.training import cluster


def config(jobs, job="worker", index=0):
    task = {"type": job, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": task})}


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def on_loopback(ports, index, source="TF_CONFIG"):
    addresses = [f"127.0.0.1:{port}" for port in ports]
    return cluster.Cluster({"worker": addresses}, "worker", index, source)


def test_tf_config():
    jobs = {"worker": ["b:1", "c:2"], "chief": ["a:5"]}
    found = cluster.from_environment(config(jobs, "worker", 1))
    assert found.names == ["chief 0", "worker 0", "worker 1"]
    assert found.addresses == ["a:5", "b:1", "c:2"]
    assert found.index == 2
    assert cluster.from_environment(config(jobs, "chief")).index == 0
    jobs = {"worker": ["b:1", "c:2"]}
    assert cluster.from_environment(config(jobs, index="0")).index == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{cluster", r"TF_CONFIG as JSON.*TF_CONFIG='\{cluster'"),
        ("[]", "the key 'cluster' with a dict"),
        ('{"cluster": {"worker": ["a:1"]}}', "the key 'task' with a dict"),
        ({"worker": "a:1"}, "cluster.worker as a list of 'host:port'"),
        ({"worker": ["a"]}, "cluster.worker as a list of 'host:port'"),
        ({"worker": ["a:1"], "ps": ["b:1"]}, "jobs chief and worker only"),
        ({"worker": ["a:1", "a:1"]}, "no address twice"),
        ({"chief": ["a:1", "b:1"]}, "one chief at most"),
        ({"chief": ["a:1"]}, r"a task of the cluster \(chief 0 to 0\)"),
        ({}, r"a task of the cluster \(empty\)"),
    ],
)
def test_bad_tf_config(text, message):
    environ = {"TF_CONFIG": text} if isinstance(text, str) else config(text)
    with pytest.raises(ValueError, match=message) as caught:
        cluster.from_environment(environ)
    assert "Received: TF_CONFIG=" in str(caught.value)


@pytest.mark.parametrize("index", [2, -1, "x", 0.5, None])
def test_bad_task(index):
    environ = config({"worker": ["a:1", "b:1"]}, index=index)
    with pytest.raises(ValueError, match="Expected TF_CONFIG to have"):
        cluster.from_environment(environ)


def test_no_environment():
    with pytest.raises(ValueError, match="pixmodels launch --workers 2"):
        cluster.from_environment({})


@pytest.fixture
def slurm(monkeypatch):
    def set_to(**values):
        for name, value in values.items():
            monkeypatch.setenv(f"SLURM_{name}", value)
        return cluster.from_environment(os.environ)

    return set_to


def test_slurm(slurm):
    # Slurm orders n9 before n10; SlurmClusterResolver alone does not.
    found = slurm(
        PROCID="3",
        STEP_NODELIST="n[9-11]",
        STEP_NUM_TASKS="5",
        STEP_TASKS_PER_NODE="2(x2),1",
        JOB_ID="7",
    )
    port = 16384 + 7 * 32
    hosts = ["n9", "n9", "n10", "n10", "n11"]
    offsets = [0, 1, 0, 1, 0]
    assert found.addresses == [
        f"{host}:{port + offset}" for host, offset in zip(hosts, offsets)
    ]
    assert (found.index, found.source) == (3, "Slurm")


def test_bad_slurm(slurm, monkeypatch):
    with pytest.raises(ValueError, match="SLURM_STEP_NUM_TASKS=None"):
        slurm(PROCID="0", STEP_NODELIST="n[9-11]")
    monkeypatch.setenv("SLURMD_NODENAME", "n10")
    with pytest.raises(ValueError, match="SLURM_PROCID=0 on .*'n10'"):
        slurm(STEP_NUM_TASKS="3", STEP_TASKS_PER_NODE="1(x3)")
    with pytest.raises(ValueError, match="Invalid hostlist"):
        slurm(STEP_NODELIST="n[9-")


def test_all_arrive():
    ports = free_ports(3)
    done = []

    def arrive(index):
        time.sleep(0.1 * index)
        on_loopback(ports, index).wait(20)
        # TensorFlow's server takes the port from here on.
        with socket.create_server(("127.0.0.1", ports[index])):
            done.append(index)
            while len(done) < 3:
                time.sleep(0.01)

    threads = [threading.Thread(target=arrive, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == [0, 1, 2]


def test_one_is_missing():
    ports = free_ports(3)
    notes = []
    begin = time.monotonic()
    with socket.create_server(("127.0.0.1", ports[1])):
        with pytest.raises(TimeoutError) as caught:
            on_loopback(ports, 0).wait(0.7, notes.append)
    assert 0.7 < time.monotonic() - begin < 7
    message = str(caught.value)
    assert "all 3 processes of TF_CONFIG within 0.7 s" in message
    assert f"worker 2 at 127.0.0.1:{ports[2]} (" in message
    assert "worker 1" not in message
    assert len(notes) == 1
    assert "waiting for worker 2" in notes[0]


def test_own_port_is_taken():
    ports = free_ports(2)
    with socket.create_server(("", ports[1])):
        with pytest.raises(ValueError, match=f"port {ports[1]} to be free"):
            on_loopback(ports, 1).wait(1)
