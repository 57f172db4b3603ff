"""How fast a model is trained: examples, patches, use of the device.

Here: what a batch holds. Not here: times (`meters`), operations of a model
(`flops`), what devices can do (`peaks`).
"""

import numpy as np

from pixmodels.training import flops
from pixmodels.training import peaks


class Throughput:
    """Counts what steps do, and turns counts per second into metrics.

    Args:
        model: the Keras model; patches are counted for one with an `encoder`
            or a `backbone` of patches, examples for any.
        config: `TrainConfig`.
        driver: the driver, which knows the number of devices.
    """

    def __init__(self, model, config, driver):
        self._model = model
        self._batch_size = config.batch_size
        backbone = flops.backbone_of(model)
        self._patch_size = getattr(backbone, "patch_size", None)
        peak = config.peak_flops
        if peak is None:
            peak = peaks.peak_flops(peaks.device_kind(), config.dtype)
        self._peak = peak and peak * driver.num_replicas
        self._flops = {}

    def counts(self, batch):
        """What a step on a batch does.

        A host that holds a part of the global batch counts it as if the
        others' parts were like its own.

        Args:
            batch: dict of arrays, see `Pipeline`.

        Returns:
            dict: `examples` (no fillers; each text of a pack); for models of
            patches `patches`, those that are attended, `computed`, padding
            and fillers included, and `flops` where the peak of the device
            and the count of the model are known.
        """
        rows = len(next(iter(batch.values())))
        scale = self._batch_size / max(rows, 1)
        real = np.ones(rows, bool)
        if batch.get("weight") is not None:
            real = np.asarray(batch["weight"]) > 0
        examples = real
        if batch.get("segment_ids") is not None:
            examples = np.asarray(batch["segment_ids"]).max(axis=1)[real]
        counts = {"examples": int(examples.sum())}
        length = self._length(batch)
        if length is not None:
            patches = np.full(rows, length)
            if batch.get("num_patches") is not None:
                # The end patch is attended, too.
                ends = np.asarray(batch["num_patches"]) + 1
                patches = np.minimum(ends, length)
            counts["patches"] = int(patches[real].sum())
            counts["computed"] = rows * length
            flops_of_one = self._flops_of(batch["pixels"].shape[1:3])
            if flops_of_one is not None:
                counts["flops"] = rows * flops_of_one
        return {name: scale * count for name, count in counts.items()}

    def values(self, rates):
        """Metrics of a log interval.

        Args:
            rates: dict as from `counts`, per second.

        Returns:
            dict: `patches_per_s`, `examples_per_s`, `padding` (share of the
            computed patches that nobody attends to) and `mfu`, the model's
            operations over what the devices can do; those that are known.
        """
        values = {}
        for name in ("patches", "examples"):
            if name in rates:
                values[f"{name}_per_s"] = rates[name]
        if rates.get("computed"):
            values["padding"] = 1 - rates["patches"] / rates["computed"]
        if "flops" in rates:
            values["mfu"] = rates["flops"] / self._peak
        return values

    def _length(self, batch):
        pixels = batch.get("pixels")
        if self._patch_size is None or pixels is None or len(pixels.shape) < 3:
            return None
        height, width = self._patch_size
        return (pixels.shape[1] // height) * (pixels.shape[2] // width)

    def _flops_of(self, size):
        """Operations of an example of (H, W) pixels in a step, or None."""
        if not self._peak:
            return None
        if size not in self._flops:
            self._flops[size] = flops.of_step(self._model, size)
        return self._flops[size]
