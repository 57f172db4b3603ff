"""Look-alike characters."""

from pixmodels.renderers.noise import _defaults
from pixmodels.renderers.noise import tables
from pixmodels.renderers.noise._characters import CharacterAttack


class Confusable(CharacterAttack):
    """Replaces letters and digits by characters that look like them.

    Each letter or digit that the table has is replaced with chance p by one
    of its look-alikes, all equally likely; an accented letter that the table
    lacks keeps its accent over a look-alike of the letter. White space,
    punctuation and symbols stay.

    Args:
        table: dict from a text to a list of texts that look like it, by
            `read_confusables` from Unicode's file; None: a small table of
            ours, for ASCII letters and digits: Cyrillic, Greek, Armenian and
            other homoglyphs, full width and mathematical forms.

    Source: PIXEL's "confusable" attack, over Unicode's confusables (UTS 39).
    Differs in the built-in table (PIXEL's is Unicode's), in drawing from all
    classes of a character, in accents, and in that a look-alike which would
    join its neighbours is not taken.

    Example:
        >>> Confusable({"o": ["0"]})("look, a book", p=1.0)
        'l00k, a b00k'
    """

    name = "confusable"

    def __init__(self, table=None):
        self._given = table
        self._table = tables.checked(
            "table", _defaults.confusables() if table is None else table
        )

    def _look_up(self, text):
        return self._table.get(text), None

    def _options(self):
        return tables.described("table", self._given)
