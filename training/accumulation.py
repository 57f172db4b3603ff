"""One batch in several parts: gradients summed, nothing averaged twice."""

from keras import ops


def accumulated(compute, batch, parts, like, variables):
    """Sums and gradients of a batch, computed part by part.

    Examples, not means, are summed: the result is that of the whole batch up
    to the order of its terms, in the memory of one part.

    Args:
        compute: function from a part of the batch to (sums, gradients): dict
            from metric to (2,), and a list like `variables`, None where the
            loss does not depend on a variable.
        batch: dict of tensors with equal first axes, a multiple of `parts`.
        parts: int.
        like: dict from metric to an array with the shape and dtype of
            `compute`'s.
        variables: list of `keras.Variable`.

    Returns:
        (sums, gradients) of the whole batch.

    Raises:
        ValueError: if `compute` gives other metrics than `like`.
    """
    if parts == 1:
        return compute(batch)
    split = {
        name: ops.reshape(x, (parts, x.shape[0] // parts, *x.shape[1:]))
        for name, x in batch.items()
    }
    unused = set()

    def add_part(place, carried):
        sums, gradients = carried
        new_sums, new = compute({name: x[place] for name, x in split.items()})
        if set(new_sums) != set(sums):
            raise ValueError(
                f"Expected the metrics {sorted(sums)} of every part. "
                f"Received: {sorted(new_sums)}"
            )
        sums = {name: sums[name] + new_sums[name] for name in sums}
        unused.update(i for i, g in enumerate(new) if g is None)
        gradients = [
            old if g is None else old + g for old, g in zip(gradients, new)
        ]
        return sums, gradients

    start = (
        {name: ops.zeros_like(x) for name, x in like.items()},
        [ops.zeros_like(variable) for variable in variables],
    )
    sums, gradients = ops.fori_loop(0, parts, add_part, start)
    return sums, [
        None if place in unused else g for place, g in enumerate(gradients)
    ]
