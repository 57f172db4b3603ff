"""Batches in groups that one call of the device works off.

Not here: where batches come from (`prefetcher`), what is done with them
(`trainer`).
"""


def step_groups(batches, config):
    """Groups the batches of successive steps.

    `config.steps_per_loop` batches of equal names, shapes and dtypes make a
    group if none but its last step is one after which something is logged,
    evaluated, drawn or saved. All others come alone: a device compiles one
    loop, and what is done every N steps is done after the same steps.

    Args:
        batches: a `Prefetcher`, or another iterator of `(step, batch)` with
            `waited`, the seconds that its last batch took.
        config: `TrainConfig`.

    Yields:
        `(step, group, waited)`: the first step, a list of batches, and the
        seconds waited for them.
    """
    size, marks = config.steps_per_loop, _marks(config)
    held, waited, shape = [], 0.0, None
    for step, batch in batches:
        found = _shape(batch)
        if held and found != shape:
            yield from _alone(held, waited)
            held, waited = [], 0.0
        shape = found
        held.append((step, batch))
        waited += batches.waited
        if len(held) == size:
            yield held[0][0], [batch for _, batch in held], waited
            held, waited = [], 0.0
        elif any((step + 1) % mark == 0 for mark in marks):
            yield from _alone(held, waited)
            held, waited = [], 0.0
    yield from _alone(held, waited)


def _alone(held, waited):
    for step, batch in held:
        yield step, [batch], waited / len(held)


def _marks(config):
    marks = (
        config.log_every,
        config.eval_every,
        config.checkpoint_every,
        config.picture_every,
    )
    return [mark for mark in marks if mark]


def _shape(batch):
    return [(k, tuple(a.shape), str(a.dtype)) for k, a in sorted(batch.items())]
