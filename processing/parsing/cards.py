"""Calendars (iCalendar, RFC 5545) and contacts (vCard, RFC 6350): a section for each event, task or
person, with what a program shows of it.
"""

import quopri
import re
from collections.abc import Iterator
from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, one_line

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."
MAX_LINE_CHARS = 100_000  # a longer one is a picture

_PARTS = {"VEVENT", "VTODO", "VJOURNAL", "VCARD"}
_TIMES = ("DTSTART", "DTEND", "DUE", "BDAY")
_TITLES = ("SUMMARY", "FN", "N")
_SHOWN = {
    "SUMMARY": "", "FN": "", "DTSTART": "Begin", "DTEND": "End", "DUE": "Due", "LOCATION": "Place",
    "ORGANIZER": "Organizer", "ATTENDEE": "Attendee", "DESCRIPTION": "", "COMMENT": "",
    "CATEGORIES": "Categories", "STATUS": "Status", "URL": "URL", "RRULE": "Repeats", "ORG":
    "Organization", "TITLE": "Title", "ROLE": "Role", "TEL": "Phone", "EMAIL": "E-mail", "ADR":
    "Address", "BDAY": "Birthday", "NOTE": "", "NICKNAME": "Nickname", "N": "",
}  # fmt: skip
_FOLDED = re.compile(r"\n[ \t]")
_LINE = re.compile(r"(?:[\w-]+\.)?([\w-]+)((?:;(?:\"[^\"]*\"|[^\":])*)?):(.*)", re.DOTALL)
_NAME = re.compile(r';CN=("[^"]*"|[^;:]*)', re.IGNORECASE)
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?")
_ESCAPED = re.compile(r"\\([nN,;:\\])")


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises as `decode`."""
    lines: list[str] = []
    title = kind = ""
    for name, parameters, value in _properties(decode(file.read())):
        if name == "BEGIN" and value.strip().upper() in _PARTS:
            lines, title, kind = [], "", value.strip().upper()
        elif name == "END" and value.strip().upper() == kind:
            draft.add("\n".join(lines), heading=one_line(title), apart=True)
            kind = ""
        elif kind and name in _SHOWN and not (name == "N" and title):
            said = _said(name, parameters, value)
            if name in _TITLES and said:
                title = title or said
            if said and said not in lines:
                lines.append(f"{_SHOWN[name]}: {said}" if _SHOWN[name] else said)


def _properties(text: str) -> Iterator[tuple[str, str, str]]:
    """(name, parameters, value) of each line, as it was before it was folded."""
    text = _FOLDED.sub("", text.replace("\r\n", "\n"))
    lines = iter(text.split("\n"))
    for line in lines:
        match = _LINE.fullmatch(line) if len(line) < MAX_LINE_CHARS else None
        if match is None:
            continue
        name, parameters, value = match[1].upper(), match[2], match[3]
        if "QUOTED-PRINTABLE" in parameters.upper():
            while value.endswith("="):  # goes on, without the mark of a folded line
                value = value[:-1] + next(lines, "")
            value = decode(quopri.decodestring(value.encode())) if value else ""
        yield name, parameters, value


def _said(name: str, parameters: str, value: str) -> str:
    if name in _TIMES and (match := _TIME.fullmatch(value.strip())):
        day = "-".join(match.group(1, 2, 3))
        time = f" {match[4]}:{match[5]}{' UTC' if match[7] else ''}" if match[4] else ""
        return day + time
    if name in ("ATTENDEE", "ORGANIZER"):
        address = re.sub(r"^mailto:", "", value.strip(), flags=re.IGNORECASE)
        who = _NAME.search(parameters)
        person = who[1].strip('"') if who else ""
        return f"{person} <{address}>" if person else address
    if name in ("N", "ADR", "ORG"):
        parts = re.split(r"(?<!\\);", value)
        value = ", ".join(part.strip() for part in parts if part.strip())
    return _ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], value).strip()
