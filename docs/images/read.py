"""Draws read.png: noisy renders, and below each what was read of it.

python docs/images/read.py [OUTPUT]
"""

import pathlib
import sys

import numpy as np
from PIL import Image

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import PixelReader

ROWS = (
    ("Reading is seeing: 7 wolves, 3 affairs.", 0.0),
    ("Reading is seeing: 7 wolves, 3 affairs.", 0.15),
    ("Reading is seeing: 7 wolves, 3 affairs.", 0.3),
    ("Reading is seeing: 7 wolves, 3 affairs.", 0.45),
    ("Το διάβασμα είναι όραση.", 0.3),
    ("Чтение - это зрение.", 0.3),
    ("קריאה היא ראייה.", 0.3),
)
SCRIPTS = ("Latn", "Grek", "Cyrl", "Hebr")
SCALE = 3
GAP = 6
# Red of no confidence, amber of half, green of full.
COLOURS = np.array([[200, 20, 20], [225, 150, 0], [0, 105, 45]], float)


def colour(confidence):
    """RGB of a confidence in [0, 1]."""
    place = 2 * confidence
    low = min(int(place), 1)
    return COLOURS[low] + (place - low) * (COLOURS[low + 1] - COLOURS[low])


def noisy(pixels, sigma, seed):
    """Grey floats in [0, 1] with Gaussian noise."""
    key = np.random.Philox(key=[seed, 0])
    noise = np.random.Generator(key).standard_normal(pixels.shape)
    return np.clip(pixels / 255 + sigma * noise, 0, 1)


def below(renderer, read, columns):
    """What was read, each character in the colour of its confidence."""
    batch = renderer(read.text, columns)
    pixels = batch.pixels[0].copy()
    pixels[:, 16 * int(batch.num_patches[0]) :] = 255  # No end patch.
    tints = np.zeros((pixels.shape[1], 3))
    for character in read.characters:
        tints[character.start : character.end] = colour(character.confidence)
    paper = pixels[..., None] / 255.0
    return 255 * paper + tints * (1 - paper)


def main(output=None):
    """Writes the picture, by default beside this file."""
    renderer = CairoRenderer()
    reader = PixelReader(renderer, scripts=SCRIPTS)
    batch = renderer([text for text, _ in ROWS])
    columns = batch.grid[1]
    page = []
    for index, (_, sigma) in enumerate(ROWS):
        row = noisy(batch.pixels[index : index + 1], sigma, index)
        (read,) = reader.read(row, batch.num_patches[index : index + 1])
        end = 16 * int(batch.num_patches[index])
        row[:, :, end:] = 1
        grey = np.repeat(255 * row[0][..., None], 3, axis=2)
        under = below(renderer, read, columns)
        under[:, end:] = 255
        space = np.full((GAP, grey.shape[1], 3), 255.0)
        page += [grey, under, space]
        print(f"{sigma:.0%} {read.text!r} {read.confidence:.3f}")
    page = np.concatenate(page)
    page = np.pad(page, ((GAP, 0), (GAP, 0), (0, 0)), constant_values=255)
    page = np.rint(page).astype(np.uint8)
    page = page.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    output = output or pathlib.Path(__file__).with_suffix(".png")
    picture = Image.fromarray(page)
    picture.quantize(256, Image.Quantize.FASTOCTREE).save(output, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
