import numpy as np
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _chunked
from pixmodels.attention import _fused
from pixmodels.attention import _steps
from pixmodels.attention.mixer import Mixer

# From this length on, tiles of that size.
_LONG = 4096
_CHUNK = 512


@MIXERS.register("softmax")
class SoftmaxAttention(Mixer):
    """Scaled dot-product attention over all pairs (Vaswani et al. 2017, eq. 1).

    Keys outside `mask` are not attended; PIXEL adds -10,000 to their logits,
    which gives the same float32 probabilities. `positions` do not matter
    beyond their order, unless they are rotary.

    On jax and torch a fused kernel computes it where there is one. Elsewhere
    long sequences are computed by tiles (`chunk`), exactly and with exact
    gradients. Either way memory is O(N); attention maps and dropout of
    probabilities need all pairs, and a length that is not static takes them.

    Args:
        num_heads: A.
        chunk: most queries and keys in a tile, for sequences that are longer;
            "auto" means 512 from 4,096 tokens on, None that all pairs are
            held at once.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`.

    Raises:
        ValueError: for another `chunk`.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("softmax")(num_heads=2)
        >>> mixer(np.ones((3, 5, 8), "float32")).shape
        TensorShape([3, 5, 8])
    """

    causal = True
    complexity = "O(N^2)"
    permutation_equivariant = True
    rotary = True

    def __init__(self, num_heads, *, chunk="auto", **kwargs):
        super().__init__(num_heads, **kwargs)
        if chunk not in (None, "auto") and not (
            isinstance(chunk, int) and chunk >= 1
        ):
            raise ValueError(
                "Expected chunk to be None, 'auto' or an int >= 1. Received: "
                f"chunk={chunk!r}."
            )
        self.chunk = chunk

    def mix(self, x, mask, positions, prefix, state, training, grid):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        value = self.split_heads(self.value(x))
        size = self._tile(query, training)
        if size is None:
            mixed = self.attend(
                query, key, value, _keys(mask), training, causal=self.causal
            )
        else:
            scale = self._head_dim**-0.5
            options = {"causal": self.causal, "scale": scale, "size": size}
            mixed = _chunked.attend(query, key, value, mask, **options)
        return self.output_dense(self.merge_heads(mixed))

    def _tile(self, query, training):
        """Tokens on a side of a tile, or None for all pairs at once."""
        length = query.shape[2]
        dropped = training and self.dropout_rate
        if self.chunk is None or length is None or dropped:
            return None
        if _fused.offered(query):
            return None
        if self.chunk == "auto":
            return _CHUNK if length >= _LONG else None
        return self.chunk if length > self.chunk else None

    def initial_cache(self, batch_size, length):
        """As `Mixer`: keys and values, (B, A, length, E)."""
        _steps.check_cache(self, batch_size, length)
        return _steps.keys_and_values(self, batch_size, length)

    def step(self, x, cache, index, *, training=False):
        length = cache["key"].shape[2]
        _steps.check_step(self, x, cache, index, length)
        return _steps.attend(self, x, cache, index, training=training)

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        allowed = None if mask is None else _keys(ops.cast(mask, "bool"))
        if self.causal:
            allowed = self.and_past(allowed, ops.shape(x)[1])
        return self.weights_of(query, key, allowed)

    def dense_mask(self, length, prefix=0, positions=None):
        pairs = np.ones((length, length), bool)
        return np.tril(pairs) if self.causal else pairs

    def get_config(self):
        config = super().get_config()
        config.update(chunk=self.chunk)
        return config


def _keys(mask):
    """(B, N) -> (B, 1, 1, N), the keys that each query attends to."""
    return None if mask is None else mask[:, None, None, :]
