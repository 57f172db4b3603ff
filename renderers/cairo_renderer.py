"""`CairoRenderer`: text of any script to rows of patches.

Here: arguments, configuration, the call. Not here: the steps, which are
_clean, _bidi, _itemise, _shape, _layout, _raster in this order."""

import math

import numpy as np

from pixmodels.renderers._cells import Joiner
from pixmodels.renderers._clean import check_texts
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._font import check
from pixmodels.renderers._forks import lock
from pixmodels.renderers._layout import Typesetter
from pixmodels.renderers._libraries import fribidi
from pixmodels.renderers._libraries import load
from pixmodels.renderers._palette import Palette
from pixmodels.renderers._palette import plain
from pixmodels.renderers._pygame import PygameBaseline
from pixmodels.renderers._pygame import PygameShaper
from pixmodels.renderers._raster import baseline as pango_baseline
from pixmodels.renderers._raster import draw
from pixmodels.renderers._raster import sides
from pixmodels.renderers._segment import DIRECTIONS
from pixmodels.renderers._segment import LAYOUTS
from pixmodels.renderers._shape import Shaper
from pixmodels.renderers._sheets import Sheets
from pixmodels.renderers._sheets import check_choice
from pixmodels.renderers._sheets import whole
from pixmodels.renderers._units import UnitShaper
from pixmodels.renderers.font_stack import FontStack
from pixmodels.renderers.rendered_batch import Measured

_LARGEST = 1024
_BASELINES = ("pangocairo", "pygame")
_HAN = {"ja": "JP", "ko": "KR", "zh-hant": "TC", "zh-tw": "TC", "zh-hk": "TC"}


class CairoRenderer(Sheets):
    """Draws texts as patches, pixel for pixel as PIXEL's renderer.

    One line per text: shaped by HarfBuzz, ordered by the Unicode
    bidirectional algorithm from the first strong character, each grapheme
    cluster in the first font of the stack that covers it, drawn by Cairo and
    FreeType with slight hinting. System font settings and the locale change
    nothing. A renderer does not change once made, is safe to share between
    threads (calls wait for one another), and pickles as its arguments.

    Layout `"continuous"` in patches of P pixels, from x = 2: a str, then a
    black end patch at the first patch boundary at least 2 px after it; a pair
    with a black patch between, the second text 2 px after it; words each on a
    patch boundary of its own (the first at x = 2). The other layouts cut the
    words of a str, too, at white space (`str.split`), which is not drawn:
    `"words"` sets them as a list of words. The layouts of units set each unit
    at a patch boundary without a margin, a unit wider than a patch takes as
    many as it needs, and the next word begins a new unit: `"bigrams"` two
    grapheme clusters a unit, the last of a word perhaps one; `"mono"` one,
    and a blank patch for each white space character; `"adaptive"` bigrams,
    but one cluster of Chinese, Japanese, Korean (and a blank patch for white
    space beside it), and whole words with right-to-left letters. Pairs have
    the black patch between; the words of a list begin a new unit each, with
    patch starts in `word_starts`. Letters of joining and Indic scripts keep
    the glyphs that they have in the word, and what shaping joins, such as
    lam-alef or a conjunct, stays in one unit; letters of other scripts are
    drawn as alone, so that a bigram has one picture. Words stand from left to
    right in the order of the text, as PIXEL's do; the units of a
    right-to-left word stand in visual order. The baseline follows from the
    metrics of the stack's first font and is the same for every text.

    What cannot be drawn as it stands is defined. Line breaks (LF, VT, FF, CR,
    U+001C-U+001F, NEL, U+2028, U+2029) become a space, CR LF one space; a
    tab goes to the next multiple of eight spaces; NUL and other controls draw
    nothing; lone surrogates become U+FFFD and are reported. Empty texts,
    texts of spaces only, empty words and members are drawn as nothing before
    the end patch, which is patch 1 for an empty str or word list. Characters
    without a glyph are drawn as .notdef and reported. A text that does not
    fit in `max_patches` is cut and reported: left to right the line is
    clipped where the end patch stands, as in PIXEL; a line with right-to-left
    parts is set from the longest beginning that fits (PIXEL shows its end);
    a unit that does not fit is left out. Of one text at most 64 characters
    a patch are looked at, so that a million marks without width take bounded
    time; the rest is cut and reported.

    Colours: a pixel of which ink covers a / 255 is `(ink * a + paper *
    (255 - a) + 127) // 255` in each channel; separator and end patches have
    the ink's colour (PIXEL: black), what is right of the end the paper's.
    Colour glyphs (emoji) keep their own colours, also in grey mode, as luma
    (ITU-R BT.601), and stand above other glyphs where they meet.

    `baseline="pygame"` reproduces PIXEL's other renderer, with which it was
    pre-trained: full hinting, no kerning or ligatures, a text begins at its
    first ink, is as wide as its ink and centred by its height; words of a
    list stand on one line. Scripts that need shaping, marks and right-to-left
    text are shaped all the same, and fallback fonts are used; PyGame draws
    one glyph a character of one font.

    Args:
        font_stack: FontStack, a list of font paths, or None for
            `FontStack.default()`.
        patch_size: P, pixels, height and width of a patch; or (height,
            width).
        max_patches: the most patches of a text, end patch included.
        font_size: points.
        dpi: dots per inch; em = font_size * dpi / 72 pixels.
        language: BCP 47 tag that selects regional letter forms in fonts (and
            in the default stack the regional Han face, for all texts); None
            for none.
        layout: `"continuous"`, `"words"`, `"bigrams"`, `"mono"` or
            `"adaptive"`, see above.
        direction: base direction of every text, `"ltr"` or `"rtl"`; `"auto"`:
            that of its first strong character, in a pair right to left if
            two of first, middle and last letter of both texts are (PIXEL).
        color_mode: "grey" or "rgb".
        ink: a grey level 0..255, (red, green, blue), or what `PIL.ImageColor`
            reads ("navy", "#102030", ...); in grey mode its luma is taken.
        paper: as `ink`.
        baseline: "pangocairo" or "pygame", PIXEL's renderer to follow.

    Call arguments:
        texts: a str, or a list of str, (str, str) tuples and lists of str.
        num_patches: N, width of the output in patches, at least 2, at most
            `max_patches`; what does not fit is cut. None: the longest text of
            the batch.
        return_offsets: whether to find out which characters stand in which
            patch (`RenderedBatch.offsets`).

    Returns:
        `RenderedBatch`; pixels uint8 (B, P, N * P), in colour (B, P, N * P,
        3); 255 white.

    Raises:
        TypeError: `texts` or a part of it is not text, says which.
        ValueError: a size is out of range, a tuple is not a pair, a layout or
            direction has another name.
        FileNotFoundError, ValueError: a font is missing or corrupt.
        ImportError: pycairo, uharfbuzz or FriBidi is missing.
        RuntimeError: pycairo cannot draw FreeType faces on this machine.

    Source: Rust et al. 2023, "Language Modelling with Pixels";
    xplip/pixel 1b0da29, pangocairo_renderer.py and pygame_renderer.py;
    pygame 2.6.1, src_c/freetype. Bigrams: Lotz et al. 2023, "Text Rendering
    Strategies for Pixel Language Models"; Kesen et al. 2025, "Multilingual
    Pretraining for Pixel Language Models", ilkerkesen/pixel-m4 d22be71,
    pangocairo_renderer_bigrams_iso_char.py. That draws each code point alone,
    unjoined, and puts the words and units of right-to-left texts from right
    to left. `"adaptive"` is our reading of what is said of multilingual PIXEL
    models; no code of it was found. `"mono"` is not the paper's MONO, which
    is a font of fixed width. Else differs from PIXEL in the colours (there
    ignored; its rgb mode is the grey image three times, and so is ours), in
    what is cut of right-to-left lines, in .notdef instead of hex boxes, in
    the control characters above, and with several fonts in the baseline
    (Pango moves it with the fonts a line uses, which clips the vowel signs of
    Devanagari).

    Example:
        >>> batch = CairoRenderer()(["a cat", ("Why?", "Because.")])
        >>> batch.num_patches.tolist()
        [2, 8]
    """

    def __init__(
        self,
        font_stack=None,
        *,
        patch_size=16,
        max_patches=529,
        font_size=8.0,
        dpi=120,
        language=None,
        layout="continuous",
        direction="auto",
        color_mode="grey",
        ink="black",
        paper="white",
        baseline="pangocairo",
    ):
        self.layout = check_choice("layout", layout, LAYOUTS)
        self.direction = check_choice("direction", direction, DIRECTIONS)
        self.patch_size = _patch_size(patch_size)
        self.max_patches = whole("max_patches", max_patches, 2)
        self.font_size = _positive("font_size", font_size)
        self.dpi = _positive("dpi", dpi)
        if language is not None and not isinstance(language, str):
            raise TypeError(
                "expected a BCP 47 tag or None. "
                f"Received: language={language!r}"
            )
        self.language = language
        self.font_stack = _stack(font_stack, language)
        size = int(dpi / 72 * font_size * UNITS + 0.5)
        if not UNITS <= size <= _LARGEST * UNITS:
            raise ValueError(
                f"expected an em of 1 to {_LARGEST} pixels (font_size * dpi / "
                f"72). Received: font_size={font_size!r}, dpi={dpi!r}"
            )
        self.color_mode = color_mode
        self.ink, self.paper = plain(ink), plain(paper)
        self._palette = Palette(color_mode, ink, paper)
        self.baseline = _baseline(baseline)
        for module in ("cairo", "uharfbuzz", "fontTools.unicodedata", "regex"):
            load(module)
        fribidi()
        shaper = Shaper if baseline == "pangocairo" else PygameShaper
        self._shaper = shaper(self.font_stack, size, language or "c")
        self._units = None
        if layout not in ("continuous", "words"):
            self._units = UnitShaper(self._shaper, layout)
        check(*self.font_stack.entry(0))
        self._baseline = self._place()
        self._joiner = Joiner(
            self._shaper,
            self.font_stack,
            language or "c",
            self._baseline,
            sides(self.patch_size),
            self._palette,
            None if direction == "rtl" else layout,
        )
        self._lock = lock()
        self._frozen = True

    def _place(self):
        """The baseline as `_raster.draw` takes it."""
        if self.baseline == "pygame":
            return PygameBaseline(self.patch_size)
        return pango_baseline(self._shaper.font(0), sides(self.patch_size)[0])

    def __setattr__(self, name, value):
        if hasattr(self, "_frozen"):
            raise AttributeError(
                "expected a new CairoRenderer for other settings. "
                f"Received: {name}={value!r}"
            )
        super().__setattr__(name, value)

    def __call__(self, texts, num_patches=None, *, return_offsets=False):
        layouts = self._layouts(texts, num_patches, return_offsets)
        if num_patches is None:
            num_patches = max((x.num_patches + 1 for x in layouts), default=1)
        parts = None
        if return_offsets:
            parts = [
                (text,) if isinstance(text, str) else tuple(text)
                for text in check_texts(texts)
            ]
        return self._draw(layouts, parts, num_patches, offsets=return_offsets)

    def widths(self, texts):
        """Patches that each text takes, end patch included, without drawing.

        Args:
            texts: as for the call.

        Returns:
            (B,) int32, at most `max_patches`.
        """
        return self.measure(texts).widths

    def measure(self, texts):
        """What a call would report of each text, without drawing.

        Args:
            texts: as for the call.

        Returns:
            `Measured`: `widths`, `truncated`, `missing`.
        """
        layouts = self._layouts(texts, None)
        return Measured(
            np.array([x.num_patches + 1 for x in layouts], np.int32),
            [tuple(x.cuts) if x.cuts else None for x in layouts],
            [tuple(x.missing) for x in layouts],
        )

    def _layouts(self, texts, num_patches, offsets=False):
        limit = self._number("num_patches", num_patches, 2)
        texts = check_texts(texts)
        with self._lock:
            joined = self._joiner.lay_out(texts, limit, offsets=offsets)
            setter = self._setter(limit)
            return [
                layout or setter.lay_out(text)
                for text, layout in zip(texts, joined)
            ]

    def cache_info(self):
        """`CacheInfo(hits, misses, maxsize, currsize)` of drawn words."""
        return self._joiner.info()

    def _setter(self, num_patches):
        return Typesetter(
            self._shaper,
            self._patch_shape[1],
            num_patches,
            layout=self.layout,
            direction=self.direction,
            units=self._units,
        )

    def _pixels(self, layouts, num_patches):
        with self._lock:
            return draw(
                layouts,
                self._baseline,
                self.patch_size,
                num_patches,
                self._palette,
            )

    @property
    def _patch_shape(self):
        return sides(self.patch_size)

    def get_config(self):
        """JSON-able dict; fonts by path, face and SHA-256."""
        settings = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self._settings().items()
        }
        return {"font_stack": self.font_stack.config(), **settings}

    @classmethod
    def from_config(cls, config):
        """Rebuilds a renderer; ValueError where a font file differs."""
        config = dict(config)
        stack = FontStack.from_config(config.pop("font_stack"))
        return cls(stack, **config)

    def _settings(self):
        return {
            "patch_size": self.patch_size,
            "max_patches": self.max_patches,
            "font_size": self.font_size,
            "dpi": self.dpi,
            "language": self.language,
            "layout": self.layout,
            "direction": self.direction,
            "color_mode": self.color_mode,
            "ink": self.ink,
            "paper": self.paper,
            "baseline": self.baseline,
        }

    def __reduce__(self):
        return _rebuild, (self.font_stack, self._settings())

    def __repr__(self):
        settings = [f"{k}={v!r}" for k, v in self._settings().items()]
        fonts = f"<FontStack of {len(self.font_stack)} fonts>"
        return f"CairoRenderer({', '.join([fonts, *settings])})"


def _rebuild(stack, settings):
    return CairoRenderer(stack, **settings)


def _stack(font_stack, language):
    if isinstance(font_stack, FontStack):
        return font_stack
    if font_stack is not None:
        return FontStack(font_stack)
    tag = (language or "").lower()
    for prefix, han in _HAN.items():
        if tag == prefix or tag.startswith(prefix + "-"):
            return FontStack.default(han)
    return FontStack.default()


def _baseline(name):
    if name not in _BASELINES:
        raise ValueError(
            f"expected one of {_BASELINES}. Received: baseline={name!r}"
        )
    return name


def _patch_size(value):
    """The side, or (height, width) where they differ."""
    if not isinstance(value, tuple | list):
        return whole("patch_size", value, 1)
    if len(value) != 2:
        raise ValueError(
            "expected a side, or (height, width). "
            f"Received: patch_size={value!r}"
        )
    height, width = (whole("patch_size", side, 1) for side in value)
    return height if height == width else (height, width)


def _positive(name, value):
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ValueError(
            f"expected a positive number. Received: {name}={value!r}"
        )
    return value
