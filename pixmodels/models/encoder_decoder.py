import keras
from keras import ops

from pixmodels import random
from pixmodels.layers.decoder_stack import DecoderStack
from pixmodels.layers.token_embedding import TokenEmbedding
from pixmodels.models import _search
from pixmodels.models import _token_checks
from pixmodels.models import _token_loss


@keras.saving.register_keras_serializable(package="pixmodels")
class EncoderDecoder(keras.Model):
    """Sequence to sequence: any encoder of ours, any causal mixer.

    The decoder writes a token from those before it and from all that the
    encoder has read. Source: Vaswani et al. 2017, section 3; blocks are
    pre-norm, as everywhere here.

    Args:
        encoder: called as `encoder(x, mask=mask, training=training)`, with
            `hidden_dim` and `prefix`: a `TokenEncoder`, or a `PatchBackbone`
            that reads pixels.
        vocabulary_size: V of the tokens that are written.
        num_layers, num_heads, mlp_dim: of the decoder.
        hidden_dim: D of the decoder; the encoder's by default.
        attention, attention_options: the decoder's mixer; it is causal.
        positions: "sinusoid", "learned" or "none".
        max_length: most tokens that are written; needed for learned positions
            and for mixers with a weight for each place.
        scale: whether vectors of tokens are multiplied by the root of D.
        dropout_rate, attention_dropout, layer_norm_epsilon, activation: of
            the decoder, as `TransformerBlock`.
        label_smoothing: share of the probability that is spread over all
            tokens in the loss.
        memory: None, or "local" or "batch": the loss is TRIME's, with
            memories of the batch (`trime_log_probs`).
        memory_temperature: of the scores of memories.
        begin_id: the token before the first one.
        end_id: the last token of every target.

    Call arguments:
        inputs: dict with
            `source`: what the encoder takes;
            `source_mask`: (B, M) bool, True = real (optional);
            `target`: (B, N) ints, with `end_id` at their end;
            `target_mask`: (B, N) bool, True = real (optional); padding is at
                the end.
        training: bool.

    Returns:
        dict with `logits` (B, N, V), scores of each target token given those
        before it, and `contexts` (B, N, D), inputs of the last MLP.

    Raises:
        ValueError: for ids that do not fit, an empty source or target, or
            arguments that do not fit.

    Example:
        >>> import numpy as np
        >>> encoder = pixmodels.models.TokenEncoder(
        ...     17, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
        >>> model = pixmodels.models.EncoderDecoder(
        ...     encoder, vocabulary_size=13, num_layers=1, num_heads=2,
        ...     mlp_dim=16, attention="linear")
        >>> source = np.array([[3, 5, 7], [2, 11, 2]])
        >>> model.greedy(source, max_length=4).shape
        TensorShape([2, 4])
        >>> ids, scores = model.beam_search(source, max_length=4, beam_size=3)
        >>> ids.shape, scores.shape
        (TensorShape([2, 3, 4]), TensorShape([2, 3]))
    """

    def __init__(
        self,
        encoder,
        *,
        vocabulary_size,
        num_layers=6,
        num_heads=8,
        mlp_dim=2048,
        hidden_dim=None,
        attention="softmax",
        attention_options=None,
        positions="sinusoid",
        max_length=None,
        scale=True,
        dropout_rate=0.1,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
        activation="relu",
        label_smoothing=0.0,
        memory=None,
        memory_temperature=1.0,
        begin_id=0,
        end_id=1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        hidden_dim = hidden_dim or getattr(encoder, "hidden_dim", None)
        _check(
            encoder,
            hidden_dim,
            vocabulary_size,
            (begin_id, end_id),
            label_smoothing,
            memory,
        )
        # === Config ===
        self.encoder = encoder
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.positions = positions
        self.max_length = max_length
        self.scale = scale
        self.label_smoothing = label_smoothing
        self.memory = memory
        self.memory_temperature = memory_temperature
        self.begin_id = begin_id
        self.end_id = end_id
        self._stack_config = dict(
            num_layers=num_layers,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            attention=attention,
            attention_options=dict(attention_options or {}),
            dropout_rate=dropout_rate,
            attention_dropout=attention_dropout,
            layer_norm_epsilon=layer_norm_epsilon,
            activation=activation,
        )
        # === Layers ===
        self.embedding = TokenEmbedding(
            vocabulary_size,
            hidden_dim,
            positions=positions,
            max_length=max_length,
            scale=scale,
            dropout_rate=dropout_rate,
            salt="target",
            name="target_embedding",
            dtype=self.dtype_policy,
        )
        self.decoder = DecoderStack(
            **self._stack_config,
            salt="decoder",
            name="decoder",
            dtype=self.dtype_policy,
        )
        self.build(None)

    def build(self, input_shape=None):
        if self.built:
            return
        self.embedding.build((None, None))
        self.decoder.build(
            (None, self.max_length, self.hidden_dim),
            (None, None, self.encoder.hidden_dim),
        )
        self.built = True

    # --- Calls --------------------------------------------------------------

    def call(self, inputs, training=None):
        target, mask = inputs["target"], inputs.get("target_mask")
        _token_checks.check_ids("target", target, mask)
        memory, memory_mask = self.encode(
            inputs["source"], inputs.get("source_mask"), training=training
        )
        target = ops.cast(target, "int32")
        begin = ops.full_like(target[:, :1], self.begin_id)
        before = ops.concatenate([begin, target[:, :-1]], axis=1)
        if mask is not None:
            mask = ops.cast(mask, "bool")
            first = ops.ones_like(mask[:, :1])
            mask = ops.concatenate([first, mask[:, :-1]], axis=1)
        x, contexts = self.decoder.with_context(
            self.embedding(before, training=training),
            memory,
            memory_mask=memory_mask,
            mask=mask,
            training=training,
        )
        return {"logits": self.embedding.logits(x), "contexts": contexts}

    def encode(self, source, mask=None, training=None):
        """What the decoder attends to.

        Args:
            source, mask: `source` and `source_mask` of a call.
            training: bool.

        Returns:
            (memory (B, prefix + M, D'), its mask or None).
        """
        memory = self.encoder(source, mask=mask, training=training)
        prefix = getattr(self.encoder, "prefix", 0)
        if mask is not None:
            mask = ops.cast(mask, "bool")
            if prefix:
                front = ((0, 0), (prefix, 0))
                mask = ops.pad(mask, front, constant_values=True)
        return memory, mask

    # --- The loss -----------------------------------------------------------

    def loss_sums(self, batch, key, training=True):
        """The step definition.

        Args:
            batch: dict as of a call, with `example_id` (B,) int32 and
                optionally `weight` (B,) float32, 0 for filler examples.
            key: (2,) int32, `[seed, step]`.
            training: bool.

        Returns:
            (numerators, counts): dicts of float32 scalars: "loss" in nats a
            token, smoothed, "bits_per_token", not smoothed, and "accuracy".
        """
        with random.key_scope(key, batch["example_id"]):
            outputs = self(batch, training=training)
        return self.sums(outputs, batch)

    def sums(self, outputs, batch):
        """(numerators, counts) of the loss and metrics; see `loss_sums`."""
        return _token_loss.sums(
            outputs,
            batch,
            memory=self.memory,
            temperature=self.memory_temperature,
            label_smoothing=self.label_smoothing,
        )

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Lets plain `compile` and `fit(inputs)` train the model."""
        numerators, counts = self.sums(y_pred, x)
        return numerators["loss"] / ops.maximum(counts["loss"], 1.0)

    # --- Writing ------------------------------------------------------------

    def initial_cache(self, batch_size, length):
        """What `step` starts from; as `pixmodels.attention.Mixer`."""
        return self.decoder.initial_cache(batch_size, length)

    def step(self, previous, cache, index, given, *, training=False):
        """The scores of token `index`, given the one before it.

        Args:
            previous: (B,) ints, token `index - 1`; `begin_id` for index 0.
            cache: from `initial_cache`, or from the step before.
            index: int or int scalar tensor.
            given: `decoder.given` of what `encode` gave.
            training: bool.

        Returns:
            (logits (B, V), the next cache): row `index` of a call.
        """
        x = self.embedding.step(previous, index)
        x, cache = self.decoder.step(x, cache, index, given, training=training)
        return self.embedding.logits(x), cache

    def greedy(self, source, *, mask=None, max_length=None):
        """Writes the likeliest token each time, with caches.

        In a `tf.function` or under `jax.jit` it is one compiled loop.

        Args:
            source, mask: `source` and `source_mask` of a call.
            max_length: L; that of the model by default.

        Returns:
            (B, L) int32; the end and everything after it are `end_id`.

        Raises:
            ValueError: for no `max_length`, or one above the model's.
        """
        length = self._length(max_length)
        memory, mask = self.encode(*_tensors(source, mask))
        given = self.decoder.given(memory, mask)
        batch = ops.shape(memory)[0]

        def step(last, cache, index):
            return self.step(last, cache, index, given)

        return _search.greedy(
            step,
            self.initial_cache(batch, length),
            batch,
            begin_id=self.begin_id,
            end_id=self.end_id,
            max_length=length,
        )

    def beam_search(
        self,
        source,
        *,
        mask=None,
        max_length=None,
        beam_size=4,
        length_penalty=1.0,
    ):
        """Writes the likeliest sequences that K beams find, with caches.

        Source: the search of fairseq and transformers, whose score is the sum
        of log probabilities over `n ** length_penalty`, n tokens with the
        end.

        Args:
            source, mask, max_length: as `greedy`.
            beam_size: K.
            length_penalty: 0 for the sum, 1 for the mean; above 1 favours
                long sequences.

        Returns:
            (ids (B, K, L) int32, scores (B, K) float32), best first; what
            stands after the end is `end_id`. A sequence that has not ended
            after L tokens counts as it is.

        Raises:
            ValueError: as `greedy`, or fa `beam_size` below 1 or a
                negative `length_penalty`.
        """
        length = self._length(max_length)
        _search.check(length, beam_size, length_penalty)
        memory, mask = self.encode(*_tensors(source, mask))
        given = keras.tree.map_structure(
            lambda part: ops.repeat(part, beam_size, axis=0),
            self.decoder.given(memory, mask),
        )
        batch = ops.shape(memory)[0]

        def step(last, cache, index):
            return self.step(last, cache, index, given)

        return _search.beam(
            step,
            self.initial_cache(batch * beam_size, length),
            batch,
            beam_size=beam_size,
            length_penalty=length_penalty,
            begin_id=self.begin_id,
            end_id=self.end_id,
            max_length=length,
        )

    def _length(self, max_length):
        length = max_length or self.max_length
        if length is None or (self.max_length and length > self.max_length):
            raise ValueError(
                "Expected a max_length, at most that of the model. Received: "
                f"max_length={max_length}, model.max_length={self.max_length}."
            )
        _search.check(length)
        return length

    def compute_mask(self, inputs, previous_mask=None):
        return None

    # --- Config -------------------------------------------------------------

    def get_config(self):
        config = super().get_config()
        names = (
            "vocabulary_size hidden_dim positions max_length scale "
            "label_smoothing memory memory_temperature begin_id end_id"
        )
        config.update({name: getattr(self, name) for name in names.split()})
        config.update(self._stack_config)
        config["encoder"] = keras.saving.serialize_keras_object(self.encoder)
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config["encoder"], dict):
            config["encoder"] = keras.saving.deserialize_keras_object(
                config["encoder"]
            )
        return cls(**config)


def _tensors(source, mask):
    source = ops.convert_to_tensor(source)
    return source, None if mask is None else ops.convert_to_tensor(mask)


def _check(encoder, width, vocabulary_size, ids, label_smoothing, memory):
    if not width or not hasattr(encoder, "hidden_dim"):
        raise ValueError(
            "Expected an encoder with a hidden_dim, such as TokenEncoder. "
            f"Received: {type(encoder).__name__}."
        )
    begin_id, end_id = ids
    if not all(0 <= i < vocabulary_size for i in ids) or begin_id == end_id:
        raise ValueError(
            "Expected begin_id and end_id, two different tokens below "
            f"vocabulary_size={vocabulary_size}. Received: "
            f"begin_id={begin_id}, end_id={end_id}."
        )
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            "Expected 0 <= label_smoothing < 1. Received: "
            f"label_smoothing={label_smoothing}."
        )
    if memory not in (None, "local", "batch"):
        raise ValueError(
            "Expected memory to be None, 'local' or 'batch'. Received: "
            f"memory={memory!r}."
        )
