"""`python -m pixmodels.renderers gallery PNG`: the picture of README.md.

Here: one sentence in every script of samples.py and a row of emoji. Not here:
drawing of texts of one's own, which is `pixmodels render`."""

import argparse

from pixmodels.renderers import CairoRenderer
from pixmodels.renderers import gallery
from pixmodels.renderers import samples
from pixmodels.renderers._libraries import load

_EMOJI = (
    "Emoji",
    "\U0001f4da \U0001f469\U0001f3fd\u200d\U0001f4bb "
    "\u2764\ufe0f\u200d\U0001f525 "
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 "
    "\U0001f1ea\U0001f1f9 \U0001f1ef\U0001f1f5 1\ufe0f\u20e3 "
    "\u270d\U0001f3ff",
)
_COLORS = 128


def main(argv=None):
    """Writes the gallery; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m pixmodels.renderers", description=__doc__.split(":")[1]
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "gallery", help="one sentence in many scripts as a PNG"
    )
    command.add_argument("output", metavar="PNG")
    command.add_argument(
        "--scale", type=int, default=2, help="pixels a pixel (default 2)"
    )
    args = parser.parse_args(argv)
    renderer = CairoRenderer(color_mode="rgb")
    texts = [*samples.labelled(), _EMOJI]
    image = gallery(texts, renderer, scale=args.scale)
    # Half the size; nobody reads pixels out of this picture. An octree keeps
    # the few pixels that are not grey, a median cut would not.
    image.quantize(_COLORS, method=load("PIL.Image").Quantize.FASTOCTREE).save(
        args.output, format="PNG", optimize=True
    )
    print(f"{args.output}: {len(texts)} rows, {image.width} x {image.height}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
