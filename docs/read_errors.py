"""Measures how well text is read: of lines of a file, or of a model's pixels.

python docs/read_errors.py FILE [--lines 1000] [--script Latn ...]
    [--sigma 0 0.05 0.15 0.3] [--known FILE]
python docs/read_errors.py --run runs/pixel_tiny_cldr
"""

import argparse
import collections
import difflib
import pathlib
import time
import unicodedata

import numpy as np

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import PixelReader

_NAMES = 200  # Held-out names that are read of a model.


def distance(one, two):
    """Insertions, deletions and replacements from one str to another."""
    row = list(range(len(two) + 1))
    for index, a in enumerate(one, 1):
        last, row[0] = row[0], index
        for place, b in enumerate(two, 1):
            last, row[place] = (
                row[place],
                min(last + (a != b), row[place] + 1, row[place - 1] + 1),
            )
    return row[-1]


def lines_of(path, count):
    """The first lines of a text file, less what does not show."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines()][:count]
    return [unicodedata.normalize("NFC", x).replace("\xa0", " ") for x in lines]


def report(name, texts, found, seconds):
    """Prints error rate, confusions and how sure the reader was."""
    wrong = collections.Counter()
    errors, sure = 0, ([], [])
    for text, read in zip(texts, found):
        written = "".join(c.text for c in read.characters)
        match = difflib.SequenceMatcher(None, text, written, autojunk=False)
        right = np.zeros(len(read.characters) + len(text), bool)
        places = np.cumsum([0, *(len(c.text) for c in read.characters)])
        for kind, a, b, c, d in match.get_opcodes():
            if kind == "equal":
                right[c:d] = True
            else:
                wrong[text[a:b], written[c:d]] += 1
        for character, place in zip(read.characters, places.tolist()):
            sure[int(right[place])].append(character.confidence)
        errors += distance(text, written) if text != written else 0
    length = sum(map(len, texts))
    exact = sum(read.is_exact for read in found)
    print(
        f"{name}: character error rate {errors / length:.4%} ({errors} of "
        f"{length}), {exact} of {len(texts)} lines exact, "
        f"{len(texts) / seconds:.1f} lines/s of CPU time"
    )
    means = [f"{np.mean(x):.3f}" if x else "-" for x in sure]
    print(f"  mean confidence: right {means[1]}, wrong {means[0]}")
    print(f"  most often: {wrong.most_common(8)}")


def read_lines(args):
    """Reads clean and noisy renders of a file's lines."""
    texts = lines_of(args.file, args.lines)
    known = lines_of(args.known, None) if args.known else None
    renderer = CairoRenderer()
    reader = PixelReader(renderer, scripts=args.script, texts=known)
    batch = renderer(texts)
    for sigma in args.sigma:
        source = np.random.Generator(np.random.Philox(key=[0, 0]))
        pixels = batch.pixels
        if sigma:
            noise = source.standard_normal(pixels.shape, np.float32)
            pixels = np.clip(pixels / np.float32(255) + sigma * noise, 0, 1)
        begin = time.process_time()
        found = reader.read(pixels, batch.num_patches)
        seconds = time.process_time() - begin
        report(f"noise {sigma:.0%}", texts, found, seconds)


def read_model(path):
    """Reads held-out names of which a trained model predicts hidden parts."""
    from pixmodels import masking
    from pixmodels.training import experiment

    run = experiment.load_run(path)
    renderer = experiment.build_renderer(run.config)
    names = experiment.read_data(run.config).names
    reader = PixelReader(
        renderer, texts=[text for text, _ in names.examples("train")]
    )
    known = set(reader.characters)
    texts = [
        text
        for text, _ in names.examples("test")
        if known.issuperset(text) and len(text) > 8
    ]
    order = np.random.Generator(np.random.Philox(key=[0, 1]))
    texts = [texts[n] for n in order.permutation(len(texts))[:_NAMES]]
    batch = renderer(texts, num_patches=32)
    masks = [
        masking.span_mask(
            32,
            int(count),
            ratio=run.config.model.mask_ratio,
            rng=masking.example_rng(0, 0, index),
        )
        for index, count in enumerate(batch.num_patches)
    ]
    inputs = {
        "pixels": batch.pixels,
        "num_patches": batch.num_patches,
        "patch_mask": np.stack(masks).astype(np.uint8),
    }
    begin = time.process_time()
    found = run.model.read(inputs, reader)
    report("predicted", texts, found, time.process_time() - begin)
    _by_patch(texts, reader.read(batch), found, masks)
    for text, read in list(zip(texts, found))[:5]:
        print(f"  {text!r} -> {read.text!r}")


def _by_patch(texts, originals, found, masks):
    """Prints what was read of seen and of hidden patches apart."""
    right, total = [0, 0], [0, 0]
    sure = [[], []]
    for text, original, read, mask in zip(texts, originals, found, masks):
        match = difflib.SequenceMatcher(None, text, read.text, autojunk=False)
        good = {
            place
            for start, _, size in match.get_matching_blocks()
            for place in range(start, start + size)
        }
        for place, c in enumerate(original.characters[: len(text)]):
            hidden = int(np.any(mask[c.first_patch : c.last_patch + 1]))
            total[hidden] += 1
            right[hidden] += place in good
        for c in read.characters:
            hidden = int(np.any(mask[c.first_patch : c.last_patch + 1]))
            sure[hidden].append(c.confidence)
    for name, a, b, shares in zip(("seen", "hidden"), right, total, sure):
        print(
            f"  {name} patches: {a / b:.1%} of {b} characters right, "
            f"mean confidence {np.mean(shares):.3f}"
        )


def main():
    """Reads the arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="?")
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--script", nargs="+", default=["Latn"])
    parser.add_argument("--sigma", nargs="+", type=float, default=[0.0])
    parser.add_argument("--known")
    parser.add_argument("--run")
    args = parser.parse_args()
    if args.run:
        read_model(args.run)
    else:
        read_lines(args)


if __name__ == "__main__":
    main()
