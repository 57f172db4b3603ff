"""The reference renders, drawn again by PangoCairoRenderer.

Here: the comparison, also as a command: python -m
pixmodels.training._pango_check. Not here: the renderer (_pango.py)."""

import argparse
import json
import os
import pathlib

import numpy as np

from pixmodels.training._pango import PangoCairoRenderer


def check(shared):
    """Draws every reference render that is kept with its text.

    Args:
        shared: folder that holds `fixtures/renders`.

    Returns:
        `(cases, differences)`: their number; list of (case id, what differs).

    Raises:
        FileNotFoundError: a font or the reference renders are missing.
        ImportError: PyGObject or Pango is missing.
    """
    from pixmodels.renderers import FontStack

    folder = pathlib.Path(shared) / "fixtures" / "renders"
    count = 0
    differences = []
    renderers = {}
    for name in ("latin", "scripts"):
        pixels = np.load(folder / f"{name}.npz")
        cases = json.loads((folder / f"{name}.json").read_text("utf-8"))
        for case in cases["cases"]:
            font = case["font"]
            if font not in renderers:
                path = FontStack([font]).paths[0]
                renderers[font] = PangoCairoRenderer(path)
            expected = {**case, "pixels": pixels[case["id"]]}
            found = _differences(renderers[font], expected)
            differences += [(case["id"], what) for what in found]
            count += 1
    return count, differences


def _differences(renderer, case):
    text = case["input"]
    if case["kind"] == "str":
        result = renderer.text(text)
    elif case["kind"] == "words":
        result = renderer.words(text)
    else:
        result = renderer.pair_with_offsets(*text)
        kept = case["num_text_patches"] + 1
        result["offset_mapping"] = [
            list(span) for span in result["offset_mapping"][:kept]
        ]
    width = case["width"]
    drawn = result["pixels"]
    if not np.array_equal(drawn[:, :width], case["pixels"]):
        yield "pixels"
    if np.any(drawn[:, width:] != 255):
        yield "pixels right of the end"
    if result["num_patches"] != case["num_text_patches"]:
        yield "num_text_patches"
    for key in ("sep_patches", "word_starts", "offset_mapping"):
        if key in case and result[key] != case[key]:
            yield key


def main():
    """Prints the outcome of `check`; exit status 1 where anything differs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    default = os.environ.get("PIXMODELS_SHARED", "../shared")
    parser.add_argument("--shared", default=default, help="%(default)s")
    count, differences = check(parser.parse_args().shared)
    for case, what in differences:
        print(f"{case}: {what} differ")
    different = {case for case, _ in differences}
    print(f"{count - len(different)} of {count} reference renders reproduced")
    raise SystemExit(bool(differences))


if __name__ == "__main__":
    main()
