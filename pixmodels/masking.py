"""Which patches a masked autoencoder hides, in numpy.

Masks are drawn in the input pipeline from a generator that the caller keys on
(seed, epoch, example). Nothing here touches a model or a tensor.
"""

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
