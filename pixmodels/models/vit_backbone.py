from pixmodels._registry import BACKBONES
from pixmodels.models.backbone import PatchBackbone
from pixmodels.models.sizes import size


@BACKBONES.register("vit")
class ViTBackbone(PatchBackbone):
    """Vision Transformer encoder (Dosovitskiy et al. 2021), without a head.

    Arguments, call arguments and result are those of `PatchBackbone`; learned
    positions and exact GELU by default. The original's JAX code uses the tanh
    GELU: `activation="gelu_approximate"`. Its dropout inside the MLP is left
    out, as in Hugging Face's ViT.

    Args:
        image_shape: (H, W, C), divisible by the patch size.
        patch_size: int or (height, width).

    Example:
        >>> import numpy as np
        >>> vit = pixmodels.ViTBackbone(
        ...     (8, 8, 1), 2, num_layers=2, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> vit(np.zeros((3, 8, 8, 1), "float32")).shape
        TensorShape([3, 17, 8])
    """

    @classmethod
    def from_size(cls, name, image_shape=(224, 224, 3), **overrides):
        """A backbone of a named size, with new weights.

        Args:
            name: "ti16", "s16", "b16", "b32", "l16", "h14", ...
                (`pixmodels.models.SIZES`); "B/16" means the same.
            image_shape: (H, W, C).
            overrides: further constructor arguments, or others than the
                size's.

        Raises:
            ValueError: for an unknown name; the nearest ones are listed.

        Example:
            >>> vit = pixmodels.ViTBackbone.from_size(
            ...     "ti16", (32, 48, 3), num_layers=1)
            >>> vit.hidden_dim, vit.grid
            (192, (2, 3))
        """
        return cls(image_shape, **{**size(name), **overrides})
