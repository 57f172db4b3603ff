import dataclasses


@dataclasses.dataclass(frozen=True)
class LabelledText:
    """A text, or a pair of texts, and its label.

    Attributes:
        text: str, or (str, str).
        label: str, float for regression, or None where the file has none.
        file: str, where it is from.
        line: int, from 1.
    """

    text: str | tuple
    label: str | float | None = None
    file: str = ""
    line: int = 0
