"""What the classifiers share: checks of arguments, loss, serving options.

No layer and no data is here.
"""

import keras
from keras import ops


def check_classes(num_classes, labels):
    """Validates the number of classes and the names of the labels.

    Returns:
        labels as a tuple of str, or None.

    Raises:
        TypeError: for labels that are not a sequence of str.
        ValueError: for fewer than two classes, or labels that are repeated or
            not as many as classes.
    """
    whole = isinstance(num_classes, int) and not isinstance(num_classes, bool)
    if not whole or num_classes < 2:
        raise ValueError(
            "Expected num_classes to be an int >= 2. Received: "
            f"num_classes={num_classes!r}."
        )
    if labels is None:
        return None
    if isinstance(labels, str) or not all(isinstance(x, str) for x in labels):
        raise TypeError(
            f"Expected labels as a sequence of str. Received: labels={labels!r}"
        )
    labels = tuple(labels)
    if len(labels) != num_classes or len(set(labels)) != num_classes:
        raise ValueError(
            f"Expected {num_classes} labels that differ, one for each class. "
            f"Received: labels={labels}."
        )
    return labels


def check_choice(name, value, choices):
    """Raises a ValueError unless `value` is among `choices`."""
    if value not in choices:
        raise ValueError(
            f"Expected {name} to be one of {choices}. Received: "
            f"{name}={value!r}."
        )


def check_backbone(backbone):
    """Raises a TypeError unless `backbone` is an encoder of patches."""
    names = ("image_shape", "patch_size", "hidden_dim")
    if not all(hasattr(backbone, name) for name in names):
        raise TypeError(
            "Expected a backbone such as pixmodels.PIXELBackbone. Received: "
            f"backbone={backbone!r}."
        )


def dense(units, name, policy, **kwargs):
    """A Dense layer with PIXEL's initial weights, N(0, 0.02)."""
    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name=name,
        dtype=policy,
        **kwargs,
    )


def one_hot(label, count):
    """(...) int32 -> (..., count) float32; zeros for a label outside.

    `keras.ops.one_hot` refuses labels that are too large on torch.
    """
    places = ops.arange(count, dtype="int32")
    return ops.cast(ops.equal(label[..., None], places), "float32")


def cross_entropy(logits, label):
    """Error and correctness of each prediction.

    Args:
        logits: (..., num_classes) float32.
        label: (...) int32; outside [0, num_classes) the error has no meaning.

    Returns:
        (cross entropy in nats, 1 where the likeliest class is the label),
        both (...) float32.
    """
    # A sum with a one-hot row is one kernel under XLA; a gather is not.
    chosen = ops.sum(one_hot(label, logits.shape[-1]) * logits, axis=-1)
    error = ops.logsumexp(logits, axis=-1) - chosen
    found = ops.cast(ops.argmax(logits, axis=-1), "int32")
    return error, ops.cast(ops.equal(found, label), "float32")


def cross_entropy_sums(logits, batch):
    """Sums for the loss and the accuracy of a batch.

    Args:
        logits: (B, num_classes) float32.
        batch: dict with `label` (B,) int32 and optionally `weight` (B,)
            float32, 0 for filler examples.

    Returns:
        (numerators, counts): dicts of float32 scalars with the keys "loss"
        (cross entropy in nats) and "accuracy"; both are divided by the sum of
        the weights.
    """
    label = ops.cast(batch["label"], "int32")
    weight = batch.get("weight")
    if weight is None:
        weight = ops.ones_like(logits[:, 0])
    weight = ops.cast(weight, "float32")
    error, correct = cross_entropy(logits, label)
    count = ops.sum(weight)
    return (
        {
            "loss": ops.sum(error * weight),
            "accuracy": ops.sum(correct * weight),
        },
        {"loss": count, "accuracy": count},
    )


def with_probabilities(logits):
    """What an exported classifier answers: both, by name."""
    return {"logits": logits, "probabilities": ops.softmax(logits, axis=-1)}


def best(model, logits):
    """The likeliest class of each row and its probability.

    Returns:
        list of (label: str, probability: float); without labels the label is
        the number of the class.
    """
    probabilities = ops.convert_to_numpy(ops.softmax(logits, axis=-1))
    names = model.labels or tuple(map(str, range(model.num_classes)))
    return [(names[row.argmax()], float(row.max())) for row in probabilities]
