"""Ink, paper, and how coverage becomes pixels.

Here: reading of colours, the blend and its rounding, colour pictures laid
over. Not here: where ink falls (_raster.py)."""

import numpy as np

from pixmodels.renderers._libraries import load

MODES = ("grey", "rgb")
_NAMED = {"black": (0, 0, 0), "white": (255, 255, 255)}
# ITU-R BT.601 luma in 1/65536, as Pillow converts RGB to grey.
_LUMA = np.array([19595, 38470, 7471], np.int64)


class Palette:
    """The colours of a renderer.

    A pixel of which the ink covers a / 255 becomes
    `(ink * a + paper * (255 - a) + 127) // 255` in each channel: the nearest
    whole number (255 is odd, so there are no halves); `255 - a` for black on
    white. A colour picture with alpha is laid over what is drawn below it by
    the same rule; in grey mode its luma is taken first.

    Attributes:
        channels: 1 or 3.
        ink, paper: uint8 (channels,).

    Args:
        color_mode: "grey" or "rgb".
        ink, paper: see `read_color`.

    Raises:
        TypeError, ValueError: names the argument.
    """

    def __init__(self, color_mode="grey", ink="black", paper="white"):
        if color_mode not in MODES:
            raise ValueError(
                f"expected one of {MODES}. Received: color_mode={color_mode!r}"
            )
        self.channels = 1 if color_mode == "grey" else 3
        self.ink_rgb = read_color("ink", ink)
        self.ink = self._levels(self.ink_rgb)
        self.paper = self._levels(read_color("paper", paper))
        cover = np.arange(256)[:, None]
        ink, paper = self.ink.astype(np.int64), self.paper.astype(np.int64)
        blend = (ink * cover + paper * (255 - cover) + 127) // 255
        # (256, channels), in grey mode (256,).
        table = blend.astype(np.uint8)
        self._table = table if self.channels == 3 else table[:, 0]
        self._inverts = bool(np.all(blend == 255 - cover))

    def _levels(self, rgb):
        if self.channels == 3:
            return np.array(rgb, np.uint8)
        return luma(np.array(rgb))[None].astype(np.uint8)

    def pixels(self, cover, out=None):
        """Coverage uint8 (...) as pixels uint8 (...[, 3]).

        Args:
            cover: the coverage.
            out: where to write the pixels; None for a new array.
        """
        if out is None:
            shape = cover.shape if self.channels == 1 else (*cover.shape, 3)
            out = np.empty(shape, np.uint8)
        if not self._inverts:
            np.take(self._table, cover, axis=0, out=out, mode="clip")
        elif self.channels == 1:
            np.invert(cover, out=out)
        else:
            out[...] = np.invert(cover)[..., None]
        return out

    def merge(self, below, above):
        """Ink drawn over other ink.

        Args:
            below, above: bytes of as many pixels.

        Returns:
            bytes; None unless black on white, where coverage a over b, in
            255ths, is a + b - a b, rounded to the nearest as Cairo does.
        """
        if not self._inverts:
            return None
        one, other = (
            255 - np.frombuffer(pixels, np.uint8).astype(np.int64)
            for pixels in (below, above)
        )
        cover = one + other - (one * other + 127) // 255
        return (255 - cover).astype(np.uint8).tobytes()

    def lay_over(self, pixels, picture):
        """Lays a picture over pixels, in place.

        Args:
            pixels: uint8 (H, W[, 3]).
            picture: uint32 (H, W), Cairo's ARGB32: premultiplied.
        """
        parts = [(picture >> shift) & 255 for shift in (16, 8, 0)]
        colour = np.stack(parts, axis=-1).astype(np.int64)
        rest = 255 - (picture >> 24).astype(np.int64)
        if self.channels == 1:
            colour = luma(colour)
        else:
            rest = rest[..., None]
        below = (pixels * rest + 127) // 255
        pixels[...] = np.minimum(colour + below, 255)


def luma(rgb):
    """Grey of RGB (..., 3), 0..255, rounded to the nearest."""
    return (rgb.astype(np.int64) @ _LUMA + 32768) >> 16


def read_color(name, value):
    """A colour as (r, g, b), 0..255.

    Args:
        name: the argument's name, for messages.
        value: a grey level 0..255, (r, g, b), or what `PIL.ImageColor`
            reads: a CSS name, "#rrggbb", "rgb(...)", "hsl(...)".

    Raises:
        TypeError: `value` is none of these.
        ValueError: a level is out of range, a name unknown, or the colour is
            not opaque.
    """
    if isinstance(value, str):
        return _NAMED.get(value) or _parse(name, value)
    levels = value
    if _is_level(value):
        levels = (value,) * 3
    if not isinstance(levels, tuple | list) or len(levels) != 3:
        raise TypeError(
            "expected a grey level, (red, green, blue), or the name of a "
            f"colour. Received: {name}={value!r}"
        )
    if not all(_is_level(level) and 0 <= level <= 255 for level in levels):
        raise ValueError(
            f"expected whole levels from 0 to 255. Received: {name}={value!r}"
        )
    return tuple(int(level) for level in levels)


def _is_level(value):
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _parse(name, value):
    try:
        found = load("PIL.ImageColor").getrgb(value)
    except ValueError as error:
        raise ValueError(
            "expected a colour such as 'navy', '#102030' or "
            f"'rgb(16, 32, 48)'. Received: {name}={value!r}"
        ) from error
    if len(found) == 4 and found[3] != 255:
        raise ValueError(
            f"expected an opaque colour. Received: {name}={value!r}"
        )
    return tuple(found[:3])


def plain(value):
    """A colour as it goes into a config: tuples stay, numpy numbers do not."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple | list):
        return tuple(
            int(level) if _is_level(level) else level for level in value
        )
    return int(value) if _is_level(value) else value
