import numpy as np

from pixmodels.tasks import _words
from pixmodels.tasks.rendered_text_source import RenderedTextSource


class RenderedWordSource(RenderedTextSource):
    """Sentences of labelled words, drawn once: a source for the pipeline.

    Batches are what `TokenClassifier` (with `tags`) or `DependencyParser`
    (with `heads` and `relations`) are trained on.

    Args:
        sentences: list of lists of words.
        renderer: `pixmodels.renderers.CairoRenderer`.
        tags: for each sentence, an int for each word; negative ones are
            ignored.
        heads: for each sentence, the number of each word's head, counted from
            1, 0 for the root; negative ones are ignored.
        relations: for each sentence, an int for each word.
        chunk_size, progress: as `RenderedTextSource`.

    Attributes:
        lengths: (n,) int32, patches of each sentence with its end patch.

    Raises:
        TypeError: for sentences that are not lists of words.
        ValueError: for no sentences, neither tags nor heads, heads without
            relations, labels that are not as many as words, or heads beyond
            the sentence.

    Example:
        >>> source = pixmodels.tasks.RenderedWordSource(
        ...     [["cats", "purr"]], pixmodels.renderers.CairoRenderer(),
        ...     tags=[[0, 1]])
        >>> source.get_batch([0], length=7)["label"].tolist()
        [[0, -100, 1, -100, -100, -100, -100]]
    """

    def __init__(
        self,
        sentences,
        renderer,
        *,
        tags=None,
        heads=None,
        relations=None,
        chunk_size=64,
        progress=None,
    ):
        sentences, single = _words.sentences(sentences)
        if single:
            raise TypeError(
                "Expected a list of sentences, each a list of words. Received: "
                f"one sentence, {sentences[0]!r}."
            )
        if (tags is None) == (heads is None) or (
            (heads is None) != (relations is None)
        ):
            raise ValueError(
                "Expected either tags, or heads and relations. Received: "
                f"tags={_kind(tags)}, heads={_kind(heads)}, "
                f"relations={_kind(relations)}."
            )
        self.tags = _checked("tags", tags, sentences)
        self.heads = _checked("heads", heads, sentences)
        self.relations = _checked("relations", relations, sentences)
        for place, found in enumerate(self.heads or ()):
            if found and max(found) > len(found):
                raise ValueError(
                    f"Expected heads in [0, {len(found)}]. Received: "
                    f"heads[{place}]={found}."
                )
        self._word_starts = []
        super().__init__(
            sentences, renderer, chunk_size=chunk_size, progress=progress
        )
        self._most_words = max(len(s) - 1 for s in self._word_starts)

    def _note(self, drawn, start):
        super()._note(drawn, start)
        self._word_starts += drawn.word_starts

    def get_batch(self, indices, length=None, seed=0, epoch=0):
        """A batch of drawn sentences.

        Args:
            indices, length, seed, epoch: as `RenderedTextSource.get_batch`.

        Returns:
            dict as there, with `label` (B, N) int32 for tags; or, for heads,
            without `label` and with `word_starts` (B, W + 1), `head` and
            `relation` (B, W) int32. W depends on N only. Words that are cut
            off have no labels.

        Raises:
            IndexError, ValueError: as there.
        """
        batch = super().get_batch(indices, length, seed, epoch)
        del batch["label"]
        ids, ends = batch["example_id"], batch["num_patches"]
        starts = [self._drawn(i, end) for i, end in zip(ids, ends)]
        length = batch["pixels"].shape[2] // self.patch_size
        if self.tags is not None:
            tags = [self.tags[i] if i >= 0 else () for i in ids]
            return {
                **batch,
                "label": _words.label_patches(starts, tags, length),
            }
        words = max(1, min(length - 1, self._most_words))
        return {
            **batch,
            "word_starts": _words.starts_array(starts, words),
            "head": self._rows(self.heads, ids, starts, words),
            "relation": self._rows(self.relations, ids, starts, words),
        }

    def _drawn(self, index, end):
        """Starts of the words before the end patch, then that."""
        if index < 0:
            return (0,)
        return (*(s for s in self._word_starts[index][:-1] if s < end), end)

    def _rows(self, labels, ids, starts, words):
        found = np.full((len(ids), words), _words.IGNORED, np.int32)
        for row, i, places in zip(found, ids, starts):
            count = min(len(places) - 1, words)
            row[:count] = labels[i][:count] if i >= 0 else ()
        return found


def _kind(labels):
    return None if labels is None else "given"


def _checked(name, labels, sentences):
    if labels is None:
        return None
    labels = [[int(x) for x in row] for row in labels]
    counts = [len(row) for row in labels], [len(row) for row in sentences]
    if counts[0] != counts[1]:
        wrong = next(
            (i for i, (a, b) in enumerate(zip(*counts)) if a != b),
            min(map(len, counts)),
        )
        raise ValueError(
            f"Expected {name} with one entry for each word. Received: "
            f"{len(labels)} lists for {len(sentences)} sentences, the first "
            f"difference at {name}[{wrong}]."
        )
    return labels
