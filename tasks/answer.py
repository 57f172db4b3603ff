import dataclasses


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer to a question: characters of its context.

    Attributes:
        text: str, `context[start:end]`; empty for no answer.
        start, end: ints, characters of the context; None for no answer.
        score: float, the sum of the logits of its first and last patch.
        probability: float in [0, 1]: the softmax of the scores of all spans
            that were allowed in all windows, and of no answer where that was
            allowed.
    """

    text: str
    start: int | None
    end: int | None
    score: float
    probability: float
