"""Scores against values worked by hand, brute force and scikit-learn."""

import itertools

import numpy as np
import pytest
from sklearn import metrics

from pixmodels import tasks
from pixmodels.tasks import scores


def test_classes():
    labels, guess = [0, 0, 1, 1, 2], [0, 1, 1, 1, 0]
    found = scores.class_scores(labels, guess)
    # F1 of class 0: 1/2, of 1: 4/5, of 2: 0.
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["macro_f1"] == pytest.approx((1 / 2 + 4 / 5) / 3)
    expected = metrics.matthews_corrcoef(labels, guess)
    assert found["matthews"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("B-A I-A O B-B", {("A", 0, 2), ("B", 3, 4)}),
        ("I-A I-A I-B", {("A", 0, 2), ("B", 2, 3)}),
        ("B-A B-A I-A", {("A", 0, 1), ("A", 1, 3)}),
        ("O O", set()),
        ("B-A I-B I-A", {("A", 0, 1), ("B", 1, 2), ("A", 2, 3)}),
        ("", set()),
    ],
)
def test_spans(tags, spans):
    assert scores.spans_of(tags.split()) == spans


def by_definition(tags):
    """Spans as maximal runs, found by trying all of them."""
    found = set()
    for start, end in itertools.combinations(range(len(tags) + 1), 2):
        kinds = {tag[2:] for tag in tags[start:end]}
        inside = [tag[0] for tag in tags[start:end]]
        if len(kinds) != 1 or "O" in inside or "B" in inside[1:]:
            continue
        kind = kinds.pop()
        begins = (
            tags[start][0] == "B" or not start or tags[start - 1][2:] != kind
        )
        if begins and (end == len(tags) or tags[end] != f"I-{kind}"):
            found.add((kind, start, end))
    return found


def test_all_short_sequences():
    for length in range(5):
        names = ("O", "B-A", "I-A", "B-B", "I-B")
        for tags in itertools.product(names, repeat=length):
            assert scores.spans_of(tags) == by_definition(tags), tags


def test_span_f1():
    gold = [["B-A", "I-A", "O"], ["B-B"], ["O"]]
    guess = [["B-A", "O", "O"], ["B-B"], ["B-B"]]
    found = scores.span_scores(gold, guess)
    assert found == {
        "precision": pytest.approx(1 / 3),
        "recall": pytest.approx(1 / 2),
        "f1": pytest.approx(2 / 5),
    }
    nothing = scores.span_scores([["O"]], [[None]])
    assert nothing == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    with pytest.raises(ValueError, match=r"tags\[1\]='NOUN'"):
        scores.span_scores([["O", "NOUN"]], [["O", "O"]])


def test_attachment():
    tree = tasks.DependencyTree(
        ("a", "b", "c", "d"),
        (2, 0, 2, None),
        ("det", "root", "obl", None),
        (1.0, 1.0, 1.0, None),
    )
    found = scores.attachment_scores(
        [(2, 0, 2, 3)], [("det", "root", "obj", "punct")], [tree]
    )
    assert found == {"uas": 3 / 4, "las": 2 / 4}
    found = scores.attachment_scores(
        [(2, -1, -1, -1)], [("det", None, None, None)], [tree]
    )
    assert found == {"uas": 1.0, "las": 1.0}


def test_answers():
    found = scores.answer_scores(
        [("The cat", "dog"), ("a b c d",), (), ()],
        ["cat!", "b c x", "", "z"],
    )
    # 1; shared 2 of 3 found ("a" is no word) and of 3 wanted; 1; 0.
    assert found["exact"] == pytest.approx(2 / 4)
    assert found["f1"] == pytest.approx((1 + 2 / 3 + 1 + 0) / 4)
    found = scores.answer_scores([("奈良県。",)], ["奈良"], "characters")
    assert found["exact"] == 0
    assert found["f1"] == pytest.approx(2 * (2 / 2) * (2 / 3) / (1 + 2 / 3))
    with pytest.raises(ValueError, match="unit='letters'"):
        scores.answer_scores([], [], "letters")


def test_class_scores_of_one_class_have_no_warning():
    found = scores.class_scores(np.zeros(3, int), np.zeros(3, int))
    assert found == {"accuracy": 1.0, "macro_f1": 1.0, "matthews": 0.0}


def test_translation_scores_are_those_of_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu")
    guesses = ["the owl wrote a letter", "a cat read it twice today"]
    golds = ["the owl wrote letters", ["a cat read it", "it was read twice"]]
    found = scores.translation_scores(golds, guesses)
    columns = [["the owl wrote letters", "a cat read it"]]
    columns.append([None, "it was read twice"])
    expected = sacrebleu.corpus_bleu(guesses, columns)
    assert found["bleu"] == expected.score
    assert found["chrf"] == sacrebleu.corpus_chrf(guesses, columns).score
    assert "tok:13a" in found["signature"]
    same = scores.translation_scores(guesses, guesses)
    assert same["bleu"] == pytest.approx(100)
    assert same["chrf"] == pytest.approx(100)


def test_summary_scores_by_hand():
    pytest.importorskip("rouge_score")
    # Two of three words, one of two pairs; then the better of two.
    golds = ["an owl writes", ["nothing", "a cat reads"]]
    guesses = ["an owl reads", "a cat reads"]
    found = scores.summary_scores(golds, guesses)
    assert found["rouge1"] == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert found["rouge2"] == pytest.approx(100 * (1 / 2 + 1) / 2)
    assert found["rouge_l_sum"] == pytest.approx(100 * (2 / 3 + 1) / 2)


@pytest.mark.parametrize("name", ["translation_scores", "summary_scores"])
def test_scores_of_nothing_are_refused(name):
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    with pytest.raises(ValueError, match="0 references, 0 predictions"):
        getattr(scores, name)([], [])
    with pytest.raises(ValueError, match="1 references, 2 predictions"):
        getattr(scores, name)(["a"], ["a", "b"])
