"""Ways of getting batches out of worker processes, side by side.

Run: python docs/worker_transfer.py. Each way moves the same batches, which
cost nothing to make, from one process; rounds are interleaved.
"""

import importlib
import multiprocessing
import statistics
import sys
import time

import numpy as np

from pixmodels.training import WorkerPool

SHAPE = (64, 16, 16 * 529)  # A quarter of a batch of PIXEL's, 8.3 MiB.
BATCHES, ROUNDS = 24, 5


class Source:
    """Makes a batch of a number."""

    def __init__(self):
        self._pixels = np.zeros(SHAPE, np.uint8)

    def batch(self, number):
        """A batch that names its number."""
        pixels = self._pixels.copy()
        pixels[:, 0, 0] = number
        return {"pixels": pixels, "id": np.arange(SHAPE[0])}

    def __reduce__(self):
        return Source, ()


def shared(source):
    """Our pool: arrays in memory that both processes map."""
    with WorkerPool(source, 1) as pool:
        tickets = [pool.submit("batch", k) for k in range(4)]
        for number in range(BATCHES + 4):
            batch = pool.result(tickets[number])
            tickets.append(pool.submit("batch", number + 4))
            yield batch


def send(connection, source):
    """What the process of `pickled` does."""
    for number in range(BATCHES + 4):
        connection.send(source.batch(number))


def pickled(source):
    """A pipe of multiprocessing: arrays are pickled and written."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=send, args=(theirs, source))
    process.start()
    for _ in range(BATCHES + 4):
        yield ours.recv()
    process.join()


def by_grain(source):
    """Grain's worker processes."""
    import grain

    steps = grain.MapDataset.range(BATCHES + 4).map(source.batch)
    options = grain.MultiprocessingOptions(
        num_workers=1, per_worker_buffer_size=4
    )
    yield from steps.to_iter_dataset().mp_prefetch(options)


def main():
    """Prints milliseconds of a batch."""
    ways = {"shared memory": shared, "pickled": pickled, "grain": by_grain}
    times = {name: [] for name in ways}
    starts = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            begin = time.perf_counter()
            batches = way(importlib.import_module("worker_transfer").Source())
            for _ in range(4):
                batch = next(batches)
            starts[name].append(time.perf_counter() - begin)
            begin = time.perf_counter()
            for number, batch in enumerate(batches, 4):
                if batch["pixels"][0, 0, 0] != number:
                    sys.exit(f"{name}: another order")
            times[name].append((time.perf_counter() - begin) / BATCHES)
    first = times["shared memory"]
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, first)]
        print(
            f"{name:14}{1e3 * statistics.median(values):8.1f} ms a batch  "
            f"x{statistics.median(ratios):.2f} "
            f"[{min(ratios):.2f}..{max(ratios):.2f}]  started in "
            f"{statistics.median(starts[name]):.1f} s"
        )


if __name__ == "__main__":
    main()
