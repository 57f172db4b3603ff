"""A renderer without fonts, for tests of what is done with renderers.

Here: characters as columns of their code's bits. In a module of its own, so
that worker processes can import it; pytest puts `tests` on the path."""

import os
import sys
import time

import numpy as np

from pixmodels.renderers import RenderedBatch
from pixmodels.renderers.rendered_batch import Cut

_LIMIT = 23


class ToyRenderer:
    """Draws each character in 4 columns of 7 rows; patches of 7 pixels.

    Args:
        channels: 1, or 3 for colour.
        fails_at: a text at which it raises.
        dies_at: a text at which the process ends.
        seconds: time to take for each text.
    """

    def __init__(self, channels=1, fails_at=None, dies_at=None, seconds=0.0):
        self._options = (channels, fails_at, dies_at, seconds)

    def __reduce__(self):
        return ToyRenderer, self._options

    def get_config(self):
        return {"channels": self._options[0]}

    def __call__(self, texts):
        channels, fails_at, dies_at, seconds = self._options
        if os.environ.get("TOY_ALONE") == "1" and "tensorflow" in sys.modules:
            raise RuntimeError("TensorFlow is loaded")
        if fails_at in texts:
            raise KeyError(fails_at)
        if dies_at in texts:
            os._exit(7)
        time.sleep(seconds * len(texts))
        joined = [t if isinstance(t, str) else "|".join(t) for t in texts]
        shown = [text[: _LIMIT * 7 // 4] for text in joined]
        counts = np.array([-(-4 * len(t) // 7) for t in shown], np.int32)
        shape = (len(texts), 7, 7 * (int(counts.max()) + 1))
        pixels = np.full(shape, 255, np.uint8)
        for row, text in zip(pixels, shown):
            for place, character in enumerate(text):
                code = ord(character)
                for bit in range(21):
                    if code >> bit & 1:
                        row[bit % 7, 4 * place + bit // 7] = bit
        if channels == 3:
            pixels = np.stack([pixels, pixels // 2, 255 - pixels], axis=-1)
        return RenderedBatch(
            pixels=pixels,
            num_patches=counts,
            sep_patches=[(int(count),) for count in counts],
            word_starts=[
                tuple(range(len(t))) if isinstance(t, list) else None
                for t in texts
            ],
            truncated=[
                (Cut(0, len(s), len(t), t[len(s) :]),) if s != t else None
                for s, t in zip(shown, joined)
            ],
            missing=[tuple(c for c in "\u2603" if c in t) for t in joined],
        )
