"""Packed single files: how they are opened, what damage raises.

Not here: archives of several files (`_plain_files`).
"""

import bz2
import gzip
import lzma
import zlib
from pathlib import Path

OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
# While reading; bz2 and gzip raise OSError itself or a kind of it.
DAMAGE = (EOFError, lzma.LZMAError, zlib.error, OSError)


def bare_name(path):
    """The name of a file without the suffix that says how it is packed."""
    path = Path(path)
    return path.stem if path.suffix in OPENERS else path.name
