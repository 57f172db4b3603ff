import numpy as np

from pixmodels.tasks._text_rows import TextRows
from pixmodels.tasks._text_rows import checked_labels
from pixmodels.tasks.text_field import TextField
from pixmodels.tasks.text_lengths import TextLengths


class DrawnTextSource(TextRows):
    """Texts drawn when a batch asks for them: a source for the pipeline.

    Nothing is kept but the lengths, so that the texts may be more than memory
    holds; `RenderedTextSource` draws all of them once. `get_batch` and
    `get_packs` are pure functions of their arguments. Pickles as its texts
    and its renderer, for worker processes.

    Args:
        examples: see `TextField`.
        renderer: `pixmodels.renderers.CairoRenderer`.
        field: key of the text where examples are dicts; "text" if None.
        label_field: key of the label where examples are dicts.
        labels: (n,) int or float, or None; instead of `label_field`.
        lengths: `TextLengths` of the texts (`pixmodels.training.text_lengths`
            keeps them in a cache), or None to measure them now.
        masking, mask_options: as for `RenderedTextSource`.

    Attributes:
        lengths: (n,) int32, patches of each text with its end patch.

    Raises:
        ValueError: for no texts, labels or lengths of another number, both
            kinds of labels, or see `TextRows` and `TextField`.

    Example:
        >>> source = pixmodels.tasks.DrawnTextSource(
        ...     [{"text": b"ab"}, {"text": b"a longer text"}],
        ...     CairoRenderer())
        >>> source.get_packs([[0, 1]], length=11)["segment_ids"].tolist()
        [[1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 0]]
    """

    def __init__(
        self,
        examples,
        renderer,
        *,
        field=None,
        label_field=None,
        labels=None,
        lengths=None,
        masking=None,
        mask_options=None,
    ):
        super().__init__(masking, mask_options)
        self.texts = TextField(examples, field)
        count = len(self.texts)
        if not count:
            raise ValueError(
                f"Expected at least one text. Received: examples={examples!r}."
            )
        if labels is not None and label_field is not None:
            raise ValueError(
                "Expected labels or label_field. Received: both, label_field="
                f"{label_field!r}."
            )
        self.label_field = label_field
        self.labels = checked_labels(labels, count)
        self.renderer = renderer
        self.patch_size = renderer.patch_size
        if renderer.color_mode == "rgb":
            self._colours = (3,)
        self.text_lengths = lengths or TextLengths.measure(self.texts, renderer)
        self.lengths = self.text_lengths.lengths
        if self.lengths.shape != (count,):
            raise ValueError(
                f"Expected {count} lengths, one for each text. Received: "
                f"lengths of shape {self.lengths.shape}."
            )

    def report(self, max_length=None):
        """What is lost; see `TextLengths.report`."""
        return self.text_lengths.report(max_length)

    def _load(self, indices, length):
        items = [self.texts.examples[int(i)] for i in indices]
        texts = [self.texts.text_of(item, i) for item, i in zip(items, indices)]
        labels = self.labels[indices]
        if self.label_field is not None:
            labels = np.array([item[self.label_field] for item in items])
            floats = np.issubdtype(labels.dtype, np.floating)
            labels = labels.astype(np.float32 if floats else np.int32)
        if not texts:
            return [], labels
        # The renderer cuts a long text itself: nothing is drawn for nothing.
        limit = max(2, min(length, self.renderer.max_patches))
        drawn = self.renderer(texts, num_patches=self._width(indices, limit))
        side = self._side
        rows = [
            row[:, : (int(count) + 1) * side]
            for row, count in zip(drawn.pixels, drawn.num_patches)
        ]
        return rows, labels

    def _width(self, indices, limit):
        return int(min(limit, max(2, self.lengths[indices].max())))
