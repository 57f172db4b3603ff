"""Settings of the whole suite: backend, threads, hypothesis, no network.

Here too: the fixture `shared`, which finds reference numbers outside the
repository. Everything above the imports of pytest must come before keras.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread for each worker: two workers then share two cores in peace.
    # (The inter-op pool stays as it is: collectives would wait for ever.)
    for _name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
    ):
        os.environ.setdefault(_name, "1")

import gc
import ipaddress
import pathlib
import socket

import hypothesis
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile(
    "pixmodels", derandomize=True, deadline=None, print_blob=True
)
hypothesis.settings.load_profile("pixmodels")

_connect = socket.socket.connect


def _connect_locally(self, address):
    """Stands in for `socket.connect`; refuses every other machine."""
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = address[0]
        try:
            local = ipaddress.ip_address(host).is_loopback
        except ValueError:
            local = host == "localhost"
        if not local:
            raise RuntimeError(
                "expected no use of the network in tests. "
                f"Received: address={address!r}"
            )
    return _connect(self, address)


socket.socket.connect = _connect_locally


def pytest_collection_finish():
    """What libraries made when they were imported stays: nobody looks again.

    A collection of garbage goes through all of it otherwise, and keras asks
    for one whenever a weight is replaced.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def root():
    """The repository's root, a `pathlib.Path`."""
    return ROOT


@pytest.fixture(scope="session")
def fixtures():
    """The folder of golden numbers that stand in the repository."""
    return ROOT / "tests" / "fixtures"


@pytest.fixture(scope="session")
def shared():
    """A function from a relative path to a file or folder of references.

    `shared("fixtures/pixel")` gives a `pathlib.Path`, or skips the test with
    the reason where there is none. The folder is the environment variable
    PIXMODELS_SHARED, by default `../shared` beside the repository.
    """
    base = pathlib.Path(os.environ.get("PIXMODELS_SHARED", ROOT / "../shared"))

    def find(path):
        found = base / path
        if not found.exists():
            pytest.skip(
                f"reference {path!r} is not in {base} (set PIXMODELS_SHARED)"
            )
        return found.resolve()

    return find
