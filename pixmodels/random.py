"""Stateless randomness: a counter-based hash in `keras.ops`.

Holds the hash, the key scope that a training step opens around the model, and
the salts that tell layers apart. Holds no generator state and no layer.
"""

import contextlib
import contextvars
import functools
import zlib

from keras import ops

_SCOPE = contextvars.ContextVar("pixmodels_key_scope", default=None)
# Weyl increment and the two multipliers of a 32-bit xor-multiply finaliser,
# as signed 32-bit integers: products wrap alike on every backend.
_WEYL = 0x9E3779B9 - (1 << 32)
_MUL_1 = 0x7FEB352D
_MUL_2 = 0x846CA68B - (1 << 32)
_BITS = 24


@contextlib.contextmanager
def key_scope(key, example_ids):
    """Makes dropout and masks inside the block a function of their arguments.

    Args:
        key: (2,) int32, `[seed, step]`.
        example_ids: (B,) int32, the number of each example in its data set.
            The same example draws the same numbers at the same step on any
            device, replica or host, whatever stands beside it in the batch.
    """
    key = ops.convert_to_tensor(key, "int32")
    example_ids = ops.convert_to_tensor(example_ids, "int32")
    token = _SCOPE.set((key, example_ids))
    try:
        yield
    finally:
        _SCOPE.reset(token)


@contextlib.contextmanager
def part_scope(count):
    """Inside a key scope, one where each example is cut into parts.

    Args:
        count: int or scalar tensor; row `i * count + j` of a batch inside is
            part j of example i and draws numbers of its own. Outside a key
            scope nothing changes.
    """
    scope = _SCOPE.get()
    if scope is None:
        yield
        return
    key, example_ids = scope
    parts = ops.arange(count, dtype="int32")[None]
    parts = example_ids[:, None] * ops.cast(count, "int32") + parts
    with key_scope(key, ops.reshape(parts, (-1,))):
        yield


def in_key_scope():
    """True inside `key_scope`."""
    return _SCOPE.get() is not None


def scope_key():
    """The surrounding scope's `[seed, step]`, (2,) int32, or None."""
    scope = _SCOPE.get()
    return None if scope is None else scope[0]


def in_this_scope(function):
    """A function that runs in the present key scope whenever it is called."""
    scope = _SCOPE.get()

    @functools.wraps(function)
    def run(*args, **kwargs):
        token = _SCOPE.set(scope)
        try:
            return function(*args, **kwargs)
        finally:
            _SCOPE.reset(token)

    return run


def salt_of(text):
    """A layer's salt from its place in the model: int in [0, 2**31)."""
    return zlib.crc32(text.encode()) & 0x7FFFFFFF


def _shift(x, bits):
    # `right_shift` of int32 copies the sign bit: mask it to shift in zeros.
    mask = (1 << (32 - bits)) - 1
    return ops.bitwise_and(ops.right_shift(x, bits), mask)


def _mix(x):
    x = ops.bitwise_xor(x, _shift(x, 16)) * _MUL_1
    x = ops.bitwise_xor(x, _shift(x, 15)) * _MUL_2
    return ops.bitwise_xor(x, _shift(x, 16))


def bits(salt, size, *, key=None, example_ids=None):
    """Uniform 24-bit integers, a pure function of the arguments.

    Args:
        salt: int, tells one use from another (`salt_of`).
        size: int or scalar tensor, numbers per example.
        key: (2,) int32 `[seed, step]`; the scope's by default.
        example_ids: (B,) int32; the scope's by default.

    Returns:
        (B, size) int32 in [0, 2**24). 32-bit xor-multiply finalisers (the
        constants of C. Wellons' `lowbias32`) over a Weyl sequence, applied
        twice with two independent offsets per example.

    Raises:
        ValueError: outside a key scope, if `key` or `example_ids` is missing.
    """
    if key is None or example_ids is None:
        if not in_key_scope():
            raise ValueError(
                "Expected key and example_ids, or a surrounding "
                f"pixmodels.random.key_scope. Received: key={key}, "
                f"example_ids={example_ids}."
            )
        scope_key, scope_ids = _SCOPE.get()
        key = scope_key if key is None else key
        example_ids = scope_ids if example_ids is None else example_ids
    key = ops.convert_to_tensor(key, "int32")
    example_ids = ops.convert_to_tensor(example_ids, "int32")
    start = _mix(key[0] + ops.convert_to_tensor(salt, "int32") * _WEYL)
    start = _mix(ops.bitwise_xor(start, key[1] * _MUL_1))
    first = _mix(ops.bitwise_xor(start, example_ids * _WEYL))  # (B,)
    second = _mix(first + _MUL_2)
    counter = ops.arange(size, dtype="int32") * _WEYL
    x = _mix(ops.bitwise_xor(counter[None, :], first[:, None]))
    x = _mix(x + second[:, None])
    return _shift(x, 32 - _BITS)


def uniform(salt, size, *, key=None, example_ids=None):
    """`bits` as (B, size) float32 in [0, 1), multiples of 2**-24."""
    x = bits(salt, size, key=key, example_ids=example_ids)
    return ops.cast(x, "float32") * 2.0**-_BITS


def keep_mask(rate, salt, size):
    """(B, size) bool, True with probability `1 - rate`; needs a key scope."""
    return bits(salt, size) >= round(rate * (1 << _BITS))
