"""Logits of windows to answers: spans of patches, then of characters.

Plain arrays; the model that makes the logits is `question_answerer`."""

import re

import numpy as np

from pixmodels.tasks.answer import Answer

_CONTEXT = 1  # the part of a pair that is the context
_CANDIDATES = 4  # looked at for each answer, as several may be the same


class Finder:
    """Collects the spans of windows and ranks them for each question.

    Args:
        pairs: list of (question, context).
        num_best, null_threshold, max_answer_patches, whole_words: as
            `QuestionAnswerer.answer`.
    """

    def __init__(
        self, pairs, num_best, null_threshold, max_answer_patches, whole_words
    ):
        for name, value in (
            ("num_best", num_best),
            ("max_answer_patches", max_answer_patches),
        ):
            if value < 1:
                raise ValueError(
                    f"Expected {name} >= 1. Received: {name}={value}."
                )
        self._contexts = [context for _, context in pairs]
        self._num_best = num_best
        self._threshold = null_threshold
        self._longest = max_answer_patches
        self._whole_words = whole_words
        self._found = [{} for _ in pairs]  # (start, end) -> score
        self._null = np.full(len(pairs), np.inf)
        self._total = np.full(len(pairs), -np.inf)  # log of a sum

    def add(self, drawn, window, start_logits, end_logits):
        """Takes the logits of one window.

        Args:
            drawn: `RenderedBatch` of windows.
            window: int, which of them.
            start_logits, end_logits: (N + 1,) float, no answer last.
        """
        pair = int(drawn.window_of[window])
        null = float(start_logits[-1]) + float(end_logits[-1])
        self._null[pair] = min(self._null[pair], null)
        parts = drawn.offsets[window][: len(start_logits) - 1, 0]
        places = np.flatnonzero(parts == _CONTEXT)
        if not len(places):
            return
        scores = self._scores(start_logits, end_logits, places)
        total = np.logaddexp.reduce(scores, axis=None)
        self._total[pair] = np.logaddexp(self._total[pair], total)
        for place in _largest(scores, _CANDIDATES * self._num_best):
            first, last = places[list(divmod(place, len(places)))]
            span = self._characters(drawn, window, pair, first, last)
            if span is not None:
                score = float(scores.flat[place])
                known = self._found[pair].get(span, -np.inf)
                self._found[pair][span] = max(known, score)

    def answers(self):
        """For each question a list of `Answer`, the best first."""
        return [self._ranked(pair) for pair in range(len(self._contexts))]

    def _scores(self, start_logits, end_logits, places):
        """(n, n) float64: the score of each span, -inf where forbidden."""
        start = np.asarray(start_logits, "float64")[places][:, None]
        end = np.asarray(end_logits, "float64")[places][None, :]
        length = places[None, :] - places[:, None] + 1
        allowed = (length >= 1) & (length <= self._longest)
        return np.where(allowed, start + end, -np.inf)

    def _characters(self, drawn, window, pair, first, last):
        """(start, end) in the context, without white space around it."""
        located = [
            piece
            for piece in drawn.locate(window, int(first), int(last))
            if piece.part == _CONTEXT
        ]
        context = self._contexts[pair]
        start = min(piece.start for piece in located)
        end = max(piece.end for piece in located)
        if self._whole_words:
            start, end = _words_of(context, start, end)
        text = context[start:end]
        start += len(text) - len(text.lstrip())
        end -= len(text) - len(text.rstrip())
        return (start, end) if start < end else None

    def _ranked(self, pair):
        found = [
            (score, span, score) for span, score in self._found[pair].items()
        ]
        total = self._total[pair]
        if self._threshold is not None:
            null = float(self._null[pair])
            total = np.logaddexp(total, null)
            found.append((null - self._threshold, None, null))
        # Ties: an answer before none, then the earlier one.
        found.sort(key=lambda x: (-x[0], x[1] is None, x[1] or ()))
        return [
            self._answer(pair, span, score, total)
            for _, span, score in found[: self._num_best]
        ]

    def _answer(self, pair, span, score, total):
        probability = min(1.0, float(np.exp(score - total)))
        if span is None:
            return Answer("", None, None, score, probability)
        text = self._contexts[pair][slice(*span)]
        return Answer(text, *span, score, probability)


def patches_of_answer(drawn, window, span):
    """The patches of an answer in one window.

    Args:
        drawn: `RenderedBatch` of windows.
        window: int, which of them.
        span: (start, end), characters of the context; None for no answer.

    Returns:
        (first, last) ints; (-1, -1) where the window does not hold all of it.
    """
    if span is None:
        return -1, -1
    ranges = drawn.patches_of(window, _CONTEXT, *span)
    if not ranges:
        return -1, -1
    first, last = ranges[0][0], ranges[-1][1]
    held = [x for x in drawn.locate(window, first, last) if x.part == _CONTEXT]
    inside = any(x.start <= span[0] and span[1] <= x.end for x in held)
    return (first, last) if inside else (-1, -1)


def _largest(scores, count):
    """Flat indices of the largest finite scores, the largest first."""
    flat = scores.ravel()
    count = min(count, len(flat))
    some = np.argpartition(-flat, count - 1)[:count]
    some = some[np.argsort(-flat[some], kind="stable")]
    return [int(i) for i in some if np.isfinite(flat[i])]


def _words_of(text, start, end):
    """The words of which a span has more than half the letters.

    The span itself where there is none.
    """
    kept = [
        word.span()
        for word in re.finditer(r"\S+", text)
        if 2 * (min(end, word.end()) - max(start, word.start()))
        > word.end() - word.start()
    ]
    if not kept:
        return start, end
    return kept[0][0], kept[-1][1]
