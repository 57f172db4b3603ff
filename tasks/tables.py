import csv
import difflib
import json
import math
import re
from pathlib import Path

from pixmodels.tasks import _packed
from pixmodels.tasks import _text_files
from pixmodels.tasks.labelled_text import LabelledText

_FORMATS = (".tsv", ".csv", ".jsonl")
# What xplip/pixel `utils/misc.py` (glue_strip_spaces) takes out: one space
# before these marks, one after opening ones and after quotes.
_SPACES = re.compile(r""" (?=[,.!?#/"')\]]|n't)|(?<=["'(\[]) """)


def read_table(
    path,
    *,
    text="text",
    pair=None,
    label="label",
    numbers=False,
    header=True,
    strip=False,
    format=None,
    encoding="utf-8",
):
    """Reads texts, or pairs of texts, with a label each.

    Args:
        path: of a file with tabs (`.tsv`, no quotes, as GLUE's), with commas
            (`.csv`, quotes as in RFC 4180) or with a JSON object a line
            (`.jsonl`); it may be compressed (`.gz`, `.xz`, `.bz2`).
        text: name of the column of the text.
        pair: name of the column of the second text, or None.
        label: name of the column of the label; None: there is none.
        numbers: whether labels are numbers, for regression.
        header: whether the first line names the columns; else they are named
            "0", "1", ...
        strip: whether spaces that tokenization put before punctuation are
            taken out (PIXEL's `glue_strip_spaces`).
        format: "tsv", "csv" or "jsonl", where the suffix does not say it.
        encoding: of the file.

    Returns:
        list of `LabelledText`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a missing column, a line with another number of
            columns, an empty text, or a label that is no number; file and
            line are named.
    """
    kind = f".{format}" if format else _suffix(path)
    if kind not in _FORMATS:
        raise ValueError(
            "Expected a file .tsv, .csv or .jsonl, or a format. Received: "
            f"path={str(path)!r}, format={format!r}"
        )
    found = []
    for number, row in _rows(path, kind, header, encoding):
        texts = [
            _cell(path, number, row, column)
            for column in (text, pair)
            if column is not None
        ]
        if strip:
            texts = [_stripped(part) for part in texts]
        value = None
        if label is not None:
            value = _cell(path, number, row, label)
            if numbers:
                value = _number(path, number, value)
        found.append(
            LabelledText(
                texts[0] if pair is None else tuple(texts),
                value,
                str(path),
                number,
            )
        )
    if not found:
        raise _text_files.wrong(path, 1, "a row at least", "none")
    return found


def _suffix(path):
    return Path(_packed.bare_name(path)).suffix


def _rows(path, kind, header, encoding):
    """Yields (line, dict from column to value)."""
    numbered = _text_files.lines(path, encoding)
    if kind == ".jsonl":
        yield from _objects(path, numbered)
        return
    names = None
    for number, cells in _split(path, numbered, kind):
        if names is None:
            names = cells if header else [str(i) for i in range(len(cells))]
            if header:
                continue
        if len(cells) != len(names):
            raise _text_files.wrong(
                path,
                number,
                f"{len(names)} columns ({', '.join(names)})",
                f"{len(cells)} columns",
            )
        yield number, dict(zip(names, cells))


def _split(path, numbered, kind):
    if kind == ".tsv":
        for number, line in numbered:
            if line.strip():
                yield number, line.split("\t")
        return
    last = [0]

    def text():
        for number, line in numbered:
            last[0] = number
            yield line + "\n"

    try:
        for cells in csv.reader(text(), strict=True):
            if cells:
                yield last[0], cells
    except csv.Error as error:
        raise _text_files.wrong(path, last[0], "CSV", str(error)) from error


def _objects(path, numbered):
    for number, line in numbered:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise _text_files.wrong(path, number, "JSON", error.msg) from error
        if not isinstance(row, dict):
            raise _text_files.wrong(
                path, number, "a JSON object", type(row).__name__
            )
        yield number, row


def _cell(path, number, row, column):
    if row.get(column) is None:
        near = difflib.get_close_matches(column, row, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise _text_files.wrong(
            path,
            number,
            f"a column {column!r}",
            f"the columns {', '.join(map(repr, row))}.{hint}",
        )
    value = row[column]
    return value if isinstance(value, str) else json.dumps(value)


def _number(path, line, text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _text_files.wrong(path, line, "a number as label", repr(text))
    return value


def _stripped(text):
    """Text without the spaces that a Penn Treebank tokenizer put in."""
    return _SPACES.sub("", text)
