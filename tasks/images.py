"""Reading image files, strictly.

A file that is damaged is refused, never half decoded. Not here: folders of
images and data sets.
"""

import pathlib

import numpy as np

_CHANNELS = {"L": 1, "RGB": 3}


def load_image(path, *, mode="RGB"):
    """Decodes one image file with Pillow.

    Args:
        path: str or path of a file in any format that Pillow reads. Of an
            animation the first frame is taken. Transparency is laid on white;
            16-bit grey keeps its upper 8 bits; the EXIF orientation is
            applied.
        mode: "RGB" or "L" (grey, ITU-R 601 luma).

    Returns:
        uint8 in [0, 255], (H, W, 3) for "RGB", (H, W) for "L".

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for another mode, or a file that is no image, lacks
            pixels, is damaged, holds floating point, or is too large for
            Pillow's limit; the message names the file.
        ImportError: without Pillow.
    """
    if mode not in _CHANNELS:
        raise ValueError(
            f"Expected a mode among {tuple(_CHANNELS)}. Received: "
            f"mode={mode!r}."
        )
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"Expected an image file. Received: path={str(path)!r}, which "
            "does not exist."
        )
    try:
        return _decode(path, mode)
    except ModuleNotFoundError as error:
        raise ImportError(
            "Images need the package pillow: pip install pillow"
        ) from error
    except Exception as error:  # Pillow's plug-ins raise nearly anything.
        raise ValueError(
            "Expected a readable, complete image file. Received: "
            f"path={str(path)!r} ({type(error).__name__}: {error})."
        ) from error


def _decode(path, mode):
    import warnings

    from PIL import Image
    from PIL import ImageFile
    from PIL import ImageOps

    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    # A user's process may have switched the check for truncation off.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.verify()  # Checksums, where the format has them.
            with Image.open(path) as image:
                image.load()
                image = ImageOps.exif_transpose(image)
                return np.array(_flat(image).convert(mode))
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _flat(image):
    from PIL import Image

    if image.mode == "F":
        raise ValueError("floating point pixels, whose range is unknown")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"values of mode {image.mode!r} beyond 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image)
    return image
