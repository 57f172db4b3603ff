import numpy as np

_RED = (0.9, 0.1, 0.0)


def plot_attention(image, attention, grid, *, prefix=1, query=0, heads=True):
    """A picture of what one token attends to, over the image.

    Args:
        image: (H, W) or (H, W, C), uint8 in [0, 255] or float in [0, 1].
        attention: (A, N, N) or (N, N), a map of
            `PatchBackbone.intermediates`, one example; N counts the tokens in
            front and R * C patches.
        grid: (R, C) of the patches in the image.
        prefix: tokens in front.
        query: int, the token whose attention is shown: 0 is the class token.
        heads: whether each head gets a panel beside image and mean.

    Returns:
        `matplotlib.figure.Figure`; `savefig` writes it to a file. First the
        image, then the mean over the heads, then each head: the image in
        pale grey, covered the more by red the more a patch is attended. The
        scale of each panel goes from 0 to its own maximum, which its title
        states as a share of the attention (what is missing to the sum of 1
        lies on the tokens in front).

    Raises:
        ImportError: matplotlib is missing.
        ValueError: if map, grid and image do not fit each other.

    Example:
        >>> import numpy as np
        >>> vit = pixmodels.ViTBackbone(
        ...     (8, 8, 1), 2, num_layers=1, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> images = np.random.default_rng(1).random((1, 8, 8, 1))
        >>> found = vit.intermediates(images, ["block_0/attention"])
        >>> figure = pixmodels.models.plot_attention(
        ...     images[0], found["block_0/attention"][0], vit.grid)
        >>> len(figure.axes)
        4
    """
    image = _grey(image)
    attention = np.asarray(attention, "float32")
    attention = attention[None] if attention.ndim == 2 else attention
    rows, columns = grid
    tokens = prefix + rows * columns
    if attention.ndim != 3 or attention.shape[1:] != (tokens, tokens):
        raise ValueError(
            f"Expected an attention map of shape (A, {tokens}, {tokens}) for "
            f"grid={tuple(grid)} and prefix={prefix}. Received: "
            f"attention.shape={attention.shape}."
        )
    if image.shape[0] % rows or image.shape[1] % columns:
        raise ValueError(
            f"Expected an image of whole patches for grid={tuple(grid)}. "
            f"Received: image.shape={image.shape}."
        )
    if not -tokens <= query < tokens:
        raise ValueError(
            f"Expected query to be one of {tokens} tokens. Received: "
            f"query={query}."
        )
    maps = attention[:, query, prefix:].reshape(-1, rows, columns)
    panels = [("mean of heads", maps.mean(axis=0))]
    if heads:
        panels += [(f"head {i}", x) for i, x in enumerate(maps)]
    return _figure(image, panels)


def _grey(image):
    image = np.asarray(image)
    if image.dtype == np.uint8:
        image = image / 255.0
    if image.ndim == 3:
        image = image.mean(axis=-1)
    if image.ndim != 2:
        raise ValueError(
            "Expected an image of shape (H, W) or (H, W, C). Received: "
            f"image.shape={image.shape}."
        )
    return image.astype("float32")


def _figure(image, panels):
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Expected the package matplotlib for pictures of attention: "
            "pip install pixmodels[plots]"
        ) from error
    height, width = image.shape
    count = len(panels) + 1
    # Strips of text stand below one another, square images in a grid.
    across = max(1, min(count, round((1.5 * height / width * count) ** 0.5)))
    down = -(-count // across)
    side = 9.0 / across
    size = (9.0, down * (side * height / width + 0.4))
    figure = Figure(size, dpi=150, layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    show = {"vmin": 0, "vmax": 1, "interpolation": "nearest"}
    axes[0].imshow(image, cmap="gray", **show)
    axes[0].set_title("image", fontsize=8)
    for axis, (name, values) in zip(axes[1:], panels):
        most = float(values.max())
        scale = (height // values.shape[0], width // values.shape[1])
        large = np.kron(values / max(most, 1e-12), np.ones(scale))
        # Faded, so that red shows on black ground and black strokes in red.
        axis.imshow(0.45 + 0.55 * image, cmap="gray", **show)
        colour = np.broadcast_to(_RED, (*large.shape, 3))
        axis.imshow(np.dstack([colour, 0.65 * large]), interpolation="nearest")
        axis.set_title(f"{name}, up to {most:.1%}", fontsize=8)
    for axis in axes[count:]:
        figure.delaxes(axis)
    return figure
