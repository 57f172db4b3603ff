"""Many texts through a model: sorted, drawn, read, in the order given.

Here: the plan of batches, cutting padding, the progress bar, warnings. Not
here: what an answer is made of (the tasks)."""

import contextlib
import sys
import warnings

import keras
import numpy as np
from keras import ops

from pixmodels import patches

_WHITE = 255
_NAMED = 10


def listed(texts):
    """One text as a list of one."""
    return [texts] if isinstance(texts, str) else list(texts)


def read(model, texts, renderer, *, batch_size, buckets, progress, compiled):
    """Draws and reads texts.

    Args:
        model: `TextTask`.
        texts, renderer, batch_size, buckets, progress, compiled: as
            `PooledTextTask.predict_texts`.

    Yields:
        (indices (b,), RenderedBatch of these texts, outputs of the model with
        arrays for tensors).
    """
    check_renderer(model, renderer)
    if batch_size < 1:
        raise ValueError(
            f"Expected batch_size >= 1. Received: batch_size={batch_size}."
        )
    if not texts:
        return
    buckets = padding_buckets(model, buckets)
    plan = _plan(model, renderer, texts, batch_size, buckets)
    cut, done = [], 0
    with display(progress, len(texts), len(plan)) as show:
        for indices, length in plan:
            drawn = _draw(renderer, [texts[i] for i in indices], length)
            cut += [i for i, x in zip(indices, drawn.truncated) if x]
            inputs = inputs_of(model, drawn, length)
            rows = batch_size if compiled else None
            yield indices, drawn, run(model, inputs, rows)
            done += len(indices)
            show(done, len(texts))
    warn_of_cuts(sorted(cut))


def check_renderer(model, renderer):
    """Refuses a renderer whose patches are not the backbone's."""
    size = renderer.patch_size
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if sides != tuple(model.backbone.patch_size):
        raise ValueError(
            "Expected a renderer with patches of "
            f"{model.backbone.patch_size}. Received: "
            f"renderer.patch_size={size}."
        )


def padding_buckets(model, buckets):
    """The lengths to read at: the model's only one where padding counts."""
    if buckets is None:
        buckets = patches.BUCKETS
    buckets = tuple(buckets)
    if not buckets or buckets[0] < 1 or np.any(np.diff(buckets) <= 0):
        raise ValueError(
            "Expected positive bucket lengths in rising order. Received: "
            f"buckets={buckets}."
        )
    reason = model.depends_on_padding()
    if reason is None:
        return buckets
    warnings.warn(
        f"Padding is computed, too: {reason}. Every text is read at the "
        f"backbone's full length of {model.length_of()} patches.",
        stacklevel=4,
    )
    return (model.length_of(),)


def inputs_of(model, drawn, length):
    """The model's inputs of a `RenderedBatch`, `length` patches wide."""
    missing = length * drawn.patch_width - drawn.pixels.shape[2]
    pixels = drawn.pixels
    if missing > 0:
        widths = [(0, 0)] * pixels.ndim
        widths[2] = (0, missing)
        pixels = np.pad(pixels, widths, constant_values=_WHITE)
    inputs = {"pixels": pixels, "num_patches": drawn.num_patches}
    inputs.update(model.inputs_of_words(drawn))
    return inputs


def run(model, inputs, rows=None):
    """Outputs of a batch as numpy arrays.

    Args:
        model: `TextTask`.
        inputs: dict of arrays.
        rows: None to run eagerly; an int to run the compiled function, which
            gets this many rows (the last is repeated), so that it is compiled
            once for each width.
    """
    if rows is None:
        outputs = model(inputs, training=False)
        return keras.tree.map_structure(ops.convert_to_numpy, outputs)
    count = len(inputs["pixels"])
    places = np.minimum(np.arange(rows), count - 1)
    filled = {name: array[places] for name, array in inputs.items()}
    outputs = model.predict_on_batch(filled)
    return keras.tree.map_structure(lambda array: array[:count], outputs)


def warn_of_cuts(cut):
    """Names the texts that were cut, if any."""
    if not cut:
        return
    more = f" and {len(cut) - _NAMED} more" if len(cut) > _NAMED else ""
    warnings.warn(
        f"Texts {[int(i) for i in cut[:_NAMED]]}{more} are longer than the "
        "model reads and were cut.",
        stacklevel=4,
    )


def _plan(model, renderer, texts, batch_size, buckets):
    """[(indices, length in patches)], longest first."""
    most = model.length_of()
    widths = np.minimum(renderer.widths(texts), most)
    # The longest first: what memory is needed shows at once.
    order = np.argsort(-widths, kind="stable")
    lengths = [min(patches.bucket_of(w, buckets), most) for w in widths[order]]
    starts, plan = [0], []
    for place in range(1, len(order) + 1):
        end = place == len(order)
        if (
            end
            or lengths[place] != lengths[place - 1]
            or place - starts[-1] == batch_size
        ):
            plan.append((order[starts[-1] : place], lengths[place - 1]))
            starts.append(place)
    return plan


def _draw(renderer, texts, length):
    length = max(2, min(length, renderer.max_patches))
    return renderer(texts, num_patches=length)


@contextlib.contextmanager
def display(progress, texts, batches):
    """Yields a function of (done, total)."""
    if progress is not None:
        yield progress
        return
    if batches < 2 or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("texts", total=texts)
        yield lambda done, total: bar.update(task, completed=done)
