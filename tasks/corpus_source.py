from pixmodels.tasks._text_rows import TextRows
from pixmodels.tasks._text_rows import checked_labels
from pixmodels.tasks._text_rows import counted


class CorpusSource(TextRows):
    """Texts that `render_corpus` has drawn: a source for the pipeline.

    Rows are read and unpacked when a batch asks for them. Pickles as the
    corpus' path, for worker processes.

    Args:
        corpus: `pixmodels.renderers.Corpus`, or its folder.
        indices: which items of the corpus, an int array; None: all.
        labels: (n,) int or float, or None for zeros.
        masking, mask_options: as for `RenderedTextSource`.

    Attributes:
        lengths: (n,) int32, patches of each text with its end patch.

    Raises:
        FileNotFoundError: if the folder holds no finished corpus.
        ValueError: if a shard cannot be read (names it), labels are of
            another number, or see `TextRows`.
    """

    def __init__(
        self,
        corpus,
        *,
        indices=None,
        labels=None,
        masking=None,
        mask_options=None,
    ):
        from pixmodels.renderers import Corpus

        super().__init__(masking, mask_options)
        self.corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
        self.indices = indices
        settings = self.corpus.manifest["settings"]["renderer"]
        size = settings["patch_size"]
        self.patch_size = tuple(size) if isinstance(size, list) else size
        if settings["color_mode"] == "rgb":
            self._colours = (3,)
        self.lengths = self.corpus.lengths
        if indices is not None:
            self.lengths = self.lengths[indices]
        self.labels = checked_labels(labels, len(self))

    def report(self, max_length=None):
        """What was lost when the corpus was drawn; JSON-able.

        Args:
            max_length: the longest bucket of a plan, in patches; counts the
                texts that it cuts.

        Returns:
            dict as `TextLengths.report`; what was cut or has no glyph is
            that of the whole corpus.
        """
        manifest = self.corpus.manifest
        return counted(
            self.lengths,
            max_length,
            cut_by_renderer=manifest["truncated"]["texts"],
            texts_with_missing_glyphs=manifest["missing"]["texts"],
            missing_glyphs=manifest["missing"]["characters"],
        )

    def _load(self, indices, length):
        numbers = indices if self.indices is None else self.indices[indices]
        rows = [self.corpus[int(i)]["pixels"] for i in numbers]
        return rows, self.labels[indices]
