import numpy as np
from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention.mixer import Mixer


@MIXERS.register("softmax")
class SoftmaxAttention(Mixer):
    """Scaled dot-product attention over all pairs (Vaswani et al. 2017, eq. 1).

    Arguments and call arguments are those of `Mixer`. Keys outside `mask` are
    not attended; PIXEL adds -10,000 to their logits, which gives the same
    float32 probabilities. `positions` do not matter beyond their order,
    unless they are rotary. On jax and torch a fused kernel computes it where
    there is one, in memory O(N); attention maps and dropout of probabilities
    need the pairs themselves.

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

    def mix(self, x, mask, positions, prefix, state, training, grid):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        value = self.split_heads(self.value(x))
        mixed = self.attend(
            query, key, value, _keys(mask), training, causal=self.causal
        )
        return self.output_dense(self.merge_heads(mixed))

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        allowed = None if mask is None else _keys(ops.cast(mask, "bool"))
        if self.causal:
            allowed = self.and_past(allowed, ops.shape(x)[1])
        return self.weights_of(query, key, allowed)

    def dense_mask(self, length, prefix=0, positions=None):
        pairs = np.ones((length, length), bool)
        return np.tril(pairs) if self.causal else pairs


def _keys(mask):
    """(B, N) -> (B, 1, 1, N), the keys that each query attends to."""
    return None if mask is None else mask[:, None, None, :]
