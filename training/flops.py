"""Operations that a model needs: matrix products, in closed form.

Here: one example's forward pass, and a step of training as three of them
(the backward pass takes two products for each one). Not counted: everything
element by element, and what an implementation computes in vain or twice.
Convention of Chowdhery et al. 2022, "PaLM", appendix B, except that pairs
which no mechanism attends to are not counted, causal ones neither.
"""

import math

_MIXERS = {}


def of_step(model, size):
    """Operations of one example in a step of training: int, or None.

    Args:
        model: a `MaskedAutoencoder`, or a task with a `backbone`, whose head
            counts where it is a sequence head (see `_head`).
        size: (H, W) of its images in pixels.

    Returns:
        Multiplications and additions of all matrix products, thrice those of
        the forward pass (less the one gradient that nobody asks for, that of
        the pixels); None for a model or a mechanism that is not known here.
    """
    try:
        forward, first = _forward(model, size)
    except _Unknown:
        return None
    return 3 * forward - first


def of_forward(model, size):
    """Operations of one example in a forward pass; see `of_step`."""
    try:
        return _forward(model, size)[0]
    except _Unknown:
        return None


def backbone_of(model):
    """The encoder of patches of a model, or None."""
    for name in ("encoder", "backbone"):
        found = getattr(model, name, None)
        if hasattr(found, "patch_size"):
            return found
    return None


def of_mixer(name):
    """Decorator: the count of a mechanism by the name of its registry.

    The function takes the mixer, N (prefix included), the prefix and the
    width D, and returns the multiply-adds of one example besides the
    projections of `Mixer`.
    """

    def register(function):
        _MIXERS[name] = function
        return function

    return register


class _Unknown(Exception):
    """A model or a mechanism that is not known here."""


def _forward(model, size):
    """(operations of a forward pass, those of the embedding)."""
    backbone = backbone_of(model)
    if backbone is None or not hasattr(backbone, "encoder"):
        raise _Unknown
    height, width = backbone.patch_size
    length = (size[0] // height) * (size[1] // width)
    kept = length
    autoencoder = hasattr(model, "decoder")
    if autoencoder:
        from pixmodels.masking import num_masked

        kept = length - num_masked(length, model.mask_ratio)
    values = height * width * backbone.image_shape[-1]
    embedding = kept * values * backbone.hidden_dim
    total = embedding + _stack(
        backbone.encoder, backbone.hidden_dim, kept, backbone.prefix
    )
    if autoencoder:
        total += _decoder(model, length, kept, values)
    else:
        total += _head(model, length)
    return 2 * total, 2 * embedding


def _decoder(model, length, kept, values):
    inner, prefix = model.decoder_hidden_dim, model.encoder.prefix
    return (
        (prefix + kept) * model.encoder.hidden_dim * inner
        + _stack(model.decoder, inner, length, prefix)
        + length * inner * values
    )


def _stack(stack, width, length, prefix):
    return sum(
        _mixer(block, width, prefix + length, prefix)
        + 2 * (prefix + length) * width * block.mlp_dim
        for block in stack.blocks
    )


def _mixer(block, width, length, prefix):
    return _with_projections(
        block.attention, block.mixer, length, prefix, width
    )


def _with_projections(name, mixer, length, prefix, width):
    if name not in _MIXERS:
        raise _Unknown
    products = _MIXERS[name](mixer, length, prefix, width)
    count = _projections(mixer)
    return products + count * length * width * _inner(mixer, width)


def _projections(mixer):
    """How many of the projections of `Mixer` there are."""
    parts = ("query", "key", "value", "output_dense")
    return sum(hasattr(mixer, part) for part in parts)


def _head(model, length):
    """PIXEL's sequence head; other heads are small and count nothing."""
    width = model.backbone.hidden_dim
    pooling = getattr(model, "pooling", None)
    dense = getattr(model, "head_dense", None)
    scores = getattr(model, "head_logits", None)
    total = 0
    if dense is not None:
        total += (1 if pooling == "cls" else length) * width * dense.units
    if scores is not None:
        total += width * scores.units
    return total


def _inner(mixer, width):
    """A E, the width of queries, keys and values."""
    return mixer.num_heads * (mixer.head_dim or width // mixer.num_heads)


def _pairs(mixer, count, width):
    """Scores and mixed values of `count` pairs of tokens."""
    return 2 * count * _inner(mixer, width)


@of_mixer("softmax")
@of_mixer("wide")
def _softmax(mixer, length, prefix, width):
    count = length * (length + 1) // 2 if mixer.causal else length**2
    return _pairs(mixer, count, width)


@of_mixer("local")
@of_mixer("sliding_window")
def _windows(mixer, length, prefix, width):
    # Of neighbouring places; those of a subset have fewer pairs.
    pattern = mixer.dense_mask(length, prefix)
    return _pairs(mixer, int(pattern.sum()), width)


@of_mixer("linear")
def _linear(mixer, length, prefix, width):
    size = mixer.head_dim or width // mixer.num_heads
    # Sums of keys and values, queries with these; denominators.
    return length * _inner(mixer, width) * (2 * size + 1)


@of_mixer("performer")
def _performer(mixer, length, prefix, width):
    size = mixer.head_dim or width // mixer.num_heads
    features = mixer.directions.shape[0]
    # Features of queries and keys; as `_linear`.
    return mixer.num_heads * length * features * (2 * size + 2 * (size + 1))


@of_mixer("context_pool")
def _context_pool(mixer, length, prefix, width):
    places, taps = length - prefix, mixer.kernel_size**mixer.dimensions
    total = places * taps * mixer.hidden_dim * (width + 2)
    total += places**2 * width
    return total + _with_projections(
        mixer.attention, mixer.mixer, length, prefix, width
    )


@of_mixer("kernelized")
def _kernelized(mixer, length, prefix, width):
    inner, heads = _inner(mixer, width), mixer.num_heads
    size = inner // heads
    count, drawn = mixer.noise.shape[0], mixer.noise.shape[-1]
    frequencies, features = count, 2 * count
    total = 0  # the frequencies themselves, for each example
    if mixer.variant == "gmm":
        frequencies, features = 2 * count, 4 * count
        total = count * inner * size
    elif mixer.variant == "positive":
        features = count
    elif mixer.variant == "fastfood":
        total = count**3
    else:
        total = 2 * count * size * (drawn + 4 * size + 2 * size)
    features += bool(mixer.constant)
    # Angles of queries and keys; sums of keys and values, queries with these.
    total += 2 * length * inner * frequencies
    return total + 2 * length * features * (inner + heads)


@of_mixer("linformer")
def _linformer(mixer, length, prefix, width):
    # Sums of keys and values, then every token with these.
    return 4 * length * mixer.rank * _inner(mixer, width)


@of_mixer("nystrom")
def _nystrom(mixer, length, prefix, width):
    inner, heads = _inner(mixer, width), mixer.num_heads
    marks = min(mixer.num_landmarks, length)
    # Means of queries and keys; three kernels; the values through them.
    total = inner * marks * (2 * length + 2 * length + marks)
    total += inner * marks * (2 * length + marks)
    total += 4 * heads * marks**3 * mixer.iterations
    if mixer.conv_kernel is not None:
        total += inner * mixer.conv_kernel * (length - prefix)
    return total


@of_mixer("synthesizer")
def _synthesizer(mixer, length, prefix, width):
    inner, heads = _inner(mixer, width), mixer.num_heads
    pairs = length * (length + 1) // 2 if mixer.causal else length**2
    total = inner * pairs  # the mixed values
    for part in mixer.variant.split("+"):
        if part == "factorised":
            total += heads * mixer.rank * pairs
        elif part == "dense":
            total += inner * (length * inner // heads + pairs)
        elif part == "dot_product":
            total += inner * pairs
    return total


@of_mixer("reformer")
def _reformer(mixer, length, prefix, width):
    inner, tokens = _inner(mixer, width), length - prefix
    rounds = mixer.num_hashes
    # Of the window, no matter what else is in it; the causal form sees half.
    size = mixer.chunk + 1 if mixer.causal else 2 * mixer.chunk
    total = tokens * inner * rounds * mixer.num_buckets // 2
    total += _pairs(mixer, rounds * tokens * (size + prefix), width)
    return total + _pairs(mixer, prefix * length, width)


@of_mixer("sinkhorn")
def _sinkhorn(mixer, length, prefix, width):
    inner, size = _inner(mixer, width), mixer.block
    tokens = length - prefix
    count = -(-tokens // size)
    # Scores between blocks, what they bring, and how much of it is real.
    total = count**2 * (inner + 2 * size * inner + mixer.num_heads * size)
    total += _pairs(mixer, tokens * (2 * size + prefix), width)
    return total + _pairs(mixer, prefix * length, width)


@of_mixer("luna")
def _luna(mixer, length, prefix, width):
    inner, packed = _inner(mixer, width), mixer.packed_length
    shared = 1 if mixer.tie_kv else 2
    # Projections of P, and those of x besides its query and the output.
    total = packed * width * width
    if mixer.causal:
        total += length * (width * width + shared * width * inner)
        total += packed * length * (width + 4 * inner)
    else:
        total += shared * (packed * width * inner + length * width * width)
        total += 2 * packed * length * (width + inner)
    return total - (_projections(mixer) - 2) * length * width * inner


@of_mixer("fnet")
def _fnet(mixer, length, prefix, width):
    # 5 n log2 n operations of a complex transform (Cooley and Tukey), in
    # multiply-adds; over tokens and over features.
    places = length * width
    return int(2.5 * places * (math.log2(length) + math.log2(width)))


@of_mixer("ema")
def _ema(mixer, length, prefix, width):
    # As a recurrence: each average once more, and its part of the output.
    directions = 1 if mixer.causal else 2
    return 2 * directions * length * width * mixer.state_dim


@of_mixer("mega")
def _mega(mixer, length, prefix, width):
    shared, value = mixer.shared_dim, mixer.value_dim or 2 * width
    size = min(mixer.chunk or length, length)
    counts = [size] * (length // size) + [length % size]
    pairs = sum(n * (n + 1) // 2 if mixer.causal else n**2 for n in counts)
    projections = width * (2 * width + shared + 3 * value)
    total = length * projections + pairs * (shared + value)
    return total + _ema(mixer.ema, length, prefix, width)


@of_mixer("s5")
def _s5(mixer, length, prefix, width):
    # States of all features, and all features of the states, both ways.
    ways = 1 if mixer.causal else 2
    total = length * mixer.state_size * (width + ways * (2 + width))
    return total + _output(mixer, length, width)


@of_mixer("gss")
def _gss(mixer, length, prefix, width):
    wide = mixer.expansion * width
    narrow = mixer.ssm_dim or max(1, width // 4)
    total = length * (2 * width * wide + width * narrow + narrow * wide)
    total += _state_space(mixer.ssm, length, narrow)
    # `_projections` counts the last Dense as D by D.
    return total - _projections(mixer) * length * width * _inner(mixer, width)


@of_mixer("dss")
@of_mixer("s4")
@of_mixer("s4d")
def _s4(mixer, length, prefix, width):
    return _state_space(mixer, length, width)


def _state_space(mixer, length, width):
    """Each token's states and its output from them: of a recurrence."""
    ways = 1 if mixer.causal else 2
    numbers = mixer.state_size * (1 if mixer.paired else 2)
    total = ways * length * width * 2 * numbers
    return total + _output(mixer, length, width)


def _output(mixer, length, width):
    """What the output's Dense is more than D by D, as it is counted."""
    return length * width**2 if mixer.output_form == "glu" else 0


@of_mixer("spade")
def _spade(mixer, length, prefix, width):
    names = {"window": "sliding_window", "chunk": "local", "mega": "mega"}
    place = (length, prefix, width)
    total = _with_projections(names[mixer.local], mixer.near, *place)
    if mixer.far is None:
        return total
    total += _with_projections(mixer.global_mixer, mixer.far, *place)
    if mixer.combine == "concat":
        total += 2 * length * width**2
    return total
