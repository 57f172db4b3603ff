"""Which pairs of tokens attend, as a text and as a picture.

Here: what `Mixer.explain` and `Mixer.plot_pattern` do. Not here: the patterns
(`dense_mask` and `attention_map` of each mechanism)."""

import inspect

import numpy as np
from keras import ops

# Pairs are counted one by one up to this length.
_COUNTED = 4096
_GROUND, _INK = "#f2f2f2", "#1f5a96"


def explain(mixer, length, prefix):
    """The text of `Mixer.explain`."""
    cls = type(mixer)
    summary = inspect.getdoc(cls).split("\n\n")[0].replace("\n", " ")
    lines = [f"{cls.__name__}: {summary}"]
    if mixer.causal:
        lines.append("Causal: a token attends to itself and to earlier ones.")
    elif cls.causal:
        lines.append("Not causal; causal=True makes it so.")
    else:
        lines.append("Not causal; it has no causal form.")
    lines.append(f"Cost in the length N: {mixer.complexity}.")
    counted = min(length, _COUNTED)
    try:
        pairs = mixer.num_pairs(counted, min(prefix, counted))
    except ValueError:
        lines.append("Pairs: no fixed pattern; they depend on the content.")
    else:
        lines.append(
            f"Pairs at N = {counted:,}: {pairs:,} of {counted**2:,} "
            f"({pairs / counted**2:.2%}), {pairs / counted:,.1f} a token."
        )
    if mixer.max_length is not None:
        lines.append(f"Longest sequence: {mixer.max_length:,} tokens.")
    return "\n".join(lines)


def weights(mixer, length, prefix, positions, x):
    """What is drawn: (N, N) float32 in [0, 1], and whether it is a pattern.

    Raises:
        ValueError: if there is neither a pattern nor an attention map.
    """
    if x is None:
        try:
            pairs = mixer.dense_mask(length, prefix, positions)
            return np.float32(pairs), True
        except ValueError:
            pass
    shares = _example(mixer, length, prefix, positions, x)
    return shares / np.maximum(shares.max(axis=1, keepdims=True), 1e-30), False


def _example(mixer, length, prefix, positions, x):
    """The mean over heads of the attention map of one example, (N, N)."""
    if x is None:
        width = mixer.num_heads * (mixer.head_dim or 8)
        x = np.random.default_rng(0).normal(size=(length, width))
        mixer = _fresh(mixer, length, width)
    elif not mixer.built:
        mixer = _fresh(mixer, length, np.shape(x)[-1])
    if positions is not None:
        positions = ops.convert_to_tensor(np.asarray(positions)[None], "int32")
    x = ops.convert_to_tensor(np.asarray(x)[None], "float32")
    try:
        found = mixer.attention_map(x, None, positions, prefix)
    except ValueError as error:
        raise ValueError(
            "Expected a mechanism with a fixed pattern or with attention "
            f"maps, of which a picture can be drawn. Received: "
            f"{type(mixer).__name__}."
        ) from error
    found = ops.convert_to_numpy(ops.cast(ops.stop_gradient(found), "float32"))
    return found[0].mean(axis=0)


def _fresh(mixer, length, width):
    """A copy with weights that are large enough for content to matter."""
    config = {**mixer.get_config(), "dtype": "float32"}
    mixer = type(mixer).from_config(config)
    mixer.build((None, length, width))
    rng = np.random.default_rng(1)
    for weight in mixer.trainable_weights:
        if len(weight.shape) == 2:
            scale = weight.shape[0] ** -0.5
            weight.assign(rng.normal(size=weight.shape) * scale)
    return mixer


def draw(mixer, shares, fixed, prefix, ax):
    """Draws into `ax`, or into a new figure; the figure is returned."""
    figure, colors = _figure_and_colors()
    if ax is None:
        figure = figure(figsize=(4.2, 4.5), dpi=120, layout="constrained")
        ax = figure.subplots()
    # The root lifts what is attended a little out of the ground.
    ax.imshow(
        shares if fixed else np.sqrt(shares),
        cmap=colors.from_list("pairs", [_GROUND, _INK]),
        vmin=0,
        vmax=1,
        interpolation="nearest" if len(shares) <= 256 else "antialiased",
    )
    if prefix:
        edge = {"color": "#c23b22", "linewidth": 0.8}
        ax.axhline(prefix - 0.5, **edge)
        ax.axvline(prefix - 0.5, **edge)
    name = type(mixer).__name__.removesuffix("Attention").removesuffix("Mixer")
    name += ", causal" if mixer.causal else ""
    ax.set_title(name if fixed else f"{name} (an example)", fontsize=9)
    ax.set_xlabel("attended token", fontsize=8)
    ax.set_ylabel("token", fontsize=8)
    ax.tick_params(labelsize=7)
    return ax.figure


def _figure_and_colors():
    try:
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Expected the package matplotlib for pictures of attention: "
            "pip install pixmodels[plots]"
        ) from error
    return Figure, LinearSegmentedColormap
