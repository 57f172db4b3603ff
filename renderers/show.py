"""`show`: a batch as a figure for people, with what it knows of its patches.

Here: patch grid, word starts, segments, captions. Not here: labelled pages of
many scripts (gallery.py), plain PNG files (`RenderedBatch.save_png`)."""

from pixmodels.renderers._libraries import load

# Okabe and Ito's colours, told apart by colour-blind readers, too.
_SEGMENTS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")
_BLACK = "#d55e00"
_GRID = "#7f7f7f"
_WORD = "#333333"
_BAR = 2.0  # Height of the bar below a row, pixels of the picture.
_ABOVE = 5.0  # Room for the marks of words, likewise.
_SHOWN = 24
# In dots.
_DPI = 150
_MARGIN = 8
_TITLE = 30
_LEGEND = 40
_LEAST = 700  # Room for a caption.


def show(
    batch,
    index=None,
    *,
    grid=True,
    segments=True,
    words=True,
    wrap=40,
    width=10,
):
    """Draws texts of a batch below one another.

    A bar below each row tells the segments apart: the first text, the second,
    separator and end patches. Triangles mark the patches where words start.
    The caption names what was cut and what has no glyph.

    Args:
        batch: RenderedBatch.
        index: which texts, an int or a list of int; None for all.
        grid: whether to draw the borders of patches.
        segments: whether to draw the bars and their legend.
        words: whether to mark the starts of words.
        wrap: patches in a row of the figure; longer texts take several.
        width: the most inches of the figure, 150 dots each.

    Returns:
        `matplotlib.figure.Figure`; `savefig` writes it to a file.

    Raises:
        TypeError: `index` is neither an int nor a list of int.
        IndexError: no such text.
        ValueError: no text to show, or `wrap` is not a positive whole number.
        ImportError: matplotlib is missing.

    Example:
        >>> batch = CairoRenderer()(["a cat", ("Why?", "Because.")])
        >>> len(show(batch).axes)
        2
    """
    chosen = _chosen(batch, index)
    if not isinstance(wrap, int) or isinstance(wrap, bool) or wrap < 1:
        raise ValueError(
            f"expected a whole number >= 1. Received: wrap={wrap!r}"
        )
    rows = [
        _Row(batch, text, start, wrap)
        for text in chosen
        for start in range(0, int(batch.num_patches[text]) + 1, wrap)
    ]
    figure, axes = _figure(rows, width, segments)
    for row, ax in zip(rows, axes):
        _draw(ax, row)
        if grid:
            _draw_grid(ax, row)
        if segments:
            _draw_segments(ax, row)
        if words and row.word_starts:
            _draw_words(ax, row)
        if row.start == 0:
            ax.set_title(
                caption(batch, row.text), loc="left", fontsize=8, pad=2
            )
    if segments:
        _legend(figure, batch, chosen)
    return figure


def caption(batch, index):
    """One line on a text: patches, what was cut, what has no glyph."""
    parts = [f"text {index}: {int(batch.num_patches[index]) + 1} patches"]
    for cut in batch.truncated[index] or ():
        count = cut.end - cut.start
        parts.append(
            f"cut: {count} character{'s' if count > 1 else ''} of part "
            f"{cut.part} from {cut.start}, {_short(cut.text)}"
        )
    if batch.missing[index]:
        codes = [f"U+{ord(c[0]):04X}" for c in batch.missing[index]]
        more = f" and {len(codes) - 6} more" if len(codes) > 6 else ""
        parts.append(f"no glyph: {', '.join(codes[:6])}{more}")
    return " · ".join(parts)


class _Row:
    """Patches `start:stop` of one text, sides in pixels."""

    def __init__(self, batch, text, start, wrap):
        self.text = text
        self.start = start
        self.stop = min(start + wrap, int(batch.num_patches[text]) + 1)
        self.side = batch.patch_width
        self.pixels = batch.pixels[text][
            :, start * self.side : self.stop * self.side
        ]
        self.height, self.width = self.pixels.shape[:2]
        self.patch_height = batch.patch_height
        self.black = batch.sep_patches[text]
        self.word_starts = batch.word_starts[text]

    def x(self, patch):
        """Left edge of a patch in the row, pixels."""
        return (patch - self.start) * self.side

    def segments(self):
        """(first patch, end, colour) of every segment inside the row."""
        first = 0
        for number, patch in enumerate(self.black):
            color = _SEGMENTS[number % len(_SEGMENTS)]
            yield from self._inside(first, patch, color)
            yield from self._inside(patch, patch + 1, _BLACK)
            first = patch + 1

    def _inside(self, first, end, color):
        first, end = max(first, self.start), min(end, self.stop)
        if first < end:
            yield first, end, color


def _chosen(batch, index):
    if index is None:
        index = range(len(batch))
    elif isinstance(index, int) and not isinstance(index, bool):
        index = [index]
    if not isinstance(index, list | tuple | range) or not all(
        isinstance(i, int) and not isinstance(i, bool) for i in index
    ):
        raise TypeError(
            f"expected an int, a list of int or None. Received: index={index!r}"
        )
    if not index:
        raise ValueError(
            f"expected at least one text. Received: index={list(index)!r} of "
            f"a batch of {len(batch)}"
        )
    for i in index:
        if not -len(batch) <= i < len(batch):
            raise IndexError(
                f"expected an index below {len(batch)}. Received: index={i}"
            )
    return [i % len(batch) for i in index]


def _figure(rows, width, legend):
    """A Figure with one Axes a row, all at one scale."""
    widest = max(row.width for row in rows)
    # Dots a pixel, whole so that pixels look alike; a patch is at most 80.
    scale = min(int(width * _DPI) // widest, 80 // rows[0].side)
    scale = max(scale, 1)
    heights = [int((row.height + _ABOVE + 2 * _BAR) * scale) for row in rows]
    titles = [_TITLE * (row.start == 0) for row in rows]
    bottom = _LEGEND if legend else _MARGIN
    across = max(widest * scale, _LEAST) + 2 * _MARGIN
    total = sum(heights) + sum(titles) + bottom + _MARGIN
    size = across / _DPI, total / _DPI
    figure = load("matplotlib.figure").Figure(size, dpi=_DPI)
    axes = []
    top = total - _MARGIN
    for row, height, title in zip(rows, heights, titles):
        top -= height + title
        place = (_MARGIN, top, row.width * scale, height)
        whole = (across, total, across, total)
        axes.append(
            figure.add_axes([part / side for part, side in zip(place, whole)])
        )
    return figure, axes


def _draw(ax, row):
    picture = row.pixels
    if picture.ndim == 2:  # A colour map would shift some levels by one.
        picture = picture[..., None].repeat(3, axis=-1)
    ax.imshow(
        picture,
        interpolation="nearest",
        extent=(0, row.width, row.height, 0),
        aspect="auto",
    )
    ax.set_xlim(0, row.width)
    ax.set_ylim(row.height + 2 * _BAR, -_ABOVE)
    ax.axis("off")


def _draw_grid(ax, row):
    style = {"color": _GRID, "linewidth": 0.4, "alpha": 0.7}
    columns = range(0, row.width + 1, row.side)
    ax.vlines(columns, 0, row.height, clip_on=False, **style)
    lines = range(0, row.height + 1, row.patch_height)
    ax.hlines(lines, 0, row.width, clip_on=False, **style)


def _draw_segments(ax, row):
    for first, end, color in row.segments():
        ax.fill_between(
            (row.x(first) + 0.5, row.x(end) - 0.5),
            row.height + 0.5,
            row.height + 0.5 + _BAR,
            color=color,
            linewidth=0,
        )


def _draw_words(ax, row):
    inside = [
        row.x(patch) + row.side / 2
        for patch in row.word_starts[:-1]
        if row.start <= patch < row.stop
    ]
    ax.plot(
        inside,
        [-_ABOVE / 2] * len(inside),
        "v",
        color=_WORD,
        markersize=3,
        clip_on=False,
    )


def _legend(figure, batch, chosen):
    patches = load("matplotlib.patches")
    names = ["text"]
    most = max(len(batch.sep_patches[index]) for index in chosen)
    if most > 1:
        names = ["first text", "second text", "third", "fourth"][:most]
    handles = [
        patches.Patch(color=color, label=name)
        for color, name in zip(_SEGMENTS, names)
    ]
    label = "separator, end" if most > 1 else "end"
    handles.append(patches.Patch(color=_BLACK, label=label))
    if any(batch.word_starts[index] for index in chosen):
        lines = load("matplotlib.lines")
        handles.append(
            lines.Line2D(
                [], [], marker="v", color=_WORD, ls="", ms=4, label="word"
            )
        )
    figure.legend(
        handles=handles,
        loc="lower left",
        ncols=len(handles),
        fontsize=7,
        frameon=False,
        borderpad=0.2,
        borderaxespad=0.1,
        handlelength=1.2,
    )


def _short(text):
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return ascii(text)
