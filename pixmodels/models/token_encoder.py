import keras

from pixmodels.layers.token_embedding import TokenEmbedding
from pixmodels.layers.transformer_stack import TransformerStack
from pixmodels.models import _token_checks


@keras.saving.register_keras_serializable(package="pixmodels")
class TokenEncoder(keras.Model):
    """An encoder of token ids (bytes, words) around any registered mixer.

    Args:
        vocabulary_size: V, ids are 0, ..., V - 1.
        num_layers, num_heads, hidden_dim, mlp_dim: ints.
        positions: "sinusoid", "learned", "rotary" (mixers that have it) or
            "none".
        max_length: most tokens; needed for learned positions.
        scale: whether vectors of tokens are multiplied by the root of D.
        rotary_base: of rotary positions.
        dropout_rate: after the embedding and on branch outputs.
        attention, attention_options, attention_dropout, layer_norm_epsilon,
        activation, qkv_bias, final_norm: as `TransformerStack`.

    Call arguments:
        ids: (B, N) ints.
        mask: (B, N) bool, True = real; None means all are.
        training: bool.

    Returns:
        (B, N, D), the final LayerNorm's output.

    Raises:
        ValueError: for ids of another rank, of no tokens (N = 0) or of more
            than `max_length`, or a mask that does not fit.

    Example:
        >>> import numpy as np
        >>> encoder = pixmodels.models.TokenEncoder(
        ...     256, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16,
        ...     attention="linear")
        >>> encoder(np.array([[3, 5, 7]])).shape
        TensorShape([1, 3, 8])
    """

    # Tokens in front of the sequence: none.
    prefix = 0

    def __init__(
        self,
        vocabulary_size,
        *,
        num_layers,
        num_heads,
        hidden_dim,
        mlp_dim,
        positions="sinusoid",
        max_length=None,
        scale=False,
        rotary_base=10000.0,
        dropout_rate=0.0,
        attention="softmax",
        attention_options=None,
        attention_dropout=0.0,
        layer_norm_epsilon=1e-6,
        activation="gelu",
        qkv_bias=True,
        final_norm=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.positions = positions
        self.max_length = max_length
        self.scale = scale
        self.rotary_base = rotary_base
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
            qkv_bias=qkv_bias,
            final_norm=final_norm,
        )
        turned = positions == "rotary"
        self.embedding = TokenEmbedding(
            vocabulary_size,
            hidden_dim,
            positions="none" if turned else positions,
            max_length=max_length,
            scale=scale,
            dropout_rate=dropout_rate,
            salt="encoder",
            name="embedding",
            dtype=self.dtype_policy,
        )
        self.encoder = TransformerStack(
            **self._stack_config,
            rotary=rotary_base if turned else None,
            salt="encoder",
            name="encoder",
            dtype=self.dtype_policy,
        )
        self.build(None)

    def build(self, input_shape=None):
        if self.built:
            return
        self.embedding.build((None, None))
        # Some mixers have a weight for each place.
        self.encoder.build((None, self.max_length, self.hidden_dim))
        self.built = True

    def call(self, ids, mask=None, training=None):
        _token_checks.check_ids("ids", ids, mask)
        x = self.embedding(ids, training=training)
        return self.encoder(x, mask=mask, training=training)

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def get_config(self):
        config = super().get_config()
        config.update(
            vocabulary_size=self.vocabulary_size,
            hidden_dim=self.hidden_dim,
            positions=self.positions,
            max_length=self.max_length,
            scale=self.scale,
            rotary_base=self.rotary_base,
            **self._stack_config,
        )
        return config
