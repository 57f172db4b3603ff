"""Padding costs nothing: trimming, buckets, many texts in their order."""

import harness
import heads
import keras
import marks
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pixmodels
from pixmodels import patches
from pixmodels.attention import SoftmaxAttention
from pixmodels.renderers import CairoRenderer
from pixmodels.tasks import DependencyParser
from pixmodels.tasks import QuestionAnswerer
from pixmodels.tasks import TextClassifier
from pixmodels.tasks import TokenClassifier
from pixmodels.tasks import _reading

INVARIANT = [
    name
    for name in pixmodels.attention.names()
    if pixmodels.attention.get(name).length_invariant
]
# Those that go another way in each: the others' turn comes in the slow suite.
QUICK = ("local", "s4d", "softmax")
LONG = 67
TEXTS = ["one", "δύο", "three and four", ("a", "b"), "of seven words " * 2]


@pytest.fixture(scope="module")
def renderer():
    return CairoRenderer(max_patches=53)


def _text_model(cls=TextClassifier, arguments=(3,), length=53, **options):
    keras.utils.set_random_seed(3)
    backbone = heads.backbone(
        length, side=16, num_layers=1, **options.pop("backbone", {})
    )
    return heads.randomise(cls(backbone, *arguments, **options))


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("attention", marks.but_slow(INVARIANT, QUICK))
def test_trimming_changes_no_logit(attention, jit):
    keras.utils.set_random_seed(3)
    options = dict(pixmodels.attention.get(attention).small_options)
    if "max_length" in options:
        options["max_length"] = 1 + LONG
    backbone = heads.backbone(
        LONG,
        attention=attention,
        attention_options=options,
        hidden_dim=24,
        num_layers=1,
    )
    model = heads.randomise(TokenClassifier(backbone, 5))
    batch = heads.batch(4, LONG)
    batch["num_patches"] = np.array([3, 22, 17, 9], "int32")
    trimmed = patches.trim(batch, (heads.SIDE, heads.SIDE), buckets=(29, 47))
    assert trimmed["pixels"].shape == (4, heads.SIDE, heads.SIDE * 29)
    run = harness.compiled(lambda x: model(x, training=False), jit)
    if run is None:
        pytest.skip("this backend has no such mode")
    whole, part = (
        heads.arrays(run({k: x[k] for k in ("pixels", "num_patches")}))
        for x in (batch, trimmed)
    )
    real = np.arange(29) <= batch["num_patches"][:, None]
    # Not to the last bit: TensorFlow's own products and softmax add up rows of
    # 30 and of 48 terms in another order where vectors hold eight floats (so
    # do rows of a Dense layer that are equal, by up to 8 units in the last
    # place), and in the same order where they hold sixteen.
    scale = np.abs(whole).max()
    bound = 1e-5 if jit else 2.0**-20
    np.testing.assert_allclose(
        part[real], whole[:, :29][real], rtol=0, atol=bound * scale
    )


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        *((TextClassifier, {"pooling": p}) for p in ("mean", "max", "cls")),
        (TextClassifier, {"pooling": "attention"}),
        (DependencyParser, {}),
        (QuestionAnswerer, {}),
    ],
)
def test_trimming_changes_no_answer(cls, options):
    keras.utils.set_random_seed(3)
    arguments = () if cls is QuestionAnswerer else (5,)
    model = cls(heads.backbone(LONG), *arguments, **options)
    heads.randomise(model)
    batch = heads.batch(3, LONG)
    batch["num_patches"] = np.array([3, 22, 17], "int32")
    batch["word_starts"] = np.array([[0, 2, 3, -1], [0, 5, 9, 22], [4] * 4])
    trimmed = patches.trim(batch, (heads.SIDE, heads.SIDE), buckets=(23,))
    whole, part = (
        _flat(heads.arrays(model(x, training=False))) for x in (batch, trimmed)
    )
    for a, b in zip(whole, part, strict=True):
        if cls is QuestionAnswerer:  # no answer stands last
            a = np.concatenate([a[:, :23], a[:, -1:]], axis=1)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def _flat(outputs):
    return keras.tree.flatten(outputs)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=5),
    st.integers(1, 45),
    st.sets(st.integers(1, 50), min_size=1, max_size=5),
)
def test_trim(counts, length, buckets):
    rng = np.random.default_rng(3)
    n = len(counts)
    inputs = {
        "pixels": rng.integers(0, 256, (n, 3, 2 * length), "uint8"),
        "num_patches": np.array(counts),
        "label": rng.integers(0, 9, (n, length)),
        "weight": np.ones(n),
    }
    found = patches.trim(inputs, (3, 2), buckets=sorted(buckets))
    width = found["pixels"].shape[2] // 2
    needed = max(counts) + 1
    holding = [b for b in buckets if b >= needed]
    assert width == min([length, min(holding, default=needed)])
    assert found["label"].shape == (n, width)
    for name, array in found.items():
        if name == "pixels":
            np.testing.assert_array_equal(
                array, inputs[name][:, :, : 2 * width]
            )
        elif name == "label":
            np.testing.assert_array_equal(array, inputs[name][:, :width])
        else:
            assert array is inputs[name]


def test_trim_refuses_pages():
    inputs = {"pixels": np.zeros((1, 6, 10)), "num_patches": np.array([2])}
    with pytest.raises(ValueError, match=r"pixels.shape=\(1, 6, 10\)"):
        patches.trim(inputs, (3, 2))
    inputs["pixels"] = np.zeros((1, 3, 9))
    with pytest.raises(ValueError, match=r"pixels.shape=\(1, 3, 9\)"):
        patches.trim(inputs, (3, 2))


def test_padding_is_not_computed(renderer, monkeypatch):
    """What the backbone sees is as wide as the texts, not as the table."""
    model = _text_model()
    seen = []
    call = type(model.backbone).call

    def spy(self, images, **options):
        seen.append(tuple(images.shape))
        return call(self, images, **options)

    monkeypatch.setattr(type(model.backbone), "call", spy)
    texts = ["ab"] * 5 + ["a longer text, of some words"] * 2
    widths = renderer.widths(texts)
    assert (widths.min(), widths.max()) == (3, 13)
    model.predict_texts(texts, renderer, batch_size=3)
    columns = [(shape[0], shape[2] // 16) for shape in seen]
    # 3 + 2 short texts in buckets of 8, two long ones in one of 16.
    assert columns == [(2, 16), (3, 8), (2, 8)]
    computed = sum(b * n for b, n in columns)
    assert computed == 72 < 7 * 53 / 5
    # The patches of a batch decide the work in all dense layers; attention
    # saves the square of it.
    assert sum(b * n * n for b, n in columns) < 7 * 53**2 / 20


def test_many_texts_in_their_order(renderer):
    model = _text_model()
    rng = np.random.default_rng(7)
    texts = ["x" * int(n) for n in rng.integers(0, 90, 41)]
    told = []
    found = model.predict_texts(
        texts,
        renderer,
        batch_size=7,
        buckets=(5, 11, 23),
        progress=lambda done, total: told.append((done, total)),
    )
    drawn = renderer(texts, num_patches=53)
    inputs = {"pixels": drawn.pixels, "num_patches": drawn.num_patches}
    np.testing.assert_allclose(
        found, heads.arrays(model(inputs)), rtol=0, atol=1e-5
    )
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (41, 41)


def test_compiled_is_the_same(renderer):
    model = _text_model()
    texts = TEXTS * 2
    eager = model.predict_texts(texts, renderer, batch_size=3)
    fast = model.predict_texts(texts, renderer, batch_size=3, compiled=True)
    np.testing.assert_allclose(eager, fast, rtol=0, atol=1e-5)


class _Counting(SoftmaxAttention):
    """Stands for a mechanism whose result depends on the length."""

    length_invariant = False


def test_what_cannot_be_trimmed_is_said(renderer, monkeypatch):
    model = _text_model(length=29)
    texts = ["ab", "a longer text"]
    expected = model.predict_texts(texts, renderer)
    monkeypatch.setattr(
        pixmodels.attention, "get", lambda name: _Counting, raising=True
    )
    with pytest.warns(UserWarning, match="length_invariant=False.* 29 patch"):
        found = model.predict_texts(texts, renderer)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    plan = _reading._plan(model, renderer, texts, 7, (29,))
    assert [length for _, length in plan] == [29]


def test_leaky_pooling_is_not_trimmed():
    model = _text_model(pooling="attention", leaky=True, length=29)
    # Narrower than the model: white patches are added up to its length.
    renderer = CairoRenderer(max_patches=23)
    with pytest.warns(UserWarning, match="leaky=True sees the padding"):
        found = model.predict_texts(["ab"], renderer)
    drawn = CairoRenderer(max_patches=29)(["ab"], num_patches=29)
    inputs = {"pixels": drawn.pixels, "num_patches": drawn.num_patches}
    np.testing.assert_allclose(
        found, heads.arrays(model(inputs)), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"buckets": ()}, r"buckets=\(\)"),
        ({"buckets": (7, 5)}, r"buckets=\(7, 5\)"),
        ({"buckets": (0, 5)}, r"buckets=\(0, 5\)"),
    ],
)
def test_bad_options(options, match, renderer):
    with pytest.raises(ValueError, match=match):
        _text_model().predict_texts(["a"], renderer, **options)


def test_bad_counts():
    model = _text_model()
    pixels = np.zeros((2, 16, 32), "uint8")
    for counts, match in (
        (np.array([-1, 3]), r"num_patches=\[-1, 3\]"),
        (np.array([1]), r"num_patches.shape=\(1,\)"),
        (np.array([[1], [2]]), r"num_patches.shape=\(2, 1\)"),
    ):
        with pytest.raises(ValueError, match=match):
            model({"pixels": pixels, "num_patches": counts})


def test_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with _reading.display(None, 7, 2) as show:
        show(3, 7)
        show(7, 7)
    with _reading.display(None, 7, 1) as show:
        show(7, 7)
