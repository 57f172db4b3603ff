"""Who the processes of a run are and where: `TF_CONFIG` or Slurm.

Reads the environment and waits until all processes are there; TensorFlow is
imported for Slurm only. Not here: the strategy (`strategies`), what the
processes agree on (`team`).
"""

import contextlib
import dataclasses
import errno
import json
import os
import re
import socket
import time

JOBS = ("chief", "worker")
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
# Seconds between looks at those that are missing, and for one answer.
_PAUSE, _ANSWER = 0.2, 2.0
# Slurm jobs that share a node get ports of their own: 32 for each job.
_SLURM_PORT, _SLURM_JOBS, _SLURM_TASKS = 16384, 500, 32


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train one model, and which of them this one is.

    Attributes:
        jobs: dict from job, `chief` or `worker`, to its tasks' addresses,
            `host:port`. The chief writes; without one it is worker 0.
        job: the job of this process.
        task: int, the place of this process in its job.
        source: str, where this was read, for messages.
    """

    jobs: dict
    job: str
    task: int
    source: str

    @property
    def names(self):
        """`chief 0`, `worker 0`, ...: every process, in their order."""
        return [f"{j} {i}" for j in JOBS for i in range(len(self._of(j)))]

    @property
    def addresses(self):
        """`host:port` of every process, in the order of `names`."""
        return [address for job in JOBS for address in self._of(job)]

    @property
    def index(self):
        """int, the place of this process in `names`; the chief is 0."""
        return self.names.index(f"{self.job} {self.task}")

    def resolver(self):
        """A `tf.distribute.cluster_resolver.ClusterResolver` that says this."""
        import tensorflow as tf

        resolvers = tf.distribute.cluster_resolver
        gpus = len(tf.config.list_physical_devices("GPU"))
        return resolvers.SimpleClusterResolver(
            tf.train.ClusterSpec(self.jobs),
            task_type=self.job,
            task_id=self.task,
            num_accelerators={"GPU": gpus} if gpus else {},
            rpc_layer="grpc",
        )

    def wait(self, timeout, note=lambda text: None):
        """Waits until every process listens at its address.

        TensorFlow itself waits for a process that never comes for an hour,
        and then names none. So each listens at its own address, which is
        still free, until it has reached all others.

        Args:
            timeout: seconds.
            note: function of a text, told who is missing after a while.

        Raises:
            TimeoutError: if some did not come; names, addresses and reasons
                are listed.
            ValueError: if the address of this process is taken.
        """
        begin = time.monotonic()
        missing = dict(zip(self.names, self.addresses))
        own = missing.pop(self.names[self.index])
        told = False
        with self._listen(own):
            while True:
                reasons = {name: refusal(a) for name, a in missing.items()}
                missing = {n: a for n, a in missing.items() if reasons[n]}
                if not missing:
                    return
                waited = time.monotonic() - begin
                absent = ", ".join(
                    f"{name} at {address} ({reasons[name]})"
                    for name, address in missing.items()
                )
                if waited > timeout:
                    raise TimeoutError(
                        f"Expected all {len(self.names)} processes of "
                        f"{self.source} within {timeout:g} s "
                        "(train.worker_timeout). Received: no answer from "
                        f"{absent}"
                    )
                if not told and waited > min(10.0, timeout / 2):
                    told = True
                    note(f"waiting for {absent}")
                time.sleep(_PAUSE)

    def _of(self, job):
        return self.jobs.get(job, ())

    @contextlib.contextmanager
    def _listen(self, address):
        port = int(address.rpartition(":")[2])
        ipv6 = socket.has_dualstack_ipv6()
        try:
            listener = socket.create_server(
                ("", port),
                family=socket.AF_INET6 if ipv6 else socket.AF_INET,
                dualstack_ipv6=ipv6,
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise ValueError(
                f"Expected port {port} to be free for {self.job} {self.task} "
                f"of {self.source}; does another process of the run still "
                f"live? Received: address={address!r}, in use"
            ) from error
        with listener:
            yield


def from_environment(environ=None):
    """The `Cluster` of this process.

    Args:
        environ: dict of environment variables; the process's by default.
            `TF_CONFIG` comes first, then what `srun` sets.

    Returns:
        A `Cluster`.

    Raises:
        ValueError: if `TF_CONFIG` does not parse, lacks a key or names a task
            outside its cluster; if Slurm's variables do not; if there is
            neither.
    """
    environ = os.environ if environ is None else environ
    if environ.get("TF_CONFIG"):
        return _from_tf_config(environ["TF_CONFIG"])
    if "SLURM_PROCID" in environ and "SLURM_STEP_NODELIST" in environ:
        return _from_slurm(environ)
    raise ValueError(
        "Expected the environment variable TF_CONFIG, such as "
        f"{_EXAMPLE}, or a job step of Slurm (srun); on one machine, "
        "`pixmodels launch --workers 2 -- pretrain ...` sets it. "
        "Received: neither TF_CONFIG nor SLURM_STEP_NODELIST"
    )


def _from_tf_config(text):
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"Expected TF_CONFIG as JSON, such as {_EXAMPLE}. "
            f"Received: TF_CONFIG={text!r}: {error}"
        ) from error
    jobs = _entry(values, "cluster", dict, text)
    task = _entry(values, "task", dict, text)
    for job, addresses in jobs.items():
        _check_job(job, addresses, text)
    everyone = [a for addresses in jobs.values() for a in addresses]
    if len(set(everyone)) != len(everyone):
        raise _bad(text, "no address twice")
    if len(jobs.get("chief", ())) > 1:
        raise _bad(text, "one chief at most")
    job, index = _entry(task, "type", str, text), task.get("index")
    if isinstance(index, str) and index.isdigit():  # as some schedulers do
        index = int(index)
    if type(index) is not int:
        raise _bad(text, "task.index as int")
    if job not in jobs or not 0 <= index < len(jobs[job]):
        tasks = ", ".join(f"{j} 0 to {len(a) - 1}" for j, a in jobs.items())
        raise _bad(text, f"a task of the cluster ({tasks or 'empty'})")
    return Cluster(jobs, job, index, "TF_CONFIG")


def _entry(values, key, kind, text):
    found = values.get(key) if isinstance(values, dict) else None
    if not isinstance(found, kind):
        raise _bad(text, f"the key {key!r} with a {kind.__name__}")
    return found


def _check_job(job, addresses, text):
    if job not in JOBS:
        raise _bad(text, f"the jobs {' and '.join(JOBS)} only")
    if not isinstance(addresses, list) or not all(
        isinstance(a, str) and re.fullmatch(r".+:\d{1,5}", a) for a in addresses
    ):
        raise _bad(text, f"cluster.{job} as a list of 'host:port'")


def _bad(text, expected):
    return ValueError(
        f"Expected TF_CONFIG to have {expected}; an example: {_EXAMPLE}. "
        f"Received: TF_CONFIG={text!r}"
    )


def _from_slurm(environ):
    """One process per Slurm task; TensorFlow's resolver reads the nodes.

    Differs from `SlurmClusterResolver` alone: works without GPUs; sees all
    GPUs that Slurm gives a task (`--gpus-per-task`); orders `n9, n10` as
    Slurm does, not as text; jobs on one node do not share ports.
    """
    import tensorflow as tf

    job = int(environ.get("SLURM_JOB_ID", "0")) % _SLURM_JOBS
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=_SLURM_PORT + job * _SLURM_TASKS,
            # As many as there can be tasks: one each, and none is set.
            gpus_per_node=_SLURM_TASKS,
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
        rank = int(environ["SLURM_PROCID"])
    except (RuntimeError, ValueError, KeyError) as error:
        names = "PROCID STEP_NODELIST STEP_NUM_TASKS STEP_TASKS_PER_NODE"
        received = ", ".join(
            f"SLURM_{n}={environ.get(f'SLURM_{n}')!r}" for n in names.split()
        )
        raise ValueError(
            "Expected the variables of a job step, as srun sets them: "
            f"{error}. Received: {received}"
        ) from error
    addresses = sorted(addresses, key=_natural)
    here = environ.get("SLURMD_NODENAME")
    host = addresses[rank].rpartition(":")[0] if rank < len(addresses) else None
    if host is None or here not in (None, host):
        raise ValueError(
            "Expected tasks in blocks, node by node (srun "
            "--distribution=block); else set TF_CONFIG. Received: "
            f"SLURM_PROCID={rank} on SLURMD_NODENAME={here!r}, tasks at "
            f"{', '.join(addresses)}"
        )
    return Cluster({"worker": addresses}, "worker", rank, "Slurm")


def _natural(text):
    parts = re.split(r"(\d+)", text)
    return [int(part) if part.isdigit() else part for part in parts]


def refusal(address):
    """Why nobody answers at `host:port`; "" if somebody does."""
    host, _, port = address.rpartition(":")
    try:
        place = (host.strip("[]"), int(port))
        socket.create_connection(place, timeout=_ANSWER).close()
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""
