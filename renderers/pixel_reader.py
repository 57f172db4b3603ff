"""`PixelReader`: text out of the pixels of a renderer.

Here: arguments, rows and pages, the check by drawing again. Not here: lines
(_read_lines.py), what comes back (read_text.py)."""

import itertools

import numpy as np

from pixmodels.renderers._layout import MARGIN
from pixmodels.renderers._raster import sides
from pixmodels.renderers._read_alphabet import check_characters
from pixmodels.renderers._read_alphabet import default_characters
from pixmodels.renderers._read_bidi import orders
from pixmodels.renderers._read_lines import LineInk
from pixmodels.renderers._read_lines import LineReader
from pixmodels.renderers._read_pixels import Inks
from pixmodels.renderers._read_pixels import check_pixels
from pixmodels.renderers._read_pixels import stretches
from pixmodels.renderers._read_prior import Prior
from pixmodels.renderers._read_tokens import Tokens
from pixmodels.renderers._sheets import check_choice
from pixmodels.renderers._sheets import whole
from pixmodels.renderers.cairo_renderer import CairoRenderer
from pixmodels.renderers.read_text import ReadCharacter
from pixmodels.renderers.read_text import ReadText

_LAYOUTS = ("continuous", "words")
_TRIES = 6  # Orders of reading of a right-to-left line that are drawn.


class PixelReader:
    """Turns patches that a renderer drew, or a model predicted, into text.

    A line is explained from left to right by pictures of characters that the
    renderer itself draws, with its advances, kerning and ligatures. Clean
    pixels are matched exactly: of all rows of characters whose ink is the
    line's, the likeliest is taken (often there is one only). Noisy ones are
    read by a beam search for the least squared error, twice: the second time
    with the noise of each patch measured on the first reading. What was read
    is drawn again and compared with the pixels.

    Where pictures are equal (Latin A, Greek Alpha, Cyrillic A), the scripts
    of the letters beside it and of the line decide, then how common a
    character is, then `texts`; the others are in `alternatives`. Composed
    characters are given (NFC). Spaces at the end of a text are given only
    where the end patch shows that they are there; a no-break space is a
    space; tabs and characters without ink or advance are not read.

    Joining and Indic scripts are refused: their letters change with their
    neighbours. So are the layouts of units, which do not show where words
    end. Colour glyphs are not read.

    Args:
        renderer: CairoRenderer, with `baseline="pangocairo"`.
        characters: what is looked for: a str or an iterable of grapheme
            clusters; None: the letters of `scripts`, digits, punctuation and
            currencies that the renderer's fonts have.
        scripts: ISO 15924 codes, of Latn Grek Cyrl Armn Geor Hebr Cher Ethi
            Hani Hira Kana Bopo Hang Yiii. Of Hani the 6,763 of GB 2312 (beside
            kana the 6,355 of JIS X 0208) and of Hang the 2,350 of KS X 1001
            are taken.
        layout: "continuous", or "words" where words begin at patches; None:
            the renderer's own. Lists of words are read as "words".
        texts: iterable of str, running text of which pairs of characters are
            counted: tells what is likely in noisy pixels. None: no pair is.
        beam: characters kept at every pixel of a noisy line.

    Raises:
        TypeError: an argument is of another kind.
        ValueError: a size is out of range; a character cannot be drawn, is
            drawn in colours, or is of a script that cannot be read.

    Example:
        >>> renderer = CairoRenderer()
        >>> reader = PixelReader(renderer)
        >>> (read,) = reader.read(renderer("A cat, 3 fish").pixels)
        >>> read.text, read.is_exact, read.characters[2].text
        ('A cat, 3 fish', True, 'c')
        >>> pair, = reader.read(renderer([("Why?", "Because.")]))
        >>> pair.parts
        ('Why?', 'Because.')
    """

    def __init__(
        self,
        renderer,
        characters=None,
        *,
        scripts=("Latn",),
        layout=None,
        texts=None,
        beam=12,
    ):
        if not isinstance(renderer, CairoRenderer):
            raise TypeError(
                "expected a CairoRenderer. "
                f"Received: renderer of type {type(renderer).__name__}"
            )
        if renderer.baseline != "pangocairo":
            raise ValueError(
                "expected a renderer with baseline='pangocairo'. "
                f"Received: baseline={renderer.baseline!r}"
            )
        self.renderer = renderer
        layout = renderer.layout if layout is None else layout
        self.layout = check_choice("layout", layout, _LAYOUTS)
        beam = whole("beam", beam, 1)
        stack = renderer.font_stack
        if isinstance(scripts, str):
            scripts = (scripts,)
        if characters is None:
            characters = default_characters(stack, scripts)
        else:
            characters = check_characters(stack, characters)
        self.characters = characters
        self._inks = Inks(renderer._palette)
        self._patch = sides(renderer.patch_size)
        with renderer._lock:
            tokens = Tokens(
                renderer._shaper,
                stack,
                renderer._baseline,
                self._patch[0],
                characters,
            )
        prior = Prior(tokens, texts)
        self._lines = LineReader(
            tokens, prior, beam, self._patch[1], self.layout == "words"
        )

    def read(self, pixels, num_patches=None):
        """Reads rows or pages.

        Args:
            pixels: RenderedBatch, or array (H, W), (B, H, W) or (B, H, W, 1
                or 3), uint8 or floats in [0, 1]; H is a row of patches, or
                several of a page.
            num_patches: (B,) int, the end patch of each; None: as the batch
                says, else the last black patch, else all is text.

        Returns:
            list of B `ReadText`.

        Raises:
            TypeError, ValueError: says what was expected.
        """
        channels = 3 if self.renderer.color_mode == "rgb" else 1
        given = check_pixels(pixels, num_patches, self._patch, channels)
        rows, places = [], []
        for number in range(len(given.levels)):
            found = self._row(given, number)
            rows.append(found)
            places += [(number, at) for at in range(len(found))]
        inks = [rows[row][at][1] for row, at in places]
        read = self._lines.read(inks)
        lines = [[] for _ in rows]
        for (row, at), (glyphs, score) in zip(places, read):
            lines[row].append((rows[row][at][0], glyphs, score))
        return self._check(given, lines)

    def read_patches(self, patches, num_patches=None, *, columns=None):
        """Reads flattened patches.

        Args:
            patches: (B, N, P), P the values of a patch by rows, columns,
                channels; uint8 or floats in [0, 1].
            num_patches: as for `read`.
            columns: patches of a row of a page; None: one row.

        Returns:
            list of B `ReadText`.

        Raises:
            TypeError, ValueError: says what was expected.

        Example:
            >>> renderer = CairoRenderer()
            >>> pixels = renderer("patches").pixels  # (1, 16, 16 * N)
            >>> patches = pixels.reshape(1, 16, -1, 16).swapaxes(1, 2)
            >>> patches = patches.reshape(1, -1, 256)
            >>> PixelReader(renderer).read_patches(patches)[0].text
            'patches'
        """
        patches = np.asarray(patches)
        height, width = self._patch
        size = height * width
        if patches.ndim != 3 or patches.shape[2] not in (size, 3 * size):
            raise ValueError(
                f"expected patches (B, N, {size}) or (B, N, {3 * size}). "
                f"Received: patches of shape {patches.shape}"
            )
        count, number, values = patches.shape
        columns = number if columns is None else whole("columns", columns, 1)
        if number % columns:
            raise ValueError(
                f"expected columns that divide N = {number}. "
                f"Received: columns={columns!r}"
            )
        cells = patches.reshape(
            count, -1, columns, height, width, values // size
        )
        # (B, R, C, h, w, c) -> (B, R, h, C, w, c)
        pixels = cells.swapaxes(2, 3)
        shape = (count, -1, columns * width, values // size)
        return self.read(pixels.reshape(shape), num_patches)

    def _row(self, given, number):
        """[(Stretch, LineInk)] of one row or page."""
        height, width = self._patch
        noisy = self._inks.noisy(given.levels[number])
        exact = None
        if given.exact is not None:
            exact = self._inks.exact(given.exact[number])
        is_page = len(noisy) > height
        result = []
        for part in stretches(noisy, self._patch, given.ends[number]):
            down = slice(part.row * height, (part.row + 1) * height)
            along = slice(part.first * width, part.last * width)
            ink = np.ascontiguousarray(noisy[down, along].T)
            clean = None
            if exact is not None:
                clean = np.ascontiguousarray(exact[down, along].T)
            starts = self._starts(ink, is_page)
            fills = self.layout == "continuous" and not is_page
            line = LineInk(clean, ink, starts, part.is_closed, fills)
            result.append((part, line))
        return result

    @staticmethod
    def _starts(ink, is_page):
        """Pens at which a text may begin; flush right ones near the ink."""
        inked = np.flatnonzero(ink.max(axis=1, initial=0) > 0.5)
        if not is_page or not len(inked):
            return [MARGIN]
        first = int(inked[0])
        return [MARGIN, *range(max(MARGIN + 1, first - 4), first + 4)]

    def _check(self, given, lines):
        """Draws what was read and compares: list of ReadText."""
        options = [
            [
                self._orders([glyph.text for glyph in glyphs])
                for _, glyphs, _ in row
            ]
            for row in lines
        ]
        result = [None] * len(lines)
        waiting = list(range(len(lines)))
        for attempt in range(_TRIES):
            texts = [
                self._assemble(lines[n], options[n], attempt, given)
                for n in waiting
            ]
            errors = self._errors(given, waiting, lines, texts)
            for number, (parts, characters), error in zip(
                waiting, texts, errors
            ):
                before = result[number]
                if before is None or error < before.error:
                    score = float(sum(score for _, _, score in lines[number]))
                    result[number] = ReadText(
                        parts, characters, error, error == 0.0, score
                    )
            waiting = [
                n
                for n in waiting
                if not result[n].is_exact
                and any(len(o) > attempt + 1 for o in options[n])
            ]
            if not waiting:
                break
        return result

    def _orders(self, visual):
        """The first few orders of reading; as it stands where none fits."""
        base = {"auto": None, "ltr": 0, "rtl": 1}[self.renderer.direction]
        found = itertools.islice(orders(visual, base), _TRIES)
        return list(found) or [list(enumerate(visual))]

    def _assemble(self, lines, options, attempt, given):
        """`(parts, characters)` of one row or page."""
        width = self._patch[1]
        columns = given.levels.shape[2] // width
        parts, characters = [], []
        for (part, glyphs, _), orders_ in zip(lines, options):
            order = orders_[min(attempt, len(orders_) - 1)]
            parts.append("".join(text for _, text in order))
            left = part.first * width
            for index, text in order:
                glyph = glyphs[index]
                start, end = left + glyph.start, left + glyph.end
                first = part.row * columns + min(start // width, columns - 1)
                last = part.row * columns + min(
                    max(end - 1, start) // width, columns - 1
                )
                characters.append(
                    ReadCharacter(
                        text,
                        glyph.confidence,
                        start,
                        end,
                        part.row,
                        first,
                        last,
                        glyph.alternatives,
                    )
                )
        return tuple(parts), tuple(characters)

    def _errors(self, given, numbers, lines, texts):
        """Mean squared difference from what was read, drawn again."""
        height, width = self._patch
        rows = given.levels.shape[1] // height
        columns = given.levels.shape[2] // width
        closed = [
            lines[n][-1][0].is_closed if lines[n] else True for n in numbers
        ]
        parts = [parts for parts, _ in texts]
        drawn = self._draw_again(parts, closed, rows, columns)
        errors = []
        for number, picture in zip(numbers, drawn):
            target = given.levels[number]
            if given.exact is not None:
                target = given.exact[number].astype(np.float32)
            if picture is None:
                errors.append(float("nan"))
                continue
            picture = picture.reshape(*picture.shape[:2], -1)
            end = columns
            if rows == 1:
                last = lines[number][-1][0]
                end = last.last + last.is_closed
            share = slice(0, end * width)
            difference = target[:, share] - picture[:, share]
            errors.append(float(np.square(difference / 255).mean()))
        return errors

    def _draw_again(self, texts, closed, rows, columns):
        """uint8 pictures at least as wide as given, None where impossible."""
        renderer = self.renderer
        result = [None] * len(texts)
        if rows * columns > renderer.max_patches:
            return result
        if rows > 1:
            if renderer.layout == "continuous" and columns > 1:
                pages = ["\n".join(parts) for parts in texts]
                page = renderer.page(pages, rows=rows, columns=columns)
                return list(page.pixels)
            return result
        # Without an end patch in the picture, it is drawn beyond.
        for is_closed, wide in ((True, columns), (False, columns + 2)):
            wide = min(max(wide, 2), renderer.max_patches)
            some = [n for n in range(len(texts)) if closed[n] == is_closed]
            self._draw_rows(texts, some, wide, result)
        return result

    def _draw_rows(self, texts, numbers, wide, result):
        renderer = self.renderer
        simple = [n for n in numbers if len(texts[n]) < 3]
        items = [self._item(texts[n]) for n in simple]
        if items:
            for number, picture in zip(simple, renderer(items, wide).pixels):
                result[number] = picture
        for number in numbers:
            if len(texts[number]) > 2:
                pixels = renderer.pack(list(texts[number]), wide).pixels
                if len(pixels) == 1:
                    result[number] = pixels[0]

    def _item(self, parts):
        if len(parts) == 2:
            return parts
        if self.layout == "words" and self.renderer.layout == "continuous":
            return parts[0].split(" ") if parts[0] else []
        return parts[0]
