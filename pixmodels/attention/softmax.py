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
    unless they are rotary.

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
        allowed = self._allowed(x, mask)
        mixed = self.attend(query, key, value, allowed, training)
        return self.output_dense(self.merge_heads(mixed))

    def _allowed(self, x, mask):
        allowed = None if mask is None else mask[:, None, None, :]
        if self.causal:
            place = ops.arange(ops.shape(x)[1])
            past = (place[:, None] >= place[None, :])[None, None]
            allowed = past if allowed is None else past & allowed
        return allowed

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        query, key = self.queries_and_keys(x, positions, prefix, grid)
        mask = None if mask is None else ops.cast(mask, "bool")
        return self.weights_of(query, key, self._allowed(x, mask))

    def dense_mask(self, length, prefix=0, positions=None):
        pairs = np.ones((length, length), bool)
        return np.tril(pairs) if self.causal else pairs
