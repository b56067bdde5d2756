"""JSON, one value or one a line: lists of alike objects as tables, the rest as lines "name: value"
below the names that lead to them.
"""

import json
from collections.abc import Iterable, Sequence
from typing import IO, Any

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline
from processing.parsing.tables import add_table

NO_TEXT = "This file contains no values; check that it is the right one and upload it again."
MAX_DEPTH = 12  # of headings; what lies deeper is one line
MAX_COLUMNS = 50
MAX_HEADINGS = 50_000  # what is beyond them has none of its own

_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)


def read(file: IO[bytes], draft: Draft) -> None:
    """What is no JSON is taken as plain text, and said to be damaged where it breaks off. Raises as
    `decode`.
    """
    text = decode(file.read()).lstrip("\ufeff")
    try:
        values = _values(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and _is_cut_off(text, error):
            draft.unread("damaged_file")
        draft.add(text)
        return
    _Writer(draft).write(values[0] if len(values) == 1 else values)


def _values(text: str) -> list[Any]:
    """All values that stand one after the other. Raises ValueError, RecursionError."""
    values, end = [], len(text) - len(text.lstrip())
    while end < len(text):
        value, end = _DECODER.raw_decode(text, end)
        values.append(value)
        while end < len(text) and text[end].isspace():
            end += 1
    return values


def _is_cut_off(text: str, error: json.JSONDecodeError) -> bool:
    """Whether it would be JSON if it went on."""
    if text[:1] not in ("{", "["):
        return False
    rest = text[error.pos :].strip()
    return "Unterminated" in error.msg or any(word.startswith(rest) for word in _WORDS)


class _Writer:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._outline = Outline()
        self._lines: list[str] = []

    def write(self, value: Any, depth: int = 1) -> None:
        if isinstance(value, dict):
            self._object(value, depth)
        elif isinstance(value, list):
            self._list(value, depth)
        else:
            self._lines.append(_said(value))
        if depth == 1:
            self._end()

    def _object(self, value: dict[str, Any], depth: int) -> None:
        inner = {}
        for name, entry in value.items():
            if _is_flat(entry) or depth > MAX_DEPTH:
                self._lines.append(f"{name}: {_said(entry)}")
            else:
                inner[name] = entry
        for name, entry in inner.items():
            self._enter(name, depth)
            self.write(entry, depth + 1)

    def _list(self, values: list[Any], depth: int) -> None:
        if names := _columns(values):
            self._end()
            rows: Iterable[Sequence[str]] = (
                [_said(entry.get(name, "")) for name in names] for entry in values
            )
            rows = [names, *rows]
            add_table(self._draft, rows, header=1, heading=self._outline.path)
            return
        for number, entry in enumerate(values, 1):
            if _is_flat(entry) or depth > MAX_DEPTH:
                self._lines.append(f"- {_said(entry)}")
            else:
                self._enter(_name(entry) or str(number), depth)
                self.write(entry, depth + 1)

    def _enter(self, name: str, depth: int) -> None:
        if self._draft.count < MAX_HEADINGS:
            self._end()
            self._outline.enter(depth, name)
        self._lines.append(name)

    def _end(self) -> None:
        self._draft.add("\n".join(self._lines), heading=self._outline.path)
        self._lines = []


def _is_flat(value: Any) -> bool:
    """Whether it is shown on one line: a value, or a short list of values."""
    if isinstance(value, dict):
        return not value
    if isinstance(value, list):
        return not any(isinstance(entry, (dict, list)) and entry for entry in value)
    return True


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and _is_flat(value):
        return ", ".join(map(_said, value))
    return json.dumps(value, ensure_ascii=False) if value else ""


def _columns(values: list[Any]) -> list[str]:
    """The names that objects have in common when they are the rows of a table."""
    if len(values) < 2 or not all(isinstance(entry, dict) for entry in values):
        return []
    names: dict[str, None] = {}
    for entry in values:
        if not all(map(_is_flat, entry.values())):
            return []
        names |= dict.fromkeys(entry)
        if len(names) > MAX_COLUMNS:
            return []
    filled = sum(map(len, values))
    return list(names) if 2 * filled > len(names) * len(values) else []


def _name(entry: Any) -> str:
    """What an object calls itself."""
    if isinstance(entry, dict):
        for key in ("title", "name", "label", "id", "key"):
            if isinstance(entry.get(key), str) and entry[key]:
                return str(entry[key])
    return ""
