import heads
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.renderers import CairoRenderer
from pixmodels.tasks import QuestionAnswerer
from pixmodels.tasks import RenderedQuestionSource
from pixmodels.tasks import _spans

KEY = np.array([3, 5], "int32")
CONTEXT = "It was the owl that spoke, and not the cat or the dog. " * 2


@pytest.fixture(scope="module")
def renderer():
    return CairoRenderer(max_patches=53)


def _model(length=29, side=16, **options):
    keras.utils.set_random_seed(3)
    backbone = heads.backbone(length, side=side, num_layers=1)
    return heads.randomise(QuestionAnswerer(backbone, **options))


def _windows(renderer, pairs=(("Who spoke?", CONTEXT),)):
    return renderer.windows(list(pairs), num_patches=29, stride=7)


def test_loss_sums_by_hand():
    model, batch = _model(heads.LENGTH, heads.SIDE), heads.batch()
    n = heads.LENGTH
    batch["start"] = np.array([1, -1, n + 1, 2], "int32")
    batch["end"] = np.array([1, n, 5, 3], "int32")
    outputs = heads.arrays(model(batch))
    loss, exact, count = 0.0, 0, 0
    for row in range(3):  # the last one has weight 0
        right = True
        for name in ("start", "end"):
            label = batch[name][row]
            z = outputs[f"{name}_logits"][row].astype("float64")
            assert z.shape == (n + 1,)
            if label > n:  # is ignored, as in PIXEL
                right = False
                continue
            label = n if label < 0 else label
            loss += (np.log(np.exp(z).sum()) - z[label]) / 2
            right &= bool(z.argmax() == label)
            count += 0.5
        exact += right
    numerators, counts = model.loss_sums(batch, KEY, training=False)
    assert float(counts["loss"]) == float(counts["exact"]) == count == 2.5
    assert float(numerators["loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(numerators["exact"]) == exact


def test_padding_is_no_candidate():
    model, batch = _model(heads.LENGTH, heads.SIDE), heads.batch()
    outputs = heads.arrays(model(batch))
    real = np.arange(heads.LENGTH) <= batch["num_patches"][:, None]
    for logits in outputs.values():
        assert (logits[:, :-1][~real] == -1e9).all()
        assert (np.abs(logits[:, :-1][real]) < 1e3).all()
        assert (np.abs(logits[:, -1]) < 1e3).all()


def _brute_force(drawn, logits, longest, context):
    """(span -> best score, log of the sum over all spans)."""
    found, everything = {}, []
    for window, (start, end) in enumerate(logits):
        parts = drawn.offsets[window][:, 0]
        places = [p for p in range(len(parts)) if parts[p] == 1]
        for first in places:
            for last in places:
                if not 0 <= last - first < longest:
                    continue
                score = float(start[first]) + float(end[last])
                everything.append(score)
                pieces = drawn.locate(window, first, last)
                a = min(x.start for x in pieces if x.part == 1)
                b = max(x.end for x in pieces if x.part == 1)
                while a < b and context[a].isspace():
                    a += 1
                while a < b and context[b - 1].isspace():
                    b -= 1
                if a < b:
                    found[a, b] = max(found.get((a, b), -np.inf), score)
    return found, np.logaddexp.reduce(everything)


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_best_spans_against_all_spans(renderer, seed, longest):
    drawn = _windows(renderer)
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(drawn), 2, 30))
    finder = _spans.Finder([("Who spoke?", CONTEXT)], 5, 0.0, longest, False)
    for window, (start, end) in enumerate(logits):
        finder.add(drawn, window, start, end)
    expected, total = _brute_force(drawn, logits, longest, CONTEXT)
    null = min(float(s[-1]) + float(e[-1]) for s, e in logits)
    total = np.logaddexp(total, null)
    ranked = sorted([*expected.values(), null], reverse=True)[:5]
    answers = finder.answers()[0]
    assert [a.score for a in answers] == pytest.approx(ranked)
    for answer in answers:
        assert answer.probability == pytest.approx(np.exp(answer.score - total))
        if answer.start is None:
            assert (answer.text, answer.end) == ("", None)
            assert answer.score == pytest.approx(null)
        else:
            assert answer.text == CONTEXT[answer.start : answer.end]
            assert expected[answer.start, answer.end] == answer.score


def _answers(drawn, span, threshold, null=0.0, whole_words=False, best=3):
    """The answers where one span of window 1 stands out."""
    finder = _spans.Finder(
        [("Who spoke?", CONTEXT)], best, threshold, 30, whole_words
    )
    for window in range(len(drawn)):
        start, end = np.full((2, 30), -5.0)
        start[-1] = end[-1] = null / 2
        if window == 1:
            start[span[0]] = end[span[1]] = 2.0
        finder.add(drawn, window, start, end)
    return finder.answers()[0]


def test_no_answer_and_its_threshold(renderer):
    drawn = _windows(renderer)
    span = drawn.patches_of(1, 1, *_middle(drawn))[0]
    first = _answers(drawn, span, None)[0]
    assert first.start is not None
    assert first.score == 4.0
    # No answer has 6, the best answer 4: 2 above.
    for threshold, wins in ((None, False), (3.0, False), (1.0, True)):
        answers = _answers(drawn, span, threshold, null=6.0)
        assert (answers[0].start is None) == wins
        assert sum(a.start is None for a in answers) == (threshold is not None)
    # With no answer allowed the probability is shared with it.
    shared = _answers(drawn, span, 9.0, null=4.0)
    assert shared[0].probability == pytest.approx(0.5, abs=0.05)
    assert first.probability == pytest.approx(1.0, abs=0.05)


def _middle(drawn):
    """Some characters in the middle of window 1."""
    places = np.flatnonzero(drawn.offsets[1][:, 0] == 1)
    patch = places[len(places) // 2]
    found = [x for x in drawn.locate(1, patch, patch + 2) if x.part == 1]
    return found[0].start, found[-1].end


def test_whole_words(renderer):
    context = "one three five"
    for span, expected in (
        ((0, 3), (0, 3)),
        ((1, 3), (0, 3)),
        ((2, 9), (4, 9)),
        ((5, 12), (4, 9)),
        ((5, 13), (4, 14)),
        ((3, 4), (3, 4)),
        ((6, 7), (6, 7)),
    ):
        assert _spans._words_of(context, *span) == expected, span
    drawn = _windows(renderer)
    span = drawn.patches_of(1, 1, *_middle(drawn))[0]
    answer = _answers(drawn, span, None, whole_words=True)[0]
    for place in (answer.start - 1, answer.end):
        assert not 0 <= place < len(CONTEXT) or CONTEXT[place].isspace()


def test_answer(renderer):
    model = _model()
    questions = ["Who spoke?", "What did the owl do?"]
    contexts = [CONTEXT, "Nothing at all."]
    options = {"num_best": 4, "null_threshold": 0.0, "max_answer_patches": 5}
    both = model.answer(questions, contexts, renderer, batch_size=2, **options)
    assert len(both) == 2
    for question, context, answers in zip(questions, contexts, both):
        alone = model.answer(question, context, renderer, **options)
        assert [(a.start, a.end) for a in alone] == [
            (a.start, a.end) for a in answers
        ]
        np.testing.assert_allclose(
            [a.score for a in alone], [a.score for a in answers], atol=1e-5
        )
        assert all(a.text == context[a.start : a.end] for a in answers if a.end)
        assert len({(a.start, a.end) for a in answers}) == 4
    # The windows at their full width, one by one, without trimming.
    drawn = renderer.windows(
        (questions[0], CONTEXT), num_patches=29, stride=11, question_patches=9
    )
    finder = _spans.Finder([(questions[0], CONTEXT)], 4, 0.0, 5, False)
    for window in range(len(drawn)):
        inputs = {
            "pixels": drawn.pixels[window : window + 1],
            "num_patches": drawn.num_patches[window : window + 1],
        }
        found = heads.arrays(model(inputs))
        finder.add(
            drawn, window, found["start_logits"][0], found["end_logits"][0]
        )
    expected = finder.answers()[0]
    assert [a.text for a in expected] == [a.text for a in both[0]]
    np.testing.assert_allclose(
        [a.score for a in expected], [a.score for a in both[0]], atol=1e-5
    )
    assert model.answer([], [], renderer) == []


def test_leaky_windows_are_not_trimmed():
    model, narrow = _model(leaky=True), CairoRenderer(max_patches=23)
    with pytest.warns(UserWarning, match="leaky=True sees the padding"):
        answers = model.answer("Who?", "It was the owl.", narrow)
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("question", "context", "options", "error", "match"),
    [
        ("a", ["b"], {}, TypeError, "context of type list"),
        (["a"], ["b", "c"], {}, ValueError, "1 questions, 2 contexts"),
        ("a", "b", {"num_best": 0}, ValueError, "num_best=0"),
        ("a", "b", {"max_answer_patches": 0}, ValueError, "patches=0"),
        ("a", "b", {"num_patches": 3}, ValueError, "num_patches=3"),
        ("a", "b", {"buckets": (5, 3)}, ValueError, r"buckets=\(5, 3\)"),
    ],
)
def test_bad_arguments(question, context, options, error, match, renderer):
    with pytest.raises(error, match=match):
        _model().answer(question, context, renderer, **options)


def test_config():
    model = _model(leaky=True)
    config = model.get_config()
    assert QuestionAnswerer.from_config(config).get_config() == config
    spec = model.batch_spec(3, 7)
    assert spec["pixels"] == ((3, 16, 112), "uint8")
    assert spec["start"] == spec["end"] == ((3,), "int32")


@pytest.mark.slow
def test_learns_from_a_source():
    keras.utils.set_random_seed(3)
    backbone = heads.backbone(17, side=16, num_layers=1, pixel_offset=1.0)
    model = QuestionAnswerer(backbone)
    renderer = CairoRenderer(max_patches=17)
    pairs, answers = [], []
    rng = np.random.default_rng(5)
    for _ in range(31):
        words = [str(x) for x in rng.choice(["aa", "see", "nun"], 4)]
        place = int(rng.integers(4))
        words[place] = "MWM"
        context = " ".join(words)
        pairs.append(("?", context))
        start = context.index("MWM")
        answers.append((start, start + 3))
    source = RenderedQuestionSource(pairs, renderer, answers=answers)
    batch = source.get_batch(np.arange(len(source)), length=17)
    model.compile(optimizer=keras.optimizers.Adam(0.02), jit_compile=False)
    history = model.fit(batch, epochs=40, batch_size=31, verbose=0)
    assert history.history["loss"][-1] < 0.5 < history.history["loss"][0]
    found = model.answer(
        "?", "see aa MWM nun", renderer, whole_words=True, null_threshold=0.0
    )
    assert found[0].text == "MWM"
