import numpy as np

from pixmodels.tasks._indices import checked_indices
from pixmodels.tasks._indices import refuse_length


class ImageSource:
    """Images of one size in memory: a source for the pipeline.

    Args:
        images: (n, H, W) or (n, H, W, C) uint8 in [0, 255].
        labels: (n,) int, or None for zeros.

    Attributes:
        lengths: None, as all images have one size.

    Raises:
        TypeError: for images that are not uint8.
        ValueError: for another rank, no images, or labels of another length.
    """

    lengths = None

    def __init__(self, images, labels=None):
        images = np.asarray(images)
        if images.dtype != np.uint8:
            raise TypeError(
                "Expected images as uint8 in [0, 255]. Received: "
                f"images.dtype={images.dtype}."
            )
        if images.ndim not in (3, 4) or not len(images):
            raise ValueError(
                "Expected images of shape (n, H, W) or (n, H, W, C), n >= 1. "
                f"Received: images.shape={images.shape}."
            )
        if labels is None:
            labels = np.zeros(len(images), np.int32)
        labels = np.asarray(labels, np.int32)
        if labels.shape != (len(images),):
            raise ValueError(
                f"Expected {len(images)} labels, one for each image. "
                f"Received: labels of shape {labels.shape}."
            )
        self.images = images
        self.labels = labels

    def __len__(self):
        return len(self.images)

    def get_batch(self, indices, length=None, seed=0, epoch=0):
        """A batch of images, a pure function of `indices`.

        Args:
            indices: (B,) int; -1 gives a filler example: zeros, weight 0.
            length: must be None: the size is fixed.
            seed, epoch: unused; the arguments of every source.

        Returns:
            dict: `pixels` (B, H, W) or (B, H, W, C) uint8; `label` (B,)
            int32; `weight` (B,) float32, 1 or 0; `example_id` (B,) int32,
            the index.

        Raises:
            IndexError: for an index outside [-1, n).
            ValueError: for a length.
        """
        refuse_length(length)
        indices = checked_indices(indices, len(self))
        real = indices >= 0
        pixels = self.images[indices]
        pixels[~real] = 0
        return {
            "pixels": pixels,
            "label": np.where(real, self.labels[indices], 0).astype(np.int32),
            "weight": real.astype(np.float32),
            "example_id": indices.astype(np.int32),
        }

    def report(self):
        """Counts; JSON-able: `images`, `shape` of one and `bytes`."""
        return {
            "images": len(self),
            "shape": list(self.images.shape[1:]),
            "bytes": int(self.images.nbytes),
        }
