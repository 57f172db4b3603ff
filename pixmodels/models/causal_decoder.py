import math

import keras
from keras import ops

from pixmodels import random
from pixmodels.layers.dropout import Dropout
from pixmodels.layers.position_embedding import PositionEmbedding
from pixmodels.models import _sampling
from pixmodels.models import _token_loss

POSITIONS = ("none", "learned", "sincos")


class CausalDecoder(keras.Model):
    """What models share that predict each item of a sequence from those before.

    Items go in one place later than they are predicted: place 0 sees a
    learned start vector, place i item i - 1. So a sequence of N items is
    predicted whole, its first one too, and the loss is that of the chain rule.
    A subclass has `items_of`, `embed`, `head`, `losses` and `draw`.

    Args:
        body: a causal layer from (B, N, D) to (B, N, D), or to the last of its
            places: `pixmodels.layers.TransformerStack` with a causal mixer,
            `pixmodels.models.BlockRecurrentStack`,
            `pixmodels.models.PerceiverARStack`. It has `initial_cache` and
            `step` as `pixmodels.attention.Mixer`.
        hidden_dim: D.
        positions: "none", "learned" or "sincos", added to the inputs; many
            bodies know the order by themselves.
        position_grid: (R, C), the cells of that table, row by row.
        dropout_rate: of the inputs of the body.

    Raises:
        ValueError: for a body that is not causal, or positions without a grid.
    """

    # What a loss is counted by: "bits_per_" + unit is a metric.
    unit = "item"
    # Constructor arguments of a subclass besides those above.
    config_names = ""

    def __init__(
        self,
        body,
        *,
        hidden_dim,
        positions="none",
        position_grid=None,
        dropout_rate=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if positions not in POSITIONS:
            raise ValueError(
                f"Expected positions among {POSITIONS}. Received: "
                f"positions={positions!r}."
            )
        if positions != "none" and position_grid is None:
            raise ValueError(
                "Expected a position_grid (rows, columns) for the table. "
                f"Received: positions={positions!r}, position_grid=None."
            )
        # === Config ===
        self.body = body
        self.hidden_dim = hidden_dim
        self.positions = positions
        self.position_grid = position_grid and tuple(position_grid)
        self.dropout_rate = dropout_rate
        # === Layers ===
        self.position_embedding = PositionEmbedding(
            self.position_grid or (1, 1),
            positions=positions,
            prefix=0,
            name="position_embedding",
            dtype=self.dtype_policy,
        )
        self.input_dropout = Dropout(
            dropout_rate,
            salt="decoder/inputs",
            name="input_dropout",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape=None):
        if self.built:
            return
        shape = (None, None, self.hidden_dim)
        self.start = self.add_weight(
            name="start",
            shape=(self.hidden_dim,),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        self.position_embedding.build(shape)
        if not self.body.built:
            self.body.build(shape)
        self.body.initial_cache(1, 1)  # refuses bodies that are not causal
        self.build_parts()
        self.built = True

    # --- What a subclass defines --------------------------------------------

    def build_parts(self):
        """Adds the weights of `embed` and `head`."""
        raise NotImplementedError

    def items_of(self, inputs):
        """(items (B, N, ...) as `embed` takes them, mask (B, N) or None)."""
        raise NotImplementedError

    def embed(self, items):
        """Items (B, N, ...) to (B, N, D)."""
        raise NotImplementedError

    def head(self, features):
        """(B, M, D) to the parameters of distributions, (B, M, ...)."""
        raise NotImplementedError

    def losses(self, parameters, items):
        """Nats of items (B, M, ...) under `head`'s parameters: (B, M)."""
        raise NotImplementedError

    def draw(self, parameters, uniform, **options):
        """Items (B, ...) from parameters (B, ...).

        Args:
            parameters: of one place.
            uniform: (salt, size) -> (B, size) float32 in (0, 1).
            options: of `sample`.
        """
        raise NotImplementedError

    def values_per_item(self):
        """How many units an item has, int."""
        return 1

    # --- Calls --------------------------------------------------------------

    def call(self, inputs, memory=None, training=None):
        features = self.features(inputs, memory=memory, training=training)
        if memory is None:
            return {"logits": self.head(features)}
        features, memory = features
        return {"logits": self.head(features), "memory": memory}

    def features(self, inputs, memory=None, training=None):
        """What the body makes of the inputs, before the head.

        Args:
            inputs, memory, training: as a call.

        Returns:
            (B, M, D) of the last M places (all N for most bodies); with a
            `memory` the pair of it and the next memory.
        """
        items, mask = self.items_of(inputs)
        previous = None
        if isinstance(inputs, dict):
            previous = inputs.get("previous")
        x = self.inputs_of(items, previous, mask)
        x = self.input_dropout(x, training=training)
        if not items.shape[1]:  # not every body knows what to do with nothing
            return x if memory is None else (x, memory)
        options = {} if memory is None else {"memory": memory}
        return self.body(x, mask=mask, training=training, **options)

    def inputs_of(self, items, previous=None, mask=None):
        """What the body sees at all places: (B, N, D), moved by one place.

        Args:
            items, mask: as `items_of` gives them.
            previous: (B, ...), the item before the first one, negative where
                there is none; None for none.
        """
        x = self.embed(items)
        if mask is not None:  # behind padding, too, an example starts
            x = ops.where(mask[..., None], x, ops.cast(self.start, x.dtype))
        first = ops.zeros_like(x[:, :1]) + ops.cast(self.start, x.dtype)
        if previous is not None:
            before = ops.convert_to_tensor(previous)
            known = _sampling.known(before)[:, None, None]
            before = self.embed(ops.maximum(before, 0)[:, None])
            first = ops.where(known, before, first)
        x = ops.concatenate([first, x[:, :-1]], axis=1)[:, : items.shape[1]]
        return self.position_embedding(x)

    def initial_memory(self, batch_size):
        """What a body carries from segment to segment, at the start.

        Args:
            batch_size: B.

        Raises:
            ValueError: for a body that carries nothing.
        """
        if not hasattr(self.body, "initial_memory"):
            raise ValueError(
                "Expected a body that carries a memory, such as "
                f"BlockRecurrentStack. Received: {type(self.body).__name__}."
            )
        return self.body.initial_memory(batch_size)

    # --- The loss -----------------------------------------------------------

    def loss_sums(self, batch, key, training=True, memory=None):
        """The step definition.

        Args:
            batch: dict as of a call, with `example_id` (B,) int32 and
                optionally `weight` (B,) float32, 0 for filler examples.
            key: (2,) int32, `[seed, step]`.
            training: bool.
            memory: None, or what the segment before gave.

        Returns:
            (numerators, counts): dicts of float32 scalars; "loss" in nats and
            "bits_per_" + `unit`, both by unit. With a `memory` also the next
            memory, behind them.
        """
        with random.key_scope(key, batch["example_id"]):
            outputs = self(batch, memory=memory, training=training)
        sums = self.sums(outputs, batch)
        return sums if memory is None else (*sums, outputs["memory"])

    def sums(self, outputs, batch):
        """(numerators, counts) of the loss and the metric; see `loss_sums`."""
        items, mask = self.items_of(batch)
        logits = outputs["logits"]
        last = logits.shape[1]
        items = items[:, items.shape[1] - last :]
        nats = self.losses(logits, items)
        if mask is not None:
            mask = mask[:, mask.shape[1] - last :]
        weight = batch.get("weight") if isinstance(batch, dict) else None
        found = {"loss": nats, f"bits_per_{self.unit}": nats / math.log(2)}
        totals, counts = _token_loss.counted_sums(found, weight, mask)
        units = self.values_per_item()
        return totals, {name: n * units for name, n in counts.items()}

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Lets plain `compile` and `fit(inputs)` train the model."""
        numerators, counts = self.sums(y_pred, x)
        return numerators["loss"] / ops.maximum(counts["loss"], 1.0)

    # --- Sampling -----------------------------------------------------------

    def initial_cache(self, batch_size, length, memory=None):
        """What `step` starts from; as `pixmodels.attention.Mixer`.

        Args:
            batch_size: B.
            length: how many items there will be.
            memory: None, or what the segment before gave.
        """
        options = {} if memory is None else {"memory": memory}
        return self.body.initial_cache(batch_size, length, **options)

    def step(self, previous, cache, index, *, begins=None, training=False):
        """The distribution of item `index`, given the item before it.

        Args:
            previous: (B, ...), item `index - 1`.
            cache: from `initial_cache`, or from the step before.
            index: int or int scalar tensor.
            begins: (B,) bool, rows that see the start vector at index 0 in
                place of `previous`; None means all.
            training: bool.

        Returns:
            (parameters (B, ...), the next cache): place `index` of a call.
        """
        x = self.embed(previous[:, None])
        start = ops.cast(self.start, x.dtype)
        index = ops.cast(index, "int32")
        first = ops.equal(index, 0)
        if begins is not None:
            first = first & ops.cast(begins, "bool")[:, None, None]
        x = ops.where(first, ops.zeros_like(x) + start, x)
        place = ops.zeros_like(x[:, :, 0], dtype="int32") + index
        x = self.position_embedding(x, positions=place)
        y, cache = self.body.step(x[:, 0], cache, index, training=training)
        return self.head(y[:, None])[:, 0], cache

    def continued(
        self, items, given, *, seed=0, memory=None, previous=None, **options
    ):
        """Fills in items from place `given` on; see `sample`.

        Args:
            items: (B, N, ...), of which the first `given` stay.
            given: int.
            seed: int.
            memory: as `initial_cache`.
            previous: (B, ...), the item before the first one, negative where
                there is none; None for none.
            options: of `draw`.

        Returns:
            as `items`.
        """
        return _sampling.continued(
            self,
            items,
            given,
            seed=seed,
            memory=memory,
            previous=previous,
            **options,
        )

    # --- Config -------------------------------------------------------------

    def get_config(self):
        config = super().get_config()
        names = "hidden_dim positions position_grid dropout_rate "
        for name in (names + self.config_names).split():
            config[name] = getattr(self, name)
        config["body"] = keras.saving.serialize_keras_object(self.body)
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config["body"], dict):
            config["body"] = keras.saving.deserialize_keras_object(
                config["body"]
            )
        return cls(**config)
