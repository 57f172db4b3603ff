"""What answers are worth: scores of whole data sets, in numpy.

Here: numbers that are no mean over examples, and what benchmarks report.
Not here: the sums of the training step (`sums` of each task).
"""

import collections
import re
import string
import unicodedata

import numpy as np

from pixmodels._optional import load


def class_scores(labels, predicted):
    """Accuracy, macro F1 and Matthews' correlation.

    Args:
        labels, predicted: (n,) ints, n >= 1.

    Returns:
        dict of floats: "accuracy"; "macro_f1", the mean over the classes
        that occur in either; "matthews", 0 where there is one class alone.
    """
    from sklearn import metrics

    labels, predicted = np.asarray(labels), np.asarray(predicted)
    several = len(np.unique([labels, predicted])) > 1
    return {
        "accuracy": float(np.mean(labels == predicted)),
        "macro_f1": float(
            metrics.f1_score(
                labels, predicted, average="macro", zero_division=0
            )
        ),
        "matthews": (
            float(metrics.matthews_corrcoef(labels, predicted))
            if several
            else 0.0
        ),
    }


def spans_of(tags):
    """The named spans in a sequence of IOB tags.

    A span begins at `B-X`, or at `I-X` where no span of the same type goes
    before it (IOB1 and IOB2 are read alike, as `conlleval` does).

    Args:
        tags: list of str such as "O", "B-PER", "I-PER", or None for a word
            without one.

    Returns:
        set of (type, first word, word after the last).

    Raises:
        ValueError: for a tag of another form.
    """
    found, start, kind = set(), None, None
    for place, tag in enumerate([*tags, "O"]):
        head, _, name = (tag or "O").partition("-")
        if head not in ("O", "B", "I") or (head == "O") != (not name):
            raise ValueError(
                "Expected tags 'O', 'B-X' or 'I-X'. Received: "
                f"tags[{place}]={tag!r}."
            )
        goes_on = head == "I" and name == kind
        if kind is not None and not goes_on:
            found.add((kind, start, place))
            kind = None
        if head != "O" and not goes_on:
            start, kind = place, name
    return found


def span_scores(labels, predicted):
    """Precision, recall and F1 of named spans: type and limits must agree.

    Args:
        labels, predicted: list of lists of tags, as `spans_of` takes.

    Returns:
        dict of floats: "precision", "recall", "f1"; 0 where there is nothing
        to divide by.

    Source: Tjong Kim Sang and De Meulder 2003, `conlleval`.
    """
    right = found = wanted = 0
    for gold, guess in zip(labels, predicted, strict=True):
        gold, guess = spans_of(gold), spans_of(guess)
        right += len(gold & guess)
        found += len(guess)
        wanted += len(gold)
    precision = right / found if found else 0.0
    recall = right / wanted if wanted else 0.0
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def attachment_scores(heads, relations, trees):
    """UAS and LAS: the share of words with the right head (and relation).

    Args:
        heads: list of lists of int, negative where there is none.
        relations: list of lists of str.
        trees: list of `DependencyTree`; words that were cut off are wrong.

    Returns:
        dict of floats, "uas" and "las". Punctuation counts.
    """
    right = np.zeros(3)
    for gold, names, tree in zip(heads, relations, trees, strict=True):
        rows = zip(gold, names, tree.heads, tree.relations, strict=True)
        for head, name, found, relation in rows:
            if head >= 0:
                same = head == found
                right += (1, same, same and name == relation)
    return {
        "uas": float(right[1] / max(right[0], 1)),
        "las": float(right[2] / max(right[0], 1)),
    }


def answer_scores(answers, predicted, unit="words"):
    """Exact match and F1 of answers, the best over the annotators.

    Args:
        answers: for each question, the texts of its answers; none for a
            question without an answer.
        predicted: for each question, the text found; empty for no answer.
        unit: "words", as of SQuAD: without case, punctuation and English
            articles; or "characters", as of KorQuAD and JaQuAD: without
            punctuation and white space, letters counted.

    Returns:
        dict of floats in [0, 1], "exact" and "f1".

    Source: Rajpurkar et al. 2016, `evaluate-v1.1.py`; of characters, Lim et
    al. 2019 (KorQuAD 1.0) and So et al. 2022 (JaQuAD).
    """
    if unit not in _UNITS:
        raise ValueError(
            f"Expected unit to be one of {tuple(_UNITS)}. Received: "
            f"unit={unit!r}."
        )
    parts = _UNITS[unit]
    exact = f1 = 0.0
    for golds, found in zip(answers, predicted, strict=True):
        guess = parts(found)
        pairs = [_overlap(parts(gold), guess) for gold in golds or ("",)]
        exact += max(same for same, _ in pairs)
        f1 += max(score for _, score in pairs)
    count = max(len(answers), 1)
    return {"exact": exact / count, "f1": f1 / count}


def _words(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def _characters(text):
    return [
        c
        for c in text.lower()
        if not c.isspace() and unicodedata.category(c)[0] != "P"
    ]


_UNITS = {"words": _words, "characters": _characters}


def _overlap(gold, guess):
    """(whether equal, F1) of two lists of parts."""
    same = float(gold == guess)
    common = collections.Counter(gold) & collections.Counter(guess)
    shared = sum(common.values())
    if not gold or not guess or not shared:
        return same, same
    precision, recall = shared / len(guess), shared / len(gold)
    return same, 2 * precision * recall / (precision + recall)


def translation_scores(references, predicted):
    """BLEU and chrF of a corpus, by sacrebleu (`pixmodels[translation]`).

    Args:
        references: for each text, its translation, or a list of several.
        predicted: list of str, what a model wrote; not tokenised.

    Returns:
        dict: "bleu" and "chrf" in [0, 100], of sacrebleu's defaults (13a
        tokens; character 6-grams), and "signature", a str that says so.

    Raises:
        ImportError: sacrebleu is missing.
        ValueError: for no texts, or numbers of texts that differ.

    Source: Post 2018, "A Call for Clarity in Reporting BLEU Scores"; Popovic
    2015 (chrF).
    """
    metrics = load("sacrebleu.metrics")
    references = _references(references, predicted)
    columns = [
        [texts[i] if i < len(texts) else None for texts in references]
        for i in range(max(map(len, references)))
    ]
    bleu, chrf = metrics.BLEU(), metrics.CHRF()
    return {
        "bleu": float(bleu.corpus_score(predicted, columns).score),
        "chrf": float(chrf.corpus_score(predicted, columns).score),
        "signature": str(bleu.get_signature()),
    }


def summary_scores(references, predicted, stemmed=True):
    """ROUGE-1, ROUGE-2 and ROUGE-L, by rouge-score.

    Args:
        references: for each text, its summary, or a list of several: the best
            counts. Sentences stand on lines of their own.
        predicted: list of str, what a model wrote.
        stemmed: compare words without their endings (Porter), as papers do.

    Returns:
        dict: "rouge1", "rouge2" and "rouge_l_sum", mean F1 in [0, 100]. The
        package knows words of a to z and 0 to 9 only: other scripts score 0.

    Raises:
        ImportError: rouge-score is missing (`pixmodels[translation]`).
        ValueError: for no texts, or numbers of texts that differ.

    Source: Lin 2004.
    """
    scorer = load("rouge_score.rouge_scorer").RougeScorer(
        ["rouge1", "rouge2", "rougeLsum"], use_stemmer=stemmed
    )
    references = _references(references, predicted)
    found = [
        scorer.score_multi(texts, guess)
        for texts, guess in zip(references, predicted, strict=True)
    ]
    names = {"rouge1": "rouge1", "rouge2": "rouge2", "rouge_l_sum": "rougeLsum"}
    return {
        name: 100 * float(np.mean([row[theirs].fmeasure for row in found]))
        for name, theirs in names.items()
    }


def _references(references, predicted):
    """A list of texts for each prediction, or a ValueError."""
    if not len(predicted) or len(references) != len(predicted):
        raise ValueError(
            "Expected as many references as predictions, at least one. "
            f"Received: {len(references)} references, {len(predicted)} "
            "predictions."
        )
    return [[x] if isinstance(x, str) else list(x) for x in references]
