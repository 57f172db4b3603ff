"""A model at another resolution: the same weights, positions resampled.

Here: the copy of weights between two models of one architecture. The
arithmetic is `pixmodels.positions.resample_positions`."""

import keras
from keras import ops

from pixmodels import positions
from pixmodels.presets._own import SLOTS


def backbone_of(model):
    """(slot, backbone) of a model; (None, model) of a backbone."""
    for slot in SLOTS:
        found = getattr(model, slot, None)
        if isinstance(found, keras.Model):
            return slot, found
    return None, model


def resized(model, image_shape, method="bicubic"):
    """The model for images of another size.

    Args:
        model: a backbone, or a model around one.
        image_shape: (H, W, C) with the same channels.
        method: as `pixmodels.positions.resampling_matrix`.

    Returns:
        `model` itself if it has this size already.

    Raises:
        ValueError: for another number of channels, a size that the patches
            do not tile, or an unknown method.
    """
    slot, backbone = backbone_of(model)
    if tuple(image_shape) == tuple(backbone.image_shape):
        return model
    other = backbone.with_image_shape(tuple(image_shape), method)
    if slot is None:
        return other
    config = model.get_config()
    config[slot] = keras.saving.serialize_keras_object(other)
    made = type(model).from_config(config)
    grids = backbone.position_grid, other.position_grid
    for source, target in zip(model.weights, made.weights, strict=True):
        target.assign(_resampled(source, *grids, method))
    return made


def _resampled(source, old, new, method):
    """A weight, resampled if it is a table of positions."""
    array = ops.convert_to_numpy(source.value)
    if not source.path.endswith("/table") or tuple(old) == tuple(new):
        return array
    prefix = array.shape[0] - old[0] * old[1]
    return positions.resample_positions(array, old, new, prefix, method)
