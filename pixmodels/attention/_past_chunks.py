"""The causal form of `long_short`: a window, and sums over earlier chunks.

Here: its arithmetic, on the weights of the layer. Not here: the layer, its
arguments and its state (long_short.py)."""

import numpy as np
from keras import ops

from pixmodels.attention import _blocks
from pixmodels.layers._masked_softmax import masked_softmax


def attend(layer, x, mask, prefix, *, state=None, value=None, training=None):
    """What every token finds in its past.

    Args:
        layer: `LongShortAttention`, causal.
        x: (B, P + N, D), the prefix first.
        mask: (B, P + N) bool or None.
        prefix: P, int.
        state: None, or (tokens (B, C, D), real (B, C) bool) of before.
        value: None, or (B, P + N, A V) in place of the values and without
            their LayerNorms; not with a state.
        training: bool.

    Returns:
        (B, A, P + N, E or V).
    """
    query = layer.split_heads(layer.query(x))
    norms = layer.norm_window, layer.norm_sums
    norms = [norms, norms if value is None else (_same, _same)]
    value = layer.value(x) if value is None else value
    parts = list(zip((layer.key(x), value), norms, strict=True))
    real = None if mask is None else mask[:, prefix:]
    # Blocks are whole chunks, and no shorter than what stands before them.
    size = max(layer.window - 1, _blocks.LEAST)
    size = layer.chunk * -(-size // layer.chunk)
    near = _near(layer, parts, real, prefix, state, size)
    far = _far(layer, x, parts, mask, prefix, state)
    before = 0 if state is None else state[0].shape[1] // layer.chunk
    blocks = _blocks.split(query[:, :, prefix:], 2, size)
    blocks = blocks * ops.cast(layer.scale, blocks.dtype)
    logits = _logits(layer, blocks, near, far, prefix, before)
    allowed = _allowed(layer, size, near, far, prefix, before)
    weights = ops.cast(masked_softmax(logits, allowed), layer.compute_dtype)
    weights = layer.dropout(weights, training=training)
    total = 0 if far is None else far[1].shape[2]
    mixed = ops.matmul(weights[..., total:], near[1])
    if total:
        mixed += ops.matmul(weights[..., :total], far[1][:, :, None])
    mixed = _blocks.joined(mixed, x.shape[1] - prefix)
    if not prefix:
        return mixed
    first = [layer.split_heads(part[:, :prefix]) for part, _ in parts]
    allowed = None if mask is None else mask[:, :prefix]
    allowed = _blocks.full_mask(allowed, query[:, :, :prefix], True)
    first = layer.attend(query[:, :, :prefix], *first, allowed, training)
    return ops.concatenate([first, mixed], axis=2)


# --- The window -------------------------------------------------------------


def _near(layer, parts, real, prefix, state, size):
    """Keys and values of the windows of all blocks, and which are real.

    Returns:
        Two of (B, A, n, w - 1 + size, E), and (B or 1, n, w - 1 + size) bool.
    """
    before = layer.window - 1
    found = [part[:, prefix:] for part, _ in parts]
    if real is None:
        real = ops.ones((1, found[0].shape[1]), dtype="bool")
    if state is not None:  # One more block in front, of what was before.
        tokens, known = state
        kept = min(before, tokens.shape[1])
        front = ((0, 0), (size - kept, 0))
        tokens = tokens[:, tokens.shape[1] - kept :]
        past = (layer.key(tokens), layer.value(tokens))
        past = (ops.pad(part, (*front, (0, 0))) for part in past)
        found = [
            ops.concatenate(pair, axis=1)
            for pair in zip(past, found, strict=True)
        ]
        known = known[:, known.shape[1] - kept :]
        known = ops.pad(known, front, constant_values=False)
        real = real & (known[:, :1] | True)  # of the state's batch
        real = ops.concatenate([known, real], axis=1)

    def wide(x, axis):
        x = _blocks.with_sides(_blocks.split(x, axis, size), axis, before, 0)
        skipped = int(state is not None)
        return x[(slice(None),) * axis + (slice(skipped, None),)]

    found = (
        wide(layer.split_heads(norm(part)), 2)
        for part, (_, (norm, _)) in zip(found, parts, strict=True)
    )
    return *found, wide(real, 1)


def _same(x):
    return x


def _sheared(x):
    """(..., size, w) -> (..., size, w - 1 + size), row i moved right by i."""
    size, window = x.shape[-2:]
    front = x.shape[1:-2]
    widths = [(0, 0)] * (len(x.shape) - 1) + [(0, size)]
    x = ops.reshape(ops.pad(x, widths), (-1, *front, size * (window + size)))
    x = x[..., : size * (window + size - 1)]
    return ops.reshape(x, (-1, *front, size, window + size - 1))


# --- Sums over chunks -------------------------------------------------------


def _far(layer, x, parts, mask, prefix, state):
    """Keys and values of the prefix and of the sums, and which are real.

    Returns:
        Two of (B, A, P + S, E), and (B, P + S) bool or None for all; None if
        P + S is 0.
    """
    # No token of this call sees its last chunk.
    count = (x.shape[1] - prefix - 1) // layer.chunk
    body = slice(prefix, prefix + count * layer.chunk)
    if not (prefix or count or state is not None):
        return None
    found = [[part[:, :prefix]] for part, _ in parts]
    if mask is None and state is not None:
        mask = ops.ones_like(x[..., 0], dtype="bool")
    real = None if mask is None else [mask[:, :prefix]]
    if state is not None:
        tokens, known = state
        sums = _summed(_weights(layer, tokens, known), tokens)
        found[0].append(layer.key(sums))
        found[1].append(layer.value(sums))
        real.append(_any_real(layer, known))
    if count:
        inside = None if mask is None else mask[:, body]
        weights = _weights(layer, x[:, body], inside)
        for sums, (part, _) in zip(found, parts, strict=True):
            sums.append(_summed(weights, part[:, body]))
        if real is not None:
            real.append(_any_real(layer, inside))
    found = (
        layer.split_heads(norm(ops.concatenate(sums, axis=1)))
        for sums, (_, (_, norm)) in zip(found, parts, strict=True)
    )
    return *found, None if real is None else ops.concatenate(real, axis=1)


def _weights(layer, x, real):
    """Weights of each chunk's sums: (B, A, n, q, c) float32."""
    count = x.shape[1] // layer.chunk
    shape = (-1, count, layer.chunk, layer.num_heads, layer.chunk_rank)
    scores = ops.reshape(layer.scores(x), shape)
    scores = ops.transpose(scores, (0, 3, 1, 4, 2))
    if real is not None:
        real = ops.reshape(real, (-1, 1, count, 1, layer.chunk))
    return masked_softmax(scores, real)


def _summed(weights, x):
    """(B, n c, D) -> (B, n q, D), by slices of D, one for each head."""
    heads, count, rank, chunk = weights.shape[1:]
    width = x.shape[2]
    parts = ops.reshape(x, (-1, count, chunk, heads, width // heads))
    parts = ops.transpose(ops.cast(parts, weights.dtype), (0, 3, 1, 2, 4))
    sums = ops.transpose(ops.matmul(weights, parts), (0, 2, 3, 1, 4))
    return ops.cast(ops.reshape(sums, (-1, count * rank, width)), x.dtype)


def _any_real(layer, real):
    """(B, n c) -> (B, n q) bool."""
    shape = (-1, real.shape[1] // layer.chunk, layer.chunk)
    real = ops.any(ops.reshape(real, shape), axis=2)
    return ops.repeat(real, layer.chunk_rank, axis=1)


def _by_distance(logits, rows):
    """Moves logits of distances under the sums that lie so far.

    Args:
        logits: (B, A, m, c, T), for queries of m chunks, of distances
            T - 1, ..., 0 in sums.
        rows: q, sums in a chunk.

    Returns:
        (B, A, m, c, T): of the sums 0, ..., T - 1, the last of which belongs
        to the last chunk of queries. What lies ahead is meaningless.
    """
    heads, count, chunk, total = logits.shape[1:]
    x = ops.transpose(logits, (0, 1, 3, 2, 4))
    x = ops.pad(x, ((0, 0),) * 4 + ((0, rows),))
    x = ops.reshape(x, (-1, heads, chunk, count * (total + rows)))
    x = ops.reshape(x[..., count * rows :], (-1, heads, chunk, count, total))
    return ops.transpose(x, (0, 1, 3, 2, 4))


# --- Both in one softmax ----------------------------------------------------


def _logits(layer, query, near, far, prefix, before):
    """Of sums and windows, side by side: (B, A, n, size, P + S + keys)."""
    content = query
    if layer.relative:
        content = query + _per_head(layer.content_bias, query)
    keys = ops.matmul(content, ops.swapaxes(near[0], -1, -2))
    if layer.relative:
        rows = _distances(layer, layer.window_distances, layer.window)
        moved = query + _per_head(layer.distance_bias, query)
        moved = ops.matmul(moved, ops.transpose(rows, (0, 2, 1))[:, None])
        keys += _sheared(moved)
    if far is None:
        return keys
    heads, count, size = query.shape[1:4]
    total = far[0].shape[2]
    flat = _blocks.joined(query, count * size)
    logits = ops.matmul(flat, ops.swapaxes(far[0], -1, -2))
    if layer.relative and total > prefix:
        more = _far_distances(layer, flat, before)[..., : total - prefix]
        logits += ops.pad(more, ((0, 0), (0, 0), (0, 0), (prefix, 0)))
    logits = ops.reshape(logits, (-1, heads, count, size, total))
    return ops.concatenate([logits, keys], axis=-1)


def _per_head(bias, like):
    return ops.cast(bias, like.dtype)[:, None, None]


def _distances(layer, part, count):
    """Projected sinusoids of count - 1, ..., 0: (A, count, E)."""
    table = layer.distance_table(count, part.kernel.shape[0])[::-1]
    table = ops.convert_to_tensor(table.copy()[None], layer.compute_dtype)
    return layer.split_heads(part(table))[0]


def _far_distances(layer, query, before):
    """Logits of distances to all sums: (B, A, m c, T), T of m + before chunks.

    Args:
        query: (B, A, m c, E).
        before: chunks of the state.
    """
    heads, length = query.shape[1:3]
    count = length // layer.chunk
    total = (count + before) * layer.chunk_rank
    rows = _distances(layer, layer.chunk_distances, total)
    logits = ops.matmul(query, ops.transpose(rows, (0, 2, 1)))
    shape = (-1, heads, count, layer.chunk, total)
    logits = _by_distance(ops.reshape(logits, shape), layer.chunk_rank)
    return ops.reshape(logits, (-1, heads, length, total))


def _allowed(layer, size, near, far, prefix, before):
    """Which of those are seen: (B or 1, 1, n, size, P + S + keys) bool."""
    row = np.arange(size)[:, None]
    column = np.arange(1 - layer.window, size)[None]
    pairs = (row >= column) & (row - column < layer.window)
    pairs = ops.convert_to_tensor(pairs[None, None])
    pairs = (pairs & near[2][..., None, :])[:, None]
    if far is None:
        return pairs
    count, total = near[2].shape[1], far[0].shape[2]
    # Chunks before that of the query; the prefix lies before all.
    chunk = ops.arange(count * size, dtype="int32") // layer.chunk + before
    column = ops.arange(total, dtype="int32") - prefix
    sums = chunk[:, None] * layer.chunk_rank > column[None]
    sums = ops.reshape(sums, (1, 1, count, size, total))
    if far[2] is not None:
        sums = sums & far[2][:, None, None, None]
    return ops.concatenate([sums, pairs], axis=-1)
