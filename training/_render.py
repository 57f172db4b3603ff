"""`pixmodels render`: texts in, one PNG out, reports on stderr."""

import sys
from pathlib import Path

import numpy as np

# Longer reports than this are cut; the PNG itself tells the rest.
_SHOWN = 40


def run(
    texts,
    output,
    *,
    fonts,
    font_size,
    dpi,
    max_patches,
    layout="continuous",
    noise=(),
):
    """Draws texts as rows of one grey PNG.

    Args:
        texts: list of str; `-` stands for the lines of stdin.
        output: path of the PNG.
        fonts: font files in the order of fallback; empty: the default stack.
        font_size: points.
        dpi: dots per inch.
        max_patches: longer texts are cut, and reported.
        layout: as for `CairoRenderer`.
        noise: list of `NAME:P`, see `renderers.noise`.

    Raises:
        ValueError: if there is no text, or `output` does not end in `.png`.
        OSError: if a font cannot be read or the PNG cannot be written.
    """
    if Path(output).suffix.lower() != ".png":
        raise ValueError(
            f"Expected the name of a PNG file. Received: --output {output!r}"
        )
    texts = _perturbed(_expand(texts), noise)
    from pixmodels.renderers import CairoRenderer

    renderer = CairoRenderer(
        list(fonts) or None,
        font_size=font_size,
        dpi=dpi,
        max_patches=max_patches,
        layout=layout,
    )
    batch = renderer(texts)
    for line in report(texts, batch):
        print(line, file=sys.stderr)
    _save(batch.pixels, output)
    rows = f"{len(texts)} row{'s' if len(texts) > 1 else ''}"
    height, width = (
        batch.pixels.shape[0] * batch.pixels.shape[1],
        (batch.pixels.shape[2]),
    )
    print(f"{output}: {rows}, {width} x {height} pixels", file=sys.stderr)


def report(texts, batch):
    """Lines that say what of the texts is not in the picture."""
    lines = []
    for row, text in enumerate(texts):
        where = f"row {row} ({_short(text)})"
        for cut in batch.truncated[row] or ():
            lines.append(
                f"warning: {where} is cut at character {cut.start} of "
                f"{cut.end}: lost {_short(cut.text)}"
            )
        if batch.missing[row]:
            names = ", ".join(
                f"U+{ord(char[0]):04X}" for char in batch.missing[row][:_SHOWN]
            )
            lines.append(f"warning: {where}: no font has a glyph for {names}")
    return lines


def _perturbed(texts, noise):
    if not noise:
        return texts
    from pixmodels.renderers import noise as noise_lib

    for attack, p in map(noise_lib.parse, noise):
        texts = [attack(text, p=p, index=row) for row, text in enumerate(texts)]
    return texts


def _expand(texts):
    rows = []
    for text in texts:
        if text != "-":
            rows.append(text)
            continue
        data = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
        rows += data.removesuffix("\n").split("\n")
    return rows


def _short(text):
    """A text as ASCII between quotes, cut to a readable length."""
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return ascii(shown) if not shown.isprintable() else repr(shown)


def _save(pixels, output):
    from PIL import Image

    Path(output).parent.mkdir(parents=True, exist_ok=True)
    # (B, P, W) -> (B * P, W)
    picture = np.ascontiguousarray(pixels).reshape(-1, pixels.shape[2])
    Image.fromarray(picture).save(output)
