"""Files that are there whole or not at all, also when a process is killed."""

import contextlib


@contextlib.contextmanager
def replacing(path):
    """A path to write to; what is there at the end takes the place of `path`.

    Args:
        path: `pathlib.Path` in a folder that is there.

    Yields:
        `pathlib.Path` beside it. It has another suffix: writers that go by
        suffixes need to be told the format.
    """
    partial = path.with_name(f".{path.name}.partial")
    yield partial
    partial.replace(path)
