from pixmodels.tasks import _text_files
from pixmodels.tasks.labelled_sentence import LabelledSentence


def read_tagged(
    path,
    *,
    word_column=0,
    tag_column=-1,
    separator=None,
    encoding="utf-8",
):
    """Reads words with a tag each, a word a line, as of CoNLL 2003.

    A blank line ends a sentence; lines that start with `-DOCSTART-` are left
    out.

    Args:
        path: of a file, which may be compressed (`.gz`, `.xz`, `.bz2`).
        word_column, tag_column: from 0, or from the end: -1 is the last.
        separator: of columns; None: a tab where the line has one, else white
            space.
        encoding: of the file.

    Returns:
        list of `LabelledSentence`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a line without these columns; file and line are named.
    """
    sentences, rows = [], []
    for number, line in _text_files.lines(path, encoding):
        if not line.strip():
            _close(path, rows, sentences)
            rows = []
        elif not line.startswith("-DOCSTART-"):
            columns = _columns(line, separator)
            try:
                if len(columns) < 2:
                    raise IndexError
                rows.append((number, columns[word_column], columns[tag_column]))
            except IndexError:
                raise _text_files.wrong(
                    path,
                    number,
                    f"a word in column {word_column} and a tag in column "
                    f"{tag_column}",
                    f"{len(columns)} column(s) in {line[:60]!r}",
                ) from None
    _close(path, rows, sentences)
    if not sentences:
        raise _text_files.wrong(path, 1, "a sentence at least", "none")
    return sentences


def _columns(line, separator):
    if separator is None and "\t" in line:
        separator = "\t"
    return line.strip().split(separator)


def _close(path, rows, sentences):
    if rows:
        lines, words, tags = zip(*rows)
        sentences.append(
            LabelledSentence(words, tags, file=str(path), lines=lines)
        )
