import collections

import numpy as np

from pixmodels.tasks._text_rows import TextRows
from pixmodels.tasks._text_rows import checked_labels
from pixmodels.tasks._text_rows import counted
from pixmodels.tasks._text_rows import most_frequent_first


class RenderedTextSource(TextRows):
    """Texts drawn once and kept in memory: a source for the pipeline.

    Every text is drawn when the source is made and stored at its own width
    (one byte per pixel, no padding). `get_batch` copies, pads and masks, and
    is a pure function of its arguments: nothing in it draws from hidden state.

    Args:
        texts: sequence of what the renderer takes: str, (str, str) or list of
            str (words).
        renderer: `pixmodels.renderers.CairoRenderer`.
        labels: (n,) int, float for regression, or None for zeros.
        masking: None, "span" or "random": adds `patch_mask` to batches.
        mask_options: dict for `pixmodels.masking.span_mask` or `random_mask`
            (`ratio`, ...).
        chunk_size: texts that are drawn at once.
        progress: called with (texts drawn, all texts) after each chunk.

    Attributes:
        lengths: (n,) int32, patches of each text with its end patch.

    Raises:
        ValueError: for no texts, labels of another length, an unknown
            masking, or mask options without masking.

    Example:
        >>> source = pixmodels.tasks.RenderedTextSource(
        ...     ["ab", "a longer text"], pixmodels.renderers.CairoRenderer(),
        ...     labels=[0, 1])
        >>> source.get_batch([1, -1], length=11)["pixels"].shape
        (2, 16, 176)
    """

    def __init__(
        self,
        texts,
        renderer,
        *,
        labels=None,
        masking=None,
        mask_options=None,
        chunk_size=64,
        progress=None,
    ):
        texts = list(texts)
        if not texts:
            raise ValueError("Expected at least one text. Received: texts=[].")
        super().__init__(masking, mask_options)
        self.labels = checked_labels(labels, len(texts))
        self._cut_by_renderer = []
        self._missing = collections.Counter()
        self._texts_with_missing = 0
        self._draw(texts, renderer, chunk_size, progress)

    def _draw(self, texts, renderer, chunk_size, progress):
        widths, parts = [], []
        for start in range(0, len(texts), chunk_size):
            drawn = renderer(texts[start : start + chunk_size])
            self._note(drawn, start)
            pixels = drawn.pixels
            height = pixels.shape[1]
            for row, count in zip(pixels, drawn.num_patches, strict=True):
                # The end patch is one more, unless the text fills the row.
                width = min((int(count) + 1) * height, pixels.shape[2])
                widths.append(width)
                parts.append(row[:, :width].reshape(-1))
            if progress is not None:
                progress(len(widths), len(texts))
        self.patch_size = height
        self.lengths = np.array(widths, np.int32) // height
        self._pixels = np.concatenate(parts)
        ends = np.cumsum(np.array(widths, np.int64) * height)
        self._starts = np.concatenate([[0], ends])

    def _note(self, drawn, start):
        for i, cut in enumerate(drawn.truncated or ()):
            if cut:
                self._cut_by_renderer.append(start + i)
        for missing in drawn.missing or ():
            self._missing.update(missing)
            self._texts_with_missing += bool(missing)

    def _load(self, indices, length):
        height = self.patch_size
        rows = [
            self._pixels[self._starts[i] : self._starts[i + 1]].reshape(
                height, -1
            )
            for i in indices
        ]
        return rows, self.labels[indices]

    def report(self, max_length=None):
        """What was lost on the way from text to patches; JSON-able.

        Args:
            max_length: the longest bucket of a plan, in patches; counts the
                texts that it cuts.

        Returns:
            dict: `texts`, `patches` (with end patches), `longest` (patches),
            `bytes` in memory, `cut_by_renderer` (texts), `cut_to_bucket`
            (texts that `get_batch` has cut so far; in this process),
            `longer_than_max_length` (texts, with `max_length`),
            `texts_with_missing_glyphs`, `missing_glyphs` (character -> how
            many texts name it, most frequent first).
        """
        return counted(
            self.lengths,
            max_length,
            bytes=int(self._pixels.nbytes),
            cut_by_renderer=len(self._cut_by_renderer),
            cut_to_bucket=len(self._cut_to_bucket),
            texts_with_missing_glyphs=self._texts_with_missing,
            missing_glyphs=most_frequent_first(self._missing),
        )
