"""Does an exported model give the same numbers where only tensorflow is?

Runs a signature in a new process. Serving over the network is not here.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

_CHILD = pathlib.Path(__file__).with_name("_check_child.py")


def check_in_new_process(
    path, inputs, expected, *, signature="serving_default", timeout=300.0
):
    """Loads a SavedModel in a new Python process and compares its outputs.

    The process imports tensorflow and numpy only; an import of keras or
    pixmodels fails there. So the graph has to be complete, and an operation
    that calls back into Python (which exports without a word) is found.

    Args:
        path: folder of the SavedModel.
        inputs: dict name -> array, as the signature takes them.
        expected: dict name -> array, what it should return; other outputs
            are not compared.
        signature: name of the signature.
        timeout: seconds, for the whole process.

    Returns:
        float, the largest absolute difference over all outputs.

    Raises:
        ValueError: for no `expected`, or outputs that are missing or have
            another shape or dtype.
        RuntimeError: if the process fails; the message ends with what it
            wrote.
        TimeoutError: if it takes longer than `timeout`.
    """
    if not expected:
        raise ValueError("Expected outputs to compare. Received: expected={}.")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        np.savez(folder / "inputs.npz", **inputs)
        job = {
            "path": str(pathlib.Path(path).resolve()),
            "signature": signature,
            "inputs": str(folder / "inputs.npz"),
            "outputs": str(folder / "outputs.npz"),
        }
        _run([sys.executable, "-I", str(_CHILD), json.dumps(job)], timeout)
        with np.load(folder / "outputs.npz") as file:
            outputs = {name: file[name] for name in file.files}
    return max(
        _difference(name, np.asarray(value), outputs)
        for name, value in expected.items()
    )


def _run(command, timeout):
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(
            f"Expected the new process to end within {timeout} s. Received: "
            f"command={command}."
        ) from error
    if done.returncode:
        raise RuntimeError(
            "Expected the SavedModel to load and run with tensorflow alone. "
            f"The process ended with {done.returncode}: {done.stderr[-2000:]}"
        )


def _difference(name, expected, outputs):
    if name not in outputs:
        raise ValueError(
            f"Expected an output {name!r}. Received: outputs {sorted(outputs)}."
        )
    output = outputs[name]
    if (output.shape, output.dtype) != (expected.shape, expected.dtype):
        raise ValueError(
            f"Expected {name!r} as {expected.shape} {expected.dtype}. "
            f"Received: {output.shape} {output.dtype}."
        )
    if not expected.size:
        return 0.0
    difference = np.abs(output.astype(np.float64) - expected.astype(np.float64))
    return float(difference.max())
