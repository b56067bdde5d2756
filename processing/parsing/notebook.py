"""Jupyter notebooks: the cells in their order, each text as Markdown, each code as it is, with what
it wrote.
"""

import json
import re
from typing import IO, Any

from processing.errors import PermanentError
from processing.parsing import markdown
from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline
from processing.parsing.html import read_markup
from processing.parsing.sentences import DAMAGED

NO_TEXT = "This notebook contains no text; check that it is the right one and upload it again."

_COLOURS = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError("corrupt"), and as `decode`."""
    outline = Outline()
    for cell in _cells(decode(file.read())):
        source = _text(cell.get("source", cell.get("input")))
        if cell.get("cell_type") == "markdown":
            markdown.read_text(source, draft, outline)
            continue
        if cell.get("cell_type") == "heading":  # of the first version
            outline.enter(int(cell.get("level") or 1), source)
        draft.add(source, heading=outline.path)
        for output in _list(cell.get("outputs")):
            _read_output(output, draft, outline)


def _cells(text: str) -> list[dict[str, Any]]:
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PermanentError("corrupt", DAMAGED) from error
    if not isinstance(notebook, dict):
        raise PermanentError("corrupt", DAMAGED)
    cells = _list(notebook.get("cells"))
    for sheet in _list(notebook.get("worksheets")):
        cells += _list(sheet.get("cells"))
    if not cells and "cells" not in notebook:
        raise PermanentError("corrupt", DAMAGED)
    return cells


def _read_output(output: dict[str, Any], draft: Draft, outline: Outline) -> None:
    """A table that is there as HTML is read as such; a picture is said."""
    shown = output.get("data", output)
    if not isinstance(shown, dict):
        return
    html, plain = _text(shown.get("text/html")), _text(shown.get("text/plain"))
    text = _text(output.get("text")) or _text(output.get("traceback"), "\n")
    if "<table" in html:
        read_markup(html, draft, outline, titled=False)
    elif any(key.startswith("image/") for key in shown):
        draft.unread("picture")
    else:
        draft.add(_COLOURS.sub("", text or plain), heading=outline.path)


def _list(value: object) -> list[Any]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _text(value: object, joint: str = "") -> str:
    """A text, or the lines of one; in the second version without their ends."""
    if isinstance(value, list):
        lines = [part for part in value if isinstance(part, str)]
        is_ended = any(line.endswith("\n") for line in lines)
        return (joint if is_ended else "\n").join(lines)
    return value if isinstance(value, str) else ""
