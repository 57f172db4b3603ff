import collections

import numpy as np

from pixmodels import masking

_MASKS = {"span": masking.span_mask, "random": masking.random_mask}
_WHITE = 255


class RenderedTextSource:
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
        if labels is None:
            labels = np.zeros(len(texts), np.int32)
        labels = np.asarray(labels)
        floats = np.issubdtype(labels.dtype, np.floating)
        self.labels = labels.astype(np.float32 if floats else np.int32)
        if self.labels.shape != (len(texts),):
            raise ValueError(
                f"Expected {len(texts)} labels, one for each text. Received: "
                f"labels of shape {self.labels.shape}."
            )
        if masking is not None and masking not in _MASKS:
            raise ValueError(
                f"Expected masking to be None or among {tuple(_MASKS)}. "
                f"Received: masking={masking!r}."
            )
        if mask_options and masking is None:
            raise ValueError(
                "Expected masking, which mask_options are for. Received: "
                f"masking=None, mask_options={mask_options!r}."
            )
        self.masking = masking
        self.mask_options = dict(mask_options or {})
        self._cut_by_renderer = []
        self._missing = collections.Counter()
        self._texts_with_missing = 0
        self._cut_to_bucket = set()
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

    def __len__(self):
        return len(self.lengths)

    def get_batch(self, indices, length=None, seed=0, epoch=0):
        """A batch of drawn texts.

        Args:
            indices: (B,) int; -1 gives a filler example: white, weight 0.
            length: N, the width in patches; the longest of the batch if None.
                A longer text is cut, its last patch becomes the end patch as
                in PIXEL, and `report` counts it.
            seed, epoch: ints in [0, 2**32), for masks only.

        Returns:
            dict: `pixels` (B, P, P * N) uint8, white is 255; `num_patches`
            (B,) int32, without the end patch; `label` (B,) int32, or float32
            where the labels are floats; `weight` (B,) float32, 1 or 0;
            `example_id` (B,) int32, the index; with masking, `patch_mask`
            (B, N) uint8, 1 = hidden, drawn for the width N from (seed, epoch,
            index).

        Raises:
            IndexError: for an index outside [-1, n).
            ValueError: for a length below 1.
        """
        indices = np.asarray(indices, np.int64)
        if indices.size and not -1 <= indices.min() <= indices.max() < len(
            self
        ):
            raise IndexError(
                f"Expected indices in [-1, {len(self)}). Received: "
                f"indices={indices.tolist()}."
            )
        real = indices >= 0
        if length is None:
            length = int(max(self.lengths[indices[real]], default=1))
        if length < 1:
            raise ValueError(
                f"Expected length >= 1 patch. Received: length={length}."
            )
        side = self.patch_size
        shape = (len(indices), side, side * length)
        pixels = np.full(shape, _WHITE, np.uint8)
        num_patches = np.zeros(len(indices), np.int32)
        for row, index in enumerate(indices):
            if index >= 0:
                num_patches[row] = self._copy(index, pixels[row])
        batch = {
            "pixels": pixels,
            "num_patches": num_patches,
            "label": np.where(real, self.labels[indices], 0).astype(
                self.labels.dtype
            ),
            "weight": real.astype(np.float32),
            "example_id": indices.astype(np.int32),
        }
        if self.masking is not None:
            batch["patch_mask"] = self._masks(batch, length, seed, epoch)
        return batch

    def _copy(self, index, row):
        side = self.patch_size
        stored = self._pixels[self._starts[index] : self._starts[index + 1]]
        stored = stored.reshape(side, -1)
        width = min(row.shape[1], stored.shape[1])
        row[:, :width] = stored[:, :width]
        if width < stored.shape[1]:
            row[:, width - side :] = 0
            self._cut_to_bucket.add(int(index))
        return width // side - 1

    def _masks(self, batch, length, seed, epoch):
        draw = _MASKS[self.masking]
        masks = np.zeros((len(batch["pixels"]), length), np.uint8)
        rows = zip(batch["example_id"], batch["num_patches"], strict=True)
        for row, (example_id, count) in enumerate(rows):
            rng = masking.example_rng(int(seed), int(epoch), int(example_id))
            # PIXEL counts the end patch among the patches it may hide.
            masks[row] = draw(
                length, int(count) + 1, rng=rng, **self.mask_options
            )
        return masks

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
        missing = sorted(self._missing.items(), key=lambda m: (-m[1], m[0]))
        report = {
            "texts": len(self),
            "patches": int(self.lengths.sum()),
            "longest": int(self.lengths.max()),
            "bytes": int(self._pixels.nbytes),
            "cut_by_renderer": len(self._cut_by_renderer),
            "cut_to_bucket": len(self._cut_to_bucket),
            "texts_with_missing_glyphs": self._texts_with_missing,
            "missing_glyphs": dict(missing),
        }
        if max_length is not None:
            longer = int((self.lengths > max_length).sum())
            report["longer_than_max_length"] = longer
        return report
