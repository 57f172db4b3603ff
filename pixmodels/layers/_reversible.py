"""Residual branches whose inputs are computed back from their outputs.

Here: the gradient, and products with Jacobians on each backend. Not here: the
branches (reversible_stack)."""

import dataclasses
from collections.abc import Callable

import keras
from keras import ops


@dataclasses.dataclass(frozen=True)
class Branch:
    """What is added to one stream, as a function of the other one.

    Attributes:
        function: (B, N, D) -> (B, N, D); the same again for the same input.
        trained: variables of it that get gradients.
        fixed: its other variables.
    """

    function: Callable
    trained: list
    fixed: list


def coupled(branches, streams):
    """Applies `(a, b) -> (b, a + f(b))` for each branch f in turn.

    Args:
        branches: list of `Branch`.
        streams: (2, B, N, D).

    Returns:
        (2, B, N, D). For gradients only this and the weights are kept.
    """
    weights = [_read(w) for branch in branches for w in branch.trained]
    # Now: the scope in which variables have these values may be gone when
    # gradients are asked for.
    fixed = [[(w, _read(w)) for w in branch.fixed] for branch in branches]

    def run(i, x, values):
        mapping = [*zip(branches[i].trained, values, strict=True), *fixed[i]]
        with keras.StatelessScope(state_mapping=mapping):
            return branches[i].function(x)

    def parts(values):
        found, start = [], 0
        for branch in branches:
            found.append(list(values[start : start + len(branch.trained)]))
            start += len(branch.trained)
        return found

    @ops.custom_gradient
    def forward(streams, *values):
        # So that no tape of TensorFlow's keeps what is inside.
        streams = ops.stop_gradient(streams)
        values = [ops.stop_gradient(value) for value in values]
        first, second = streams[0], streams[1]
        for i, part in enumerate(parts(values)):
            first, second = second, first + run(i, second, part)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return _back(run, parts(values), (first, second), upstream)

        return ops.stack([first, second]), gradient

    return forward(streams, *weights)


def _read(variable):
    """Its present value; of TensorFlow a tensor, not a `tf.Variable`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.convert_to_tensor(variable.value)
    return variable.value


def _back(run, parts, streams, upstream):
    """Gradients of `coupled` for the streams and all weights, a tuple."""
    first, second = streams
    grad_first, grad_second = upstream[0], upstream[1]
    found = []
    for i in reversed(range(len(parts))):
        added, (grad, *grads) = _product(
            lambda x, *values, i=i: run(i, x, values),
            [first, *parts[i]],
            grad_second,
        )
        found = [*grads, *found]
        first, second = second - added, first
        grad_first, grad_second = grad_second, grad_first + grad
    return (ops.stack([grad_first, grad_second]), *found)


def _product(function, inputs, upstream):
    """A function's value, and the products of `upstream` with its Jacobians."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = function(*inputs)
        grads = tape.gradient(
            value, inputs, upstream, unconnected_gradients="zero"
        )
        return value, [tf.convert_to_tensor(g) for g in grads]
    if backend == "jax":
        import jax

        value, product = jax.vjp(function, *inputs)
        return value, product(upstream)
    import torch

    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x in inputs]
        value = function(*inputs)
        grads = torch.autograd.grad(
            value, inputs, upstream, allow_unused=True, materialize_grads=True
        )
    return value.detach(), grads
