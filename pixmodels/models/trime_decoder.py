import math

import keras
from keras import ops

from pixmodels import random
from pixmodels.models import _token_loss
from pixmodels.models import trime
from pixmodels.models.token_decoder import TokenDecoder


@keras.saving.register_keras_serializable(package="pixmodels")
class TRIMEDecoder(TokenDecoder):
    """A language model that is trained with memories (TRIME).

    A `TokenDecoder` whose loss is that of `trime_log_probs`: the contexts of
    the batch, inputs of the last block's MLP, are memories of their tokens.
    It has no weights besides those of the `TokenDecoder`. `read` gives what
    memories of test time are made of (`bits_with_memories`).

    Source: Zhong et al. 2022, "Training Language Models with Memory
    Augmentation".

    Args:
        body: a causal layer with `with_context`, as `TransformerStack`.
        memory: "local", "long" or "batch", as `trime_log_probs`; for "long"
            the batch has `document` (B,) int32.
        temperature: of the scores of memories.
        drop_local: share of examples that do not use their own contexts in
            training, 0.9 in the paper's external form. It draws once for each
            example (the paper: for each batch), and needs a key scope
            (`loss_sums`).
        warmup_steps: steps (the second of a step's key) before memories are
            used, for trainers that give keys; the paper warms up for 9 epochs.
            From fresh weights memories explain so much that the scores of the
            tokens are hardly trained.
        Others: as `TokenDecoder`.

    Call arguments:
        inputs, training: as `TokenDecoder`.

    Returns:
        dict with `logits` (B, N, V), scores of the tokens without memories,
        and `contexts` (B, N, D).

    Raises:
        ValueError: for a body without contexts, or an unknown memory.

    Example:
        >>> import numpy as np
        >>> stack = pixmodels.layers.TransformerStack(
        ...     1, num_heads=2, mlp_dim=16, attention_options={"causal": True})
        >>> model = pixmodels.models.TRIMEDecoder(stack, hidden_dim=8)
        >>> model(np.ones((2, 5), "int32"))["contexts"].shape
        TensorShape([2, 5, 8])
    """

    config_names = (
        TokenDecoder.config_names
        + " memory temperature drop_local warmup_steps"
    )

    def __init__(
        self,
        body,
        *,
        memory="local",
        temperature=1.0,
        drop_local=0.0,
        warmup_steps=0,
        **kwargs,
    ):
        if not hasattr(body, "with_context"):
            raise ValueError(
                "Expected a body that gives contexts, such as "
                f"TransformerStack. Received: {type(body).__name__}."
            )
        if memory not in trime.MEMORIES:
            raise ValueError(
                f"Expected memory to be one of {trime.MEMORIES}. Received: "
                f"memory={memory!r}."
            )
        super().__init__(body, **kwargs)
        self.memory = memory
        self.temperature = temperature
        self.drop_local = drop_local
        self.warmup_steps = warmup_steps

    @classmethod
    def of(cls, decoder, **options):
        """One with the weights of a `TokenDecoder` (copies).

        Args:
            decoder: a `TokenDecoder`.
            options: further arguments of this class.
        """
        model = cls.from_config({**decoder.get_config(), **options})
        model.set_weights(decoder.get_weights())
        return model

    def call(self, inputs, training=None):
        items, mask = self.items_of(inputs)
        previous = None
        if isinstance(inputs, dict):
            previous = inputs.get("previous")
        x = self.inputs_of(items, previous, mask)
        x = self.input_dropout(x, training=training)
        x, contexts = self.body.with_context(x, mask=mask, training=training)
        return {"logits": self.head(x), "contexts": contexts}

    def read(self, tokens, previous):
        """Scores and contexts of a window of text.

        Args:
            tokens: (B, N) int32.
            previous: (B,) int32, the tokens before them, -1 for none.

        Returns:
            (scores (B, N, V), contexts (B, N, D)), as `bits_with_memories`
            takes them.
        """
        inputs = {"tokens": tokens, "previous": previous}
        outputs = self(inputs, training=False)
        return outputs["logits"], outputs["contexts"]

    def loss_sums(self, batch, key, training=True):
        """As `TokenDecoder.loss_sums`.

        "bits_per_token" are with the memories of the batch,
        "plain_bits_per_token" without.
        """
        with random.key_scope(key, batch["example_id"]):
            outputs = self(batch, training=training)
            if training and self.drop_local:
                salt = random.salt_of("trime/local")
                drawn = random.uniform(salt, 1)[:, 0]
                outputs["keep_local"] = drawn >= self.drop_local
        if self.warmup_steps:
            outputs["warm"] = ops.convert_to_tensor(key)[1] < self.warmup_steps
        return self.sums(outputs, batch)

    def sums(self, outputs, batch):
        items, mask = self.items_of(batch)
        plain = self.losses(outputs["logits"], items)
        documents = batch.get("document") if isinstance(batch, dict) else None
        nats = -trime.trime_log_probs(
            outputs["logits"],
            outputs["contexts"],
            items,
            mask=mask,
            memory=self.memory,
            documents=documents,
            keep_local=outputs.get("keep_local"),
            temperature=self.temperature,
        )
        loss = nats
        if "warm" in outputs:
            loss = ops.where(outputs["warm"], plain, nats)
        found = {
            "loss": loss,
            "bits_per_token": nats / math.log(2),
            "plain_bits_per_token": plain / math.log(2),
        }
        weight = batch.get("weight") if isinstance(batch, dict) else None
        return _token_loss.counted_sums(found, weight, mask)

    def batch_spec(self, batch_size, length=None):
        spec = super().batch_spec(batch_size, length)
        if self.memory == "long":
            spec["document"] = ((batch_size,), "int32")
        return spec
