"""Draws attention_patterns.png: which pairs attend, for every mechanism.

Blue: fixed patterns. Orange: what the content decides, the attention map of
one example. Mechanisms with neither are named on standard output.

python docs/images/attention.py [OUTPUT]
"""

import io
import pathlib
import sys

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from pixmodels import attention

LENGTH = 48
PREFIX = 2
ACROSS = 6
ORANGE = LinearSegmentedColormap.from_list("map", ["#f2f2f2", "#c8500a"])
# Where the options for a dozen tokens would show too little.
OPTIONS = {
    "local": {"window": 8},
    "longformer": {"window": 10},
    "sliding_window": {"window": 5},
    "sparse": {"block": 7, "summary": 2},
}


def mixers():
    """(name, layer) of every mechanism and of its causal form."""
    for name in attention.names():
        cls = attention.get(name)
        options = {**cls.small_options, **OPTIONS.get(name, {})}
        if "max_length" in options:
            options["max_length"] = LENGTH
        variants = [{}, {"causal": True}] if cls.causal else [{}]
        if name == "sparse":
            variants += [{"pattern": "strided", **v} for v in variants]
        for variant in variants:
            # One head: a mean over several would blur what each attends to.
            layer = cls(1, **options, **variant)
            words = [
                name,
                *("causal" if k == "causal" else v for k, v in variant.items()),
            ]
            yield ", ".join(words), layer


def drawn():
    """(title, layer, whether the pattern is fixed) of those with a picture."""
    found, without = [], []
    for title, layer in mixers():
        try:
            fixed = True
            layer.dense_mask(LENGTH, PREFIX)
        except ValueError:
            fixed = False
        try:
            layer.plot_pattern(LENGTH, PREFIX)
        except ValueError:
            without.append(title)
            continue
        found.append((title, layer, fixed))
    print("without pattern or map:", "; ".join(without))
    return found


def main(output=None):
    """Writes the picture, by default beside this file."""
    panels = drawn()
    down = -(-len(panels) // ACROSS)
    figure = Figure((9.6, 1.72 * down), dpi=100, layout="constrained")
    axes = figure.subplots(down, ACROSS, squeeze=False).ravel()
    for ax, (title, layer, fixed) in zip(axes, panels):
        layer.plot_pattern(LENGTH, PREFIX, ax=ax)
        if not fixed:
            ax.images[0].set_cmap(ORANGE)
        ax.set_title(title, fontsize=8)
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    for ax in axes[len(panels) :]:
        figure.delaxes(ax)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    page = Image.fromarray(np.asarray(Image.open(picture).convert("RGB")))
    output = output or pathlib.Path(__file__).with_name(
        "attention_patterns.png"
    )
    page.quantize(64).save(output, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
