from pixmodels.tasks import _text_files
from pixmodels.tasks.labelled_sentence import LabelledSentence

# Universal Dependencies, version 2.
UPOS = tuple(
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM "
    "VERB X".split()
)
RELATIONS = tuple(
    "acl advcl advmod amod appos aux case cc ccomp clf compound conj cop csubj "
    "dep det discourse dislocated expl fixed flat goeswith iobj list mark nmod "
    "nsubj nummod obj obl orphan parataxis punct reparandum root vocative "
    "xcomp".split()
)
_COLUMNS = {"upos": 3, "xpos": 4}


def read_conllu(path, *, tags="upos", subtypes=False, encoding="utf-8"):
    """Reads a treebank in CoNLL-U format.

    The syntactic words are read: lines with a whole number. Multiword tokens
    (`3-4`) and empty nodes (`5.1`) are left out, as in xplip/pixel
    (`ud_dataset.py`); an underscore is no tag, head or relation.

    Args:
        path: of a file, which may be compressed (`.gz`, `.xz`, `.bz2`).
        tags: "upos" or "xpos", the column of the tags.
        subtypes: whether relations keep what stands after a colon
            (`nsubj:pass`); PIXEL cuts it off, as the shared tasks did.
        encoding: of the file.

    Returns:
        list of `LabelledSentence`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a malformed line; file and line are named.

    Source: universaldependencies.org, "CoNLL-U Format".
    """
    if tags not in _COLUMNS:
        raise ValueError(
            f"Expected tags to be 'upos' or 'xpos'. Received: tags={tags!r}"
        )
    sentences, rows = [], []
    for number, line in _text_files.lines(path, encoding):
        if not line.strip():
            _close(path, rows, sentences, tags, subtypes)
            rows = []
        elif not line.startswith("#"):
            row = _row(path, number, line, len(rows) + 1)
            rows += [(number, row)] if row else []
    _close(path, rows, sentences, tags, subtypes)
    if not sentences:
        raise _text_files.wrong(path, 1, "a sentence at least", "none")
    return sentences


def _row(path, number, line, expected):
    """The ten columns of a word; None for what is no syntactic word."""
    row = line.split("\t")
    if len(row) != 10:
        raise _text_files.wrong(
            path,
            number,
            "10 columns with tabs between them",
            f"{len(row)} in {line[:60]!r}",
        )
    if not row[0].isascii() or not row[0].isdigit():
        parts = row[0].replace("-", ".").split(".")
        if len(parts) == 2 and all(part.isdigit() for part in parts):
            return None
    if row[0] != str(expected):
        raise _text_files.wrong(
            path, number, f"word number {expected}", f"{row[0]!r}"
        )
    return row


def _close(path, rows, sentences, tags, subtypes):
    """Adds the sentence of some rows, if there are any."""
    if not rows:
        return
    relations = [_given(row[7]) for _, row in rows]
    if not subtypes:
        relations = [name and name.split(":")[0] for name in relations]
    sentence = LabelledSentence(
        words=tuple(row[1] for _, row in rows),
        tags=tuple(_given(row[_COLUMNS[tags]]) for _, row in rows),
        heads=tuple(_head(path, n, row[6], len(rows)) for n, row in rows),
        relations=tuple(relations),
        file=str(path),
        lines=tuple(number for number, _ in rows),
    )
    sentences.append(sentence)


def _given(text):
    return None if text == "_" else text


def _head(path, number, text, words):
    if text == "_":
        return -1
    if not (text.isascii() and text.isdigit()) or int(text) > words:
        raise _text_files.wrong(
            path, number, f"a head from 0 to {words}", repr(text)
        )
    return int(text)
