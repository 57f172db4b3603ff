"""Strings in and out of the in-graph renderer.

Here: decoding of a batch, the error for texts that are not supported, rows of
another renderer in their place. Not here: shaping (_graph_shape.py)."""

import numpy as np
import tensorflow as tf


def decode(texts, window):
    """UTF-8 to one flat row of code points.

    Args:
        texts: str tensor (T,).
        window: at most this many code points of each are kept.

    Returns:
        `(codes, text, bad, cut)`: int32, each text ended by a 0; int32, the
        text of each; bool (T,), the text holds a 0; bool (T,), it is longer.
    """
    texts, cut = tf.cond(
        tf.reduce_any(tf.strings.length(texts) > window),
        lambda: _shorten(texts, window),
        lambda: (texts, tf.zeros(tf.shape(texts), bool)),
    )
    splits, codes = tf.raw_ops.UnicodeDecode(
        input=texts + "\0",
        input_encoding="UTF-8",
        errors="replace",
        Tsplits=tf.int32,
    )
    begins = splits[1:-1]
    text = tf.cumsum(
        tf.math.unsorted_segment_sum(
            tf.ones_like(begins), begins, tf.size(codes)
        )
    )
    ends = tf.math.unsorted_segment_sum(
        tf.cast(codes == 0, tf.int32), text, tf.size(texts)
    )
    return codes, text, ends > 1, cut


def _shorten(texts, window):
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
    cut = tf.strings.length(texts, unit="UTF8_CHAR") > window
    return tf.strings.substr(texts, 0, window, unit="UTF8_CHAR"), cut


def as_text(item):
    """A str from bytes, or a (str, str) tuple from two."""
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    return tuple(map(as_text, item))


def insist(texts, batch):
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


def merge(batch, drawn, places):
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
    found = {
        "pixels": tf.constant(merged),
        "num_patches": tf.constant(count),
        "supported": batch["supported"],
    }
    if "separators" in batch:
        separators = batch["separators"].numpy()
        separators[places] = [patches[0] for patches in drawn.sep_patches]
        found["separators"] = tf.constant(separators)
    return found
