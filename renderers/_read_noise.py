"""How much noise there is in the ink of a line.

Here: a first estimate from the rows with least ink, a second from what is
left over when a reading is drawn. Not here: the search (_read_beam.py)."""

import numpy as np

_PAPER_ROWS = 2
_LEAST = 0.02  # Standard deviation, of full ink; below, models err more.
_FIRST_LEAST = 0.08
_MOST_OFFSET = 0.3
_FULL_SHARE = 50  # One pixel of so many is full ink, at the least,
_OTHER = 1.7  # Times as much noise: the line is searched again.
_CHANCE = 0.1  # Correlation of neighbours that noise of its own may show.
_FAR = 10  # So much more or less noise than in the whole line is no accident.
_FADED = 0.9  # else, below this mean of theirs, the ink is faded.
_TRUST = 64  # Pixels of the whole line that count with those of a patch.


class Noise:
    """Ink made comparable with pictures, and the noise of each column.

    Attributes:
        ink: float32 (W, H), 0 paper, 1 full ink.
        sigma: float32 (W,), standard deviation.
    """

    def __init__(self, ink, sigma):
        self.ink = ink.astype(np.float32)
        self.sigma = np.broadcast_to(sigma, len(ink)).astype(np.float32)

    @property
    def weights(self):
        """1 / (2 sigma^2) of each column."""
        return 1 / (2 * np.square(self.sigma))

    def is_far_from(self, other):
        """Whether somewhere the noise is far more or less than in another."""
        ratio = self.sigma / other.sigma
        return bool(ratio.size) and bool(
            ratio.max() > _OTHER or ratio.min() < 1 / _OTHER
        )


def first_guess(ink, patch):
    """`Noise` from the rows of pixels that have least ink.

    Noise that was clipped to 0..1 makes paper darker and ink lighter by the
    same amount, which is undone; so is ink that is nowhere full.

    Args:
        ink: float (W, H), as given.
        patch: width of a patch: some may have noise of their own.
    """
    if not len(ink):
        return Noise(ink, _FIRST_LEAST)
    square = np.square(ink)
    rows = np.argsort(square.mean(axis=0))[:_PAPER_ROWS]
    energy = float(square[:, rows].mean())
    paper = float(ink[:, rows].mean())
    offset = float(np.clip(paper, 0, _MOST_OFFSET))
    clipped = ink.min() >= 0 and ink.max() <= 1
    full = np.sort(ink, axis=None)[-max(ink.size // _FULL_SHARE, 1) :].mean()
    if full < _FADED:
        scale, factor = max(full - offset, _LEAST), 1
        offset_energy = offset**2
    else:
        scale = 1 - 2 * offset if clipped else 1 - offset
        factor, offset_energy = (2, 0.0) if clipped else (1, 0.0)
    cells = np.split(square[:, rows], range(patch, len(ink), patch))
    own = np.array([cell.mean() for cell in cells])
    differs = (own > _FAR * energy) | (own < energy / _FAR)
    own = np.where(differs, own, energy) - offset_energy
    sigma = np.sqrt(np.maximum(own * factor, 0)) / scale
    sigma = np.maximum(sigma, _FIRST_LEAST).repeat(patch)[: len(ink)]
    return Noise((ink - offset) / scale, sigma)


def second_guess(ink, picture, patch):
    """`Noise` from a reading.

    Args:
        ink: float (W, H), as given.
        picture: float (W, H), the reading drawn.
        patch: width of a patch: each has noise of its own.
    """
    paper, full = picture < 0.02, picture > 0.5
    low, high = 0.0, 1.0
    if paper.sum() > _TRUST and full.sum() > _TRUST:
        low = float(ink[paper].mean())
        share = picture[full]
        high = float(((ink[full] - low) * share).sum() / (share**2).sum())
        low, high = np.clip(low, -0.5, 0.5), np.clip(high, 0.2, 1.5)
    level = (ink - low) / high
    rest = level - picture
    whole = np.square(rest).mean()
    sigma = []
    for cell in np.split(rest, range(patch, len(rest), patch)):
        total = np.square(cell).sum() + _TRUST * whole
        own = max(np.sqrt(total / (cell.size + _TRUST)), _LEAST)
        if own > 2 * _LEAST:
            own /= np.sqrt(_independent(cell))
        sigma += [own] * len(cell)
    return Noise(level, np.array(sigma))


def _independent(rest):
    """Share of pixels that count where errors come in blots, in (0, 1].

    Neighbours of correlation r tell as much as (1 - r) / (1 + r) of as many
    that are independent, in each direction.
    """
    share = 1.0
    rest = rest - rest.mean()
    energy = np.square(rest).mean()
    for one, two in ((rest[1:], rest[:-1]), (rest[:, 1:], rest[:, :-1])):
        if one.size and energy:
            found = (one * two).mean() / energy - _CHANCE
            found = float(np.clip(found, 0, 0.9))
            share *= (1 - found) / (1 + found)
    return share
