"""Speed of sequence mixers: beside softmax, over lengths, token by token.

Here: which forms are measured, and times of `Mixer.step` over contexts. Not
here: cores over lengths (`_attention_benchmark`), whole models
(`_recurrent_benchmark`)."""

import functools
import statistics

import numpy as np

from pixmodels.training import _attention_benchmark
from pixmodels.training import _recurrent_benchmark
from pixmodels.training import benchmarks

# Label -> mixer, options; without what follows the systems in their blocks.
FORMS = {
    "ema": ("ema", {}),
    "s4d": ("s4d", {"output": None}),
    "s4": ("s4", {"output": None}),
    "dss": ("dss", {"output": None, "version": "exp"}),
    "s5": ("s5", {"output": None}),
    "gss": ("gss", {}),
    "mega": ("mega", {}),
    "mega-chunk": ("mega", {"chunk": 128}),
    "spade": ("spade", {}),
}
# Measured by default: `mega` without chunks is quadratic.
DEFAULT = tuple(name for name in FORMS if name != "mega")
PARTS = ("core", "step", "model")
CONTEXTS = (1024, 4096, 16384, 65536)
_TOKENS = 64  # in one call of the loop whose time is taken


def run(
    names=DEFAULT,
    lengths=(4096, 16384, 65536),
    *,
    parts=PARTS,
    kinds=("core",),
    rounds=7,
    heads=4,
    head_dim=64,
    batch=2,
    threads=1,
    budget=60.0,
    plot=None,
):
    """Prints times over softmax's, growth, and times of a token by contexts.

    Args:
        names: keys of `FORMS`, or mixers.
        lengths: tokens, ascending; growth is fitted from 4,096 on.
        parts: of "core" (whole sequences), "step" (token by token, after
            1,024 to 65,536 tokens, one example) and "model" (training steps
            of a block-recurrent stack over one of sliding windows).
        kinds, rounds, heads, head_dim, batch, threads, budget, plot: as
            `_attention_benchmark.run`.

    Raises:
        ValueError: for unknown names, parts or kinds.
    """
    if not parts or set(parts) - set(PARTS):
        raise ValueError(
            f"Expected parts among {', '.join(PARTS)}. Received: --parts "
            f"{','.join(parts)}"
        )
    forms = {name: FORMS.get(name, (name, {})) for name in names}
    _attention_benchmark.set_threads(threads)
    if "core" in parts:
        _attention_benchmark.run(
            forms,
            lengths,
            kinds=kinds,
            rounds=rounds,
            heads=heads,
            head_dim=head_dim,
            batch=batch,
            threads=threads,
            budget=budget,
            plot=plot,
        )
    if "step" in parts:
        print()
        show_steps(forms, CONTEXTS, rounds, (1, heads, head_dim))
    if "model" in parts:
        print()
        _recurrent_benchmark.run(rounds)


def show_steps(forms, contexts, rounds, shape):
    """Prints the time of a token after contexts of several lengths.

    Args:
        forms: dict from label to (mixer, options); softmax comes first.
        contexts: numbers of tokens before, ascending.
        rounds: int, interleaved.
        shape: (B, A, E).
    """
    batch, heads, head_dim = shape
    benchmarks.head(
        f"microseconds for a token, causal, float32, B={batch} "
        f"D={heads * head_dim}, {rounds} interleaved rounds of {_TOKENS} "
        "tokens"
    )
    forms = {"softmax": ("softmax", {}), **forms}
    calls, modes = {}, {}
    for label, (name, options) in forms.items():
        options = {**options, "causal": True}
        for context in contexts:
            make = functools.partial(step_caller, name, options, context, shape)
            pair = label, context
            calls[pair], modes[pair] = benchmarks.quicker(make, 3)
    seconds = {pair: [] for pair in calls}
    for number in range(rounds):
        for pair in benchmarks.turns(calls, number):
            seconds[pair].append(benchmarks.seconds_of(calls[pair]) / _TOKENS)
    print(f"{'tokens before':20}" + "".join(f"{n:>18,}" for n in contexts))
    for label in forms:
        times = [seconds[label, n] for n in contexts]
        row = "".join(
            f"{1e6 * statistics.median(found):>12.1f} {modes[label, n]:>5}"
            for n, found in zip(contexts, times, strict=True)
        )
        ratios = [b / a for a, b in zip(times[0], times[-1], strict=True)]
        print(
            f"{label:20}{row}  last over first x"
            f"{statistics.median(ratios):.2f}",
            flush=True,
        )


def step_caller(name, options, context, shape, jit_compile):
    """A function without arguments that makes `_TOKENS` steps of a mixer.

    Args:
        name, options: of the mixer.
        context: tokens before; the cache holds random numbers for them.
        shape: (B, A, E).
        jit_compile: bool.
    """
    import keras
    import tensorflow as tf

    from pixmodels import attention

    batch, heads, head_dim = shape
    keras.utils.set_random_seed(0)
    layer = attention.get(name)(heads, **options)
    layer.build((batch, context + _TOKENS, heads * head_dim))
    rng = np.random.default_rng(0)

    def filled(part):
        numbers = rng.normal(size=tuple(part.shape)) * 0.1
        return tf.constant(numbers, part.dtype)

    cache = layer.initial_cache(batch, context + _TOKENS)
    cache = keras.tree.map_structure(filled, cache)
    x = tf.constant(rng.normal(size=(batch, heads * head_dim)), "float32")

    def steps(x, cache, index):
        end = index + _TOKENS

        def body(index, token, cache):
            y, cache = layer.step(token, cache, index)
            # The next token depends on this one, as when text is made.
            return index + 1, x + tf.tanh(y), cache

        return tf.while_loop(
            lambda index, *_: index < end, body, (index, x, cache)
        )[1]

    run = tf.function(steps, jit_compile=jit_compile, autograph=False)
    index = tf.constant(context, "int32")
    return lambda: run(x, cache, index)[0, 0].numpy()
