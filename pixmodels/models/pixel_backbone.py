import math

from pixmodels._registry import BACKBONES
from pixmodels.models.backbone import PatchBackbone


@BACKBONES.register("pixel")
class PIXELBackbone(PatchBackbone):
    """PIXEL's encoder: text drawn as one row of patches (Rust et al. 2023).

    A ViT whose image is one patch high and any number of patches wide.
    Positions are a fixed sin-cos table of a square grid although the image is
    a row (23 x 23 for 529 patches): patch n has row n // 23, column n % 23.
    Padding patches are not attended (`mask`).

    Source: xplip/pixel `modeling_pixel.py`. Differences: any length up to the
    table works, not only the configured square, and with
    `resample_positions=True` longer ones too, for which the table is resampled
    to the smallest square that holds them (PIXEL's own rule, which needs a
    square length); the number of channels is free; the position table is
    trained only with `trainable_positions=True` (PIXEL freezes it in
    pre-training and trains it in fine-tuning); an image of several rows of
    patches has a table of its own grid.

    Args:
        image_shape: (patch height, patch width * N, C) of the longest text,
            or (H, W, C) of a page.
        patch_size: int or (height, width).
        position_grid: (R, C) of the table; by default the smallest square
            that holds N patches in a row, and the grid of a page.
        layer_norm_epsilon: 1e-12 as the published weights.
        Others, call arguments and result: as `PatchBackbone`.

    Example:
        >>> import numpy as np
        >>> pixel = pixmodels.PIXELBackbone(
        ...     (16, 16 * 25, 3), num_layers=2, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> pixel(np.ones((3, 16, 16 * 7, 3), "float32")).shape
        TensorShape([3, 8, 8])
    """

    def __init__(
        self,
        image_shape=(16, 8464, 3),
        patch_size=16,
        *,
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        mlp_dim=3072,
        layer_norm_epsilon=1e-12,
        positions="sincos",
        position_grid=None,
        **kwargs,
    ):
        if position_grid is None:
            height, width = (
                (patch_size, patch_size)
                if isinstance(patch_size, int)
                else patch_size
            )
            # Anything else is refused by name where the arguments are checked.
            if len(image_shape) == 3 and image_shape[0] <= height:
                count = image_shape[1] // width
                side = math.isqrt(max(count - 1, 0)) + 1
                position_grid = (side, side)
        super().__init__(
            image_shape,
            patch_size,
            num_layers=num_layers,
            num_heads=num_heads,
            hidden_dim=hidden_dim,
            mlp_dim=mlp_dim,
            layer_norm_epsilon=layer_norm_epsilon,
            positions=positions,
            position_grid=position_grid,
            **kwargs,
        )
