"""Training steps of a block-recurrent stack over those of a sliding window.

Here: the two models of Hutchins et al. 2022, Table 1, that cost about the
same, and the ratio of their times. Not here: mixers (`_sequence_benchmark`)."""

import functools

import numpy as np

from pixmodels.training import benchmarks

# Named settings of `BlockRecurrentStack`; the first is the yardstick.
MODELS = ("slide_13", "rec_fixed_skip")


def run(rounds=7, *, width=256, heads=4, window=128, windows=8, batch=1):
    """Prints the time of a step of 12 layers, one recurrent, over 13 without.

    A step is the forward pass over a segment whose memory is carried on,
    gradients of all weights, and Adam; as a graph and by XLA, of which the
    quicker is measured. Sizes are the paper's, divided by four: as many
    states as tokens in a window, eight windows in a segment.

    Args:
        rounds: int, interleaved.
        width: D; the MLP's is 4 D.
        heads: A, of D / A each.
        window: W tokens, and S = W states.
        windows: in a segment.
        batch: B.

    Returns:
        List of `benchmarks.Timing`, the yardstick first.
    """
    sizes = dict(
        num_heads=heads,
        head_dim=width // heads,
        mlp_dim=4 * width,
        window=window,
    )
    benchmarks.head(
        f"training step, float32, B={batch} N={window * windows} D={width} "
        f"W={window}, {rounds} interleaved rounds"
    )
    shape = (batch, window * windows, width)
    candidates = {}
    for name in MODELS:
        make = functools.partial(step_caller, name, sizes, shape)
        call, mode = benchmarks.quicker(make, 2)
        candidates[f"{name} ({mode})"] = call
    timings = benchmarks.measure(candidates, rounds)
    for timing in timings:
        print(
            f"{timing.name:24} {timing.milliseconds:9.1f} ms  "
            f"x{timing.ratio:.2f} [{timing.low:.2f}..{timing.high:.2f}] of "
            f"{timings[0].name}",
            flush=True,
        )
    return timings


def step_caller(name, sizes, shape, jit_compile):
    """A function without arguments that trains a stack by one segment.

    Args:
        name: of `MODELS`.
        sizes: dict of arguments of `BlockRecurrentStack`.
        shape: (B, N, D).
        jit_compile: bool.
    """
    import keras
    import tensorflow as tf

    from pixmodels.models import BlockRecurrentStack

    keras.utils.set_random_seed(0)
    if name.startswith("rec"):
        sizes = {**sizes, "num_states": sizes["window"]}
    stack = BlockRecurrentStack.named(name, **sizes)
    stack.build(shape)
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(stack.trainable_variables)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=shape), "float32")
    memory = stack.initial_memory(shape[0])

    def step(x, memory):
        with tf.GradientTape() as tape:
            y, memory = stack(x, memory=memory, training=True)
            loss = tf.reduce_mean(tf.square(y - x))
        variables = stack.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, memory

    run = tf.function(step, jit_compile=jit_compile, autograph=False)
    return lambda: run(x, memory)[0].numpy()
