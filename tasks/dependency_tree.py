import dataclasses
import html

_LAST, _MORE, _BAR, _GAP = "└── ", "├── ", "│   ", "    "


@dataclasses.dataclass(frozen=True)
class DependencyTree:
    """The dependencies of one sentence, as a parser found them.

    Attributes:
        words: tuple of str.
        heads: tuple of int: the number of each word's head, counted from 1; 0
            is the root, None a word that was cut off.
        relations: tuple of str, what a word is to its head; None likewise.
        probabilities: tuple of float in [0, 1], of each word's head.

    Example:
        >>> tree = pixmodels.tasks.DependencyTree(
        ...     ("the", "cat", "sleeps"), (2, 3, 0), ("det", "nsubj", "root"),
        ...     (1.0, 1.0, 1.0))
        >>> print(tree)
        sleeps  root
        └── cat  nsubj
            └── the  det
    """

    words: tuple
    heads: tuple
    relations: tuple
    probabilities: tuple

    def is_tree(self):
        """Whether one word hangs on the root and all others below it."""
        if self.heads.count(0) != 1 or None in self.heads:
            return False
        return len(self._reached()) == len(self.words)

    def children(self, head):
        """Numbers of the words, counted from 1, whose head is `head`."""
        return [i for i, h in enumerate(self.heads, 1) if h == head]

    def to_text(self):
        """The tree as lines, a word and its relation each.

        Words that hang on no root, because likeliest heads may form a cycle,
        stand below with the number of their head.
        """
        lines = []
        for word in self.children(0):
            self._draw(word, "", "", lines)
        reached = self._reached()
        for place in range(1, len(self.words) + 1):
            if place not in reached:
                head = self.heads[place - 1]
                where = "not read" if head is None else f"head {head}"
                lines.append(f"{self._line(place)}  (word {place}, {where})")
        return "\n".join(lines)

    def to_conllu(self):
        """The sentence as CoNLL-U lines; columns that are not known hold _."""
        rows = []
        for i, word in enumerate(self.words, 1):
            head, relation = self.heads[i - 1], self.relations[i - 1]
            shown = ["_" if x is None else str(x) for x in (head, relation)]
            rows.append("\t".join([str(i), word, *"____", *shown, "_", "_"]))
        return "\n".join(rows) + "\n"

    def to_svg(self):
        """The words in a row with an arc from each head to its dependent.

        Returns:
            str, an SVG document.
        """
        spans = list(self._spans())
        levels = _levels(spans)
        top = 34 + 30 * max(levels, default=0)
        x, centres = 20, []
        for word in self.words:
            width = 24 + 10 * max(len(word), 5)
            centres.append(x + width // 2)
            x += width
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{x + 20}" '
            f'height="{top + 40}" font-family="sans-serif">',
            '<rect width="100%" height="100%" fill="white"/>',
        ]
        for (head, word), level in zip(spans, levels):
            relation = self.relations[word - 1]
            parts += _arc(head, word, centres, top, 30 * level, relation)
        for word, centre in zip(self.words, centres):
            parts.append(_label(word, centre, top + 24, 16, "black"))
        return "\n".join([*parts, "</svg>\n"])

    def __str__(self):
        return self.to_text()

    def _spans(self):
        """(head, word) of each arc, short arcs first; head 0 for roots."""
        pairs = [(h, i) for i, h in enumerate(self.heads, 1) if h is not None]
        return sorted(pairs, key=lambda p: abs(p[0] - p[1]) if p[0] else 0)

    def _reached(self):
        found, waiting = set(), self.children(0)
        while waiting:
            word = waiting.pop()
            if word not in found:
                found.add(word)
                waiting += self.children(word)
        return found

    def _line(self, place):
        relation = self.relations[place - 1]
        word = self.words[place - 1]
        return word if relation is None else f"{word}  {relation}"

    def _draw(self, word, first, rest, lines):
        lines.append(first + self._line(word))
        children = self.children(word)
        for child in children:
            last = child == children[-1]
            self._draw(
                child,
                rest + (_LAST if last else _MORE),
                rest + (_GAP if last else _BAR),
                lines,
            )


def _levels(spans):
    """The height of each arc: above all arcs that it encloses or crosses."""
    levels = []
    for place, (head, word) in enumerate(spans):
        low, high = min(head or word, word), max(head, word)
        below = [
            level
            for (h, w), level in zip(spans[:place], levels)
            if h and min(h, w) < high and max(h, w) > low
        ]
        levels.append(1 + max(below, default=0))
    # Arrows from the root come from above everything.
    top = max(levels, default=0)
    return [
        level if head else top + 1 for (head, _), level in zip(spans, levels)
    ]


def _arc(head, word, centres, top, height, relation):
    x, y = centres[word - 1], top - height
    tip = f'<path d="M{x - 4},{top - 8} L{x + 4},{top - 8} L{x},{top} Z"/>'
    if not head:
        line = f"M{x},{y} L{x},{top - 8}"
        return [_stroke(line), tip, _label(relation, x, y - 4, 12, "#555")]
    # Arcs that leave a word stand beside those that reach it.
    start = centres[head - 1] + (8 if word > head else -8)
    side = 8 if x > start else -8
    line = (
        f"M{start},{top} L{start},{y + 8} Q{start},{y} {start + side},{y} "
        f"L{x - side},{y} Q{x},{y} {x},{y + 8} L{x},{top - 8}"
    )
    middle = (start + x) // 2
    return [_stroke(line), tip, _label(relation, middle, y - 4, 12, "#555")]


def _stroke(path):
    return f'<path d="{path}" fill="none" stroke="#777"/>'


def _label(text, x, y, size, colour):
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" '
        f'text-anchor="middle">{html.escape(text or "")}</text>'
    )
