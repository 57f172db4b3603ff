"""Stable names for the variables of a model, across processes.

Keras numbers unnamed layers (`dense_7`) by a counter of the process; here
they are numbered by their place among their siblings. Backend-neutral.
"""

import re

import numpy as np

_NUMBERED = re.compile(r"^(.*?)_(\d+)$")


def variable_keys(variables, root=""):
    """A stable key for each variable.

    The key is the variable's path below the model. Siblings that Keras
    numbered itself (`dense_7`, `dense_9`) are numbered anew by their order
    (`dense`, `dense_1`); names given as `block_0, block_1, ...` stay.

    Args:
        variables: list of `keras.Variable`, in the model's order.
        root: name of the model, dropped from the front of each path.

    Returns:
        List of distinct str. Equal paths get `#1`, `#2`, ... appended.
    """
    paths = [variable.path.split("/") for variable in variables]
    paths = [
        path[1:] if root and len(path) > 1 and path[0] == root else path
        for path in paths
    ]
    siblings = {}
    for path in paths:
        for depth, part in enumerate(path[:-1]):
            names = siblings.setdefault(tuple(path[:depth]), [])
            if part not in names:
                names.append(part)
    renamed = {parent: _numbered(names) for parent, names in siblings.items()}
    keys, seen = [], {}
    for path in paths:
        parts = [
            renamed[tuple(path[:depth])][part]
            for depth, part in enumerate(path[:-1])
        ]
        key = "/".join([*parts, path[-1]])
        seen[key] = seen.get(key, 0) + 1
        keys.append(key if seen[key] == 1 else f"{key}#{seen[key] - 1}")
    return keys


def load_report(expected, found):
    """What does not fit between two sets of arrays.

    Args:
        expected: dict from key to shape, what a model has.
        found: dict from key to array, what a file holds.

    Returns:
        List of lines: every missing, unexpected and misshapen key; empty if
        all fit.
    """
    lines = []
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    misshapen = [
        f"{key}: expected {tuple(expected[key])}, found {found[key].shape}"
        for key in expected
        if key in found and tuple(expected[key]) != found[key].shape
    ]
    for title, keys in (
        ("missing", missing),
        ("unexpected", unexpected),
        ("misshapen", misshapen),
    ):
        if keys:
            lines.append(f"{len(keys)} {title}: {', '.join(keys)}")
    return lines


def assign_all(variables, keys, arrays, what="checkpoint"):
    """Assigns arrays to variables; strict.

    Args:
        variables: list of `keras.Variable`.
        keys: list of str, one per variable.
        arrays: dict from key to array.
        what: where the arrays come from, for the message.

    Raises:
        ValueError: if a key is missing, unexpected or misshapen; all of
            them are listed, and nothing is assigned.
    """
    expected = {key: v.shape for key, v in zip(keys, variables)}
    lines = load_report(expected, arrays)
    if lines:
        raise ValueError(
            f"Expected a {what} that fits the model. "
            f"Received: {'; '.join(lines)}"
        )
    for key, variable in zip(keys, variables):
        variable.assign(np.asarray(arrays[key]))


def _numbered(names):
    """Sibling names -> stable names."""
    groups = {}
    for name in names:
        match = _NUMBERED.match(name)
        groups.setdefault(match[1] if match else name, []).append(name)
    result = {}
    for base, members in groups.items():
        if f"{base}_0" in members:  # Keras never counts from 0: names given
            result.update({name: name for name in members})
            continue
        for place, name in enumerate(members):
            result[name] = f"{base}_{place}" if place else base
    return result
