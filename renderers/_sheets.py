"""What a renderer draws besides one row a text: windows, packs, pages.

Here: the public methods and their arguments' checks. Not here: the layouts
themselves (_rows.py, _page.py), the constructor (cairo_renderer.py)."""

import difflib

import numpy as np

from pixmodels.renderers import _rows
from pixmodels.renderers._clean import check_texts
from pixmodels.renderers._page import PageSetter
from pixmodels.renderers._pixel_offsets import pair_mapping
from pixmodels.renderers._segment import DIRECTIONS
from pixmodels.renderers._segment import pixel_votes_rtl
from pixmodels.renderers.offsets import Offsets
from pixmodels.renderers.rendered_batch import RenderedBatch


class Sheets:
    """Methods of `CairoRenderer`, which gives `_setter`, `_draw` and `_lock`.

    `max_patches` bounds the patches of every row and page.
    """

    def windows(
        self, pairs, *, num_patches=None, stride=0, question_patches=None
    ):
        """Draws (question, context) pairs as overlapping windows.

        Every window shows the question, a separator patch, and as much of the
        context as fits. The next begins `stride` patches before the end of
        the one before, at the first grapheme cluster that begins there; in
        the layouts of words and units, with the last of these that take at
        most `stride` patches. Windows are cut between
        grapheme clusters, and each is set as a text of its own with the
        direction of the whole context. Every character of the context is in a
        window; a question that needs more than `question_patches` is cut
        exactly there, and reported.

        Args:
            pairs: a (question, context) tuple or a list of them.
            num_patches: N, patches of a window; None: `max_patches`.
            stride: patches of context that neighbours share.
            question_patches: the most patches of the question, separator not
                included; None: what it needs.

        Returns:
            `RenderedBatch`, a row for each window, with `window_of` and
            `offsets`; part 0 is the question, part 1 the context, characters
            count from the beginning of the whole context.

        Raises:
            TypeError: `pairs` holds anything but pairs of str.
            ValueError: a size is out of range, or the question leaves no more
                than `stride` patches for the context.

        Source: Rust et al. 2023; xplip/pixel 1b0da29, pangocairo_renderer.py
        660-757. Differs: the question's separator stands after its patches
        (PIXEL leaves the width of the uncut question blank), windows do not
        clip letters and hold the patches that they need only.

        Example:
            >>> batch = CairoRenderer().windows(
            ...     ("Who?", "It was the owl and the cat."),
            ...     num_patches=12, stride=2)
            >>> [batch.locate(i, 4, 11)[-1].text for i in range(len(batch))]
            ['It was the owl and', 'l and the cat.']
        """
        num_patches = self._number("num_patches", num_patches, 4)
        stride = whole("stride", stride, 0)
        if question_patches is not None:
            question_patches = whole("question_patches", question_patches, 1)
        pairs = [pairs] if isinstance(pairs, tuple) else pairs
        for index, pair in enumerate(check_texts(pairs)):
            if not isinstance(pair, tuple):
                raise TypeError(
                    "expected (question, context) pairs of str. "
                    f"Received: pairs[{index}] of type {type(pair).__name__}"
                )
        with self._lock:
            setter = self._setter(num_patches)
            found = [
                _rows.windows(setter, pair, stride, question_patches)
                for pair in pairs
            ]
        window_of = np.repeat(
            np.arange(len(found), dtype=np.int32), list(map(len, found))
        )
        return self._draw(
            [layout for rows in found for layout in rows],
            [pairs[index] for index in window_of],
            num_patches,
            offsets=True,
            window_of=window_of,
        )

    def pack(self, texts, num_patches=None, *, overlong="continue", plan=None):
        """Draws several texts a row, one after the other.

        A text starts on the patch after a black separator patch; the end
        patch closes the row. In order, each text goes into the open row if it
        fits there as a whole, else into a new one (next-fit). A text too long
        for a row of its own goes on in the next rows, cut between grapheme
        clusters, and the row of its end takes more texts; or it is cut.

        Args:
            texts: list of str.
            num_patches: N, patches of a row; None: `max_patches`.
            overlong: `"continue"`, or `"cut"`: only its beginning is drawn,
                and the rest reported in `truncated`.
            plan: list of lists of indices of `texts`: each list begins a row
                and is packed as above; None: all in one.

        Returns:
            `RenderedBatch`, a row for each window, with `segments` and
            `offsets`, in which part is the index of the text.

        Raises:
            TypeError: `texts` or `plan` is not a list of such.
            ValueError: a size is out of range, `overlong` is another word, or
                `plan` names a text that is not there or twice.

        Example:
            >>> CairoRenderer().pack(["one", "two", "three"], 9).segments
            [((0, 0, 2), (1, 3, 5)), ((2, 0, 3),)]
        """
        num_patches = self._number("num_patches", num_patches, 2)
        check_choice("overlong", overlong, ("continue", "cut"))
        for index, text in enumerate(check_texts(texts)):
            if not isinstance(text, str):
                raise TypeError(
                    "expected a list of str. Received: "
                    f"texts[{index}] of type {type(text).__name__}"
                )
        texts = [texts] if isinstance(texts, str) else texts
        groups = _check_plan(plan, len(texts))
        with self._lock:
            layouts = _rows.pack(
                self._setter(num_patches), texts, groups, overlong == "continue"
            )
        parts = [texts] * len(layouts)
        return self._draw(layouts, parts, num_patches, offsets=True)

    def page(self, texts, *, rows, columns):
        """Draws each text as a page of `rows` lines.

        Lines break where the Unicode line breaking algorithm allows it, and
        at every line break of the text; a word longer than a line is broken
        between grapheme clusters. White space at the end of a line is not
        drawn. Each line is set as PIXEL sets its only one, 2 px from the
        left; paragraphs from right to left end 2 px from the right. The end
        patch is the first patch, counted row by row, that is at least 2 px
        after the last line, and the last patch of the page is kept for it:
        the last row is a patch shorter. What does not fit is reported.

        Args:
            texts: a str or a list of str.
            rows, columns: patches, at least 1 and 2, together at most
                `max_patches`.

        Returns:
            `RenderedBatch`, pixels (B, rows * P, columns * P), with `offsets`;
            patches count row by row.

        Raises:
            TypeError: `texts` holds anything but str.
            ValueError: a size is out of range, or the renderer's layout is
                not `"continuous"`.

        Example:
            >>> page = CairoRenderer().page("A page here", rows=3, columns=4)
            >>> page.pixels.shape, page.grid, page.num_patches.tolist()
            ((1, 48, 64), (3, 4), [7])
        """
        rows = whole("rows", rows, 1)
        columns = whole("columns", columns, 2)
        if rows * columns > self.max_patches:
            raise ValueError(
                f"expected rows * columns <= max_patches={self.max_patches}. "
                f"Received: rows={rows!r}, columns={columns!r}"
            )
        if self.layout != "continuous":
            raise ValueError(
                "expected a renderer with layout='continuous' for pages. "
                f"Received: layout={self.layout!r}"
            )
        texts = check_texts(texts)
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(
                    "expected a str or a list of str. Received: "
                    f"texts[{index}] of type {type(text).__name__}"
                )
        base = (None, 0, 1)[DIRECTIONS.index(self.direction)]
        with self._lock:
            setter = PageSetter(
                self._shaper, self._patch_shape[1], rows, columns, base
            )
            found = [setter.set_page(text) for text in texts]
        return self._draw(
            [layout for page, _ in found for layout in page],
            [(text,) for text in texts],
            rows * columns,
            offsets=True,
            rows=rows,
            reports=[report for _, report in found],
        )

    def pixel_offset_mapping(self, pair, num_patches=None):
        """PIXEL's own `offset_mapping` of a pair, for comparisons.

        Args:
            pair: (str, str).
            num_patches: N; None: `max_patches`.

        Returns:
            list of N tuples: (first character, end) of each patch, in a pair
            that PIXEL takes for right to left (end, first); (0, 0) separators
            and padding, (-1, -1) a blank patch. The last end is often one too
            many, and mixed directions are wrong: both are PIXEL's. `offsets`
            of a batch are exact.

        Raises:
            TypeError: `pair` is not a tuple of two str.
            ValueError: the layout is not `"continuous"`, or a size is out of
                range.

        Source: xplip/pixel 1b0da29, pangocairo_renderer.py 254-376. Differs
        for right-to-left pairs that do not fit, which are cut elsewhere.
        """
        num_patches = self._number("num_patches", num_patches, 2)
        if not isinstance(pair, tuple):
            raise TypeError(
                "expected a (str, str) pair. "
                f"Received: pair of type {type(pair).__name__}"
            )
        check_texts([pair])
        if self.layout != "continuous":
            raise ValueError(
                "expected a renderer with layout='continuous'. "
                f"Received: layout={self.layout!r}"
            )
        with self._lock:
            layout = self._setter(num_patches).lay_out(pair)
        rtl = self.direction == "rtl" or all(map(pixel_votes_rtl, pair))
        return pair_mapping(
            layout, pair, num_patches, self._patch_shape[1], rtl
        )

    def _draw(
        self,
        layouts,
        texts,
        num_patches,
        *,
        offsets,
        rows=1,
        reports=None,
        window_of=None,
    ):
        """A batch of finished layouts; `rows` of them make one text.

        `texts` holds the parts of each text; `reports` replaces the layouts
        for all but the pixels and offsets.
        """
        height, width = self._patch_shape
        columns = num_patches // rows
        pixels = self._pixels(layouts, columns)
        count = len(layouts) // rows
        pixels = pixels.reshape(count, rows * height, *pixels.shape[2:])
        found = None
        if offsets:
            found = Offsets(layouts, texts, num_patches, width, rows)
        said = layouts if reports is None else reports
        return RenderedBatch(
            pixels=pixels,
            num_patches=np.array([x.num_patches for x in said], np.int32),
            sep_patches=[x.sep_patches for x in said],
            word_starts=[x.word_starts for x in said],
            truncated=[tuple(x.cuts) if x.cuts else None for x in said],
            missing=[tuple(x.missing) for x in said],
            segments=[x.segments for x in said],
            offsets=found,
            window_of=window_of,
            patch_shape=(height, width),
        )

    def _number(self, name, value, least):
        if value is None:
            return self.max_patches
        value = whole(name, value, least)
        if value > self.max_patches:
            raise ValueError(
                f"expected at most max_patches={self.max_patches}. "
                f"Received: {name}={value!r}"
            )
        return value


def whole(name, value, least):
    """The int `value`; ValueError unless it is whole and `>= least`."""
    valid = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not valid or value < least:
        raise ValueError(
            f"expected a whole number >= {least}. Received: {name}={value!r}"
        )
    return int(value)


def check_choice(name, value, known):
    """ValueError unless `value` is one of `known`; names the nearest."""
    if isinstance(value, str) and value in known:
        return value
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f", perhaps {near[0]!r}" if near else ""
    raise ValueError(
        f"expected one of {list(known)}{hint}. Received: {name}={value!r}"
    )


def _check_plan(plan, count):
    if plan is None:
        return [list(range(count))]
    if not isinstance(plan, list | tuple) or not all(
        isinstance(group, list | tuple | np.ndarray) for group in plan
    ):
        raise TypeError(
            "expected a list of lists of indices. "
            f"Received: plan of type {type(plan).__name__}"
        )
    seen = set()
    for group in plan:
        for index in group:
            if index not in range(count) or index in seen:
                raise ValueError(
                    f"expected indices below {count}, each once. "
                    f"Received: {index!r} in plan"
                )
            seen.add(index)
    return [[int(index) for index in group] for group in plan]
