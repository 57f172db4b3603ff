"""Run by path in a new process: loads a SavedModel and runs a signature.

Imports nothing but tensorflow and numpy, nothing of this package.
"""

import json
import sys


def main(job):
    """Runs `job` (path, signature, inputs, outputs: names of files)."""
    for name in ("keras", "tf_keras", "pixmodels"):
        sys.modules[name] = None  # An import of it fails from here on.
    import numpy as np
    import tensorflow as tf

    model = tf.saved_model.load(job["path"])
    if job["signature"] not in model.signatures:
        raise SystemExit(
            f"no signature {job['signature']!r} among "
            f"{sorted(model.signatures)}"
        )
    run = model.signatures[job["signature"]]
    with np.load(job["inputs"]) as file:
        inputs = {name: tf.constant(file[name]) for name in file.files}
    outputs = {name: x.numpy() for name, x in run(**inputs).items()}
    np.savez(job["outputs"], **outputs)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
