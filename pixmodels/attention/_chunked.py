"""Exact softmax attention by tiles of queries and keys: memory O(N).

Forwards only the output and two numbers a row are kept; backwards each tile is
computed again (Rabe and Staats 2021, "Self-attention does not need O(n^2)
memory"; the sums are those of Dao et al. 2022, "FlashAttention", appendix B).
Not here: when it is used (`SoftmaxAttention`), and the form with all pairs at
once (`Mixer.attend`), which is the oracle."""

import dataclasses

import keras
import numpy as np
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels.attention import _blocks
from pixmodels.layers._masked_softmax import NEGATIVE

# Logits of the zeros that fill up the last piece: below those of masked keys,
# over which a row without any key to attend to takes its mean.
_OUTSIDE = 2 * NEGATIVE


def attend(query, key, value, mask=None, *, causal=False, scale=1.0, size=512):
    """Softmax attention without a table of all pairs.

    Args:
        query, key, value: (B, A, N, E), N static.
        mask: (B, N) bool, True = a key to attend to, or None.
        causal: query i attends to keys j <= i only; tiles beyond the diagonal
            are not computed.
        scale: of the logits.
        size: most queries and most keys in a tile.

    Returns:
        (B, A, N, E) of the queries' dtype; softmax and sums over tiles are
        float32. Where no key may be attended it is a mean of the values (the
        causal form: of those in the tiles that are computed).
    """
    length = _blocks.static_length(query, 2)
    count = -(-length // size)
    even = -(-length // count)  # equal pieces waste the least
    if size % 8 == 0:  # whole vectors
        even += -even % 8
    tiles = _Tiles(length, count, even, causal)
    query = query * ops.convert_to_tensor(scale, query.dtype)
    run = _with_gradient(tiles.forward, tiles.backward)
    pieces = (tiles.cut(x) for x in (query, key, value))
    return tiles.join(run(*pieces, tiles.real(mask)))


@dataclasses.dataclass(frozen=True)
class _Tiles:
    """How a sequence is cut, and attention between its pieces.

    Head tensors are (n, B, A, c, E) here, numbers of rows (n, B, A, c, 1).

    Attributes:
        length: N.
        count: n, pieces.
        size: c, tokens in a piece; n * c >= N.
        causal: bool.
    """

    length: int
    count: int
    size: int
    causal: bool

    def cut(self, x):
        """(B, A, N, E) -> (n, B, A, c, E)."""
        return ops.moveaxis(_blocks.split(x, 2, self.size), 2, 0)

    def join(self, x):
        """(n, B, A, c, E) -> (B, A, N, E)."""
        x = ops.moveaxis(x, 0, 2)
        shape = (-1, x.shape[1], self.count * self.size, x.shape[-1])
        return ops.reshape(x, shape)[:, :, : self.length]

    def real(self, mask):
        """Keys that may be attended, (n, B or 1, 1, 1, c) bool, or None."""
        if mask is None:
            if self.count * self.size == self.length:
                return None
            mask = ops.ones((1, self.length), dtype="bool")
        mask = _blocks.split(mask, 1, self.size)
        return ops.moveaxis(mask, 1, 0)[:, :, None, None]

    def forward(self, query, key, value, real):
        """Outputs, and the maximum and the sum of each row's exponentials."""
        zeros = ops.zeros_like(at_least_float32(query[0]))
        empty = (zeros, zeros[..., :1] + _OUTSIDE, zeros[..., :1])
        masked = self._masking(real)

        def row(i, stores):
            here = _piece(query, i)

            def tile(j, state, diagonal=False):
                total, top, low = state
                logits = masked(here, _piece(key, j), j, diagonal)
                most = ops.maximum(top, ops.max(logits, axis=-1, keepdims=True))
                weights, shrink = ops.exp(logits - most), ops.exp(top - most)
                low = low * shrink + ops.sum(weights, axis=-1, keepdims=True)
                weights = ops.cast(weights, value.dtype)
                mixed = ops.matmul(weights, _piece(value, j))
                mixed = ops.cast(mixed, total.dtype)
                return total * shrink + mixed, most, low

            total, top, low = self._along(i, tile, empty)
            rows = (ops.cast(total / low, query.dtype), top, low)
            return _write(stores, i, rows)

        numbers = at_least_float32(ops.zeros_like(query[..., :1]))
        stores = _stores(ops.zeros_like(query), numbers, numbers)
        return _stacked(_loop(self.count, row, stores))

    def backward(self, query, key, value, real, mixed, top, low, given):
        """Gradients of queries, keys and values from that of the output.

        With e = exp(logit - top), a probability is e / low; `low` divides the
        numbers of rows, not those of pairs.
        """
        given = ops.cast(at_least_float32(given) / low, given.dtype)
        # Of what was rounded: the differences from it below are small.
        inner = at_least_float32(given) * at_least_float32(mixed)
        inner = ops.sum(inner, axis=-1, keepdims=True)
        # No gradient comes to logits that are replaced by a constant.
        alive = ops.cast(top > NEGATIVE / 2, low.dtype)
        reached = query * ops.cast(alive, query.dtype)

        empty = ops.zeros_like(at_least_float32(query[0]))
        masked = self._masking(real)

        def row(i, stores):
            rows = (query, reached, given, top, inner, alive)
            here, there, passed, high, mean, live = (_piece(x, i) for x in rows)

            def tile(j, state, diagonal=False):
                total, *sums = state
                keys = _piece(key, j)
                weights = ops.exp(masked(here, keys, j, diagonal) - high)
                slope = _times_transposed(passed, _piece(value, j))
                slope = weights * (ops.cast(slope, total.dtype) - mean)
                slope = ops.cast(slope, key.dtype)
                weights = ops.cast(weights, value.dtype)
                total = total + ops.cast(ops.matmul(slope, keys), total.dtype)
                more = (
                    ops.matmul(ops.swapaxes(slope, -1, -2), there),
                    ops.matmul(ops.swapaxes(weights, -1, -2), passed),
                )
                return (total, *_add(sums, j, more))

            first, *sums = stores
            total, *sums = self._along(i, tile, (empty, *sums))
            return (*_write([first], i, [total * live]), *sums)

        zeros = [
            ops.zeros_like(at_least_float32(x)) for x in (query, key, value)
        ]
        sums = _stacked(_loop(self.count, row, _stores(*zeros)))
        return [
            ops.cast(x, like.dtype)
            for x, like in zip(sums, (query, key, value), strict=True)
        ]

    def _along(self, i, tile, state):
        """The tiles of row i in order."""
        if not self.causal:
            return _loop(self.count, tile, state)
        return tile(i, _loop(i, tile, state), diagonal=True)

    def _masking(self, real):
        """(queries, keys, j, diagonal) -> logits of the keys of piece j."""
        if real is not None:
            outside = np.arange(self.count * self.size) >= self.length
            floor = np.where(outside, _OUTSIDE, NEGATIVE)
            floor = floor.reshape(self.count, 1, 1, 1, self.size)
            floor = ops.convert_to_tensor(floor, "float32")
        past = ops.convert_to_tensor(np.tri(self.size, dtype=bool))

        def logits(query, key, j, diagonal):
            pairs = at_least_float32(_times_transposed(query, key))
            if real is None:
                return ops.where(past, pairs, NEGATIVE) if diagonal else pairs
            allowed = _piece(real, j)
            allowed = past & allowed if diagonal else allowed
            instead = ops.cast(_piece(floor, j), pairs.dtype)
            return ops.where(allowed, pairs, instead)

        return logits


def _times_transposed(a, b):
    return ops.matmul(a, ops.swapaxes(b, -1, -2))


def _piece(x, i):
    """Piece i, which may be a tensor, of (n, ...)."""
    if keras.backend.backend() != "tensorflow":
        return x[i]
    import tensorflow as tf

    return tf.gather(x, i)


def _loop(count, body, state):
    """`body(i, state)` for i = 0 ... count - 1, one after the other."""
    if keras.backend.backend() != "tensorflow":
        return ops.fori_loop(0, count, lambda i, x: tuple(body(i, x)), state)
    import tensorflow as tf

    # Ten iterations at once, as keras.ops has it, would hold ten tiles.
    _, *state = tf.while_loop(
        lambda i, *_: i < count,
        lambda i, *state: (i + 1, *body(i, state)),
        (tf.constant(0), *state),
        parallel_iterations=1,
    )
    return state


# What a loop fills piece by piece: on TensorFlow a list of tensors, because
# outside XLA it would copy a whole tensor to change a piece of it.


def _stores(*tensors):
    if keras.backend.backend() != "tensorflow":
        return tensors
    import tensorflow as tf

    return tuple(
        tf.TensorArray(
            x.dtype,
            size=x.shape[0],
            element_shape=x.shape[1:],
            clear_after_read=False,
        ).unstack(x)
        for x in tensors
    )


def _write(stores, i, pieces):
    if keras.backend.backend() == "tensorflow":
        pairs = zip(stores, pieces, strict=True)
        return tuple(store.write(i, piece) for store, piece in pairs)
    return tuple(
        ops.slice_update(store, (i, 0, 0, 0, 0), piece[None])
        for store, piece in zip(stores, pieces, strict=True)
    )


def _add(stores, j, pieces):
    if keras.backend.backend() == "tensorflow":
        old = [store.read(j) for store in stores]
    else:
        old = [store[j] for store in stores]
    sums = [a + ops.cast(b, a.dtype) for a, b in zip(old, pieces, strict=True)]
    return _write(stores, j, sums)


def _stacked(stores):
    if keras.backend.backend() == "tensorflow":
        return [store.stack() for store in stores]
    return list(stores)


def _with_gradient(forward, backward):
    """`forward`'s first result as a function with `backward` for gradient.

    Args:
        forward: (query, key, value, real) -> tensors to keep, the result
            first.
        backward: (query, key, value, real, *kept, gradient of the result) ->
            gradients of query, key and value.
    """
    return {
        "tensorflow": _tensorflow_gradient,
        "jax": _jax_gradient,
        "torch": _torch_gradient,
    }[keras.backend.backend()](forward, backward)


def _tensorflow_gradient(forward, backward):
    import tensorflow as tf

    def run(query, key, value, real):
        @tf.custom_gradient
        def inner(query, key, value):
            kept = forward(query, key, value, real)

            def gradient(given):
                return backward(query, key, value, real, *kept, given)

            return kept[0], gradient

        return inner(query, key, value)

    return run


def _jax_gradient(forward, backward):
    import jax

    @jax.custom_vjp
    def run(*inputs):
        return forward(*inputs)[0]

    def keep(*inputs):
        kept = forward(*inputs)
        return kept[0], (*inputs, *kept)

    def gradient(kept, given):
        return (*backward(*kept, given), None)

    run.defvjp(keep, gradient)
    return run


def _torch_gradient(forward, backward):
    import torch

    class Run(torch.autograd.Function):
        @staticmethod
        def forward(context, query, key, value, real):
            kept = forward(query, key, value, real)
            context.save_for_backward(query, key, value, real, *kept)
            return kept[0]

        @staticmethod
        def backward(context, given):
            return (*backward(*context.saved_tensors, given), None)

    return Run.apply
