"""Parameters of tests, some of them slow, for tests.

Here: which run in the fast suite. Not here: the tests."""

import pytest


def but_slow(values, quick):
    """Parameters of which those that are not `quick` are marked slow.

    Args:
        values: of one argument each.
        quick: some of them.
    """
    return [
        pytest.param(value, marks=[] if value in quick else [pytest.mark.slow])
        for value in values
    ]
