"""The machinery of configs: frozen dataclasses <-> dicts, JSON and text.

Checks types and ranges, names the nearest key for an unknown one, parses
`key.path=value`. Knows no setting by name: those are in `config`.
"""

import dataclasses
import difflib
import json
import math
import types
import typing
from pathlib import Path

from pixmodels.training import _whole_file

_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def setting(
    default=dataclasses.MISSING,
    *,
    default_factory=dataclasses.MISSING,
    at_least=None,
    above=None,
    at_most=None,
    below=None,
    choices=None,
):
    """A dataclass field with the limits of its value.

    Args:
        default: the value where none is given.
        default_factory: function that makes the default (dicts, sections).
        at_least, above, at_most, below: limits of a number, or of each
            number in a tuple; `None` values are not checked.
        choices: tuple of the values allowed.
    """
    limits = {
        "at_least": at_least,
        "above": above,
        "at_most": at_most,
        "below": below,
        "choices": choices,
    }
    if default is not dataclasses.MISSING:
        return dataclasses.field(default=default, metadata=limits)
    return dataclasses.field(default_factory=default_factory, metadata=limits)


class Settings:
    """Base of every section: checks its own fields when it is made.

    Raises:
        TypeError: if a value has the wrong type.
        ValueError: if a value is outside its limits.
    """

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            value = _checked(value, hints[field.name], field, field.name)
            object.__setattr__(self, field.name, value)
        self.validate()

    def validate(self):
        """Checks across fields; sections override it. Raises ValueError."""


def from_dict(cls, values, path=""):
    """Builds a section, and the sections inside it, from plain values.

    Args:
        cls: a `Settings` dataclass.
        values: dict as `to_dict` gives it or JSON holds it; keys that are
            missing take their defaults.
        path: dotted path of this section, for messages.

    Raises:
        TypeError: if a value has the wrong type.
        ValueError: if a key is unknown (the nearest names are listed) or a
            value is outside its limits.
    """
    if not isinstance(values, dict):
        raise TypeError(
            f"Expected a dict of settings for {path or cls.__name__}. "
            f"Received: {path or 'values'}={values!r}"
        )
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    given = {}
    for key, value in values.items():
        where = _join(path, key)
        if key not in fields:
            raise ValueError(_unknown(cls, path, key, value))
        if _is_section(hints[key]) and not isinstance(value, hints[key]):
            given[key] = from_dict(hints[key], value, where)
        else:
            given[key] = _checked(value, hints[key], fields[key], where)
    return cls(**given)


def to_dict(settings):
    """A section as plain values that JSON can hold (tuples stay tuples)."""
    result = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, Settings):
            value = to_dict(value)
        elif isinstance(value, dict):
            value = dict(value)
        result[field.name] = value
    return result


def override(settings, assignments):
    """A copy with some settings replaced.

    Args:
        settings: a `Settings` object.
        assignments: list of `"key.path=value"`. The text is parsed by the
            type of the setting: numbers, `true/false`, `none`, tuples as
            `[64,128]` or `64,128`, dicts as JSON; a key inside a dict
            (`data.options.limit=40`) takes any JSON value, else a str.

    Raises:
        TypeError: if a text does not parse as the setting's type.
        ValueError: if `=` is missing, a key is unknown, or a value is
            outside its limits.
    """
    values = to_dict(settings)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path.strip():
            raise ValueError(
                "Expected an assignment like train.steps=100. "
                f"Received: {assignment!r}"
            )
        _assign(type(settings), values, path.strip(), text.strip())
    return from_dict(type(settings), values)


def differences(old, new, path=""):
    """Dotted keys in which two config dicts differ.

    Args:
        old, new: nested dicts, as from `to_dict` or JSON.
        path: dotted path in front of the keys.

    Returns:
        dict from dotted key to `(old value, new value)`; a key that one side
        lacks counts as `None` there.
    """
    found = {}
    for key in [*old, *(key for key in new if key not in old)]:
        where, a, b = _join(path, key), old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found.update(differences(a, b, where))
        elif _plain(a) != _plain(b):
            found[where] = (a, b)
    return found


def save_json(values, path):
    """Writes a dict as indented JSON, all of it or nothing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _whole_file.replacing(path) as partial:
        partial.write_text(json.dumps(_plain(values), indent=2) + "\n")


def load_json(path):
    """Reads a JSON object.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not hold a JSON object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a JSON file. Received: path={str(path)!r}, which is "
            "not a file."
        )
    try:
        values = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Expected JSON. Received: path={str(path)!r}, which does not "
            f"parse: {error}"
        ) from error
    if not isinstance(values, dict):
        raise ValueError(
            f"Expected a JSON object. Received: path={str(path)!r}, which "
            f"holds a {type(values).__name__}."
        )
    return values


def nearest(name, names):
    """`" Did you mean 'a' or 'b'?"`, or `""` where no name is near."""
    near = difflib.get_close_matches(str(name), list(names), n=3, cutoff=0.55)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def check_options(given, known, what):
    """Checks `data.options` against the options that there are.

    Args:
        given: dict.
        known: names.
        what: str, words before the list of names in the message.

    Raises:
        ValueError: for an option that is unknown; the nearest is named.
    """
    for key, value in given.items():
        if key not in known:
            raise ValueError(
                f"Expected {what}: {', '.join(known)}.{nearest(key, known)} "
                f"Received: data.options.{key}={value!r}"
            )


def _join(path, key):
    return f"{path}.{key}" if path else str(key)


def _plain(value):
    """Tuples as lists, as JSON would give them back."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _is_section(hint):
    return isinstance(hint, type) and issubclass(hint, Settings)


def _unknown(cls, path, key, value):
    names = [_join(path, field.name) for field in dataclasses.fields(cls)]
    where = _join(path, key)
    # Nearness is judged on the last part: a shared path would hide a typo.
    hint = nearest(key, [name.rpartition(".")[2] for name in names])
    if hint and path:
        hint = hint.replace(" '", f" '{path}.")
    return (
        f"Expected a setting of {cls.__name__}: {', '.join(names)}.{hint} "
        f"Received: {where}={value!r}"
    )


def _options(hint):
    """(types a value may have, True if it may be None)."""
    if isinstance(hint, types.UnionType) or (
        typing.get_origin(hint) is typing.Union
    ):
        parts = typing.get_args(hint)
        return [p for p in parts if p is not type(None)], (type(None) in parts)
    return [hint], False


def _describe(hint):
    kinds, optional = _options(hint)
    names = [
        str(kind) if typing.get_origin(kind) else kind.__name__
        for kind in kinds
    ]
    return " or ".join([*names, *(["None"] if optional else [])])


def _checked(value, hint, field, path):
    """The value as the field's type, within its limits."""
    kinds, optional = _options(hint)
    if value is None and optional:
        return None
    for kind in kinds:
        matched, result = _matched(value, kind)
        if matched:
            _check_limits(result, field.metadata, path)
            return result
    raise TypeError(
        f"Expected {path} to be {_describe(hint)}. "
        f"Received: {path}={value!r} ({type(value).__name__})"
    )


def _matched(value, kind):
    """(True, converted value) if a value fits a type, else (False, None)."""
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            return False, None
        item_kind = typing.get_args(kind)[0]
        pairs = [_matched(item, item_kind) for item in value]
        return all(ok for ok, _ in pairs), tuple(item for _, item in pairs)
    if kind is float:
        ok = isinstance(value, int | float) and not isinstance(value, bool)
        ok = ok and math.isfinite(value)
        return ok, float(value) if ok else None
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(value, kind), value


def _check_limits(value, limits, path):
    for number in value if isinstance(value, tuple) else (value,):
        for name, holds, words in (
            ("at_least", lambda a, b: a >= b, "at least"),
            ("above", lambda a, b: a > b, "above"),
            ("at_most", lambda a, b: a <= b, "at most"),
            ("below", lambda a, b: a < b, "below"),
        ):
            limit = limits.get(name)
            if limit is not None and not holds(number, limit):
                raise ValueError(
                    f"Expected {path} to be {words} {limit}. "
                    f"Received: {path}={value!r}"
                )
    choices = limits.get("choices")
    if choices is not None and value not in choices:
        raise ValueError(
            f"Expected {path} to be one of {', '.join(map(repr, choices))}."
            f"{nearest(value, map(str, choices))} Received: {path}={value!r}"
        )


def _assign(cls, values, path, text):
    """Parses `text` by the type of the setting at `path`; stores it."""
    *parents, last = path.split(".")
    where = ""
    for key in parents:
        hints = typing.get_type_hints(cls)
        if key not in hints:
            raise ValueError(_unknown(cls, where, key, text))
        values, where = values[key], _join(where, key)
        if isinstance(values, dict) and not _is_section(hints[key]):
            rest = path[len(where) + 1 :].split(".")
            for part in rest[:-1]:
                values = values.setdefault(part, {})
            values[rest[-1]] = _guess(text)
            return
        cls = hints[key]
        if not _is_section(cls):
            raise ValueError(
                f"Expected {where} to be a section. Received: {path}={text}"
            )
    hints = typing.get_type_hints(cls)
    if last not in hints:
        raise ValueError(_unknown(cls, where, last, text))
    if _is_section(hints[last]):
        names = ", ".join(
            field.name for field in dataclasses.fields(hints[last])
        )
        raise ValueError(
            f"Expected a setting inside the section {path}: {names}. "
            f"Received: {path}={text}"
        )
    values[last] = _parse(text, hints[last], path)


def _guess(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _parse(text, hint, path):
    kinds, optional = _options(hint)
    if optional and text.lower() in ("none", "null"):
        return None
    for kind in kinds:
        try:
            return _parse_as(text, kind)
        except ValueError:
            continue
    raise TypeError(
        f"Expected {path} to be {_describe(hint)}. Received: {path}={text!r}"
    )


def _parse_as(text, kind):
    """Text as one type; raises ValueError if it does not parse."""
    if typing.get_origin(kind) is tuple:
        item_kind = typing.get_args(kind)[0]
        if text.startswith("["):
            items = json.loads(text)
            ok, result = _matched(items, kind)
            if not ok:
                raise ValueError(text)
            return result
        text = text.strip("()").rstrip(",").strip()
        parts = text.split(",") if text else []
        return tuple(_parse_as(part.strip(), item_kind) for part in parts)
    if kind is dict:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError(text)
        return value
    if kind is bool:
        if text.lower() not in _WORDS:
            raise ValueError(text)
        return _WORDS[text.lower()]
    if kind is int and "e" in text.lower():
        number = float(text)  # 1e6 steps
        if number != int(number):
            raise ValueError(text)
        return int(number)
    return kind(text)
