"""Words of drawn sentences: checks, and arrays of where they start.

Drawing is the renderers' work."""

import numpy as np

# The label of a patch that has none.
IGNORED = -100
# Stands where a sentence has no further word.
ABSENT = -1


def sentences(words):
    """Lists of words, and whether a single one was given.

    Raises:
        TypeError: for anything else.
    """
    words = list(words) if not isinstance(words, str) else words
    single = bool(words) and all(isinstance(word, str) for word in words)
    found = [words] if single else words
    for place, sentence in enumerate(found):
        good = isinstance(sentence, (list, tuple)) and all(
            isinstance(word, str) for word in sentence
        )
        if isinstance(words, str) or not good:
            raise TypeError(
                "Expected lists of words. Received: "
                f"sentences[{place}]={sentence!r}."
            )
    return [list(sentence) for sentence in found], single


def starts_array(word_starts, num_words=None):
    """Where words start, as one array.

    Args:
        word_starts: for each sentence, ints: the patch where each drawn word
            starts, then the end patch.
        num_words: W; the most words of a sentence by default. Further words
            are left out.

    Returns:
        (B, W + 1) int32, filled up with -1.
    """
    if num_words is None:
        num_words = max((len(starts) - 1 for starts in word_starts), default=0)
    found = np.full((len(word_starts), num_words + 1), ABSENT, np.int32)
    for row, starts in zip(found, word_starts):
        starts = starts[: num_words + 1]
        row[: len(starts)] = starts
    return found


def label_patches(word_starts, labels, length):
    """Labels of words to labels of patches.

    Args:
        word_starts: for each sentence, ints: the patch where each drawn word
            starts, then the end patch (`RenderedBatch.word_starts`).
        labels: for each sentence, an int for each word; those of words that
            were not drawn are left out.
        length: N.

    Returns:
        (B, N) int32, the label on the first patch of each word and -100
        elsewhere.

    Raises:
        ValueError: for fewer labels than words.

    Example:
        >>> pixmodels.tasks.label_patches([(0, 2, 3)], [[7, 5]], 5).tolist()
        [[7, -100, 5, -100, -100]]
    """
    found = np.full((len(word_starts), length), IGNORED, np.int32)
    for row, starts, tags in zip(found, word_starts, labels, strict=True):
        if len(tags) < len(starts) - 1:
            raise ValueError(
                "Expected a label for each word. Received: "
                f"{len(starts) - 1} words, {len(tags)} labels."
            )
        for start, tag in zip(starts[:-1], tags):
            if start < length:
                row[start] = tag
    return found
