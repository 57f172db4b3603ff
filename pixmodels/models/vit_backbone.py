from pixmodels._registry import BACKBONES
from pixmodels.models.backbone import PatchBackbone


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
