"""A smoke run of sequence to sequence on real sentences, not a translator.

`python docs/translation_smoke.py FOLDER eng nld` reads the aligned files of
NTREX-128 (1,997 news sentences; unpack its archive first), trains a small
`EncoderDecoder` of bytes on the short ones but the last hundred, and writes
those by beam search. With so few sentences it learns how the language looks,
not what the source says: this shows that everything works together.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from pixmodels.models import EncoderDecoder
from pixmodels.models import TokenEncoder
from pixmodels.tasks import scores

LONGEST, HELD_OUT = 96, 100  # bytes, sentences
BEGIN, END, SHIFT = 0, 1, 2  # tokens; a byte b is token b + SHIFT
BATCH = 32


def main():
    """Trains, writes, prints scores and a few sentences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("source", help="a code such as eng")
    parser.add_argument("target", help="a code such as nld")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--beam", type=int, default=4)
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    pairs = read(args.folder, args.source, args.target)
    train, test = pairs[:-HELD_OUT], pairs[-HELD_OUT:]
    print(f"{len(train)} pairs for training, {len(test)} held out")
    model = make(args.steps)
    train, held_out = batch_of(train), batch_of(test)
    order = np.random.default_rng(0).integers(
        0, len(train["source"]), args.steps * BATCH
    )
    print("bits per byte before:", bits(model, held_out))
    start = time.perf_counter()
    model.fit(
        {name: value[order] for name, value in train.items()},
        batch_size=BATCH,
        shuffle=False,
        verbose=2,
    )
    print(f"{args.steps} steps in {time.perf_counter() - start:.0f} s")
    print("bits per byte after:", bits(model, held_out))

    start = time.perf_counter()
    search = tf.function(
        lambda source, mask: model.beam_search(
            source, mask=mask, beam_size=args.beam
        )[0][:, 0],
        jit_compile=True,
    )
    rows = [
        search(
            held_out["source"][i : i + 20], held_out["source_mask"][i : i + 20]
        ).numpy()
        for i in range(0, HELD_OUT, 20)
    ]
    written = [text_of(row) for row in np.concatenate(rows)]
    print(f"written in {time.perf_counter() - start:.0f} s")
    golds = [target for _, target in test]
    print(scores.translation_scores(golds, written))
    for (source, gold), mine in list(zip(test, written, strict=True))[:3]:
        print(f"  {source}\n  {gold}\n  {mine}\n")


def read(folder, *codes):
    """Aligned sentences that are short enough, as pairs of str."""
    columns = []
    for code in codes:
        kind = "src" if code == "eng" else "ref"
        path = folder / f"newstest2019-{kind}.{code}.txt"
        columns.append(path.read_text("utf-8").splitlines())
    return [
        pair
        for pair in zip(*columns, strict=True)
        if max(len(text.encode()) for text in pair) <= LONGEST
    ]


def batch_of(pairs):
    """The dict that the model takes."""
    sides = {}
    for side, texts in zip(("source", "target"), zip(*pairs)):
        ids = np.full((len(pairs), LONGEST + 1), END, "int32")
        mask = np.zeros(ids.shape, bool)
        for i, text in enumerate(texts):
            found = np.frombuffer(text.encode(), "uint8")
            ids[i, : len(found)] = found.astype("int32") + SHIFT
            mask[i, : len(found) + 1] = True
        sides[side], sides[f"{side}_mask"] = ids, mask
    return sides


def text_of(ids):
    """The str before the first end."""
    ids = ids[: np.argmax(np.append(ids, END) == END)]
    values = np.clip(ids - SHIFT, 0, 255).astype("uint8")
    return values.tobytes().decode("utf-8", errors="replace")


def make(steps):
    """The model, compiled."""
    encoder = TokenEncoder(
        256 + SHIFT,
        num_layers=2,
        num_heads=4,
        hidden_dim=128,
        mlp_dim=256,
        scale=True,
        dropout_rate=0.1,
    )
    model = EncoderDecoder(
        encoder,
        vocabulary_size=256 + SHIFT,
        num_layers=2,
        num_heads=4,
        mlp_dim=256,
        attention="sliding_window",
        attention_options={"window": 31},
        max_length=LONGEST + 1,
        label_smoothing=0.1,
        begin_id=BEGIN,
        end_id=END,
    )
    rate = keras.optimizers.schedules.CosineDecay(
        1e-3, steps, warmup_target=1e-3, warmup_steps=100
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.01, clipnorm=1.0),
        jit_compile=False,  # compiling takes longer than it saves here
    )
    return model


def bits(model, batch):
    """Bits per token of a batch, not smoothed, without dropout."""
    sums, counts = model.sums(model(batch, training=False), batch)
    name = "bits_per_token"
    return round(float(sums[name] / counts[name]), 3)


if __name__ == "__main__":
    main()
