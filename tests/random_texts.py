"""Texts drawn by chance from all of Unicode, and digests of what they become.

Here: a generator that gives the same items for the same seed on every machine,
and a command that renders them in a process of its own. Not here: tests.
"""

import dataclasses
import hashlib
import os
import pickle
import random
import sys
import threading

MARKS = [*range(0x300, 0x370), 0x20DD, 0x20E3, 0x1AB0, 0x5B0, 0x64B, 0xFE2F]
JOINERS = [0x200C, 0x200D, 0x2060, 0x34F, 0xFE0E, 0xFE0F, 0xE0100, 0x180B]
CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF, 0xFFF9]
DIRECTIONS = [0x200E, 0x200F, 0x61C, *range(0x202A, 0x202F)]
DIRECTIONS += range(0x2066, 0x206A)
BRACKETS = "()[]{}\u2329\u232a\u3008\u3009\u300c\u300d\u00ab\u00bb\u2018\u2019"
BRACKETS += "\u2e55\u2e56\uff3b\uff3d\u0f3a\u0f3b"
EMOJI = [*range(0x1F300, 0x1F650), 0x2764, 0x231A, *range(0x1F900, 0x1FB00)]
TONES = range(0x1F3FB, 0x1F400)
FLAGS = range(0x1F1E6, 0x1F200)
TAGS = range(0xE0020, 0xE0080)
# Blocks whose characters form clusters, change places or join.
INDIC = [(0x900 + 0x80 * i, 0x980 + 0x80 * i) for i in range(10)]
INDIC += [(0xE00, 0xE80), (0xF00, 0x1000), (0x1000, 0x10A0), (0x1780, 0x1800)]
INDIC += [(0x1A20, 0x1AB0), (0x1B00, 0x1B80), (0xA980, 0xA9E0)]
INDIC += [(0x11000, 0x11080), (0x11100, 0x11150), (0x11480, 0x114E0)]
RIGHT = [(0x590, 0x600), (0x600, 0x700), (0x700, 0x750), (0x750, 0x780)]
RIGHT += [(0x780, 0x7C0), (0x7C0, 0x800), (0x8A0, 0x900), (0xFB1D, 0xFE00)]
RIGHT += [(0xFE70, 0xFF00), (0x10900, 0x10940), (0x10D00, 0x10D40)]
RIGHT += [(0x1E900, 0x1E960), (0x1EE00, 0x1EF00), (0x10E60, 0x10EB0)]
JAMO = [(0x1100, 0x1200), (0xA960, 0xA980), (0xD7B0, 0xD800), (0xAC00, 0xD7A4)]
LATIN = [(0x20, 0x7F)] * 5 + [(0xA0, 0x250), (0x370, 0x530), (0x1E00, 0x2000)]
WORDS = (
    "fi ffl office AVATAR Tö. jJ, (of) “if” €7 1,234.5 naïve e\u0301 x\u0323"
)
WORDS = (*WORDS.split(), "", "-", "Ǻ", "gj", "Ы", "їй", "λόγος")


class Texts:
    """Items for a renderer: mostly str, some pairs and word lists.

    Args:
        seed: int.
    """

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._kinds = (
            self._any,
            self._plane,
            self._controls,
            self._stack,
            self._right,
            self._emoji,
            self._indic,
            self._jamo,
            self._brackets,
            self._words,
            self._words,
            self._latin,
            self._han,
        )

    def items(self, count):
        """A list of `count` items."""
        return [self._item() for _ in range(count)]

    def text(self):
        """A str of one kind of characters, or of several kinds in a row."""
        parts = self._random.choice((1, 1, 1, 2))
        return "".join(self._part() for _ in range(parts))

    def long(self):
        """A str of some thousand characters."""
        return "".join(self._part() for _ in range(self._random.randrange(299)))

    def _item(self):
        kind = self._random.random()
        if kind < 0.8:
            return self.text()
        if kind < 0.9:
            return self.text(), self.text()
        return [self.text() for _ in range(self._random.randrange(7))]

    def _part(self):
        return self._random.choice(self._kinds)()

    def _size(self, most=11):
        return self._random.randrange(most)

    def _some(self, codes, most=11):
        return "".join(
            map(chr, self._random.choices(codes, k=self._size(most)))
        )

    def _from(self, blocks, most=11):
        start, end = self._random.choice(blocks)
        return self._some(range(start, end), most)

    def _any(self):
        return self._some(range(0x110000), 4)

    def _plane(self):
        plane = self._random.choice((0, 0, 1, 1, 2, 3, 14, 15, 16)) << 16
        start = plane + 0x100 * self._random.randrange(0x100)
        return self._some(range(start, start + 0x100), 7)

    def _controls(self):
        codes = [*CONTROLS, *DIRECTIONS, *range(0xD800, 0xE000, 173), 97, 0x5D0]
        return self._some(codes)

    def _stack(self):
        return self._from([*LATIN, *RIGHT, *INDIC], 3) + self._some(MARKS, 61)

    def _right(self):
        parts = [
            self._some(DIRECTIONS, 2)
            + self._from([*RIGHT, *RIGHT, *LATIN], 7)
            + self._some([0x20, 0x30, 0x661, 0x6F1, 0x28, 0x29, 0x2C, 0x5D], 5)
            for _ in range(self._size(5))
        ]
        return "".join(parts)

    def _emoji(self):
        parts = []
        for _ in range(self._size(7)):
            codes = self._random.choice(([0x200D], TONES, FLAGS, TAGS, JOINERS))
            parts.append(self._some(EMOJI, 3) + self._some(codes, 5))
        return "".join(parts)

    def _indic(self):
        start, end = self._random.choice(INDIC)
        codes = [*range(start, end), *[start + 0x4D] * 20, *JOINERS[:2] * 5, 32]
        return self._some(codes, 29)

    def _jamo(self):
        return self._from(JAMO, 7) + self._from(JAMO, 7) + self._some([32], 3)

    def _brackets(self):
        parts = [
            self._random.choice(BRACKETS) + self._from([*LATIN, *RIGHT], 3)
            for _ in range(self._size(23))
        ]
        return "".join(parts)

    def _words(self):
        words = self._random.choices(WORDS, k=self._size(13))
        return self._random.choice((" ", " ", "  ", "\t", "\xa0")).join(words)

    def _latin(self):
        return " ".join(self._from(LATIN, 11) for _ in range(self._size(9)))

    def _han(self):
        blocks = [(0x4E00, 0xA000), (0x3000, 0x3100), (0x20000, 0x2A6E0)]
        return self._from(blocks) + self._from([*blocks, *LATIN], 5)


def block(seed, count):
    """The items of one block; seeds are independent of one another."""
    return Texts(seed).items(count)


def digest(batch):
    """Hex digest of everything that a `RenderedBatch` holds."""
    found = hashlib.blake2b(digest_size=16)
    for field in dataclasses.fields(batch):
        part = getattr(batch, field.name)
        if hasattr(part, "table"):
            part = part.table
        if hasattr(part, "tobytes"):
            found.update(ascii((part.shape, part.dtype)).encode())
            found.update(part.tobytes())
        else:
            found.update(ascii(part).encode())
    return found.hexdigest()


def digests(renderer, seeds, count):
    """Digest of every block, in the order of `seeds`."""
    return [digest(renderer(block(seed, count))) for seed in seeds]


def in_fork(renderer, seeds, count):
    """`digests` in a forked child that inherits the renderer as it is."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read)
            with open(write, "wb") as file:
                pickle.dump(digests(renderer, seeds, count), file)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    return child, read


def collect(child, read):
    """What the child of `in_fork` sends; RuntimeError where it failed."""
    with open(read, "rb") as file:
        data = file.read()
    if os.waitpid(child, 0)[1] or not data:
        raise RuntimeError("the forked child failed")
    return pickle.loads(data)


def fork_while_drawing(renderer, seeds, count):
    """Forks while another thread is inside the renderer, again and again."""
    stop = threading.Event()

    def draw():
        texts = block(seeds[0], count)
        while not stop.is_set():
            renderer(texts)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        return [collect(*in_fork(renderer, [seed], count))[0] for seed in seeds]
    finally:
        stop.set()
        thread.join()


def main():
    """Reads (renderer, mode, seeds, count), pickled, writes digests."""
    renderer, mode, seeds, count = pickle.load(sys.stdin.buffer)
    if mode == "fork":
        before = digests(renderer, seeds, count)
        child = in_fork(renderer, seeds, count)
        # The parent goes on drawing, less than the child, as it was compared.
        again = digests(renderer, seeds[:7], count)
        result = before, again, collect(*child)
    else:
        result = fork_while_drawing(renderer, seeds, count)
    pickle.dump(result, sys.stdout.buffer)


if __name__ == "__main__":
    main()
