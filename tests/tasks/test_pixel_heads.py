"""Our heads beside PIXEL's own, on the numbers of the fixture heads_tiny."""

import heads
import numpy as np
import pytest

from pixmodels import tasks
from pixmodels.tasks import DependencyParser
from pixmodels.tasks import QuestionAnswerer
from pixmodels.tasks import TextClassifier
from pixmodels.tasks import TextRegressor
from pixmodels.tasks import TokenClassifier

KEY = np.array([0, 0], "int32")


@pytest.fixture(scope="module")
def pixel(shared):
    return heads.PixelHeads(shared("fixtures/pixel/heads_tiny.npz"))


def _loss(model, batch):
    numerators, counts = model.loss_sums(batch, KEY, training=False)
    return float(numerators["loss"]) / float(counts["loss"])


def _check(pixel, model, name, batch, outputs):
    left_over = pixel.load(model, name)
    found = heads.arrays(model(batch))
    found = found if isinstance(found, dict) else {"logits": found}
    for key, theirs in outputs.items():
        np.testing.assert_allclose(
            found[key],
            pixel.file[f"{name}/out/{theirs}"],
            rtol=0,
            atol=1e-5,
        )
    loss = float(pixel.file[f"{name}/out/loss"])
    assert _loss(model, batch) == pytest.approx(loss, abs=1e-5)
    return left_over


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("seq_mean", {"pooling": "mean"}),
        ("seq_max", {"pooling": "max"}),
        ("seq_cls", {"pooling": "cls"}),
        ("seq_pma4", {"pooling": "attention", "leaky": True}),
    ],
)
def test_classifier(pixel, name, options):
    model = TextClassifier(pixel.backbone(), 5, **options)
    batch = pixel.inputs(name)
    batch["label"] = pixel.file[f"{name}/in/labels"]
    left_over = _check(pixel, model, name, batch, {"logits": "logits"})
    # The original's class keeps layers that it does not run.
    unused = {
        "seq_cls": {"linear.weight", "linear.bias", "ln.weight", "ln.bias"},
        "seq_pma4": {"linear.weight", "linear.bias"},
    }
    assert left_over == {f"pooler.{k}" for k in unused.get(name, ())}


def test_shorter_texts(pixel):
    model = TextClassifier(pixel.backbone(), 5)
    pixel.load(model, "seq_mean")
    np.testing.assert_allclose(
        heads.arrays(model(pixel.inputs("seq16"))),
        pixel.file["seq16/out/logits"],
        rtol=0,
        atol=1e-5,
    )


def test_attention_pooling_without_padding(pixel):
    """What leaks is padding alone: without it both forms are the same."""
    leaky = TextClassifier(pixel.backbone(), 5, pooling="attention", leaky=True)
    tight = TextClassifier(pixel.backbone(), 5, pooling="attention")
    pixel.load(leaky, "seq_pma4")
    pixel.load(tight, "seq_pma4")
    batch = pixel.inputs("seq_pma4")
    full = {**batch, "num_patches": np.full(3, 24, "int32")}
    np.testing.assert_array_equal(
        heads.arrays(leaky(full)), heads.arrays(tight(full))
    )
    difference = heads.arrays(leaky(batch)) - heads.arrays(tight(batch))
    assert np.abs(difference).max() > 1e-3


def test_regressor(pixel):
    model = TextRegressor(pixel.backbone())
    batch = pixel.inputs("seq_regression")
    batch["label"] = pixel.file["seq_regression/in/labels"]
    assert not _check(
        pixel, model, "seq_regression", batch, {"logits": "logits"}
    )


def test_token_classifier(pixel):
    model = TokenClassifier(pixel.backbone(), 5)
    batch = pixel.inputs("tok")
    batch["label"] = pixel.file["tok/in/labels"]
    assert not _check(pixel, model, "tok", batch, {"logits": "logits"})


def test_question_answerer(pixel):
    model = QuestionAnswerer(pixel.backbone(), leaky=True)
    batch = pixel.inputs("qa")
    batch |= {k: pixel.file[f"qa/in/{k}"] for k in ("start", "end")}
    names = ("start_logits", "end_logits")
    left_over = _check(pixel, model, "qa", batch, {k: k for k in names})
    assert left_over == {"classifier.weight", "classifier.bias"}
    # -1 stands for no answer, too.
    known = _loss(model, batch)
    batch["start"] = np.where(batch["start"] == 25, -1, batch["start"])
    batch["end"] = np.where(batch["end"] == 25, -1, batch["end"])
    assert _loss(model, batch) == known
    # Without leaks the same numbers stand on the attended patches.
    tight = QuestionAnswerer(pixel.backbone())
    pixel.load(tight, "qa")
    a, b = heads.arrays(model(batch)), heads.arrays(tight(batch))
    real = np.arange(26) <= batch["num_patches"][:, None]
    real[:, -1] = True
    for name in names:
        np.testing.assert_array_equal(a[name][real], b[name][real])
        assert (b[name][~real] == -1e9).all()


def test_dependency_parser(pixel):
    model = DependencyParser(pixel.backbone(), 5, leaky=True)
    batch = pixel.inputs("parse")
    batch["word_starts"] = pixel.file["parse/in/word_starts"]
    batch["head"] = pixel.file["parse/in/arc_labels"]
    batch["relation"] = pixel.file["parse/in/rel_labels"]
    outputs = {"arc_logits": "arc_logits", "relation_logits": "rel_logits"}
    left_over = _check(pixel, model, "parse", batch, outputs)
    assert left_over == {"classifier.weight", "classifier.bias"}
    # By hand: how many arcs, and arcs with relations, are right.
    arcs = pixel.file["parse/out/arc_logits"]
    rels = pixel.file["parse/out/rel_logits"]
    right, both, count = 0, 0, 0
    for b, w in np.argwhere(batch["head"] >= 0):
        head = arcs[b, w].argmax()
        good = head == batch["head"][b, w]
        kind = rels[b, w, head].argmax() == batch["relation"][b, w]
        right, both, count = right + good, both + (good and kind), count + 1
    numerators, counts = model.loss_sums(batch, KEY, training=False)
    assert float(counts["uas"]) == float(counts["las"]) == count
    assert float(numerators["uas"]) == right
    assert float(numerators["las"]) == both
    # Without leaks, words that are not there are no candidates.
    tight = DependencyParser(pixel.backbone(), 5)
    pixel.load(tight, "parse")
    found = heads.arrays(tight(batch))["arc_logits"]
    for row, theirs, words in zip(found, arcs, (4, 6, 2), strict=True):
        np.testing.assert_allclose(
            row[:, : words + 1], theirs[:, : words + 1], rtol=0, atol=1e-5
        )
        assert (row[:, words + 1 :] == -1e9).all()


def test_every_head_of_the_fixture_is_tested(pixel):
    names = {key.split("/")[0] for key in pixel.file.files} - {"in"}
    assert names == {
        *("seq_mean", "seq_max", "seq_cls", "seq_pma4", "seq_regression"),
        *("tok", "qa", "parse", "seq16"),
    }
    assert issubclass(TextRegressor, tasks.TextTask)
