"""Trains small models of pixels, prints bits per dimension, draws samples.

python docs/autoregressive_pixels.py [--data digits] [--body softmax]
    [--steps 200] [--output samples.png]

`digits`: scikit-learn's 8 x 8 digits, 17 levels, in raster order. `text`: rows
of sentences drawn by the renderer, in strips of 16 x 4 pixels, 256 levels.
Bodies: any causal mixer by name, block_recurrent, perceiver_ar.
"""

import argparse
import itertools
import time

import keras
import numpy as np
from PIL import Image

from pixmodels import attention
from pixmodels.layers import TransformerStack
from pixmodels.models import BlockRecurrentStack
from pixmodels.models import PatchDecoder
from pixmodels.models import PerceiverARStack

WHO = ("the old miller", "a small bird", "my sister", "our teacher", "the cat")
DOES = ("paints", "sees", "likes", "draws", "finds")
WHAT = ("a red house", "the river", "two apples", "the moon", "a green boat")


def digits():
    """(train, test) pixels (B, 8, 8) of 17 levels, and how to model them."""
    from sklearn.datasets import load_digits

    pixels = load_digits().images.astype("uint8")
    options = {"patch_size": 1, "levels": 17, "distribution": "categorical"}
    return pixels[:1500], pixels[1500:], (8, 8, 1), options


def text():
    """(train, test) rows (B, 16, W), and how to model them."""
    from pixmodels.renderers import CairoRenderer

    renderer = CairoRenderer(patch_size=(16, 4), max_patches=64)
    lines = [" ".join(words) for words in itertools.product(WHO, DOES, WHAT)]
    order = np.random.default_rng(1).permutation(len(lines))
    batch = renderer([lines[i] for i in order])
    rows = {"pixels": batch.pixels, "num_patches": batch.num_patches}
    train, test = (
        {name: part[at] for name, part in rows.items()}
        for at in (slice(0, 100), slice(100, None))
    )
    options = {"patch_size": (16, 4), "components": 8}
    return train, test, (16, batch.pixels.shape[2], 1), options


def body(name, length):
    """A causal body of width 96."""
    if name == "block_recurrent":
        return BlockRecurrentStack(
            3, 4, 192, recurrent_layers=(1,), window=16, num_states=16
        )
    if name == "perceiver_ar":
        return PerceiverARStack(2, 4, 192, num_latents=max(1, length // 2))
    options = {"causal": True}
    if attention.get(name).rotary:
        options["rotary"] = 100.0
    return TransformerStack(
        3, 4, 192, attention=name, attention_options=options
    )


def bits(model, data):
    """Bits per dimension, of a dict of arrays."""
    count = len(data["pixels"])
    ids = np.arange(count, dtype="int32")
    sums, counts = model.loss_sums({**data, "example_id": ids}, [0, 0], False)
    return float(sums["bits_per_dim"] / counts["bits_per_dim"])


def page(images, columns, scale=4):
    """Images (B, H, W) in [0, 1] in a grid."""
    height, width = images.shape[1] + 2, images.shape[2] + 2
    rows = -(-len(images) // columns)
    sheet = np.full((rows * height, columns * width), 0.5)
    for i, image in enumerate(images):
        y, x = i // columns * height, i % columns * width
        sheet[y : y + height - 2, x : x + width - 2] = image
    picture = Image.fromarray((255 * sheet).astype("uint8"))
    size = (picture.width * scale, picture.height * scale)
    return picture.resize(size, Image.NEAREST)


def main():
    """Trains, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=("digits", "text"), default="digits")
    parser.add_argument("--body", default="softmax")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--output", default="samples.png")
    flags = parser.parse_args()
    keras.utils.set_random_seed(1)
    train, test, shape, options = {"digits": digits, "text": text}[flags.data]()
    if not isinstance(train, dict):
        train, test = {"pixels": train}, {"pixels": test}
    high, wide = np.broadcast_to(options["patch_size"], 2)
    grid = (shape[0] // high, shape[1] // wide)
    model = PatchDecoder(
        body(flags.body, grid[0] * grid[1]),
        shape,
        hidden_dim=96,
        positions="learned",
        **options,
    )
    print(f"{flags.body}: {model.count_params():,} parameters")
    print(f"before: {bits(model, test):.3f} bits per dimension")
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, flags.steps)
    optimizer = keras.optimizers.AdamW(schedule, clipnorm=1.0)
    model.compile(optimizer=optimizer)
    begin, size = time.perf_counter(), 32
    per_epoch = len(train["pixels"]) // size
    rng = np.random.default_rng(1)
    for _ in range(-(-flags.steps // per_epoch)):
        order = rng.permutation(len(train["pixels"]))[: per_epoch * size]
        data = {name: part[order] for name, part in train.items()}
        model.fit(data, batch_size=size, shuffle=False, verbose=0)
    seconds = time.perf_counter() - begin
    print(f"after {flags.steps} steps ({seconds:.0f} s): ", end="")
    print(f"{bits(model, test):.3f} bits per dimension")
    count, columns = (16, 8) if flags.data == "digits" else (6, 1)
    drawn = np.array(model.sample(count, seed=1, temperature=0.9))[..., 0]
    top = options.get("levels", 256) - 1
    page(drawn / top, columns).save(flags.output)
    print(f"samples: {flags.output}")


if __name__ == "__main__":
    main()
