"""Where the texts of a file stand: lines, paragraphs or the whole.

Here: scanning a memory-mapped file, checking its UTF-8. Not here: which files
(`text_files`), compression (`_plain_files`).
"""

import codecs
import mmap

import numpy as np

UNITS = ("line", "paragraph", "file")
BLANK = ("skip", "keep", "error")
_CHUNK = 1 << 24  # bytes looked at together
_CUTS = (b" ", b"\n")
_NEWLINE, _SPACE, _DELETE = 10, 32, 127


def spans(path, unit, blank, most=None):
    """The texts of one file.

    Args:
        path: of a plain file, UTF-8 with or without a byte order mark.
        unit: "line"; "paragraph", lines up to the next blank one; "file".
        blank: what to do with blank lines (unit "line") or a blank file
            (unit "file"): "skip", "keep" or "error".
        most: None, or bytes; a longer text is cut at white space.

    Returns:
        `((n, 2) int64, skipped)`: first byte and end of each text, and how
        many blank ones were skipped.

    Raises:
        ValueError: if the file is not UTF-8, or a text is blank and must not
            be; names file and line.
    """
    with open(path, "rb") as file:
        if file.seek(0, 2) == 0:
            return np.zeros((0, 2), np.int64), 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found, skipped = _spans(data, path, unit, blank)
            return (_cut(data, found, most) if most else found), skipped


def line_of(data, place):
    """The number, from 1, of the line of a byte."""
    count, start = 1, 0
    while start < place:
        end = min(start + _CHUNK, place)
        count += data[start:end].count(b"\n")
        start = end
    return count


def _spans(data, path, unit, blank):
    start = len(codecs.BOM_UTF8) if data[:3] == codecs.BOM_UTF8 else 0
    parts, blanks = [], []
    while start < len(data):
        end = data.find(b"\n", start + _CHUNK)
        end = len(data) if end < 0 else end + 1
        chunk = data[start:end]
        _check(chunk, path, data, start)
        lines, is_blank = _lines(chunk)
        parts.append(lines + start)
        blanks.append(is_blank)
        start = end
    if not parts:
        return np.zeros((0, 2), np.int64), 0
    lines, is_blank = np.concatenate(parts), np.concatenate(blanks)
    if unit == "paragraph":
        return _paragraphs(lines, is_blank), 0
    if unit == "file":
        lines = np.array([[lines[0, 0], lines[-1, 1]]])
        is_blank = np.array([is_blank.all()])
    if blank == "keep" or not is_blank.any():
        return lines, 0
    if blank == "error":
        first = lines[np.argmax(is_blank), 0]
        raise ValueError(
            "Expected no blank texts, as blank='error' says. Received: "
            f"{path}:{line_of(data, first)}"
        )
    return lines[~is_blank], int(is_blank.sum())


def _check(chunk, path, data, start):
    try:
        chunk.decode("utf-8")
    except UnicodeDecodeError as error:
        place = start + error.start
        raise ValueError(
            "Expected text in UTF-8. Received: "
            f"{path}:{line_of(data, place)}, byte 0x{data[place]:02x} at "
            f"place {place} of the file ({error.reason})"
        ) from None


def _lines(chunk):
    """((n, 2) int64 spans without line ends, (n,) bool: is it blank)."""
    values = np.frombuffer(chunk, np.uint8)
    ends = np.flatnonzero(values == _NEWLINE)
    if not len(ends) or ends[-1] != len(values) - 1:
        ends = np.append(ends, len(values))
    starts = np.concatenate([[0], ends[:-1] + 1])
    ink = np.concatenate([[0], np.cumsum(values > _SPACE)])
    plain = (values > _SPACE) & (values < _DELETE)
    plain = np.concatenate([[0], np.cumsum(plain)])
    blank = ink[ends] == ink[starts]
    # Without any ASCII sign: a line of Chinese, or of wide spaces.
    for i in np.flatnonzero(~blank & (plain[ends] == plain[starts])):
        text = chunk[starts[i] : ends[i]].decode("utf-8")
        blank[i] = not text.strip()
    return np.stack([starts, ends], axis=1).astype(np.int64), blank


def _paragraphs(lines, is_blank):
    inked = ~is_blank
    before = np.concatenate([[False], inked[:-1]])
    after = np.concatenate([inked[1:], [False]])
    first, last = inked & ~before, inked & ~after
    return np.stack([lines[first, 0], lines[last, 1]], axis=1)


def _cut(data, found, most):
    """Spans of at most so many bytes, in order."""
    parts, done = [], 0
    for i in np.flatnonzero(found[:, 1] - found[:, 0] > most):
        parts.append(found[done:i])
        parts.append(np.array(_pieces(data, *found[i].tolist(), most)))
        done = i + 1
    return np.concatenate([*parts, found[done:]])


def _pieces(data, start, end, most):
    pieces = []
    while end - start > most:
        stop = max(data.rfind(sign, start + 1, start + most) for sign in _CUTS)
        if stop < 0:
            stop = start + most
            while data[stop] & 0xC0 == 0x80:  # Inside a character.
                stop -= 1
        pieces.append((start, stop))
        start = stop
    return [*pieces, (start, end)]
