"""Blocks one behind another: how they are made, and their caches.

Here: what stacks share. Not here: calls (the stacks)."""

from keras import ops

from pixmodels._registry import MIXERS


def blocks(stack, cls, count, config, **of_block):
    """The unbuilt blocks of a stack, each with its options and its salt.

    Args:
        stack: a layer with a `salt`.
        cls: class of the blocks.
        count: int.
        config: dict of their arguments, `attention` and `attention_options`
            among them.
        of_block: further arguments, lists of a value for each block.
    """
    config = dict(config)
    options = config.pop("attention_options")
    mixer = MIXERS.get(config["attention"])
    return [
        cls(
            **config,
            **{name: values[i] for name, values in of_block.items()},
            attention_options=mixer.options_of_block(options, i),
            salt=f"{stack.salt}/{i}",
            name=f"block_{i}",
            dtype=stack.dtype_policy,
        )
        for i in range(count)
    ]


def initial_state(stack, x):
    """What the first block's mixer starts from, or None."""
    return stack.blocks[0].initial_state(x) if stack.blocks else None


def initial_cache(stack, batch_size, length, width):
    """The caches of all blocks, and the `state` of the first one, if any.

    Args:
        stack: with `blocks`.
        batch_size, length: as `Mixer.initial_cache`.
        width: D.

    Raises:
        ValueError: if the mixer is not causal, or the stack not built.
    """
    if not stack.built:
        raise ValueError(
            f"Expected a stack that is built. Received: built={stack.built}."
        )
    cache = {
        f"block_{i}": block.initial_cache(batch_size, length)
        for i, block in enumerate(stack.blocks)
    }
    x = ops.zeros((batch_size, 1, width), dtype=stack.compute_dtype)
    state = initial_state(stack, x)
    return cache if state is None else {**cache, "state": state}
