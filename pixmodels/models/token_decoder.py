import keras
from keras import ops

from pixmodels._precision import at_least_float32
from pixmodels.models import _sampling
from pixmodels.models.causal_decoder import CausalDecoder


@keras.saving.register_keras_serializable(package="pixmodels")
class TokenDecoder(CausalDecoder):
    """A language model over tokens, bytes by default, around a causal body.

    An embedding, the body, and a head that is the embedding turned around
    (Press and Wolf 2017) or a projection of its own. Every token is predicted
    from those before it, the first one from a learned start vector.

    Args:
        body: a causal layer, as `CausalDecoder`.
        vocabulary_size: V.
        hidden_dim: D.
        tie_embedding: whether head and embedding share their table.
        head_bias: whether the head has a bias.
        positions, position_grid, dropout_rate: as `CausalDecoder`.

    Call arguments:
        inputs: (B, N) int tokens in [0, V), or a dict with
            `tokens`: these;
            `mask`: (B, N) bool, True = real (optional); padding is at the end;
            `previous`: (B,) int, the token before the first one where a text
                goes on from another segment, negative where it starts
                (optional).
        memory: None, or what the segment before gave, for bodies that carry
            one (`initial_memory`).
        training: bool.

    Returns:
        dict with `logits` (B, M, V) for the tokens at the last M places (all N
        for most bodies), and with a `memory` the next `memory`.

    Raises:
        ValueError: for a vocabulary below 2, tokens of another rank or that
            are no integers, or a mask of another shape.

    Example:
        >>> import numpy as np
        >>> stack = pixmodels.layers.TransformerStack(
        ...     1, num_heads=2, mlp_dim=16, attention="sliding_window",
        ...     attention_options={"causal": True, "window": 3})
        >>> model = pixmodels.models.TokenDecoder(stack, hidden_dim=8)
        >>> tokens = np.frombuffer(b"to be or not to be", "uint8")[None]
        >>> model({"tokens": tokens.astype("int32")})["logits"].shape
        TensorShape([1, 18, 256])
        >>> model.sample(5, prompt=tokens[:, :3], seed=1).shape
        TensorShape([1, 8])
    """

    unit = "token"
    config_names = "vocabulary_size tie_embedding head_bias"

    def __init__(
        self,
        body,
        *,
        vocabulary_size=256,
        hidden_dim,
        tie_embedding=True,
        head_bias=False,
        **kwargs,
    ):
        super().__init__(body, hidden_dim=hidden_dim, **kwargs)
        if vocabulary_size < 2:
            raise ValueError(
                "Expected vocabulary_size >= 2. Received: "
                f"vocabulary_size={vocabulary_size}."
            )
        self.vocabulary_size = vocabulary_size
        self.tie_embedding = tie_embedding
        self.head_bias = head_bias
        self.build(None)

    def build_parts(self):
        normal = keras.initializers.RandomNormal(stddev=0.02)
        shape = (self.vocabulary_size, self.hidden_dim)
        self.embedding = self.add_weight(
            name="embedding", shape=shape, initializer=normal
        )
        if not self.tie_embedding:
            self.head_kernel = self.add_weight(
                name="head_kernel", shape=shape, initializer=normal.clone()
            )
        if self.head_bias:
            self.bias = self.add_weight(
                name="head_bias", shape=shape[:1], initializer="zeros"
            )

    def items_of(self, inputs):
        mask = None
        tokens = inputs
        if isinstance(inputs, dict):
            tokens, mask = inputs["tokens"], inputs.get("mask")
        tokens = ops.convert_to_tensor(tokens)
        dtype = keras.backend.standardize_dtype(tokens.dtype)
        if len(tokens.shape) != 2 or "int" not in dtype:
            raise ValueError(
                "Expected tokens (B, N) of an integer dtype. Received: shape="
                f"{tuple(tokens.shape)}, dtype={dtype}."
            )
        if mask is not None:
            mask = ops.convert_to_tensor(mask)
            if tuple(mask.shape) != tuple(tokens.shape):
                raise ValueError(
                    "Expected a mask of the tokens' shape "
                    f"{tuple(tokens.shape)}. Received: mask.shape="
                    f"{tuple(mask.shape)}."
                )
            mask = ops.cast(mask, "bool")
        return ops.cast(tokens, "int32"), mask

    def embed(self, items):
        table = ops.convert_to_tensor(self.embedding)
        x = ops.take(table, ops.cast(items, "int32"), axis=0)
        return ops.cast(x, self.compute_dtype)

    def head(self, features):
        table = self.embedding if self.tie_embedding else self.head_kernel
        table = ops.cast(table, features.dtype)
        logits = ops.matmul(features, ops.transpose(table))
        if self.head_bias:
            logits = logits + ops.cast(self.bias, logits.dtype)
        return logits

    def losses(self, parameters, items):
        logits = at_least_float32(parameters)
        chosen = ops.take_along_axis(logits, items[..., None], axis=-1)
        return ops.logsumexp(logits, axis=-1) - chosen[..., 0]

    def draw(self, parameters, uniform, *, temperature=1.0, top_k=None):
        noise = uniform("token", self.vocabulary_size)
        return _sampling.choose(
            parameters, noise, temperature=temperature, top_k=top_k
        )

    def sample(
        self,
        count,
        *,
        prompt=None,
        batch_size=1,
        seed=0,
        temperature=1.0,
        top_k=None,
        memory=None,
        previous=None,
    ):
        """Goes on with texts, token by token, with caches.

        A function of its arguments: drawn numbers are hashes of (seed, place,
        example). In a `tf.function` or under `jax.jit` it is one loop.

        Args:
            count: tokens to add.
            prompt: (B, P) int tokens to go on from, or None.
            batch_size: B without a prompt.
            seed: int.
            temperature: logits are divided by it; 0 takes the likeliest.
            top_k: draw among so many of the likeliest only.
            memory: None, or what the segment before gave.
            previous: (B,) int, the token before the prompt where a text goes
                on from another segment, negative where it starts.

        Returns:
            (B, P + count) int32.

        Raises:
            ValueError: for options that mean nothing.
        """
        _sampling.check(temperature, top_k)
        if prompt is None:
            if previous is not None:
                batch_size = ops.convert_to_tensor(previous).shape[0]
            prompt = ops.zeros((batch_size, 0), dtype="int32")
        prompt, _ = self.items_of(ops.convert_to_tensor(prompt))
        rest = ops.zeros((prompt.shape[0], count), dtype="int32")
        return self.continued(
            ops.concatenate([prompt, rest], axis=1),
            prompt.shape[1],
            seed=seed,
            memory=memory,
            previous=previous,
            temperature=temperature,
            top_k=top_k,
        )

    def batch_spec(self, batch_size, length=None):
        """Shapes and dtypes of a training batch.

        Args:
            batch_size: B.
            length: N.

        Returns:
            dict name -> (shape, dtype).
        """
        return {
            "tokens": ((batch_size, length), "int32"),
            "weight": ((batch_size,), "float32"),
            "example_id": ((batch_size,), "int32"),
        }
