from keras import ops

from pixmodels._registry import MIXERS
from pixmodels.attention import _checks
from pixmodels.attention import _kernels
from pixmodels.attention import _steps
from pixmodels.attention.mixer import Mixer


@MIXERS.register("linear")
class LinearAttention(Mixer):
    """Attention with the kernel `phi(q) . phi(k)`, `phi(x) = elu(x) + 1`.

    `out_i = phi(q_i) S / phi(q_i) z` with `S = sum_j phi(k_j) v_j` and
    `z = sum_j phi(k_j)` over all keys, or over j <= i in the causal form.
    Source: Katharopoulos et al. 2020, "Transformers are RNNs", eqs. 4 to 12;
    queries are not scaled. The causal sums go by blocks, where theirs go token
    by token. Padding has `phi(k) = 0`; Long-Range Arena's form forgets the
    mask. Features and sums are float32 under any policy.

    Args:
        num_heads: A.
        block: tokens in a block of the causal form; changes speed only.
        epsilon: added to each component of z.
        dropout_rate: on the mixed values, as there are no probabilities.
        Others: as `Mixer`.

    Call arguments:
        As `Mixer`. `positions` do not matter beyond their order.

    Raises:
        ValueError: for a block below 1.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("linear")(num_heads=2)
        >>> mixer(np.ones((3, 7, 8), "float32")).shape
        TensorShape([3, 7, 8])
    """

    causal = True
    complexity = "O(N)"
    permutation_equivariant = True
    small_options = {"block": 3}

    def __init__(self, num_heads, *, block=128, epsilon=1e-6, **kwargs):
        super().__init__(num_heads, **kwargs)
        _checks.check_counts(block=block)
        self.block = block
        self.epsilon = epsilon

    def mix(self, x, mask, positions, prefix, state, training, grid):
        query, key = self._features(x)
        value = self.split_heads(self.value(x))
        if self.causal:
            mixed = _kernels.attend_past(
                query,
                key,
                value,
                mask,
                size=self.block,
                epsilon=self.epsilon,
            )
        else:
            mixed = self._all_keys(query, key, value, mask)
        mixed = ops.cast(mixed, self.compute_dtype)
        mixed = self.dropout(self.merge_heads(mixed), training=training)
        return self.output_dense(mixed)

    def _all_keys(self, query, key, value, mask):
        # As `_kernels.attend`, but features are as short as values here: a
        # column of ones would cost more than a product for the denominators.
        if mask is not None:
            key = key * ops.cast(mask, "float32")[:, None, :, None]
        value = ops.cast(value, "float32")
        sums = ops.matmul(ops.transpose(key, (0, 1, 3, 2)), value)
        total = ops.sum(key, axis=2)[..., None] + self.epsilon  # (B, A, E, 1)
        return ops.matmul(query, sums) / ops.matmul(query, total)

    def _features(self, x):
        """Those of queries and keys, both (B, A, N, E) float32."""
        return tuple(
            ops.elu(ops.cast(self.split_heads(part(x)), "float32")) + 1.0
            for part in (self.query, self.key)
        )

    def initial_cache(self, batch_size, length):
        """As `Mixer`: the sums S (B, A, E, E) and z (B, A, E), float32."""
        _steps.check_cache(self, batch_size, length)
        shape = (batch_size, self.num_heads, self._head_dim)
        return {
            "sums": ops.zeros((*shape, self._head_dim), dtype="float32"),
            "total": ops.zeros(shape, dtype="float32"),
        }

    def step(self, x, cache, index, *, training=False):
        _steps.check_step(self, x, cache, index)
        x = ops.cast(x, self.compute_dtype)[:, None]
        query, key = self._features(x)  # (B, A, 1, E)
        value = ops.cast(self.split_heads(self.value(x)), "float32")
        sums = cache["sums"] + ops.swapaxes(key, -1, -2) * value
        total = cache["total"] + key[:, :, 0]
        weight = ops.matmul(query, (total + self.epsilon)[..., None])
        mixed = ops.cast(ops.matmul(query, sums) / weight, self.compute_dtype)
        mixed = self.dropout(self.merge_heads(mixed), training=training)
        cache = {"sums": sums, "total": total}
        return self.output_dense(mixed)[:, 0], cache

    def attention_map(self, x, mask=None, positions=None, prefix=0, grid=None):
        return _kernels.attention_map(
            *self._features(x),
            mask,
            causal=self.causal,
            epsilon=self.epsilon,
        )

    def get_config(self):
        config = super().get_config()
        config.update(block=self.block, epsilon=self.epsilon)
        return config
