"""Batches of drawn texts: padding, packing, cutting, masks.

Here: what all sources of drawn texts share. Not here: where the pixels come
from (`rendered_text_source`, `drawn_text_source`, `corpus_source`).
"""

import numpy as np

from pixmodels import masking
from pixmodels.tasks._indices import checked_indices

MASKS = {"span": masking.span_mask, "random": masking.random_mask}
_WHITE = 255
_MOST = 64  # Texts of a pack that are in memory apart from it.


class TextRows:
    """Base of sources of drawn texts: batches out of single rows.

    A subclass sets `lengths` and `patch_size` and defines `_load(indices,
    length)`, which returns the rows, a list of uint8 (P, w) or (P, w, 3) with
    their end patch and perhaps longer than `length` patches, and the labels
    of these examples.

    Args:
        masking: None, "span" or "random": adds `patch_mask` to batches.
        mask_options: dict for `pixmodels.masking.span_mask` or `random_mask`.

    Raises:
        ValueError: for an unknown masking, or options without masking.
    """

    _colours = ()  # (3,) for rows in colour.

    def __init__(self, masking=None, mask_options=None):
        if masking is not None and masking not in MASKS:
            raise ValueError(
                f"Expected masking to be None or among {tuple(MASKS)}. "
                f"Received: masking={masking!r}."
            )
        if mask_options and masking is None:
            raise ValueError(
                "Expected masking, which mask_options are for. Received: "
                f"masking=None, mask_options={mask_options!r}."
            )
        self.masking = masking
        self.mask_options = dict(mask_options or {})
        self._cut_to_bucket = set()

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
            dict: `pixels` (B, P, P * N) uint8, white is 255, in colour (B, P,
            P * N, 3); `num_patches` (B,) int32, without the end patch;
            `label` (B,) int32, or float32 where the labels are floats;
            `weight` (B,) float32, 1 or 0; `example_id` (B,) int32, the index;
            with masking, `patch_mask` (B, N) uint8, 1 = hidden, drawn for the
            width N from (seed, epoch, index).

        Raises:
            IndexError: for an index outside [-1, n).
            ValueError: for a length below 1.
        """
        indices = checked_indices(indices, len(self))
        real = indices >= 0
        if length is None:
            length = int(max(self.lengths[indices[real]], default=1))
        pixels = self._blank(len(indices), length)
        num_patches = np.zeros(len(indices), np.int32)
        rows, found = self._load(indices[real], length)
        labels = np.zeros(len(indices), found.dtype)
        labels[real] = found
        for place, row in zip(np.flatnonzero(real), rows, strict=True):
            width = self._copy(indices[place], row, pixels[place])
            num_patches[place] = width - 1
        batch = {
            "pixels": pixels,
            "num_patches": num_patches,
            "label": labels,
            "weight": real.astype(np.float32),
            "example_id": indices.astype(np.int32),
        }
        return self._masked(batch, length, seed, epoch)

    def get_packs(self, groups, length, seed=0, epoch=0):
        """A batch of windows that hold several texts each.

        The texts of a window stand one after the other, each with its black
        end patch, which separates it from the next; the last one's is the end
        patch of the window, as `CairoRenderer.pack` draws them.

        Args:
            groups: list of B arrays of example numbers, whose lengths add up
                to at most N; an empty one gives a filler window: white,
                weight 0.
            length: N, patches of a window. A text that is longer is cut.
            seed, epoch: ints in [0, 2**32), for masks only.

        Returns:
            dict as from `get_batch`, without `label`; `num_patches` counts
            all patches before the end patch of the window; `segment_ids` (B,
            N) int32: 1 on the patches of the first text and the separator
            after it, 2 on those of the second, ..., 0 right of the end;
            `example_id`, and the key of the masks, is the first text's.

        Raises:
            IndexError: for a number outside [0, n).
            ValueError: if texts do not fit into their window.
        """
        groups = [checked_indices(g, len(self), least=0) for g in groups]
        side = self._side
        pixels = self._blank(len(groups), length)
        segments = np.zeros((len(groups), length), np.int32)
        ends = np.zeros(len(groups), np.int32)
        members = np.concatenate([*groups, np.zeros(0, np.int64)])
        windows = np.repeat(np.arange(len(groups)), list(map(len, groups)))
        for start in range(0, len(members), _MOST):
            some = members[start : start + _MOST]
            rows, _ = self._load(some, length)
            for k, index, row in zip(windows[start:], some, rows):
                begin = ends[k]
                room = length - begin
                if row.shape[1] > room * side and begin:
                    raise ValueError(
                        f"Expected texts that fit into {length} patches. "
                        f"Received: example {index} of {row.shape[1] // side} "
                        f"patches, lengths[{index}]={self.lengths[index]}, "
                        f"with {room} left"
                    )
                ends[k] += self._copy(index, row, pixels[k, :, begin * side :])
                segments[k, begin : ends[k]] = segments[k].max() + 1
        real = ends > 0
        first = [int(group[0]) if len(group) else -1 for group in groups]
        batch = {
            "pixels": pixels,
            "num_patches": np.maximum(ends - 1, 0),
            "segment_ids": segments,
            "weight": real.astype(np.float32),
            "example_id": np.array(first, np.int32),
        }
        return self._masked(batch, length, seed, epoch)

    @property
    def _side(self):
        """Width of a patch, pixels."""
        size = self.patch_size
        return size[1] if isinstance(size, tuple) else size

    def _blank(self, rows, length):
        if length < 1:
            raise ValueError(
                f"Expected length >= 1 patch. Received: length={length}."
            )
        size = self.patch_size
        height = size[0] if isinstance(size, tuple) else size
        shape = (rows, height, self._side * length, *self._colours)
        return np.full(shape, _WHITE, np.uint8)

    def _copy(self, index, row, target):
        """Copies a row of pixels; the patches that it takes, end included."""
        width = min(target.shape[1], row.shape[1])
        target[:, :width] = row[:, :width]
        if width < row.shape[1]:
            target[:, width - self._side : width] = row[:, -self._side :]
            self._cut_to_bucket.add(int(index))
        return width // self._side

    def _masked(self, batch, length, seed, epoch):
        """The batch, with masks if there shall be some."""
        if self.masking is None:
            return batch
        draw = MASKS[self.masking]
        masks = np.zeros((len(batch["pixels"]), length), np.uint8)
        rows = zip(batch["example_id"], batch["num_patches"], strict=True)
        for row, (example_id, count) in enumerate(rows):
            rng = masking.example_rng(int(seed), int(epoch), int(example_id))
            # PIXEL counts the end patch among the patches it may hide.
            masks[row] = draw(
                length, int(count) + 1, rng=rng, **self.mask_options
            )
        return {**batch, "patch_mask": masks}


def checked_labels(labels, count):
    """Labels as (n,) int32 or float32; zeros for None.

    Raises:
        ValueError: if there is not one for each text.
    """
    if labels is None:
        return np.zeros(count, np.int32)
    labels = np.asarray(labels)
    floats = np.issubdtype(labels.dtype, np.floating)
    labels = labels.astype(np.float32 if floats else np.int32)
    if labels.shape != (count,):
        raise ValueError(
            f"Expected {count} labels, one for each text. Received: labels "
            f"of shape {labels.shape}."
        )
    return labels


def counted(lengths, max_length, **facts):
    """What every report of drawn texts says; JSON-able.

    Args:
        lengths: (n,) int, patches of each text.
        max_length: the longest bucket of a plan, in patches, or None.
        facts: what else there is to say, in this order.

    Returns:
        dict: `texts`, `patches` (with end patches), `longest`, `facts` and,
        with `max_length`, `longer_than_max_length`, texts that it cuts.
    """
    report = {
        "texts": len(lengths),
        "patches": int(lengths.sum(dtype=np.int64)),
        "longest": int(lengths.max(initial=0)),
        **facts,
    }
    if max_length is not None:
        longer = int((lengths > max_length).sum())
        report["longer_than_max_length"] = longer
    return report


def most_frequent_first(counts):
    """A dict of counts by count, then by key."""
    return dict(sorted(counts.items(), key=lambda m: (-m[1], m[0])))
