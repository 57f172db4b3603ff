"""PIXEL's PangoCairo renderer, to measure ours against it.

Here: `PangoCairoRenderer`, which asks Pango and Cairo for the same work per
text as the original. Not here: a renderer to use (pixmodels.renderers), the
comparison with reference pixels (_pango_check.py), the benchmark itself."""

import math
import os
import string

import numpy as np

from pixmodels.training._pango_fonts import family_name
from pixmodels.training._pango_fonts import font_map
from pixmodels.training._pango_fonts import libraries
from pixmodels.training._pango_offsets import spans

_MARGIN = 2
_IGNORED = str.maketrans(
    "", "", string.whitespace + string.punctuation + string.digits
)


class PangoCairoRenderer:
    """Draws as xplip/pixel does: one text, one full canvas, one call.

    Every text gets a new Cairo surface of `max_patches` patches and new Pango
    layouts: one for a text, one per word, one per text of a pair, and for
    bigrams two per character (one to measure, one to draw). The one font file
    is all that fontconfig is told of, so a machine's settings and fonts count
    for nothing; Pango's language is that of the locale "C". Not thread safe.

    Results are dicts: `pixels` (P, L * P) uint8, 255 white; `num_patches`,
    patches before the end patch; `sep_patches`, list of the black patches'
    left edges in pixels; where it applies `word_starts` or `offset_mapping`.

    Args:
        font_file: `"path"` or `"path#face index"`.
        patch_size: P, pixels.
        max_patches: L.
        font_size: points.
        dpi: dots per inch.

    Raises:
        ImportError: PyGObject, Pango or pycairo is missing.
        ValueError: fontconfig finds no font in the file.
        RuntimeError: Pango was started in this process under another locale.

    Source: xplip/pixel 1b0da29, pangocairo_renderer.py; bigrams:
    ilkerkesen/pixel-m4 d22be71, pangocairo_renderer_bigrams_iso_char.py.
    Differs in how the font is made known (a font map of its own, not a
    process-wide registration); has no RGB, no sliding windows.
    """

    _current = None

    def __init__(
        self, font_file, *, patch_size=16, max_patches=529, font_size=8, dpi=120
    ):
        self._cairo, self._pango, self._pango_cairo = libraries()
        self._patch = patch_size
        self._patches = max_patches
        self._width = max_patches * patch_size
        path, _, index = os.fspath(font_file).partition("#")
        self._map = font_map(self._pango_cairo, path)
        self._use()
        size = dpi / 72 * font_size
        family = family_name(path, int(index or 0))
        self._font = self._pango.font_description_from_string(
            f"{family} {size}px"
        )

    def text(self, text):
        """Draws a str on one line."""
        surface, context = self._begin()
        _, _, width = self._sentence(context, text.replace("\n", " "), _MARGIN)
        end = self._next(_MARGIN + width + _MARGIN)
        return self._result(surface, [end])

    def words(self, words):
        """Draws a list of words, each from a patch boundary of its own."""
        surface, context = self._begin()
        starts = [0]
        x = _MARGIN
        for word in words[:-1]:
            x = self._next(x + self._word(context, f"{word} ", x))
            starts.append(math.ceil(x / self._patch))
            if x == self._width - self._patch:
                break
        else:
            width = self._word(context, words[-1], x)
            x = self._next(x + _MARGIN + width)
            starts.append(math.ceil(x / self._patch))
        return {**self._result(surface, [x]), "word_starts": starts}

    def pair(self, first, second):
        """Draws two texts with a black patch between."""
        return self._pair(first, second, False)

    def pair_with_offsets(self, first, second):
        """`pair`, and the span of characters that each patch shows.

        Returns:
            As the class says, with `offset_mapping`: list of L spans.
        """
        return self._pair(first, second, True)

    def bigrams(self, text):
        """Draws words as pairs of code points, each pair on patches of its own.

        Each code point is laid out alone, first to measure, then to draw.
        """
        words = text.split()
        rtl = self._right_to_left(" ".join(words))
        if rtl:
            words = words[::-1]
        surface, context = self._begin()
        words, starts = self._words_that_fit(context, words, rtl)
        x = 0
        for word in words:
            for bigram in _bigrams(word, rtl):
                x = self._bigram(context, bigram, x, show=True)
            if x == self._width - self._patch:
                break
        starts.append(math.ceil(x / self._patch))
        result = self._result(surface, [self._next(x)])
        return {**result, "word_starts": starts}

    def floats(self, text):
        """`text` as PIXEL feeds it to the model.

        Returns:
            (3, P, L * P) float32 in [0, 1], three equal channels.
        """
        from PIL import Image

        image = Image.fromarray(self.text(text)["pixels"]).convert("RGB")
        size = (self._width, self._patch)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BICUBIC)
        pixels = np.array(image, np.uint8, copy=True).transpose(2, 0, 1)
        values = np.ascontiguousarray(pixels).astype(np.float32)
        return np.divide(values, 255, out=values)

    def _use(self):
        """Makes this renderer's font map the one that Pango asks."""
        if PangoCairoRenderer._current is not self:
            self._map.set_default()
            PangoCairoRenderer._current = self

    def _begin(self):
        self._use()
        cairo = self._cairo
        surface = cairo.ImageSurface(cairo.FORMAT_A8, self._width, self._patch)
        return surface, cairo.Context(surface)

    def _result(self, surface, ends):
        data = np.frombuffer(surface.get_data(), np.uint8)
        stride = surface.get_stride()
        alpha = data.reshape(self._patch, stride)[:, : self._width]
        pixels = np.invert(alpha)
        for end in ends:
            pixels[:, end : end + self._patch] = 0
        return {
            "pixels": pixels,
            "sep_patches": ends,
            "num_patches": ends[-1] // self._patch,
        }

    def _next(self, x):
        """The patch boundary at or after `x`, at most the last patch's."""
        patch = self._patch
        return min(math.ceil(x / patch) * patch, self._width - patch)

    def _show(self, context, layout, x, height):
        context.move_to(x, self._patch / 2.0 - height / 2.0 - 2)
        self._pango_cairo.show_layout(context, layout)

    def _layout(self, context, text):
        layout = self._pango_cairo.create_layout(context)
        layout.set_font_description(self._font)
        layout.set_text(text, -1)
        layout.get_unknown_glyphs_count()  # The original logs them.
        return layout

    def _word(self, context, word, x):
        layout = self._layout(context, word)
        width, height = layout.get_pixel_size()
        self._show(context, layout, x, height)
        return width

    def _sentence(self, context, text, x, rtl=False, limit=None):
        """Draws a text: `(full layout, layout drawn, width of the full)`."""
        pango = self._pango
        settings = self._pango_cairo.create_context(context)
        settings.set_font_description(self._font)
        layout = pango.Layout(settings)
        if rtl:
            layout.set_auto_dir(False)
            settings.set_base_dir(pango.Direction.RTL)
            layout.set_alignment(pango.Alignment.RIGHT)
        layout.set_text(text, -1)
        layout.get_unknown_glyphs_count()
        full_width, height = layout.get_pixel_size()
        drawn = layout
        if limit is not None and self._ceil(x + full_width) > limit:
            drawn = pango.Layout(settings)
            height = self._shorten(drawn, text, x, limit)
        self._show(context, drawn, x, height)
        return layout, drawn, full_width

    def _shorten(self, layout, text, x, limit):
        """Gives `layout` the beginning of a text that fills `limit` patches."""
        low, high = 0, len(text)
        while low <= high:
            middle = (low + high) // 2
            layout.set_text(text[:middle], -1)
            width, height = layout.get_pixel_size()
            patches = self._ceil(x + width)
            if patches == limit:
                break
            if patches < limit:
                low = middle + 1
            else:
                high = middle - 1
        return height

    def _ceil(self, x):
        return math.ceil(x / self._patch)

    def _pair(self, first, second, offsets):
        first = first.replace("\n", " ")
        second = second.replace("\n", " ")
        rtl = self._right_to_left(first) and self._right_to_left(second)
        surface, context = self._begin()
        _, layout, width = self._sentence(context, first, _MARGIN, rtl)
        if offsets:
            mapping = self._spans(layout, _MARGIN, width, 0, rtl)
        separator = self._next(_MARGIN + width + _MARGIN)
        x = separator + self._patch + _MARGIN
        full, drawn, width = self._sentence(
            context, second, x, rtl, self._patches - 1 if rtl else None
        )
        end = self._next(x + width + _MARGIN)
        if not offsets:
            return self._result(surface, [separator, end])
        rest = self._spans(full, x, width, x - _MARGIN, rtl)
        if rtl:  # The original walks both and keeps the one that is drawn.
            rest = self._spans(drawn, x, width, x - _MARGIN, rtl)
        mapping = mapping + [(0, 0)] + rest
        if len(mapping) >= self._patches:
            mapping = [*mapping[: self._patches - 1], (0, 0)]
        mapping += [(0, 0)] * (self._patches - len(mapping))
        result = self._result(surface, [separator, end])
        return {**result, "offset_mapping": mapping}

    def _spans(self, layout, x, width, shift, rtl):
        return spans(
            layout,
            x,
            width + _MARGIN,
            shift,
            rtl=rtl,
            patch_size=self._patch,
            limit=self._width - self._patch,
        )

    def _right_to_left(self, text):
        """Two of the first, middle and last letters are right to left."""
        text = text.translate(_IGNORED)
        if not text:
            return False
        pango = self._pango
        letters = (text[0], text[-1], text[len(text) // 2])
        votes = [
            pango.unichar_direction(letter) == pango.Direction.RTL
            for letter in letters
        ]
        return sum(votes) >= 2

    def _words_that_fit(self, context, words, rtl):
        """Measures every bigram: `(words, starts)` that are then drawn."""
        starts = []
        x = 0
        for word in words:
            starts.append(math.ceil(x / self._patch))
            for bigram in _bigrams(word, rtl):
                x = self._bigram(context, bigram, x, show=False)
        patches = math.ceil(x / self._patch)
        last = len(words) - 1
        if patches > self._patches:
            while patches > self._patches:
                last -= 1
                patches = starts[last] if last >= 0 else 0
            last = max(last - 1, 0)
        return words[: last + 1], starts[: last + 1]

    def _bigram(self, context, bigram, x, show):
        """Lays out one or two code points; the next boundary, unbounded."""
        pen = x
        for character in bigram:
            layout = self._layout(context, character)
            width, height = layout.get_pixel_size()
            if show:
                self._show(context, layout, pen, height)
            pen += width
        return math.ceil(pen / self._patch) * self._patch


def _bigrams(word, rtl):
    parts = [word[i : i + 2] for i in range(0, len(word), 2)]
    return [part[::-1] for part in parts][::-1] if rtl else parts
