import hashlib
import json

import numpy as np


class TextField:
    """The texts of examples of any kind: a random-access source of texts.

    Anything with `__len__` and `__getitem__` will do for the examples: lists,
    `TextFiles`, `grain.sources`, `tfds.data_source`, arrays of str.

    Item: str, (str, str) or list of str, as a renderer takes it.

    Args:
        examples: object with `__len__` and `__getitem__`; an item is a text
            (str, or bytes of UTF-8) or a dict with one.
        field: where items are dicts: the key of the text; "text" if None.

    Raises:
        TypeError: if `examples` has no length or no items, or an item is not
            text.
        ValueError: if an item lacks the field, or its bytes are not UTF-8;
            names the example.
    """

    def __init__(self, examples, field=None):
        if isinstance(examples, str | bytes) or not (
            hasattr(examples, "__len__") and hasattr(examples, "__getitem__")
        ):
            raise TypeError(
                "Expected examples with __len__ and __getitem__. Received: "
                f"examples={examples!r:.60} ({type(examples).__name__})"
            )
        self.examples = examples
        self.field = field

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return self.text_of(self.examples[int(index)], index)

    def text_of(self, item, index=None):
        """The text of one item; `index` is for errors."""
        if isinstance(item, dict):
            item = self._of_dict(item, index)
        item = _plain(item, index)
        if isinstance(item, str):
            return item
        if isinstance(item, list | tuple | np.ndarray):
            parts = [_plain(part, index) for part in item]
            if all(isinstance(part, str) for part in parts):
                return tuple(parts) if isinstance(item, tuple) else parts
        raise TypeError(
            "Expected text: str, bytes of UTF-8, a pair or a list of words. "
            f"Received: examples[{index}] with {item!r:.60} "
            f"({type(item).__name__})"
        )

    def fingerprint(self):
        """str that is another one when the texts are others.

        It is that of the examples where they have one; else all texts are
        read.
        """
        if hasattr(self.examples, "fingerprint"):
            return f"{self.examples.fingerprint()} {self.field}"
        digest = hashlib.sha256()
        for index in range(len(self)):
            digest.update(json.dumps(self[index]).encode())
            digest.update(b"\n")
        return digest.hexdigest()

    def _of_dict(self, item, index):
        key = "text" if self.field is None else self.field
        if key not in item:
            raise ValueError(
                "Expected the key of the text among those of an example: "
                f"{', '.join(map(str, item))}. Received: field={key!r}, "
                f"examples[{index}]"
            )
        return item[key]


def _plain(value, index):
    """bytes and numpy's scalars as str, all else as it is."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"Expected text in UTF-8. Received: examples[{index}] with "
                f"{value[:30]!r} ({error.reason})"
            ) from None
    return str(value) if isinstance(value, np.str_) else value
