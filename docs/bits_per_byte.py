"""Bits per byte on novels: recurrent, gated and windowed models side by side.

python docs/bits_per_byte.py --train DIR --valid DIR [--steps 300]
    [--models sliding_window,block_recurrent,gss,trime] [--plot FILE]
    [--keep FILE]

Here: models of equal size that read the same bytes in the same order, and one
with memories (TRIME), read with and without them. Each row of a batch is a
place of its own in the training text and goes on where it stopped; bodies that
carry a memory keep it. The other text is the front of each file. `--keep` adds
the results to a JSON file, and shows those that it has of other models too.
"""

import argparse
import json
import math
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from pixmodels import layers
from pixmodels import models

_WIDTH, _LAYERS, _HEADS = 128, 4, 4
_WINDOW = 128
_SCALE = 8.0  # Of the windowed models' logits, which Adam moves slowly.
_PEAK = 1e-3  # Also what state-space parameters ask for at most.
_WARMUP = 50
_SEED = 11
_PLAIN = 200  # Steps before TRIME trains with memories.
_LONG = (0, 2048, 8192)  # Sizes of its long memory at test time.


# --- Models ------------------------------------------------------------------


def _windowed(mlp_dim, **options):
    body = models.BlockRecurrentStack(
        _LAYERS,
        _HEADS,
        mlp_dim,
        window=_WINDOW,
        initial_scale=_SCALE,
        **options,
    )
    return models.TokenDecoder(body, hidden_dim=_WIDTH)


def _stack(mlp_dim, attention, **options):
    return layers.TransformerStack(
        _LAYERS,
        _HEADS,
        mlp_dim,
        attention=attention,
        attention_options={"causal": True, **options},
    )


def _sliding_window(mlp_dim):
    return _windowed(mlp_dim, recurrent_layers=())


def _block_recurrent(mlp_dim):
    return _windowed(mlp_dim, recurrent_layers=(2,), num_states=_WINDOW)


def _gss(mlp_dim):
    body = _stack(mlp_dim, "gss", state_size=64)
    return models.TokenDecoder(body, hidden_dim=_WIDTH)


def _trime(mlp_dim):
    body = _stack(mlp_dim, "sliding_window", window=_WINDOW, rotary=10000.0)
    return models.TRIMEDecoder(
        body, hidden_dim=_WIDTH, memory="long", warmup_steps=_PLAIN
    )


_MODELS = {
    "sliding_window": _sliding_window,
    "block_recurrent": _block_recurrent,
    "gss": _gss,
    "trime": _trime,
}


def _build(name):
    """A model of as many parameters as `sliding_window` has."""
    wanted = _sliding_window(4 * _WIDTH).count_params()
    few, more = (_MODELS[name](m).count_params() for m in (8, 16))
    mlp_dim = 8 + round((wanted - few) * 8 / (more - few))
    keras.utils.set_random_seed(_SEED)
    return _MODELS[name](mlp_dim)


# --- Text --------------------------------------------------------------------


def _files(folder):
    paths = sorted(pathlib.Path(folder).glob("**/*.txt"))
    if not paths:
        raise SystemExit(f"Expected .txt files in {folder}. Received: none.")
    return [np.frombuffer(path.read_bytes(), "uint8") for path in paths]


def _rows(text, count, length):
    """`count` rows of equal parts of a text, cut into segments, endlessly."""
    part = len(text) // count // length * length
    rows = text[: count * part].reshape(count, -1, length).astype("int32")
    while True:
        for k in range(rows.shape[1]):
            before = np.full(count, -1) if not k else rows[:, k - 1, -1]
            yield {
                "tokens": rows[:, k],
                "previous": before.astype("int32"),
                "example_id": np.arange(count, dtype="int32"),
                "document": np.arange(count, dtype="int32"),
            }


def _pages(text, count, length, documents=2):
    """As `_rows`; rows of a document are one after another: "document"."""
    each = count // documents
    for batch in _rows(text, documents, each * length):
        tokens = batch["tokens"].reshape(-1, length)
        before = np.roll(tokens[:, -1], 1)
        before[::each] = batch["previous"]
        yield {
            "tokens": tokens,
            "previous": before,
            "example_id": np.arange(len(tokens), dtype="int32"),
            "document": np.repeat(np.arange(documents, dtype="int32"), each),
        }


# --- Training and reading ----------------------------------------------------


def _memory(model, batch_size):
    if not hasattr(model.body, "initial_memory"):
        return None
    return model.initial_memory(batch_size)


class _Run:
    """One model, its steps and its curve."""

    def __init__(self, name, steps):
        self.name = name
        self.model = _build(name)
        self.curve = []  # (step, bits per byte of the other text)
        self.seconds = 0.0
        self.optimizer = keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                0.0, steps, warmup_target=_PEAK, warmup_steps=_WARMUP
            ),
            beta_2=0.98,
            global_clipnorm=1.0,
        )
        self.optimizer.build(self.model.trainable_variables)
        self._step = tf.function(self._train, jit_compile=True)
        self._bits = tf.function(self._read, jit_compile=True)

    def _sums(self, batch, key, memory, training):
        if memory is None:
            return (*self.model.loss_sums(batch, key, training), None)
        return self.model.loss_sums(batch, key, training, memory=memory)

    def _train(self, batch, key, memory):
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            sums, counts, memory = self._sums(batch, key, memory, True)
            loss = sums["loss"] / counts["loss"]
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables))
        return loss / math.log(2), memory

    def _read(self, batch, memory):
        key = np.array([_SEED, 0], "int32")
        sums, counts, memory = self._sums(batch, key, memory, False)
        name = "bits_per_token"
        name = "plain_" + name if "plain_" + name in sums else name
        return sums[name], counts[name], memory

    def train(self, batches, steps, every, other):
        memory = "none yet"
        for step in range(steps):
            batch = next(batches)
            if isinstance(memory, str):
                memory = _memory(self.model, len(batch["tokens"]))
            key = np.array([_SEED, step], "int32")
            begin = time.perf_counter()
            bits, memory = self._step(batch, tf.constant(key), memory)
            bits = float(bits)
            if step:
                self.seconds += time.perf_counter() - begin
            if (step + 1) % every == 0 or step + 1 == steps:
                found = self.bits_per_byte(other)
                self.curve.append((step + 1, found))
                print(
                    f"{self.name:16} step {step + 1:5}  train {bits:.3f}  "
                    f"dev {found:.3f} bits per byte",
                    flush=True,
                )

    def bits_per_byte(self, batches):
        memory = _memory(self.model, len(batches[0]["tokens"]))
        totals = np.zeros(2)
        for batch in batches:
            *found, memory = self._bits(batch, memory)
            totals += [float(value) for value in found]
        return totals[0] / totals[1]


def _with_memories(run, texts, length):
    """Bits per byte of the same weights without and with memories."""
    read = tf.function(run.model.read, jit_compile=True)
    table = {}
    for size in _LONG:
        found = models.bits_with_memories(
            read, texts, length=length, long_size=size
        )
        table["none"], table["local"] = found["none"], found["local"]
        if size:
            table[f"local + long {size}"] = found["long"]
    return table


def _result(run, steps):
    return {
        "parameters": run.model.count_params(),
        "ms": 1000 * run.seconds / max(1, steps - 1),
        "curve": run.curve,
    }


def _show(results):
    print(f"\n{'model':16} {'parameters':>10} {'bits/byte':>9} {'ms/step':>8}")
    for name, found in results.items():
        print(
            f"{name:16} {found['parameters']:10,} "
            f"{found['curve'][-1][1]:9.3f} {found['ms']:8.0f}"
        )
    for found in results.values():
        for name, bits in found.get("memories", {}).items():
            print(f"trime, {name:20} {bits:.3f} bits per byte")


def _plot(results, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for name, found in results.items():
        ax.plot(*zip(*found["curve"]), marker=".", label=name)
    ax.set(xlabel="steps", ylabel="bits per byte, dev novels")
    ax.grid(alpha=0.3)
    ax.legend()
    figure.savefig(path, dpi=100)


def main():
    """Trains, reads, prints a table and draws the curves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--train", required=True, help="folder of .txt files")
    parser.add_argument("--valid", required=True, help="folder of .txt files")
    parser.add_argument("--models", default=",".join(_MODELS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument(
        "--bytes", type=int, default=32768, help="read of each dev file"
    )
    parser.add_argument("--plot", metavar="FILE")
    parser.add_argument("--keep", metavar="FILE")
    args = parser.parse_args()

    text = np.concatenate(_files(args.train))
    front = [x[: args.bytes] for x in _files(args.valid)]
    some = min(map(len, front)) // args.length * args.length
    other = np.concatenate([x[:some] for x in front])
    segments = _rows(other, len(front), args.length)
    other = [next(segments) for _ in range(some // args.length)]
    print(
        f"{len(text):,} bytes to train on, {args.steps} steps of {args.batch} x"
        f" {args.length}; {len(front)} dev files, {some:,} bytes of each\n"
        f"tensorflow {tf.__version__}, keras {keras.__version__}, D={_WIDTH}, "
        f"{_LAYERS} layers, window {_WINDOW}"
    )
    results = {}
    kept = pathlib.Path(args.keep) if args.keep else None
    if kept and kept.exists():
        results = json.loads(kept.read_text())
    for name in args.models.split(","):
        run = _Run(name, args.steps)
        cut = _pages if name == "trime" else _rows
        batches = cut(text, args.batch, args.length)
        run.train(batches, args.steps, args.every, other)
        results[name] = _result(run, args.steps)
        if name == "trime":
            results[name]["memories"] = _with_memories(run, front, args.length)
        if kept:
            kept.write_text(json.dumps(results, indent=1))
    _show(results)
    if args.plot:
        _plot(results, args.plot)
        print(args.plot)


if __name__ == "__main__":
    main()
