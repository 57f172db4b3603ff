"""What devices can do at most: a table, by the names that they call
themselves.

Not here: what a model needs (`flops`).
"""

import os
import re

# Floating-point operations per second of one device, of dense matrix products
# (without structured sparsity, where datasheets give twice as much):
# part of the device's name -> (16 bits, what float32 uses by default).
# By default a float32 product takes TensorFloat-32 on NVIDIA's Ampere and
# later, and bfloat16 on a TPU, in TensorFlow as in JAX. A TPU v2 or v3 chip is
# two devices, so its numbers are halved here.
# Sources: NVIDIA's datasheets (V100, T4, A10, A30, A100, L4, L40S, H100, H200,
# and HGX B200; GA102 and Ada whitepapers for the RTX cards) and the page
# "System architecture" of Google Cloud TPU (peak compute per chip).
_TERA = 1e12
PEAKS = {
    "TPU v2": (23, 23),
    "TPU v3": (61.5, 61.5),
    "TPU v4": (275, 275),
    "TPU v5e": (197, 197),
    "TPU v5p": (459, 459),
    "TPU v6e": (918, 918),
    "TPU7x": (1153.5, 1153.5),
    "V100-PCIE": (112, 14),
    "V100": (125, 15.7),
    "T4": (65, 8.1),
    "RTX 3090": (71, 35.6),
    "RTX 4090": (165.2, 82.6),
    "A10G": (70, 35),
    "A10": (125, 62.5),
    "A30": (165, 82),
    "A100": (312, 156),
    "L40S": (362, 183),
    "L4": (121, 60),
    "H100 PCIe": (756, 378),
    "H100 NVL": (835.5, 417.5),
    "H100": (989.4, 494.7),
    "H200 NVL": (835.5, 417.5),
    "H200": (989.4, 494.7),
    "GH200": (989.4, 494.7),
    "B200": (2250, 1125),
}
# Half precision of these is float16 alone.
_NO_BFLOAT16 = ("V100-PCIE", "V100", "T4")
# JAX's names, and the types of Google Cloud, of what the table calls else.
_ALIASES = (
    (r"TPU v5 ?lite", "TPU v5e"),
    (r"TPU v5\b", "TPU v5p"),
    (r"TPU v6 ?lite", "TPU v6e"),
    (r"^v5lite\w*-", "TPU v5e "),
    (r"^(v\d\w*)-", r"TPU \1 "),
    (r"^tpu7x-", "TPU7x "),
)


def peak_flops(kind, dtype="float32"):
    """The peak of one device: operations per second, or None if unknown.

    Args:
        kind: str, the name of a device, e.g. "NVIDIA H100 80GB HBM3", or
            None.
        dtype: of a config, "float32", "mixed_bfloat16" or "mixed_float16".
    """
    name = _entry(kind or "")
    dtype = dtype.removeprefix("mixed_")
    if name is None or dtype not in ("float32", "bfloat16", "float16"):
        return None
    if dtype == "bfloat16" and name in _NO_BFLOAT16:
        return None
    return _TERA * PEAKS[name][dtype == "float32"]


def device_kind():
    """What the first accelerator calls itself: a str, or None for a CPU."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        return None if device.platform == "cpu" else device.device_kind
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if gpus:
            details = tf.config.experimental.get_device_details(gpus[0])
            return details.get("device_name")
        if tf.config.list_logical_devices("TPU"):
            # TensorFlow does not say which; the virtual machine does.
            return os.environ.get("TPU_ACCELERATOR_TYPE")
    return None


def _entry(kind):
    """The longest name of the table that stands in `kind`, or None."""
    for pattern, name in _ALIASES:
        kind = re.sub(pattern, name, kind)
    found = [
        name
        for name in PEAKS
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", kind, re.IGNORECASE)
    ]
    return max(found, key=len, default=None)
