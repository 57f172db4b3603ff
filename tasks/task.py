"""The frame of every task: a backbone, a head, sums for loss and metrics.

No head and no data is here."""

import keras
from keras import ops

from pixmodels import _quantized
from pixmodels import random
from pixmodels.tasks import _classification


class Task(keras.Model):
    """What all tasks share: a backbone, and what is done with a head on it.

    A subclass adds layers, `call`, `sums`, `batch_spec` and `serve_shapes`,
    and names its constructor arguments in `config_names`.

    Args:
        backbone: an encoder of patches.

    Raises:
        TypeError: for a backbone that is none.
    """

    # Names of the constructor arguments besides the backbone.
    config_names = ""

    def __init__(self, backbone, **kwargs):
        super().__init__(**kwargs)
        _classification.check_backbone(backbone)
        self.backbone = backbone

    def sums(self, outputs, batch):
        """(numerators, counts) of the loss and the metrics; see `loss_sums`."""
        raise NotImplementedError

    def loss_sums(self, batch, key, training=True):
        """The step definition.

        Args:
            batch: dict with the arrays of `batch_spec`; without `weight` all
                examples count, with it those of weight 0 do not (fillers).
            key: (2,) int32, `[seed, step]`.
            training: bool.

        Returns:
            (numerators, counts): dicts of float32 scalars with the same keys,
            "loss" among them; a metric is numerator / count, summed first
            over replicas and steps.
        """
        with random.key_scope(key, batch["example_id"]):
            outputs = self(batch, training=training)
        return self.sums(outputs, batch)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Lets plain `fit(batch)` train the model: labels are in the batch.

        With `y`, the loss of `compile` is taken, as in any Keras model.
        """
        if y is not None:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        numerators, counts = self.sums(y_pred, x)
        return numerators["loss"] / ops.maximum(counts["loss"], 1.0)

    def batch_spec(self, batch_size, length=None):
        """Shapes and dtypes of a training batch.

        Args:
            batch_size: B.
            length: N, patches; all of the backbone's `image_shape` if None.

        Returns:
            dict name -> (shape, dtype).
        """
        raise NotImplementedError

    def serve(self, inputs):
        """What an exported model answers.

        Args:
            inputs: as for the call.

        Returns:
            dict name -> tensor.
        """
        outputs = self(inputs, training=False)
        return outputs if isinstance(outputs, dict) else {"logits": outputs}

    def serve_shapes(self):
        """Shapes of what `serve` returns: dict name -> tuple, all float32."""
        raise NotImplementedError

    def get_config(self):
        config = super().get_config()
        names = self.config_names.split()
        config.update({name: getattr(self, name) for name in names})
        config["backbone"] = keras.saving.serialize_keras_object(self.backbone)
        config.update(_quantized.recorded(self))
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config["backbone"], dict):
            config["backbone"] = keras.saving.deserialize_keras_object(
                config["backbone"]
            )
        return _quantized.remade(lambda config: cls(**config), config)


def example_specs(batch_size):
    """The specs of what every training batch holds beside its data."""
    return {
        "weight": ((batch_size,), "float32"),
        "example_id": ((batch_size,), "int32"),
    }


def prefix_of(backbone):
    """Tokens in front of the patches in a backbone's output."""
    return getattr(backbone, "prefix", 1)


def check_class_token(backbone, what):
    """Raises a ValueError unless a backbone's first token is a class token.

    Args:
        backbone: an encoder of patches.
        what: str, the part of a task that needs one.
    """
    if not getattr(backbone, "class_token", True):
        raise ValueError(
            f"Expected a backbone with a class token for {what}. Received: "
            f"backbone={backbone.name!r} with class_token=False."
        )
