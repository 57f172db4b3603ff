"""How much noise there is in the ink of a line.

Here: a first estimate from the rows with least ink, a second from what is
left over when a reading is drawn. Not here: the search (_read_beam.py)."""

import numpy as np

_PAPER_ROWS = 2
_LEAST = 0.02  # Standard deviation, of full ink; below, models err more.
_FIRST_LEAST = 0.08
_MOST_OFFSET = 0.3
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


def first_guess(ink):
    """`Noise` from the rows of pixels that have least ink.

    Noise that was clipped to 0..1 makes paper darker and ink lighter by the
    same amount, which is undone.
    """
    if not len(ink):
        return Noise(ink, _FIRST_LEAST)
    energy = np.square(ink).mean(axis=0)
    rows = np.argsort(energy)[:_PAPER_ROWS]
    offset = float(np.clip(ink[:, rows].mean(), 0, _MOST_OFFSET))
    clipped = ink.min() >= 0 and ink.max() <= 1
    spread = np.sqrt(energy[rows].mean() * (2 if clipped else 1))
    scale = 1 - 2 * offset if clipped else 1 - offset
    return Noise((ink - offset) / scale, max(spread / scale, _FIRST_LEAST))


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
    error = np.square(level - picture).mean(axis=1)
    whole = error.mean()
    columns = -(-len(error) // patch) * patch
    padded = np.full(columns, np.nan)
    padded[: len(error)] = error
    cells = padded.reshape(-1, patch)
    height = ink.shape[1]
    count = np.isfinite(cells).sum(axis=1) * height
    total = np.nansum(cells, axis=1) * height + _TRUST * whole
    sigma = np.sqrt(total / (count + _TRUST))
    sigma = np.maximum(sigma, _LEAST).repeat(patch)[: len(error)]
    return Noise(level, sigma)
