"""What a reader knows of each character: its picture and its advance.

Here: `Tokens`, characters and ligatures as a renderer draws them alone, and
how far they move the pen. Not here: kerning (_read_pairs.py), which
characters (_read_alphabet.py), the search (_read_exact.py, _read_beam.py)."""

import numpy as np

from pixmodels.renderers._font import UNITS
from pixmodels.renderers._itemise import Run
from pixmodels.renderers._raster import draw_lines
from pixmodels.renderers._read_alphabet import is_right_to_left
from pixmodels.renderers._read_alphabet import log_prior
from pixmodels.renderers._read_bidi import MIRRORED
from pixmodels.renderers._read_pairs import Pairs
from pixmodels.renderers._read_pairs import Shaped
from pixmodels.renderers._shape import Line
from pixmodels.renderers._unicode import NEUTRAL
from pixmodels.renderers._unicode import script

UNKNOWN = "\ufffd"
_UNKNOWN_PRIOR = -6.0  # For each pixel that it is wide.
_STRIP = 256  # Pictures drawn on one canvas.
_MOST = 30000  # Its width in pixels; Cairo takes 32767.


class Tokens:
    """Pictures of characters, drawn alone, and what stands between them.

    A character has a token for each font and direction in which it can come
    to stand: letters one, signs and digits one in every font that the letters
    have, since a sign keeps the font of the letter before it. Signs that are
    mirrored in right-to-left text are known by how they look.

    Attributes:
        texts: list of str, what each token shows, signs as they look.
        contexts: (T,) int32, number of the font and direction.
        scripts: list of ISO codes, None for signs and digits.
        advances: (T,) int32, pixels.
        lefts, widths: (T,) int32, pixels: first column of ink from the pen,
            columns of ink (0 for none).
        inks: list of (width, H) uint8, coverage by columns.
        priors: (T,) float32, log of how often it is met.
        allowed: bool (contexts, T), which tokens may follow a context.
        pairs: Pairs, kerning.
        space: int, the token of the space in the first context, or None.
        unknown: int, the token of what is not known.

    Args:
        shaper: Shaper.
        stack: FontStack.
        baseline: int, 1/1024 px from the top.
        height: pixels of a line.
        characters: tuple of str.

    Raises:
        ValueError: a character is drawn in colours.
    """

    def __init__(self, shaper, stack, baseline, height, characters):
        self._shaper = shaper
        self._baseline = baseline
        self._height = height
        self.texts = []
        self.scripts = []
        self._shaped = []
        contexts = []
        self._keys = _contexts(stack, characters)
        for number, key in enumerate(self._keys):
            for text, code in _members(stack, key, characters):
                self._add(text, code, key)
                contexts.append(number)
        self._check_colours(stack)
        self.contexts = np.array(contexts, np.int32)
        self.pairs = Pairs(self, self._keys, shaper)
        self._add_unknown(height)
        self._draw()
        self.priors = np.array([log_prior(text) for text in self.texts], "f4")
        self.priors[self.unknown] = _UNKNOWN_PRIOR
        self.allowed = self._allowed(stack)
        self.space = self.texts.index(" ") if " " in self.texts else None

    def __len__(self):
        return len(self.texts)

    def _add(self, text, code, key):
        found = shape(self._shaper, text, code or key.script, key)
        if found is None:
            return False
        self.texts.append(text)
        self.scripts.append(code)
        self._shaped.append(found)
        return True

    def join(self, first, second, found):
        """Adds what two tokens become together; its number.

        Args:
            first, second: numbers of tokens of one context.
            found: Shaped.
        """
        self.texts.append(self.texts[first] + self.texts[second])
        self.scripts.append(self.scripts[first] or self.scripts[second])
        self._shaped.append(found)
        context = self.contexts[first]
        self.contexts = np.append(self.contexts, context).astype(np.int32)
        return len(self.texts) - 1

    def _add_unknown(self, height):
        """A blank of one pixel, which leads past what no token explains."""
        self.unknown = len(self.texts)
        self.texts.append(UNKNOWN)
        self.scripts.append(None)
        self.contexts = np.append(self.contexts, 0).astype(np.int32)
        run = self._shaped[0].run._replace(glyphs=np.empty((0, 3), np.int32))
        self._shaped.append(Shaped(run, 1))
        self.pairs.index = np.append(self.pairs.index, 0)

    def vary(self, token, found):
        """Adds a form of a token, kerned by its left neighbour; its number.

        Args:
            token: int.
            found: Shaped.
        """
        self.texts.append(self.texts[token])
        self.scripts.append(self.scripts[token])
        self._shaped.append(found)
        context = self.contexts[token]
        self.contexts = np.append(self.contexts, context).astype(np.int32)
        return len(self.texts) - 1

    def shaped(self, number):
        """`Shaped`, the glyphs of a token alone."""
        return self._shaped[number]

    def _check_colours(self, stack):
        lost = [
            text
            for text, found in zip(self.texts, self._shaped)
            if found.run.font.colour
        ]
        if lost:
            raise ValueError(
                "expected characters that are drawn in ink. Received: "
                f"{''.join(lost[:8])!r} of a colour font in characters"
            )

    def _draw(self):
        self.advances = np.array([s.advance for s in self._shaped], np.int32)
        lefts, self.inks = [], []
        for start in range(0, len(self._shaped), _STRIP):
            chunk = self._shaped[start : start + _STRIP]
            for left, ink in self._strip(chunk):
                lefts.append(left)
                self.inks.append(ink)
        self.lefts = np.array(lefts, np.int32)
        self.widths = np.array([len(ink) for ink in self.inks], np.int32)

    def _strip(self, chunk):
        """`(left, ink)` of each token, drawn side by side."""
        widest = max(found.advance for found in chunk)
        room = widest + 4 * (self._shaper.size // UNITS) + 8
        fit = max(1, _MOST // room)
        result = []
        for first in range(0, len(chunk), fit):
            part = chunk[first : first + fit]
            lines = [
                (n * room + room // 2, self._baseline, _line(found))
                for n, found in enumerate(part)
            ]
            canvas = draw_lines(lines, self._height, len(part) * room)
            cover = 255 - canvas.T.reshape(len(part), room, self._height)
            result += [_cut(cell, room // 2) for cell in cover]
        return result

    def _allowed(self, stack):
        """Which tokens may stand after each context.

        A sign keeps the font before it. In right-to-left text that is the
        letter on its other side, so there nothing is ruled out.
        """
        result = np.ones((len(self._keys), len(self)), bool)
        if any(key.right for key in self._keys):
            return result
        for number, key in enumerate(self._keys):
            for token, text in enumerate(self.texts):
                if self.scripts[token] is None and token != self.unknown:
                    other = self._keys[self.contexts[token]].font
                    kept = stack.font_for(text[0], key.font)
                    result[number, token] = kept == other
        return result


class _Key:
    """A context: the font, the direction, the scripts of its letters."""

    def __init__(self, font, right, scripts):
        self.font = font
        self.right = right
        self.scripts = scripts

    @property
    def script(self):
        return self.scripts[0] if self.scripts else "Zyyy"


def _contexts(stack, characters):
    """The contexts of some characters, that of the first font first."""
    found = {}
    for text in characters:
        code = script(text[0])
        if code not in NEUTRAL:
            key = (stack.font_for(text), is_right_to_left(text))
            codes = found.setdefault(key, [])
            if code not in codes:
                codes.append(code)
            if key[1]:  # Numbers go from left to right.
                found.setdefault((key[0], False), [])
        else:
            found.setdefault((stack.font_for(text), False), [])
    if any(right for _, right in found):
        # Signs after a left-to-right word in right-to-left text.
        for font, _ in list(found):
            found.setdefault((font, True), [])
    return [_Key(*key, found[key]) for key in sorted(found)]


def _members(stack, key, characters):
    """(text, script) of the tokens of a context."""
    for text in characters:
        code = script(text[0])
        if code not in NEUTRAL:
            own = (stack.font_for(text), is_right_to_left(text))
            if own == (key.font, key.right):
                yield text, code
        elif stack.covers(key.font, text) and not (
            key.right and text[0].isdigit()
        ):
            yield text, None


def shape(shaper, text, code, key):
    """`Shaped` of a text alone in a context, or None if it has no place.

    Args:
        shaper: Shaper.
        text: str, signs as they look.
        code: ISO script of the run.
        key: context.
    """
    written = MIRRORED.get(text, text) if key.right else text
    level = int(key.right)
    run = shaper.run(written, Run(0, len(written), level, code, key.font))
    advance = int(run.advances.sum()) // UNITS
    if not len(run.glyphs) or advance < 1:
        return None
    return Shaped(run, advance)


def _line(found):
    line = Line()
    line.missing, line.mixed = [], False
    line.runs, line.width = [found.run], found.advance
    return line


def _cut(cell, pen):
    """`(left, ink)`: the columns of a (W, H) cell that have ink."""
    inked = np.flatnonzero(cell.any(axis=1))
    if not len(inked):
        return 0, cell[:0]
    first, last = int(inked[0]), int(inked[-1]) + 1
    return first - pen, np.ascontiguousarray(cell[first:last])
