from pixmodels._registry import MIXERS
from pixmodels.attention.softmax import SoftmaxAttention


@MIXERS.register("wide")
class WideAttention(SoftmaxAttention):
    """Softmax attention whose heads do not share out the width of the model.

    A heads of `head_dim` each, whatever D is: queries, keys and values are
    A * E wide, and the output projection leads back to D. Source: Brown et al.
    2022, "Wide Attention Is the Way Forward for Transformers?", who keep the
    number of heads of a whole model, 1 layer of 48 heads for 6 of 8, with D,
    E and the MLP as they were. Any other mechanism is made wide by its own
    `head_dim`; this one differs from `softmax` by its default alone. The
    recipes `digits_wide` and `cldr_language_wide` are of that kind.

    Args:
        num_heads: A, any number.
        head_dim: E.
        Others: as `Mixer`.

    Call arguments:
        As `SoftmaxAttention`.

    Raises:
        ValueError: for a `head_dim` below 1, or none.

    Example:
        >>> import numpy as np
        >>> mixer = pixmodels.attention.get("wide")(num_heads=12, head_dim=4)
        >>> mixer(np.ones((3, 5, 8), "float32")).shape
        TensorShape([3, 5, 8])
        >>> tuple(mixer.query.kernel.shape)
        (8, 48)
    """

    small_options = {"head_dim": 8}

    def __init__(self, num_heads, *, head_dim=64, **kwargs):
        if head_dim is None or head_dim < 1:
            raise ValueError(
                f"Expected head_dim >= 1. Received: head_dim={head_dim}."
            )
        super().__init__(num_heads, head_dim=head_dim, **kwargs)
