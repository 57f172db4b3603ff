import numpy as np

from pixmodels import masking


class MaskedSource:
    """A source of images with masks drawn for them.

    Args:
        source: a source whose batches have `pixels` of one size.
        strategy: "random", "block" or "span", see
            `pixmodels.masking.draw_masks`.
        patch_size: (height, width) in pixels.
        ratio: share of the patches that is hidden.
        options: dict of further arguments of the strategy.

    Attributes:
        lengths: those of `source`.

    Raises:
        ValueError: in `get_batch`, for images that the patches do not tile,
            or see `draw_masks`.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((3, 12, 8), "uint8")
        >>> source = pixmodels.tasks.MaskedSource(
        ...     pixmodels.tasks.ImageSource(images), "random", (2, 2),
        ...     ratio=0.5)
        >>> source.get_batch([0, -1])["patch_mask"].sum(axis=1).tolist()
        [12, 12]
    """

    def __init__(self, source, strategy, patch_size, *, ratio, options=None):
        self.source = source
        self.strategy = strategy
        self.patch_size = tuple(patch_size)
        self.ratio = ratio
        self.options = dict(options or {})
        self.lengths = source.lengths

    def __len__(self):
        return len(self.source)

    def get_batch(self, indices, length=None, seed=0, epoch=0):
        """A batch of `source` with `patch_mask` (B, N) uint8, 1 = hidden.

        Args:
            indices, length, seed, epoch: as the source's; masks are drawn
                from (seed, epoch, index).
        """
        batch = self.source.get_batch(indices, length, seed, epoch)
        sides = batch["pixels"].shape[1:3]
        if any(side % patch for side, patch in zip(sides, self.patch_size)):
            raise ValueError(
                f"Expected images that patches of {self.patch_size} tile. "
                f"Received: pixels.shape={batch['pixels'].shape}."
            )
        grid = tuple(a // b for a, b in zip(sides, self.patch_size))
        # Fillers need a mask of the right size, too: that of example 0.
        masks = masking.draw_masks(
            self.strategy,
            grid,
            np.maximum(batch["example_id"], 0),
            ratio=self.ratio,
            seed=seed,
            epoch=epoch,
            **self.options,
        )
        return {**batch, "patch_mask": masks}

    def report(self, **options):
        """That of `source`."""
        return self.source.report(**options)
