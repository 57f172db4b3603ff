"""Kerning and ligatures between neighbours, learnt by shaping them.

Here: `Pairs`, how much nearer two tokens stand than their advances say, and
the tokens that two become together. Not here: pictures (_read_tokens.py).
Each token is shaped in one go between all that may stand beside it."""

import numpy as np

from pixmodels.renderers._font import UNITS
from pixmodels.renderers._itemise import Run
from pixmodels.renderers._read_bidi import MIRRORED

NEVER = -(1 << 14)  # Stands for "these two become something else".
# Too many to try in pairs; full squares, which fonts do not kern.
_UNKERNED = frozenset(("Hani", "Hang", "Yiii"))
_LONGEST = 4  # Characters of a ligature.
_ROUNDS = 3
# Pairs whose glyphs change beside one another without joining.
_MOST_CONTEXTUAL = 64
_CHUNK = 4096  # Tokens in one text that is shaped.


class Shaped:
    """A token alone: its LineRun and its advance in pixels.

    Attributes:
        run: LineRun.
        advance: int, pixels.
        glyph: int, id of its first glyph from the left.
        offsets: [x, y] of that glyph from the pen, 1/1024 px.
        count: int, number of its glyphs.
    """

    __slots__ = ("advance", "count", "glyph", "offsets", "run")

    def __init__(self, run, advance):
        self.run = run
        self.advance = advance
        self.count = len(run.glyphs)
        first = run.glyphs[0].tolist() if self.count else (0, 0, 0)
        self.glyph, *self.offsets = first


class Pairs:
    """How pens move between neighbours of one run, beyond the advance.

    Attributes:
        index: (T,) int32, place of a token in `delta`; 0 for those without
            kerning.
        delta: int16 (n, n), pixels, left by right neighbour; `NEVER` where
            the two become something else.

    Args:
        tokens: Tokens, to which ligatures are added.
        keys: its contexts.
        shaper: Shaper.
    """

    def __init__(self, tokens, keys, shaper):
        self._tokens = tokens
        self._keys = keys
        self._shaper = shaper
        self._joined = set()
        self._contextual = 0
        self._places = {}
        known = [
            t for t, code in enumerate(tokens.scripts) if code not in _UNKERNED
        ]
        for token in known:
            self._places[token] = len(self._places) + 1
        size = len(known) + 1
        self.delta = np.zeros((size, size), np.int16)
        new = known
        for _ in range(_ROUNDS):
            joined = self._round(known, new)
            if not joined:
                break
            known = known + joined
            new = joined
        for context, key in enumerate(keys):
            if key.right:
                members = [t for t in known if self._context(t) == context]
                self._set_right(members, key)
        self._forbid_rest()
        self.index = np.zeros(len(tokens), np.int32)
        for token, place in self._places.items():
            self.index[token] = place

    def step(self, left, right):
        """Pixels from pen to pen; negative where they cannot be neighbours.

        Args:
            left, right: ints or int arrays, tokens.
        """
        delta = self.delta[self.index[left], self.index[right]]
        return self._tokens.advances[left] + delta

    def safe(self):
        """Columns from each token's pen that no right neighbour can ink.

        Returns:
            int64 (T,), pixels; may be negative.
        """
        tokens = self._tokens
        inked = tokens.widths > 0
        reach = min(tokens.lefts[inked].min(initial=0), 0)
        lefts = np.zeros(len(self.delta), np.int64)
        lefts[0] = reach
        np.minimum.at(lefts, self.index[inked], tokens.lefts[inked])
        nearest = np.where(self.delta == NEVER, 1 << 14, self.delta + lefts)
        nearest = np.minimum(nearest.min(axis=1), reach)
        return tokens.advances + nearest[self.index]

    def _round(self, known, new):
        """Shapes new tokens beside all known ones; returns those joined."""
        size = len(self._places) + 1
        if size > len(self.delta):
            grow = size - len(self.delta)
            self.delta = np.pad(self.delta, ((0, grow), (0, grow)))
        fresh = set(new)
        joined = {}
        for context, key in enumerate(self._keys):
            members = [t for t in known if self._context(t) == context]
            if key.right:
                continue
            for left in members:
                rights = members if left in fresh else []
                rights = rights or [t for t in members if t in fresh]
                for code, some in self._by_script(left, rights, key):
                    for start in range(0, len(some), _CHUNK):
                        part = some[start : start + _CHUNK]
                        self._shape(left, part, code, key, joined)
        result = []
        for (first, second), found in joined.items():
            token = self._tokens.join(first, second, found)
            self._places[token] = len(self._places) + 1
            result.append(token)
        return result

    def _context(self, token):
        return int(self._tokens.contexts[token])

    def _by_script(self, left, rights, key):
        """(script of the run, right neighbours); other scripts end the run."""
        codes = self._tokens.scripts
        own = codes[left]
        if own is not None:
            yield own, [t for t in rights if codes[t] in (own, None)]
            return
        for number, code in enumerate(key.scripts or ["Zyyy"]):
            home = (code, None) if number == 0 else (code,)
            some = [t for t in rights if codes[t] in home]
            if some:
                yield code, some

    def _text(self, token, key):
        text = self._tokens.texts[token]
        return MIRRORED.get(text, text) if key.right else text

    def _shape(self, left, rights, code, key, joined):
        """Sets the kerning of one token with some right neighbours.

        They are shaped as left, right, left, right, ..., in visual order.
        """
        sequence = np.empty(2 * len(rights), np.int64)
        sequence[::2], sequence[1::2] = left, rights
        pens, whole = self._pens(sequence, code, key)
        place = self._places
        row = place[left]
        delta = pens[1::2] - pens[::2] - self._tokens.shaped(left).advance
        good = whole[::2] & whole[1::2]
        columns = np.array([place[t] for t in rights])
        self.delta[row, columns[good]] = delta[good]
        for at in np.flatnonzero(~good):
            right = rights[at]
            self.delta[row, columns[at]] = self._alone(
                left, right, code, key, joined
            )

    def _alone(self, left, right, code, key, joined):
        """Kerning of two tokens shaped by themselves; notes ligatures."""
        pens, whole = self._pens(np.array([left, right]), code, key)
        if whole.all():
            advance = self._tokens.shaped(left).advance
            return int(pens[1] - pens[0]) - advance
        text = self._text(left, key) + self._text(right, key)
        known = (text, key.font) in self._joined
        if known or len(text) > _LONGEST:
            return NEVER
        run = self._shaper.run(text, Run(0, len(text), 0, code, key.font))
        one = len(set(run.clusters.tolist())) == 1
        if not one:
            self._contextual += 1
        if one or (len(text) == 2 and self._contextual <= _MOST_CONTEXTUAL):
            advance = int(run.advances.sum()) // UNITS
            if advance > 0:
                joined[left, right] = Shaped(run, advance)
                self._joined.add((text, key.font))
        return NEVER

    def _pens(self, sequence, code, key):
        """Where tokens come to stand, given from left to right.

        Returns:
            `(pens, whole)`: int64 pixels; bool, whether each has the glyphs
            that it has alone.
        """
        texts = [self._text(int(token), key) for token in sequence]
        text = "".join(texts)
        run = self._shaper.run(text, Run(0, len(text), 0, code, key.font))
        starts = np.cumsum([0, *map(len, texts[:-1])])
        before = np.cumsum(run.advances) - run.advances
        clusters = run.clusters
        at = np.minimum(np.searchsorted(clusters, starts), len(clusters) - 1)
        shaped = [self._tokens.shaped(int(token)) for token in sequence]
        whole = clusters[at] == starts
        ends = np.append(at[1:], len(clusters))
        whole &= ends - at == np.array([s.count for s in shaped])
        whole &= run.glyphs[at, 0] == np.array([s.glyph for s in shaped])
        offsets = np.array([s.offsets for s in shaped])
        whole &= run.glyphs[at, 1] - before[at] == offsets[:, 0]
        whole &= run.glyphs[at, 2] == offsets[:, 1]
        return before[at] // UNITS, whole

    def _set_right(self, members, key):
        """Kerning of a right-to-left context.

        It moves the right one of two and makes it narrower; each is rounded
        by itself, so that the step after it changes, too. A character kerned
        so is a token of its own, which stands beside those left ones only.
        """
        forms = {}
        needs = []
        for left in members:
            for right in members:
                form = self._form(left, right, key)
                if form is None:
                    needs.append((left, right, None))
                elif form:
                    name = (right, form[0])
                    if name not in forms:
                        forms[name] = self._tokens.vary(right, form[1])
                    needs.append((left, right, forms[name]))
        for token in forms.values():
            self._places[token] = len(self._places) + 1
        size = len(self._places) + 1
        grow = size - len(self.delta)
        self.delta = np.pad(self.delta, ((0, grow), (0, grow)))
        place = self._places
        for token in forms.values():
            self.delta[:, place[token]] = NEVER
        for left, right, token in needs:
            self.delta[place[left], place[right]] = NEVER
            if token is not None:
                self.delta[place[left], place[token]] = 0
        for (right, _), token in forms.items():
            self.delta[place[token]] = self.delta[place[right]]

    def _form(self, left, right, key):
        """What becomes of a token beside its left neighbour.

        Returns:
            None where the two change, () where nothing does, else
            (what tells it from others, Shaped).
        """
        text = self._text(right, key) + self._text(left, key)
        run = self._shaper.run(text, Run(0, len(text), 1, key.script, key.font))
        one, two = self._tokens.shaped(left), self._tokens.shaped(right)
        if len(run.glyphs) != one.count + two.count:
            return None
        middle = one.count
        glyphs, advances = run.glyphs, run.advances
        same = glyphs[:middle].tolist() == one.run.glyphs.tolist()
        same &= advances[:middle].tolist() == one.run.advances.tolist()
        if not same or glyphs[middle:, 0].tolist() != (
            two.run.glyphs[:, 0].tolist()
        ):
            return None
        moved = glyphs[middle:].copy()
        moved[:, 1] -= one.advance * UNITS
        advance = int(advances[middle:].sum()) // UNITS
        pixels = tuple(map(tuple, ((moved[:, 1:] + UNITS // 2) >> 10).tolist()))
        alone = two.run.glyphs[:, 1:]
        alone = tuple(map(tuple, ((alone + UNITS // 2) >> 10).tolist()))
        if (pixels, advance) == (alone, two.advance):
            return ()
        if advance < 1:
            return None
        run = two.run._replace(glyphs=moved, advances=advances[middle:])
        return (pixels, advance), Shaped(run, advance)

    def _forbid_rest(self):
        """Drops steps that do not move the pen to the right."""
        advances = np.zeros(len(self.delta), np.int64)
        for token, place in self._places.items():
            advances[place] = self._tokens.shaped(token).advance
        still = advances[:, None] + self.delta < 1
        still[0] = False
        self.delta[still] = NEVER
