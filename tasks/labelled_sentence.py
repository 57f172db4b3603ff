import dataclasses


@dataclasses.dataclass(frozen=True)
class LabelledSentence:
    """Words of a sentence and what a file says of each.

    Attributes:
        words: tuple of str.
        tags: tuple of str, or of None where a word has none; None if the
            file was not read for tags.
        heads: tuple of int, the number of each word's head counted from 1, 0
            for the root, -1 where it has none; or None likewise.
        relations: tuple of str or None, what a word is to its head.
        file: str, where it is from.
        lines: tuple of int, the line of each word, from 1.
    """

    words: tuple
    tags: tuple | None = None
    heads: tuple | None = None
    relations: tuple | None = None
    file: str = ""
    lines: tuple = ()
