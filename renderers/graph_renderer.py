"""`GraphRenderer`: text to patches inside a TensorFlow graph.

Here: arguments, decoding of strings, the graph's entry points, what happens
to texts that it cannot tell. Not here: the tables (_atlas_tables.py) and the
ops that read them (_graph_shape.py, _graph_draw.py)."""

import functools

import numpy as np
import tensorflow as tf

from pixmodels.renderers import _graph_draw
from pixmodels.renderers import _graph_runs
from pixmodels.renderers import _graph_shape
from pixmodels.renderers._atlas_charset import SCRIPTS
from pixmodels.renderers._atlas_tables import tables
from pixmodels.renderers._font import UNITS
from pixmodels.renderers._graph_arguments import as_strings
from pixmodels.renderers._graph_arguments import check_width
from pixmodels.renderers._graph_arguments import checked_renderer
from pixmodels.renderers._graph_arguments import checked_scripts
from pixmodels.renderers._graph_text import as_text
from pixmodels.renderers._graph_text import decode
from pixmodels.renderers._graph_text import insist
from pixmodels.renderers._graph_text import merge
from pixmodels.renderers._layout import DENSITY
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
            that takes a list of str (or of pairs) and `num_patches`, such as
            a `CairoRenderer`: draws them (outside graphs only).

    Call arguments:
        texts: str tensor (B,), UTF-8, or what converts to one; a str is a
            batch of one. Or pairs of texts, (B, 2).
        num_patches: N, width of the output in patches, at least 2, at most
            the renderer's `max_patches`; None: the longest text of the batch.

    Returns:
        dict: `"pixels"` uint8 (B, P, N * P), 0 black, 255 white;
        `"num_patches"` int32 (B,), patches before the end patch;
        `"supported"` bool (B,); for pairs, `"separators"` int32 (B,), the
        black patch between the two.

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
        renderer = checked_renderer(renderer)
        scripts = checked_scripts(scripts)
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
        # Of one text or a pair; one trace for every width and batch size.
        self._single, self._paired = (
            tf.function(
                functools.partial(self._draw, parts=parts),
                input_signature=[
                    tf.TensorSpec([None, 2][:parts], tf.string),
                    tf.TensorSpec([], tf.int32),
                ],
                autograph=False,
            )
            for parts in (1, 2)
        )

    def __call__(self, texts, num_patches=None):
        check_width(num_patches, self.max_patches)
        texts = as_strings(texts)
        if callable(self._on_unsupported):
            return self._fall_back(texts, num_patches)
        batch = self._render(texts, num_patches)
        if self._on_unsupported == "raise":
            batch = insist(texts, batch)
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

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], tf.string, "texts")],
        autograph=False,
    )
    def render_pairs(self, texts):
        """As `render`, for pairs: str tensor (B, 2)."""
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
        check_width(num_patches, self.max_patches)
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
        text = tf.repeat(tf.range(rows)[:, None], length + 1, axis=1)
        return self._finish(
            tf.reshape(codes, [-1]),
            tf.reshape(text, [-1]),
            tf.zeros([rows], bool),
            lengths > window,
            limit,
            lambda _: num_patches,
            parts=1,
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

    def _render(self, texts, num_patches):
        draw = self._single if texts.shape.rank == 1 else self._paired
        batch = draw(texts, num_patches or 0)
        if num_patches is not None:
            width = num_patches * self.patch_size
            shape = [None, self.patch_size, width]
            batch["pixels"] = tf.ensure_shape(batch["pixels"], shape)
        return batch

    def _window(self, limit):
        """`(characters looked at, whether fewer than those may not fill it)`.

        As in CairoRenderer, which looks at more where the first ones do not
        pass the end by four patches. Both are for `limit` pixels before the
        last patch, a number or a tensor.
        """
        most = DENSITY * (limit // self.patch_size + 1)
        window = DENSITY + limit // 2
        least = min if isinstance(limit, int) else tf.minimum
        return least(window, most), window < most

    def _draw(self, texts, num_patches, parts):
        """The call, on tensors; `num_patches` 0 for the longest text."""
        given = num_patches > 0
        limit = tf.where(given, num_patches, self.max_patches) - 1
        limit *= self.patch_size
        window, _ = self._window(limit)
        return self._finish(
            *decode(tf.reshape(texts, [-1]), window),
            limit,
            lambda longest: tf.where(given, num_patches, longest),
            parts=parts,
            dense=False,
        )

    def _finish(self, codes, text, bad, cut, limit, choose, *, parts, dense):
        """Shapes and draws; `choose` maps the longest row's width to N."""
        patch = self.patch_size
        texts = tf.size(bad)
        shaped = _graph_shape.shape(
            self._tables, codes, text, texts, dense=dense
        )
        # The patch where each area starts: the second text's behind a black.
        ahead = shaped.width + 2 * _MARGIN + patch - 1
        offset = tf.zeros_like(ahead)
        if parts == 2:
            black = tf.minimum(ahead // patch, limit // patch)
            offset = (tf.range(texts) % 2) * (_graph_runs.before(black) + 1)
        room = limit - offset * patch - _MARGIN
        short = shaped.width <= room + 4 * patch
        bad |= shaped.bad | cut & short & self._window(limit)[1]
        rows = texts // parts
        bad_row = tf.reduce_any(tf.reshape(bad, [rows, parts]), 1)
        bad = tf.repeat(bad_row, parts)
        count = tf.minimum(offset + ahead // patch, limit // patch)
        count = tf.where(bad, 0, count)
        width = choose(tf.maximum(tf.reduce_max(count), 0) + 1) * patch
        areas = _graph_draw.Areas(
            rows=rows,
            parts=parts,
            width=width,
            base=tf.range(texts) // parts * width + offset * patch,
            count=count - offset,
            bad=bad,
        )
        layers, crowded = _graph_draw.layers(
            self._tables, shaped, areas, dense=dense
        )
        supported = ~(bad_row | crowded)
        count = tf.reshape(count, [rows, parts])
        count = tf.where(supported[:, None], count, 0)
        batch = {
            "pixels": _graph_draw.pixels(
                self._tables, layers, crowded, dense=dense
            ),
            "num_patches": count[:, -1],
            "supported": supported,
        }
        if parts == 2:
            batch["separators"] = count[:, 0]
        return batch

    def _fall_back(self, texts, num_patches):
        if not tf.executing_eagerly():
            raise RuntimeError(
                "expected on_unsupported='flag' or 'raise' inside a graph. "
                f"Received: on_unsupported={self._on_unsupported!r}"
            )
        batch = self._render(texts, num_patches)
        places = np.flatnonzero(~batch["supported"].numpy())
        if not len(places):
            return batch
        items = [as_text(texts[place].numpy()) for place in places]
        drawn = self._on_unsupported(items, num_patches=num_patches)
        return merge(batch, drawn, places)
