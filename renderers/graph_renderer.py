"""`GraphRenderer`: text to patches inside a TensorFlow graph.

Here: arguments, decoding of strings, the graph's entry points, what happens
to texts that it cannot tell. Not here: the tables (_atlas_tables.py) and the
ops that read them (_graph_shape.py, _graph_draw.py)."""

import inspect

import numpy as np
import tensorflow as tf

from pixmodels.renderers import _graph_draw
from pixmodels.renderers import _graph_shape
from pixmodels.renderers._atlas_charset import SCRIPTS
from pixmodels.renderers._atlas_tables import tables
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._layout import _DENSITY
from pixmodels.renderers.cairo_renderer import CairoRenderer

_LAST = 0x10FFFF
_NOTHING = 0xFFFF  # A code point that no font has.
_MARGIN = 2


class GraphTables(tf.Module):
    """The arrays of `Tables` as constants of a graph."""

    def __init__(self, found, patch_size):
        super().__init__(name="tables")
        with tf.init_scope(), tf.device("cpu"):
            for name, array in found.arrays().items():
                setattr(self, name, tf.constant(array))
        self.patch_size = patch_size
        self.tab = found.tab
        self.fonts = found.fonts
        self.parts = found.parts


class GraphRenderer(tf.Module):
    """Draws texts as `CairoRenderer` does, with TensorFlow ops alone.

    Everything about fonts is looked up in tables made beforehand: the glyphs
    of a `FontStack` as bytes, advances, kerning, ligatures, which font and
    script a character takes beside others. So the renderer runs where Python
    and fonts are missing: in `tf.data`, in a SavedModel, in TensorFlow
    Serving.

    A text is *supported* where its pixels are those of `CairoRenderer`, bit
    for bit. It is not supported if it holds a character outside the tables
    (scripts other than `scripts`, right-to-left letters, joiners, controls
    but tab and line feed), a combining mark that does not compose with the
    letter before it, or something that the tables cannot tell (three glyphs
    over one another, a font's contextual rules, over 64 brackets in a text of
    several scripts, over 64 tabs). A text that does not fit is cut as
    `CairoRenderer` cuts it. Bytes that are not UTF-8 are drawn as U+FFFD.

    Args:
        renderer: the `CairoRenderer` to stand for; None for its defaults.
        scripts: ISO 15924 codes to bake, of those in
            `GraphRenderer.SCRIPTS`; None for all. Common characters (digits,
            punctuation, symbols) are always there.
        on_unsupported: what becomes of other texts. `"flag"`: white patches,
            `supported` False, `num_patches` 0. `"raise"`: the op fails with
            `tf.errors.InvalidArgumentError`, also in a SavedModel. A callable
            that takes a list of str and `num_patches`, such as a
            `CairoRenderer`: draws them (outside graphs only).

    Call arguments:
        texts: str tensor (B,), UTF-8, or what converts to one; a str is a
            batch of one.
        num_patches: N, width of the output in patches, at least 2, at most
            the renderer's `max_patches`; None: the longest text of the batch.

    Returns:
        dict: `"pixels"` uint8 (B, P, N * P), 0 black, 255 white;
        `"num_patches"` int32 (B,), patches before the end patch;
        `"supported"` bool (B,).

    Raises:
        TypeError: `renderer` or `scripts` is of another kind.
        ValueError: the renderer has a setting that has no in-graph form, a
            script is unknown, `on_unsupported` or `num_patches` is invalid.
        RuntimeError: called in a graph with a callable `on_unsupported`.

    Source: the layout of CairoRenderer; the recipe is PIXEL's (Rust et al.
    2023, xplip/pixel 1b0da29, pangocairo_renderer.py).

    Example:
        >>> renderer = GraphRenderer(scripts=("Latn",))
        >>> batch = renderer(["a cat", "Why?", "मत"])
        >>> batch["num_patches"].numpy().tolist()
        [2, 3, 0]
        >>> batch["supported"].numpy().tolist()
        [True, True, False]
    """

    SCRIPTS = SCRIPTS

    def __init__(self, renderer=None, *, scripts=None, on_unsupported="flag"):
        super().__init__(name="graph_renderer")
        renderer = _checked(renderer)
        scripts = _checked_scripts(scripts)
        if on_unsupported not in ("flag", "raise"):
            if not callable(on_unsupported):
                raise ValueError(
                    "expected 'flag', 'raise' or a callable. Received: "
                    f"on_unsupported={on_unsupported!r}"
                )
        found = tables(
            renderer.font_stack,
            int(renderer.dpi / 72 * renderer.font_size * UNITS + 0.5),
            renderer.patch_size,
            renderer.language,
            scripts,
        )
        self._renderer = renderer
        self._on_unsupported = on_unsupported
        self.scripts = scripts
        self.patch_size = renderer.patch_size
        self.max_patches = renderer.max_patches
        self.nbytes = found.nbytes
        self.num_characters = found.characters
        self._tables = GraphTables(found, self.patch_size)
        self._compiled = tf.function(
            self._draw,
            input_signature=[
                tf.TensorSpec([None], tf.string),
                tf.TensorSpec([], tf.int32),
            ],
            autograph=False,
        )

    def __call__(self, texts, num_patches=None):
        self._check_width(num_patches)
        texts = _strings(texts)
        if callable(self._on_unsupported):
            return self._fall_back(texts, num_patches)
        batch = self._compiled(texts, num_patches or 0)
        if num_patches is not None:
            width = num_patches * self.patch_size
            shape = [None, self.patch_size, width]
            batch["pixels"] = tf.ensure_shape(batch["pixels"], shape)
        if self._on_unsupported == "raise":
            batch = _insist(texts, batch)
        return batch

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "texts")],
        autograph=False,
    )
    def render(self, texts):
        """The call as a `tf.function`, for `tf.saved_model.save`.

        Args:
            texts: str tensor (B,), UTF-8.

        Returns:
            The dict of the call, as wide as the longest text.
        """
        return self(texts)

    def rasterise(self, codes, lengths, num_patches):
        """What follows decoding, with fixed shapes: for `jit_compile=True`.

        Args:
            codes: int32 (B, L), code points; what stands behind a text's
                length is not looked at.
            lengths: int32 (B,), code points of each text.
            num_patches: N, a Python number.

        Returns:
            The dict of the call; texts that are not supported are flagged.
        """
        self._check_width(num_patches)
        if num_patches is None:
            raise ValueError(
                "expected a Python number. Received: num_patches=None"
            )
        limit = (int(num_patches) - 1) * self.patch_size
        window, _ = self._window(limit)
        codes = tf.convert_to_tensor(codes, tf.int32)[:, :window]
        lengths = tf.convert_to_tensor(lengths, tf.int32)
        rows, length = tf.unstack(tf.shape(codes))
        known = (codes > 0) & (codes <= _LAST)
        codes = tf.where(known, codes, _NOTHING)
        inside = tf.range(length)[None] < lengths[:, None]
        codes = tf.pad(tf.where(inside, codes, 0), [[0, 0], [0, 1]])
        row = tf.repeat(tf.range(rows)[:, None], length + 1, axis=1)
        return self._finish(
            tf.reshape(codes, [-1]),
            tf.reshape(row, [-1]),
            tf.zeros([rows], bool),
            lengths > window,
            limit,
            lambda _: num_patches,
            dense=True,
        )

    def get_config(self):
        """JSON-able dict; a callable `on_unsupported` becomes `"flag"`."""
        kept = self._on_unsupported
        return {
            "renderer": self._renderer.get_config(),
            "scripts": list(self.scripts),
            "on_unsupported": "flag" if callable(kept) else kept,
        }

    @classmethod
    def from_config(cls, config):
        """Rebuilds a renderer; ValueError where a font file differs."""
        config = dict(config)
        renderer = CairoRenderer.from_config(config.pop("renderer"))
        return cls(renderer, **config)

    def _check_width(self, num_patches):
        """ValueError unless it is None or a legal number of patches."""
        if num_patches is None:
            return
        whole = isinstance(num_patches, int | np.integer)
        if not whole or isinstance(num_patches, bool):
            raise ValueError(
                "expected a Python number or None. "
                f"Received: num_patches={num_patches!r}"
            )
        if not 2 <= num_patches <= self.max_patches:
            raise ValueError(
                f"expected 2 to max_patches={self.max_patches}. "
                f"Received: num_patches={num_patches!r}"
            )

    def _window(self, limit):
        """`(characters looked at, whether fewer than those may not fill it)`.

        As in CairoRenderer, which looks at more where the first ones do not
        pass the end by four patches. Both are for `limit` pixels before the
        last patch, a number or a tensor.
        """
        most = _DENSITY * (limit // self.patch_size + 1)
        window = _DENSITY + limit // 2
        least = min if isinstance(limit, int) else tf.minimum
        return least(window, most), window < most

    def _draw(self, texts, num_patches):
        """The call, on tensors; `num_patches` 0 for the longest text."""
        given = num_patches > 0
        limit = tf.where(given, num_patches, self.max_patches) - 1
        limit *= self.patch_size
        window, _ = self._window(limit)
        texts, cut = tf.cond(
            tf.reduce_any(tf.strings.length(texts) > window),
            lambda: _shorten(texts, window),
            lambda: (texts, tf.zeros(tf.shape(texts), bool)),
        )
        rows = tf.size(texts)
        splits, codes = tf.raw_ops.UnicodeDecode(
            input=texts + "\0",
            input_encoding="UTF-8",
            errors="replace",
            Tsplits=tf.int32,
        )
        begins = splits[1:-1]
        row = tf.cumsum(
            tf.math.unsorted_segment_sum(
                tf.ones_like(begins), begins, tf.size(codes)
            )
        )
        ends = tf.math.unsorted_segment_sum(
            tf.cast(codes == 0, tf.int32), row, rows
        )
        return self._finish(
            codes,
            row,
            ends > 1,
            cut,
            limit,
            lambda longest: tf.where(given, num_patches, longest),
            dense=False,
        )

    def _finish(self, codes, row, bad, cut, limit, choose, *, dense):
        """Shapes and draws; `choose` maps the longest text's width to N."""
        rows = tf.size(bad)
        patch = self.patch_size
        shaped = _graph_shape.shape(self._tables, codes, row, rows, dense=dense)
        bad |= shaped.bad
        short = shaped.width <= limit - _MARGIN + 4 * patch
        bad |= cut & short & self._window(limit)[1]
        count = (shaped.width + 2 * _MARGIN + patch - 1) // patch
        count = tf.where(bad, 0, tf.minimum(count, limit // patch))
        num_patches = choose(tf.maximum(tf.reduce_max(count), 0) + 1)
        layers, crowded = _graph_draw.layers(
            self._tables,
            shaped,
            count,
            bad,
            num_patches * patch,
            dense=dense,
        )
        pixels = _graph_draw.pixels(self._tables, layers, crowded, dense=dense)
        return {
            "pixels": pixels,
            "num_patches": tf.where(crowded, 0, count),
            "supported": ~(bad | crowded),
        }

    def _fall_back(self, texts, num_patches):
        if not tf.executing_eagerly():
            raise RuntimeError(
                "expected on_unsupported='flag' or 'raise' inside a graph. "
                f"Received: on_unsupported={self._on_unsupported!r}"
            )
        batch = self._compiled(texts, num_patches or 0)
        places = np.flatnonzero(~batch["supported"].numpy())
        if not len(places):
            return batch
        drawn = self._on_unsupported(
            [texts[i].numpy().decode("utf-8", "replace") for i in places],
            num_patches=num_patches,
        )
        return _merge(batch, drawn, places)


def _strings(texts):
    """The batch as a tensor; ValueError unless it is a row of texts."""
    if isinstance(texts, str | bytes):
        texts = [texts]
    texts = tf.convert_to_tensor(texts, tf.string)
    if texts.shape.rank not in (None, 1):
        raise ValueError(
            "expected a tensor or list of texts, shape (B,). "
            f"Received: shape={tuple(texts.shape)}"
        )
    return texts


def _shorten(texts, window):
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
    cut = tf.strings.length(texts, unit="UTF8_CHAR") > window
    return tf.strings.substr(texts, 0, window, unit="UTF8_CHAR"), cut


def _insist(texts, batch):
    """The batch, once every text of it is supported."""
    supported = batch["supported"]
    check = tf.debugging.Assert(
        tf.reduce_all(supported),
        [
            "expected texts that the in-graph renderer supports (draw others "
            "by CairoRenderer and pass pixels). Received: texts=",
            tf.boolean_mask(texts, ~supported),
        ],
        summarize=5,
    )
    with tf.control_dependencies([] if check is None else [check]):
        return {name: tf.identity(value) for name, value in batch.items()}


def _merge(batch, drawn, places):
    """Rows of another renderer in place of those not supported."""
    pixels = batch["pixels"].numpy()
    other = np.asarray(drawn.pixels)
    if other.ndim != 3 or other.shape[1] != pixels.shape[1]:
        raise ValueError(
            f"expected pixels of (B, {pixels.shape[1]}, W) from "
            f"on_unsupported. Received: pixels of {other.shape}"
        )
    width = max(pixels.shape[2], other.shape[2])
    merged = np.full((*pixels.shape[:2], width), 255, np.uint8)
    merged[:, :, : pixels.shape[2]] = pixels
    merged[places, :, : other.shape[2]] = other
    merged[places, :, other.shape[2] :] = 255
    count = batch["num_patches"].numpy()
    count[places] = drawn.num_patches
    return {
        "pixels": tf.constant(merged),
        "num_patches": tf.constant(count),
        "supported": batch["supported"],
    }


def _checked(renderer):
    """The CairoRenderer; ValueError where it draws what a table cannot."""
    if renderer is None:
        return CairoRenderer()
    if not isinstance(renderer, CairoRenderer):
        raise TypeError(
            f"expected a CairoRenderer or None. Received: renderer={renderer!r}"
        )
    known = {"max_patches", "font_size", "dpi", "language", "font_stack"}
    parameters = inspect.signature(CairoRenderer).parameters
    for name, value in renderer.get_config().items():
        if name in known or (name == "patch_size" and isinstance(value, int)):
            continue
        known_as = parameters.get(name)
        if known_as is None or value != known_as.default:
            raise ValueError(
                "expected a renderer with a square patch and no settings but "
                f"{sorted(known)}: others have no in-graph form. "
                f"Received: {name}={value!r}"
            )
    stack = renderer.font_stack
    for place in range(len(stack)):
        path, face = stack.entry(place)
        if not isinstance(face, int):
            raise ValueError(
                f"expected fonts at their default axes. Received: {path}#{face}"
            )
    return renderer


def _checked_scripts(scripts):
    if scripts is None:
        return SCRIPTS
    if isinstance(scripts, str) or not hasattr(scripts, "__iter__"):
        raise TypeError(
            "expected a list of ISO 15924 codes, or None. "
            f"Received: scripts={scripts!r}"
        )
    scripts = tuple(scripts)
    unknown = [name for name in scripts if name not in SCRIPTS]
    if unknown:
        raise ValueError(
            f"expected scripts of {', '.join(SCRIPTS)}. "
            f"Received: scripts={unknown!r}"
        )
    # One order, so that the same set shares its tables.
    return tuple(name for name in SCRIPTS if name in scripts)
