"""Sources for tests of the pipeline; no keras here, so workers load none."""

import os
import signal
import sys
import time

import numpy as np


class Recorder:
    """A source whose batches are the arguments it got."""

    def __init__(self, size, lengths=None):
        self.size, self.lengths = size, lengths

    def __len__(self):
        return self.size

    def get_batch(self, indices, length, seed, epoch):
        return {
            "example_id": indices.copy(),
            "length": length,
            "seed": seed,
            "epoch": epoch,
        }

    def get_packs(self, groups, length, seed, epoch):
        return {
            "groups": [group.tolist() for group in groups],
            "length": length,
            "seed": seed,
            "epoch": epoch,
        }


class Noise:
    """Arrays of several types, drawn from (seed, epoch, example)."""

    lengths = None

    def __init__(self, size=41, fails_at=None, dies_at=None, sleeps=0.0):
        self.size, self.fails_at, self.dies_at = size, fails_at, dies_at
        self.sleeps = sleeps

    def __len__(self):
        return self.size

    def get_batch(self, indices, length, seed, epoch):
        time.sleep(self.sleeps)
        if self.dies_at in indices:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fails_at in indices:
            raise ValueError(f"Expected a good example. Received: {indices}")
        rows = [
            np.random.Philox(key=[seed, epoch << 32 | int(index + 1)])
            for index in indices
        ]
        bits = np.array([row.random_raw(7) for row in rows])
        return {
            "bits": bits,
            "pixels": bits.view(np.uint8).reshape(len(rows), 7, 8)[:, ::2],
            "half": (bits % 97).astype(np.float16),
            "flags": bits % 2 == 1,
            "none": np.zeros((len(rows), 0), np.float32),
            "name": "noise",
            "flag": np.float32(seed),
        }


class Modules(Noise):
    """Says which modules the process that makes a batch has loaded."""

    def get_batch(self, indices, length, seed, epoch):
        return {"modules": sorted(sys.modules), "pid": os.getpid()}
