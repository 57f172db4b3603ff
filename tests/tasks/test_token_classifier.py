import heads
import keras
import numpy as np
import pytest

from pixmodels.renderers import CairoRenderer
from pixmodels.tasks import RenderedWordSource
from pixmodels.tasks import TokenClassifier
from pixmodels.tasks import label_patches

KEY = np.array([3, 5], "int32")
TAGS = ("noun", "verb", "name")


def _model(length=heads.LENGTH, side=heads.SIDE, **options):
    keras.utils.set_random_seed(3)
    backbone = heads.backbone(length, side=side)
    model = TokenClassifier(backbone, 3, labels=TAGS, **options)
    return heads.randomise(model)


def _labelled():
    batch = heads.batch()
    label = np.full((4, heads.LENGTH), -100, "int32")
    label[0, [0, 1]] = 2, 1
    label[1, [0, 3, 9]] = 0, 1, 2  # the last one lies in the padding
    label[2, [0, 6]] = 1, 1
    label[3, 0] = 2  # weight 0
    return {**batch, "label": label}


def test_loss_sums_by_hand():
    model, batch = _model(dropout_rate=0.3), _labelled()
    logits = heads.arrays(model(batch)).astype("float64")
    errors, correct = [], []
    for row, place in ((0, 0), (0, 1), (1, 0), (1, 3), (2, 0), (2, 6)):
        z, tag = logits[row, place], batch["label"][row, place]
        errors.append(np.log(np.exp(z).sum()) - z[tag])
        correct.append(z.argmax() == tag)
    numerators, counts = model.loss_sums(batch, KEY, training=False)
    assert float(counts["loss"]) == float(counts["accuracy"]) == 6
    assert float(numerators["loss"]) == pytest.approx(sum(errors), rel=1e-5)
    assert float(numerators["accuracy"]) == sum(correct)
    # Dropout follows the key.
    a, b = (
        float(model.loss_sums(batch, np.array([3, k]))[0]["loss"])
        for k in (5, 6)
    )
    assert a != b
    assert a == float(model.loss_sums(batch, KEY)[0]["loss"])


def test_labels_of_padding_are_ignored():
    model, batch = _model(), _labelled()
    before = heads.arrays(model.loss_sums(batch, KEY, training=False))
    batch["label"][1, 9] = -100
    after = heads.arrays(model.loss_sums(batch, KEY, training=False))
    assert before == after


def test_nothing_labelled():
    batch = _labelled()
    batch["label"][:] = -100
    numerators, counts = _model().loss_sums(batch, KEY)
    assert float(numerators["loss"]) == float(counts["loss"]) == 0


def test_label_patches():
    found = label_patches([(0, 2, 5), (0, 3)], [[4, 2, 9], [1]], 5)
    assert found.tolist() == [
        [4, -100, 2, -100, -100],
        [1, -100, -100, -100, -100],
    ]
    with pytest.raises(ValueError, match="2 words, 1 labels"):
        label_patches([(0, 2, 5)], [[4]], 5)


def test_tag():
    model = _model(23, 16)
    renderer = CairoRenderer(max_patches=23)
    sentences = [
        ["a", "longer", "sentence", "than"],
        [],
        ["two", "words"],
        ["", "μία"],
    ]
    answers = model.tag(sentences, renderer, batch_size=3)
    assert [len(a) for a in answers] == [4, 0, 2, 2]
    drawn = renderer(sentences)
    logits = heads.arrays(
        model({"pixels": drawn.pixels, "num_patches": drawn.num_patches})
    )
    for row, starts, tags in zip(logits, drawn.word_starts, answers):
        for start, (tag, chance) in zip(starts[:-1], tags, strict=True):
            z = np.exp(row[start].astype("float64"))
            assert tag == TAGS[z.argmax()]
            assert chance == pytest.approx(z.max() / z.sum(), rel=1e-4)
    assert model.tag(sentences[2], renderer) == answers[2]
    assert model.tag([], renderer) == []


def test_words_that_were_cut_have_no_tag():
    model, renderer = _model(7, 16), CairoRenderer(max_patches=23)
    with pytest.warns(UserWarning, match=r"Texts \[1\] are longer"):
        answers = model.tag([["ok"], ["word"] * 13], renderer)
    kept = [tag is not None for tag in answers[1]]
    assert kept == [True] * sum(kept) + [False] * (13 - sum(kept))
    assert 0 < sum(kept) < 7
    assert answers[0][0] is not None


@pytest.mark.parametrize(
    "sentences", ["a str", [["a"], "b"], [["a", 3]], [["a"], None], ["a", 3]]
)
def test_bad_sentences(sentences):
    with pytest.raises(TypeError, match="lists of words"):
        _model(7, 16).tag(sentences, CairoRenderer(max_patches=7))


def test_bad_arguments():
    backbone = heads.backbone()
    with pytest.raises(ValueError, match="num_classes=1"):
        TokenClassifier(backbone, 1)
    with pytest.raises(ValueError, match="Expected 3 labels"):
        TokenClassifier(backbone, 3, labels=("a",))
    with pytest.raises(TypeError, match="backbone=None"):
        TokenClassifier(None, 3)
    batch = _labelled()
    with pytest.raises(ValueError, match=r"label.shape=\(4, 7\)"):
        _model().loss_sums({**batch, "label": batch["label"][:, :7]}, KEY)
    with pytest.raises(ValueError, match=r"renderer.patch_size=15"):
        _model(7, 16).tag(["a"], CairoRenderer(patch_size=15))


@pytest.mark.slow
def test_learns_from_a_source():
    """Words by their looks: `fit` on batches of a source, then `tag`."""
    keras.utils.set_random_seed(3)
    backbone = heads.backbone(17, side=16, num_layers=1, pixel_offset=1.0)
    model = TokenClassifier(backbone, 3, labels=TAGS, dropout_rate=0.0)
    renderer = CairoRenderer(max_patches=17)
    words = {"cat": 0, "owls": 0, "run": 1, "ate": 1, "Ann": 2, "Bo": 2}
    rng = np.random.default_rng(5)
    sentences = [
        list(rng.choice(list(words), rng.integers(1, 4))) for _ in range(29)
    ]
    sentences = [[str(w) for w in s] for s in sentences]
    tags = [[words[w] for w in s] for s in sentences]
    source = RenderedWordSource(sentences, renderer, tags=tags)
    batch = source.get_batch(np.arange(29), length=17)
    model.compile(optimizer=keras.optimizers.Adam(0.01), jit_compile=False)
    history = model.fit(batch, epochs=40, batch_size=29, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < 0.3 < losses[0]
    answers = model.tag([["Ann", "ate", "owls"]], renderer)[0]
    assert [tag for tag, _ in answers] == ["name", "verb", "noun"]
