"""The frame of tasks on drawn text: from a batch to encoded patches.

Drawing many texts and reading the model's answers is in `_reading`."""

import numpy as np
from keras import ops

from pixmodels import attention
from pixmodels import patches
from pixmodels.tasks.task import Task
from pixmodels.tasks.task import example_specs


class TextTask(Task):
    """What tasks on drawn text share.

    Args:
        backbone: a `PIXELBackbone`, or any encoder that takes `mask`.

    Raises:
        TypeError: for a backbone that is none.
    """

    # Further inputs of the call, name -> (shape, dtype), for export.
    word_inputs = {}

    def __call__(self, inputs, *args, **kwargs):
        # Keras makes tensors of arrays before `call`: only here are their
        # values at hand without waiting for a device.
        if isinstance(inputs, dict):
            _check_counts(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def encode(self, inputs, training):
        """Runs the backbone over drawn texts.

        Args:
            inputs: dict with `pixels` and, unless all patches are attended,
                `num_patches`.
            training: bool.

        Returns:
            (sequence (B, prefix + N, D), attended (B, N) bool or None for
            all).
        """
        if not isinstance(inputs, dict):
            raise ValueError(
                "Expected inputs as a dict with 'pixels' and 'num_patches'. "
                f"Received: inputs of type {type(inputs).__name__}."
            )
        images = patches.images_of(inputs, self.backbone.image_shape[-1])
        height, width = self.backbone.patch_size
        rows = ops.shape(images)[1] // height
        columns = ops.shape(images)[2] // width
        mask = patches.attended(inputs, rows * columns)
        return self.backbone(images, mask=mask, training=training), mask

    def depends_on_padding(self):
        """Why padding must not be trimmed: a str, or None if it may be."""
        name = getattr(self.backbone, "attention", None)
        if name is None or not attention.get(name).length_invariant:
            return (
                f"attention={name!r} depends on the number of patches "
                "(length_invariant=False)"
            )
        return None

    def inputs_of_words(self, drawn):
        """Further inputs that a task reads off a `RenderedBatch`: a dict."""
        return {}

    def batch_spec(self, batch_size, length=None):
        height, width, _ = self.backbone.image_shape
        if length is not None:
            width = length * self.backbone.patch_size[1]
        return {
            "pixels": ((batch_size, height, width), "uint8"),
            "num_patches": ((batch_size,), "int32"),
            "label": ((batch_size,), "int32"),
            **example_specs(batch_size),
        }

    def length_of(self, length=None):
        """N of a batch: `length`, or the most that the backbone reads."""
        if length is not None:
            return length
        return int(np.prod(patches.grid_shape(*self._geometry())))

    def _geometry(self):
        return self.backbone.image_shape, self.backbone.patch_size


def _check_counts(inputs):
    """Refuses counts of patches that fit no batch, if they are arrays."""
    counts, pixels = inputs.get("num_patches"), inputs.get("pixels")
    if not isinstance(counts, np.ndarray) or pixels is None:
        return
    if counts.shape != (pixels.shape[0],):
        raise ValueError(
            f"Expected num_patches of shape ({pixels.shape[0]},), one for "
            f"each text. Received: num_patches.shape={counts.shape}."
        )
    if counts.size and counts.min() < 0:
        raise ValueError(
            "Expected num_patches >= 0, so that each text has an attended "
            f"patch. Received: num_patches={counts.tolist()}."
        )
