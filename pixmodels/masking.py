"""Which patches a masked autoencoder hides, in numpy.

Masks are drawn in the input pipeline from a generator that the caller keys on
(seed, epoch, example). Nothing here touches a model or a tensor.
"""

import difflib
import math

import numpy as np

# P(length = 1 .. 6) = .2 .2 .2 .2 .1 .1 (PIXEL, `models/masking.py`).
SPAN_WEIGHTS = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
_ATTEMPTS = 100


def num_masked(num_patches, ratio):
    """How many of `num_patches` are hidden: N - int(N * (1 - ratio))."""
    return num_patches - int(num_patches * (1 - ratio))


def example_rng(seed, epoch, example_id, stream=0):
    """A numpy generator that is a pure function of its arguments.

    Args:
        seed, epoch, example_id, stream: ints in [0, 2**32); `stream` tells
            apart two uses for the same example.
    """
    key = (seed << 32 | epoch) & (1 << 64) - 1
    counter = (example_id << 32 | stream) & (1 << 64) - 1
    return np.random.Generator(np.random.Philox(key=[key, counter]))


def random_mask(num_patches, num_text_patches, *, ratio=0.25, rng):
    """Hides patches uniformly, at least one of them text.

    Args:
        num_patches: N.
        num_text_patches: patches at the front that hold text.
        ratio: share of the N patches that is hidden.
        rng: numpy Generator.

    Returns:
        (N,) bool, True = hidden, with exactly `num_masked(N, ratio)` True.
    """
    count = num_masked(num_patches, ratio)
    mask = np.zeros(num_patches, bool)
    if not count:
        return mask
    first = rng.integers(max(1, min(num_text_patches, num_patches)))
    others = np.delete(np.arange(num_patches), first)
    mask[first] = True
    mask[rng.choice(others, count - 1, replace=False)] = True
    return mask


def span_mask(
    num_patches,
    num_text_patches,
    *,
    ratio=0.25,
    span_weights=SPAN_WEIGHTS,
    spacing="span",
    rng,
):
    """Hides spans of patches, as PIXEL is pre-trained.

    A length is drawn from `span_weights`; the first span of a call begins
    inside the text, later ones anywhere among the N patches; a span is
    refused if a patch within the spacing on either side is hidden, if it
    hides nothing new, or more than is left to hide. A span gets 100 attempts
    and every attempt draws length and place anew.

    Args:
        num_patches: N.
        num_text_patches: patches at the front that hold text (PIXEL passes
            text and end patch).
        ratio: share of the N patches that is hidden.
        span_weights: cumulative probabilities of the lengths 1, 2, ...
        spacing: free patches around a span: an int, or "span" for as many as
            the span is long.
        rng: numpy Generator.

    Returns:
        (N,) bool, True = hidden, with exactly `num_masked(N, ratio)` True.
        Source: xplip/pixel `models/masking.py`. It differs in one point:
        where no span fits any more, PIXEL returns fewer hidden patches, and
        the missing ones are drawn uniformly here.

    Raises:
        ValueError: for a ratio outside [0, 1) or an unknown spacing.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"Expected 0 <= ratio < 1. Received: ratio={ratio}.")
    if spacing != "span" and not (isinstance(spacing, int) and spacing >= 0):
        raise ValueError(
            "Expected spacing to be 'span' or an int >= 0. Received: "
            f"spacing={spacing!r}."
        )
    count = num_masked(num_patches, ratio)
    mask = np.zeros(num_patches, bool)
    hidden = 0
    while hidden < count:
        added = _add_span(
            mask,
            count - hidden,
            num_text_patches if not hidden else num_patches,
            np.asarray(span_weights),
            spacing,
            rng,
        )
        if not added:
            break
        hidden += added
    if hidden < count:
        free = np.flatnonzero(~mask)
        mask[rng.choice(free, count - hidden, replace=False)] = True
    return mask


def block_mask(
    grid,
    num_text_patches=None,
    *,
    ratio=0.4,
    min_patches=16,
    max_patches=None,
    min_aspect=0.3,
    rng,
):
    """Hides rectangles of patches, as BEiT is pre-trained.

    An area is drawn between `min_patches` and what is left to hide (or the
    other way round, once that is less), a ratio of height to width
    log-uniformly between `min_aspect` and its inverse, and a place; a block
    that does not fit, hides nothing new or more than is left is drawn again,
    up to 100 times.

    Args:
        grid: (R, C) patches.
        num_text_patches: patches at the front, row by row, that hold text; at
            least one of them is hidden. None: all.
        ratio: share of the R * C patches that is hidden.
        min_patches: least area that is drawn; a block may overlap others.
        max_patches: greatest area; None: what is left to hide.
        min_aspect: in (0, 1].
        rng: numpy Generator.

    Returns:
        (R * C,) bool, True = hidden, row by row, with exactly
        `num_masked(R * C, ratio)` True.
        Source: Bao et al. 2021, BEiT (arXiv 2106.08254), algorithm 1, and its
        code, which draws the ratio log-uniformly, and where a block must be
        smaller than the grid in both directions (here: not larger). Where no
        block fits any more, BEiT hides fewer patches; the missing ones are
        drawn uniformly here.

    Raises:
        ValueError: for a ratio outside [0, 1), a `min_aspect` outside (0, 1],
            or a grid in which no block of that area fits, such as one row.

    Example:
        >>> rng = pixmodels.masking.example_rng(1, 0, 0)
        >>> pixmodels.masking.block_mask((14, 14), rng=rng).sum()
        np.int64(79)
    """
    rows, columns = grid
    count = num_masked(rows * columns, ratio)
    least = min(min_patches, count)
    _check_blocks(grid, ratio, least, min_aspect)
    mask = np.zeros((rows, columns), bool)
    text = np.arange(rows * columns).reshape(rows, columns)
    if num_text_patches is not None:
        text = text < max(1, num_text_patches)
    else:
        text = text >= 0
    hidden = 0
    while hidden < count:
        left = count - hidden
        most = left if max_patches is None else min(left, max_patches)
        areas = sorted((least, most))
        added = _add_block(mask, text, left, areas, min_aspect, rng)
        if not added:
            break
        hidden += added
    mask, text = mask.reshape(-1), text.reshape(-1)
    if hidden < count and not (mask & text).any():
        mask[rng.choice(np.flatnonzero(text))] = True
        hidden += 1
    if hidden < count:
        free = np.flatnonzero(~mask)
        mask[rng.choice(free, count - hidden, replace=False)] = True
    return mask


def _check_blocks(grid, ratio, least, min_aspect):
    if not 0 <= ratio < 1:
        raise ValueError(f"Expected 0 <= ratio < 1. Received: ratio={ratio}.")
    if not 0 < min_aspect <= 1:
        raise ValueError(
            f"Expected 0 < min_aspect <= 1. Received: min_aspect={min_aspect}."
        )
    side = round(math.sqrt(least * min_aspect))
    if side > min(grid):
        raise ValueError(
            f"Expected a grid with at least {side} rows and columns for blocks "
            f"of {least} patches (for rows of text there is span_mask). "
            f"Received: grid={tuple(grid)}."
        )


def _add_block(mask, text, left, areas, min_aspect, rng):
    rows, columns = mask.shape
    first = not mask.any()
    bound = math.log(1 / min_aspect)
    for _ in range(_ATTEMPTS):
        area = rng.uniform(*areas)
        aspect = math.exp(rng.uniform(-bound, bound))
        height = round(math.sqrt(area * aspect))
        width = round(math.sqrt(area / aspect))
        if not (0 < height <= rows and 0 < width <= columns):
            continue
        top = int(rng.integers(0, rows - height + 1))
        start = int(rng.integers(0, columns - width + 1))
        block = np.s_[top : top + height, start : start + width]
        new = height * width - int(mask[block].sum())
        if 0 < new <= left and (not first or text[block].any()):
            mask[block] = True
            return new
    return 0


def _add_span(mask, most, end, weights, spacing, rng):
    for _ in range(_ATTEMPTS):
        span = 1 + int(np.searchsorted(weights, rng.random(), side="right"))
        start = int(rng.integers(0, max(0, end - span) + 1))
        space = span if spacing == "span" else spacing
        stop = min(start + span, len(mask))
        before = mask[max(0, start - space) : start]
        after = mask[stop : stop + space]
        if before.any() or after.any():
            continue
        new = stop - start - int(mask[start:stop].sum())
        if 0 < new <= min(most, len(weights)):
            mask[start:stop] = True
            return new
    return 0


def _random(grid, num_text_patches, **options):
    return random_mask(grid[0] * grid[1], num_text_patches, **options)


def _span(grid, num_text_patches, **options):
    return span_mask(grid[0] * grid[1], num_text_patches, **options)


STRATEGIES = {"random": _random, "span": _span, "block": block_mask}


def draw_masks(
    strategy,
    grid,
    example_ids,
    *,
    num_text_patches=None,
    ratio=0.25,
    seed=0,
    epoch=0,
    **options,
):
    """Masks of a batch, each a pure function of (seed, epoch, example).

    Args:
        strategy: "random", "span" or "block".
        grid: (R, C) of the images; spans and random masks run through it row
            by row.
        example_ids: (B,) ints in [0, 2**32).
        num_text_patches: (B,) ints, patches at the front, row by row, that
            hold text, the end patch included; None: all do.
        ratio: share of the R * C patches that is hidden; the model's
            `mask_ratio`.
        seed, epoch: ints in [0, 2**32).
        options: further arguments of `span_mask` or `block_mask`.

    Returns:
        (B, R * C) uint8, 1 = hidden, exactly `num_masked(R * C, ratio)` in
        each row: the `patch_mask` of a `MaskedAutoencoder`.

    Raises:
        ValueError: for an unknown strategy, or counts of another length than
            `example_ids`.

    Example:
        >>> pixmodels.masking.draw_masks("block", (6, 9), [3, 5]).shape
        (2, 54)
    """
    if strategy not in STRATEGIES:
        near = difflib.get_close_matches(str(strategy), STRATEGIES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"Expected a strategy among {tuple(STRATEGIES)}.{hint} Received: "
            f"strategy={strategy!r}."
        )
    length = grid[0] * grid[1]
    if num_text_patches is None:
        num_text_patches = [length] * len(example_ids)
    if len(num_text_patches) != len(example_ids):
        raise ValueError(
            f"Expected {len(example_ids)} values, one for each example. "
            f"Received: num_text_patches={list(num_text_patches)}."
        )
    masks = np.zeros((len(example_ids), length), np.uint8)
    pairs = zip(example_ids, num_text_patches, strict=True)
    for row, (example_id, count) in enumerate(pairs):
        rng = example_rng(int(seed), int(epoch), int(example_id))
        masks[row] = STRATEGIES[strategy](
            grid, min(int(count), length), ratio=ratio, rng=rng, **options
        )
    return masks
