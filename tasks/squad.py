from pixmodels.tasks import _text_files
from pixmodels.tasks.labelled_question import LabelledQuestion


def read_questions(path, *, encoding="utf-8"):
    """Reads questions on contexts in the JSON format of SQuAD.

    SQuAD 1.1 and 2.0, TyDi QA (gold passage), KorQuAD and JaQuAD have it:
    `data`, a list of articles with `paragraphs`, each with a `context` and
    `qas`; an answer is a `text` and an `answer_start` in characters. A
    question without answers, or with `is_impossible`, has none.

    Args:
        path: of a file, which may be compressed (`.gz`, `.xz`, `.bz2`).
        encoding: of the file.

    Returns:
        list of `LabelledQuestion`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no JSON, a part is missing, or an answer is not
            what stands in the context; file and place in it are named.
    """
    found = []
    document = _text_files.load_json(path, encoding)
    for place, article in _items(path, "", document, "data"):
        for where, paragraph in _items(path, place, article, "paragraphs"):
            context = _part(path, where, paragraph, "context", str)
            for spot, asked in _items(path, where, paragraph, "qas"):
                found.append(_question(path, spot, asked, context))
    if not found:
        raise _wrong(path, "data", "a question at least", "none")
    return found


def _question(path, place, asked, context):
    question = _part(path, place, asked, "question", str)
    answers = []
    if not asked.get("is_impossible", False) and asked.get("answers"):
        for spot, answer in _items(path, place, asked, "answers"):
            text = _part(path, spot, answer, "text", str)
            start = _part(path, spot, answer, "answer_start", int)
            end = start + len(text)
            if start < 0 or not text or context[start:end] != text:
                raise _wrong(
                    path,
                    spot,
                    f"answer {text!r} at character {start} of the context",
                    f"{context[max(0, start) : end]!r} there",
                )
            answers.append((start, end))
    name = str(asked.get("id", place))
    return LabelledQuestion(name, question, context, tuple(answers))


def _items(path, place, parent, name):
    """Yields (place, item) of a list in an object."""
    items = _part(path, place, parent, name, list)
    for number, item in enumerate(items):
        yield f"{place}.{name}[{number}]".lstrip("."), item


def _part(path, place, parent, name, kind):
    if not isinstance(parent, dict):
        raise _wrong(
            path, place, f"an object with {name!r}", type(parent).__name__
        )
    value = parent.get(name)
    if not isinstance(value, kind):
        had = "none" if name not in parent else type(value).__name__
        raise _wrong(path, place, f"{name!r} as {kind.__name__}", had)
    return value


def _wrong(path, place, expected, received):
    return ValueError(
        f"Expected {expected}. Received: {path}, at {place or 'the top'}: "
        f"{received}"
    )
