import dataclasses


@dataclasses.dataclass(frozen=True)
class LabelledQuestion:
    """A question on a context, and its answers.

    Attributes:
        id: str.
        question, context: str.
        answers: tuple of (start, end), characters of the context; empty for a
            question without an answer. Several are several annotators'.
    """

    id: str
    question: str
    context: str
    answers: tuple = ()

    @property
    def texts(self):
        """The answers as text: tuple of str."""
        return tuple(self.context[start:end] for start, end in self.answers)
