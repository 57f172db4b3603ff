"""Linear recurrences by blocks of tokens, and token by token.

Here: convolutions of blocks with themselves and with the states that stand
between them; the same with one token for a block. Not here: what the states
mean (the state-space layers)."""

import keras
from keras import ops

from pixmodels.attention import _blocks
from pixmodels.sequence import _convolve

_GROUP = 8  # Steps that are written out; more blocks take another level.


def convolve(x, kernel, ways, size):
    """A long convolution as products of matrices, linear in N.

    Args:
        x: (B, N, D), N > 0.
        kernel: (K, D, L), L >= min(size, N), as `_convolve`: what a block
            does to itself.
        ways: a list of `Way`, one for each of K: what it does to the others.
        size: tokens in a block.

    Returns:
        (B, N, D), as `_convolve.convolve` with the whole kernel.
    """
    length, width = x.shape[1:]
    size = min(size, length)
    count = -(-length // size)
    u = _blocks.split(x, 1, size)  # (B, n, size, D)
    u = ops.reshape(ops.transpose(u, (3, 0, 1, 2)), (width, -1, size))
    y = ops.matmul(u, _convolve.toeplitz(kernel, size))
    if count > 1:
        for way in ways:
            states = ops.matmul(u, way.enter)  # (D, B n, R)
            shape = (width, -1, count, states.shape[-1])
            states = before(ops.reshape(states, shape), way.turn, way.reverse)
            states = ops.reshape(states, (width, -1, states.shape[-1]))
            y = y + ops.matmul(states, way.leave)
    y = ops.reshape(y, (width, -1, count * size))[..., :length]
    return ops.transpose(y, (1, 2, 0))


class Way:
    """How a block reaches those after it, or before it.

    Args:
        enter: (D, size, R), what a block leaves behind.
        leave: (D, R, size), what a block makes of what it finds.
        turn: (states, count) -> states, `count` blocks on: (D, B, n, R).
        reverse: whether it goes from the last block to the first.
    """

    def __init__(self, enter, leave, turn, reverse=False):
        self.enter = enter
        self.leave = leave
        self.turn = turn
        self.reverse = reverse


def before(states, turn, reverse=False):
    """What each block finds: `h_j = turn(h_(j-1)) + s_(j-1)`, `h_0 = 0`.

    Args:
        states: (D, B, n, R), n static.
        turn, reverse: as `Way`.

    Returns:
        (D, B, n, R).
    """
    if reverse:
        return ops.flip(before(ops.flip(states, axis=2), turn), axis=2)
    count = states.shape[2]
    group = min(_GROUP, count)
    parts = _blocks.split(states, 2, group)  # (D, B, g, group, R)
    found = [ops.zeros_like(parts[:, :, :, 0])]
    for i in range(group):
        found.append(turn(found[-1], 1) + parts[:, :, :, i])
    if parts.shape[2] > 1:
        # Groups are blocks of the next level.
        level = before(found[-1], lambda x, n: turn(x, n * group))
        for i in range(group):
            found[i] = found[i] + level
            level = turn(level, 1)
    found = ops.stack(found[:group], axis=3)
    shape = (states.shape[0], -1, parts.shape[2] * group, states.shape[3])
    return ops.reshape(found, shape)[:, :, :count]


def scan(x, state, step):
    """Token by token: `y_t, state_t = step(x_t, state_(t-1))`.

    Args:
        x: (B, N, D), N > 0.
        state: a structure of tensors, the one before the first token.
        step: (x_t (B, D), state) -> (y_t, state).

    Returns:
        (B, N, D).
    """
    if keras.backend.backend() == "tensorflow":
        return _looped(x, state, step)

    def body(state, token):
        y, state = step(token, state)
        return state, y

    _, y = ops.scan(body, state, ops.swapaxes(x, 0, 1))
    return ops.swapaxes(y, 0, 1)


def _looped(x, state, step):
    # `ops.scan` of keras 3.15 wants outputs of the state's shape there.
    length = x.shape[1]

    def body(index, y, *state):
        token, state = step(
            ops.take(x, index, axis=1), keras.tree.pack_sequence_as(like, state)
        )
        start = (0, index, 0)
        y = ops.slice_update(y, start, token[:, None])
        return index + 1, y, *keras.tree.flatten(state)

    like, flat = state, keras.tree.flatten(state)
    _, y, *_ = ops.while_loop(
        lambda index, *_: index < length,
        body,
        (ops.zeros((), dtype="int32"), ops.zeros_like(x), *flat),
        maximum_iterations=length,  # XLA needs it for gradients.
    )
    return y
