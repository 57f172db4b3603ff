import numpy as np

from pixmodels.tasks import _spans
from pixmodels.tasks.rendered_text_source import RenderedTextSource


class RenderedQuestionSource(RenderedTextSource):
    """Questions with their contexts as windows: a source for the pipeline.

    An example is a window, see `CairoRenderer.windows`; where it does not hold
    the whole answer, its label is "no answer". `QuestionAnswerer` is trained
    on the batches.

    Args:
        pairs: list of (question, context).
        renderer: `pixmodels.renderers.CairoRenderer`.
        answers: for each pair (start, end), characters of the context, or
            None for no answer.
        num_patches, stride, question_patches: as `CairoRenderer.windows`.
        chunk_size, progress: as `RenderedTextSource`.

    Attributes:
        lengths: (n,) int32, patches of each window with its end patch.
        window_of: (n,) int32, the pair of each window.
        spans: (n, 2) int32, first and last patch of the answer, -1 for none.

    Raises:
        ValueError: for no pairs, answers of another number, or one outside
            its context.

    Example:
        >>> source = pixmodels.tasks.RenderedQuestionSource(
        ...     [("Who?", "It was the owl.")],
        ...     pixmodels.renderers.CairoRenderer(), answers=[(7, 14)])
        >>> batch = source.get_batch([0])
        >>> batch["start"].tolist(), batch["end"].tolist()
        ([6], [9])
    """

    def __init__(
        self,
        pairs,
        renderer,
        *,
        answers,
        num_patches=None,
        stride=0,
        question_patches=None,
        chunk_size=64,
        progress=None,
    ):
        pairs, self.answers = list(pairs), list(answers)
        _check(pairs, self.answers)
        self._options = {
            "num_patches": num_patches,
            "stride": stride,
            "question_patches": question_patches,
        }
        self._renderer = renderer
        self._window_of, self._spans = [], []
        super().__init__(
            pairs, self._windows, chunk_size=chunk_size, progress=progress
        )
        del self._renderer
        self.window_of = np.array(self._window_of, np.int32)
        self.spans = np.array(self._spans, np.int32).reshape(-1, 2)
        self.labels = np.zeros(len(self.lengths), np.int32)

    def _windows(self, pairs):
        return self._renderer.windows(pairs, **self._options)

    def _note(self, drawn, start):
        super()._note(drawn, start)
        for window, pair in enumerate(drawn.window_of):
            answer = self.answers[start + pair]
            self._window_of.append(start + pair)
            self._spans.append(_spans.patches_of_answer(drawn, window, answer))

    def get_batch(self, indices, length=None, seed=0, epoch=0):
        """A batch of windows.

        Args:
            indices, length, seed, epoch: as `RenderedTextSource.get_batch`.

        Returns:
            dict as there, with `start` and `end` (B,) int32 instead of
            `label`: patches, -1 for no answer, also where the width N cuts it.

        Raises:
            IndexError, ValueError: as there.
        """
        batch = super().get_batch(indices, length, seed, epoch)
        del batch["label"]
        spans = self.spans[batch["example_id"]]
        cut = spans[:, 1] >= batch["num_patches"]
        cut |= batch["example_id"] < 0
        spans = np.where(cut[:, None], -1, spans).astype(np.int32)
        return {**batch, "start": spans[:, 0], "end": spans[:, 1]}


def _check(pairs, answers):
    if len(answers) != len(pairs):
        raise ValueError(
            "Expected an answer, or None, for each pair. Received: "
            f"{len(pairs)} pairs, {len(answers)} answers."
        )
    for place, ((_, context), answer) in enumerate(zip(pairs, answers)):
        if answer is None:
            continue
        start, end = answer
        if not 0 <= start < end <= len(context):
            raise ValueError(
                f"Expected 0 <= start < end <= {len(context)}. Received: "
                f"answers[{place}]={answer!r}."
            )
