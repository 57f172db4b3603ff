"""What a masked autoencoder sees and predicts, as images.

Used by `MaskedAutoencoder.reconstruct`; nothing public is here.
"""

from keras import ops

from pixmodels import patches as patch_ops
from pixmodels import random


def reconstruct(model, inputs, key):
    """See `MaskedAutoencoder.reconstruct`."""
    images = ops.cast(model.images_of(inputs), "float32")
    ids = inputs.get("example_id")
    if ids is None:
        ids = ops.arange(ops.shape(images)[0], dtype="int32")
    with random.key_scope(key, ids):
        outputs = model(inputs, training=False)
    size = model.encoder.patch_size
    patches = patch_ops.patchify(images, size)
    predicted = ops.cast(outputs["logits"], "float32")
    if model.norm_pix_loss:
        mean, deviation = patch_ops.patch_statistics(patches)
        predicted = predicted * deviation + mean
    hidden = outputs["mask"][..., None] > 0
    grid = patch_ops.grid_shape(images.shape[1:], size)

    def join(x):
        x = patch_ops.unpatchify(x, grid, size)
        return ops.convert_to_numpy(ops.clip(x, 0.0, 1.0))

    return {
        "original": join(patches),
        "masked": join(ops.where(hidden, 0.5, patches)),
        "reconstructed": join(ops.where(hidden, predicted, patches)),
    }
