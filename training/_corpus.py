"""`pixmodels render-corpus`: texts in files to shards of pixels."""

import sys
from pathlib import Path

# More problems than this are counted only.
_SHOWN = 20


def run(
    inputs,
    output,
    *,
    workers,
    shard_size,
    format,
    noise,
    seed,
    keep_text,
    max_patches,
):
    """Draws files of lines, and says what was cut or has no glyph.

    Args:
        inputs: list of str, files and folders.
        output: folder to write.
        workers: processes, or None.
        shard_size, format, seed, keep_text: as of `render_corpus`.
        noise: list of `NAME:P`.
        max_patches: longer texts are cut, and counted.

    Raises:
        ValueError: if there is no input or an argument is wrong.
        OSError: if a file cannot be read or written.
    """
    if not inputs:
        raise ValueError("Expected files of texts. Received: no INPUT")
    from pixmodels import renderers
    from pixmodels.renderers import noise as noise_lib

    corpus = renderers.render_corpus(
        [Path(name) for name in inputs],
        output,
        renderers.CairoRenderer(max_patches=max_patches),
        workers=workers,
        shard_size=shard_size,
        format=format,
        noise=[noise_lib.parse(text) for text in noise],
        seed=seed,
        keep_text=keep_text,
    )
    for line in report(corpus.manifest):
        print(line, file=sys.stderr)


def check(output):
    """Compares a corpus with its manifest; returns the exit status."""
    from pixmodels import renderers

    problems = renderers.check_corpus(output)
    for problem in problems[:_SHOWN]:
        print(f"{output}: {problem}", file=sys.stderr)
    if len(problems) > _SHOWN:
        print(f"and {len(problems) - _SHOWN} more", file=sys.stderr)
    if not problems:
        print(f"{output}: all files are as written", file=sys.stderr)
    return 1 if problems else 0


def report(manifest):
    """Lines that sum a manifest up."""
    size = sum(shard["bytes"] for shard in manifest["shards"])
    lines = [
        f"{manifest['num_examples']:,} texts, {manifest['num_patches']:,} "
        f"patches, {len(manifest['shards'])} shards, {size / 1e6:,.1f} MB"
    ]
    if manifest["blank_lines"]:
        lines.append(f"skipped {manifest['blank_lines']:,} blank lines")
    cut = manifest["truncated"]
    if cut["texts"]:
        lines.append(
            f"warning: {cut['texts']:,} texts are cut, "
            f"{cut['characters']:,} characters lost"
        )
    missing = manifest["missing"]
    if missing["texts"]:
        names = ", ".join(list(missing["characters"])[:_SHOWN])
        lines.append(
            f"warning: {missing['texts']:,} texts hold characters without a "
            f"glyph, {len(missing['characters']):,} in all: {names}"
        )
    return lines
