"""The frame of tasks on drawn text: from a batch to encoded patches.

Drawing many texts and reading the model's answers is in `_reading`."""

from keras import ops

from pixmodels import patches
from pixmodels.tasks._task import Task
from pixmodels.tasks._task import example_specs


class TextTask(Task):
    """What tasks on drawn text share."""

    def encode(self, inputs, training):
        """Runs the backbone over drawn texts.

        Args:
            inputs: dict with `pixels` and, unless all patches are attended,
                `num_patches`.
            training: bool.

        Returns:
            (sequence (B, 1 + N, D), attended (B, N) bool or None for all).
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
