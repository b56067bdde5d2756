"""reStructuredText stays as its author wrote it, without comments; we find the headings: lines with
a rule of signs below them, in the order in which the kinds of rules come.
"""

import re
from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline, clean
from processing.parsing.markdown import PICTURE

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."

MAX_TITLE_LINE = 300
_RULE = re.compile(r"""([!-/:-@[-`{-~])\1{2,}""")
# "..", and no directive, target, footnote or substitution behind it.
_COMMENT = re.compile(r"\.\.(?:[ \t]+(?![\w:.+-]+::|_|\[|\|).*)?")
_MARKS = re.compile(r"``|\*\*|[*`]|:[\w-]+:(?=`)|`_\b")
_ESCAPE = re.compile(r"\\(\S)")


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises as `decode`."""
    text, pictures = PICTURE.subn("", clean(decode(file.read())))
    if pictures:
        draft.unread("picture", count=pictures)
    lines = _without_comments(text.split("\n"))
    if included := sum(line.lstrip().startswith(".. include::") for line in lines):
        draft.unread("included_file", count=included)
    outline = Outline()
    kinds: list[str] = []
    start = number = 0
    while number < len(lines):
        if found := _heading(lines, number):
            kind, title, length = found
            draft.add("\n".join(lines[start:number]), heading=outline.path)
            if kind not in kinds:
                kinds.append(kind)
            outline.enter(kinds.index(kind) + 1, _ESCAPE.sub(r"\1", _MARKS.sub("", title)))
            start, number = number, number + length
            continue
        number += 1
    draft.add("\n".join(lines[start:]), heading=outline.path)


def _heading(lines: list[str], number: int) -> tuple[str, str, int] | None:
    """(kind, title, lines) of a heading that begins here. A rule must be as long as its title."""
    line = lines[number]
    following = [*lines[number + 1 : number + 3], "", ""]
    if len(line) > MAX_TITLE_LINE or (number and lines[number - 1].strip()):
        return None
    if _is_rule(line):
        title, below = following[0].strip(), following[1]
        if title and below == line and len(title) <= len(line) and not _is_rule(title):
            return line[0] * 2, title, 3
        return None
    is_title = line.strip() and not line[0].isspace() and _is_rule(following[0])
    if is_title and len(following[0]) >= len(line) - 1:  # many are one short
        return following[0][0], line, 2
    return None


def _is_rule(line: str) -> bool:
    return _RULE.fullmatch(line) is not None


def _without_comments(lines: list[str]) -> list[str]:
    """A comment goes on as long as lines are indented."""
    kept: list[str] = []
    in_comment = False
    for line in lines:
        if in_comment and (not line.strip() or line[0].isspace()):
            if not line.strip():
                kept.append("")
            continue
        in_comment = len(line) < MAX_TITLE_LINE and _COMMENT.fullmatch(line) is not None
        if not in_comment:
            kept.append(line)
    return clean("\n".join(kept)).split("\n")
