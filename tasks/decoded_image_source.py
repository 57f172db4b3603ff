import math

import numpy as np

from pixmodels.masking import example_rng
from pixmodels.tasks._indices import checked_indices
from pixmodels.tasks._indices import refuse_length

# Of the generator of an example: masks have stream 0.
_CROPS = 1
# MAE's RandomResizedCrop: share of the area, and ratio of width to height.
_AREA = (0.2, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_ATTEMPTS = 10


class DecodedImageSource:
    """Images decoded when a batch asks for them: a source for the pipeline.

    Every image is brought to one size: enlarged or reduced (bicubic, with
    antialiasing) until it covers it, and cut around its middle. `augment`
    draws crops and mirror images keyed on (seed, epoch, example), so that a
    batch is a pure function of its arguments. Pickles as its examples, for
    worker processes. Masks are drawn by a `MaskedSource` around it.

    Args:
        examples: object with `__len__` and `__getitem__`, such as
            `ImageFolder`, `grain.sources`, `tfds.data_source`; an item is a
            uint8 array (H, W), (H, W, 1) or (H, W, 3), or a dict with one.
        image_shape: (H, W, C) of the batches; C is 1 or 3.
        field: key of the image where items are dicts.
        label_field: key of the label, or None for zeros.
        labels: (n,) int, or None; instead of `label_field`.
        augment: None, or "crop_flip": in training, a random part (20 % to
            100 % of the area, 3:4 to 4:3) brought to the size, and mirrored
            half of the time, as MAE is pre-trained (He et al. 2021, code
            `main_pretrain.py`).
        indices: which examples, an int array; None: all.

    Attributes:
        lengths: None, as all images have one size.

    Raises:
        ValueError: for no images, or another `augment`.
    """

    lengths = None

    def __init__(
        self,
        examples,
        image_shape,
        *,
        field="image",
        label_field="label",
        labels=None,
        augment=None,
        indices=None,
    ):
        if augment not in (None, "crop_flip"):
            raise ValueError(
                "Expected augment to be None or 'crop_flip'. Received: "
                f"augment={augment!r}."
            )
        self.examples, self.indices = examples, indices
        self.image_shape = tuple(image_shape)
        self.field, self.label_field = field, label_field
        self.labels = None if labels is None else np.asarray(labels, np.int32)
        self.augment = augment
        if not len(self):
            raise ValueError(
                f"Expected at least one image. Received: examples={examples!r}."
            )

    def __len__(self):
        return len(self.examples if self.indices is None else self.indices)

    def get_batch(self, indices, length=None, seed=0, epoch=0):
        """A batch of images, a pure function of its arguments.

        Args:
            indices: (B,) int; -1 gives a filler example: zeros, weight 0.
            length: must be None: the size is fixed.
            seed, epoch: ints in [0, 2**32), for `augment`.

        Returns:
            dict: `pixels` (B, H, W) uint8, or (B, H, W, 3); `label` (B,)
            int32; `weight` (B,) float32, 1 or 0; `example_id` (B,) int32,
            the index.

        Raises:
            IndexError: for an index outside [-1, n).
            ValueError: for a length, or an item without an image.
        """
        refuse_length(length)
        indices = checked_indices(indices, len(self))
        height, width, channels = self.image_shape
        shape = (height, width) if channels == 1 else self.image_shape
        pixels = np.zeros((len(indices), *shape), np.uint8)
        labels = np.zeros(len(indices), np.int32)
        for place, index in enumerate(indices.tolist()):
            if index >= 0:
                image, label = self._item(index)
                rng = example_rng(int(seed), int(epoch), index, _CROPS)
                pixels[place] = self._fitted(image, rng)
                labels[place] = label
        return {
            "pixels": pixels,
            "label": labels,
            "weight": (indices >= 0).astype(np.float32),
            "example_id": indices.astype(np.int32),
        }

    def report(self, max_length=None):
        """Counts; JSON-able: `images`, `shape` of one."""
        return {"images": len(self), "shape": list(self.image_shape)}

    def _item(self, index):
        number = index if self.indices is None else int(self.indices[index])
        item = self.examples[number]
        label = 0 if self.labels is None else self.labels[index]
        if isinstance(item, dict):
            if self.field not in item:
                raise ValueError(
                    "Expected the key of the image among those of an example: "
                    f"{', '.join(map(str, item))}. Received: "
                    f"field={self.field!r}, examples[{number}]."
                )
            if self.labels is None and self.label_field in item:
                label = item[self.label_field]
            item = item[self.field]
        image = np.asarray(item)
        if image.ndim == 3 and image.shape[2] == 1:
            image = image[..., 0]
        good = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not good or not image.size:
            raise ValueError(
                "Expected images as uint8 (H, W), (H, W, 1) or (H, W, 3). "
                f"Received: examples[{number}] of {image.dtype} "
                f"{image.shape}."
            )
        return image, label

    def _fitted(self, image, rng):
        """An image brought to `image_shape`."""
        from PIL import Image

        height, width, channels = self.image_shape
        box = _middle(image.shape, height, width)
        mirrored = False
        if self.augment:
            box = _part(image.shape, rng) or box
            mirrored = rng.random() < 0.5
        picture = Image.fromarray(image)
        picture = picture.convert("L" if channels == 1 else "RGB")
        whole = (0, 0, image.shape[1], image.shape[0])
        if picture.size != (width, height) or box != whole:
            picture = picture.resize(
                (width, height), Image.Resampling.BICUBIC, box=box
            )
        found = np.asarray(picture)
        return found[:, ::-1] if mirrored else found


def _middle(shape, height, width):
    """The largest part in the middle with the ratio of height to width."""
    rows, columns = shape[:2]
    scale = min(rows / height, columns / width)
    left = (columns - width * scale) / 2
    top = (rows - height * scale) / 2
    return (left, top, columns - left, rows - top)


def _part(shape, rng):
    """A random part (left, top, right, bottom), or None if none fits."""
    rows, columns = shape[:2]
    for _ in range(_ATTEMPTS):
        area = rows * columns * rng.uniform(*_AREA)
        aspect = math.exp(rng.uniform(*map(math.log, _ASPECT)))
        width = round(math.sqrt(area * aspect))
        height = round(math.sqrt(area / aspect))
        if 0 < width <= columns and 0 < height <= rows:
            left = int(rng.integers(columns - width + 1))
            top = int(rng.integers(rows - height + 1))
            return (left, top, left + width, top + height)
    return None
