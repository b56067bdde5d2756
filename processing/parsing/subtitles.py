"""SRT and WebVTT: what is said, without numbers and times; each minute is a section, and its time
the heading that it is cited by.
"""

import re
from html import unescape
from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, clean

NO_TEXT = "There are no subtitles in this file; check that it is the right one and upload it again."
SECTION_SECONDS = 60

_TIMES = re.compile(
    r"[ \t]*(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,]\d{1,3})?[ \t]*-->[ \t]*[\d:.,]+.*"
)
_SPEAKER = re.compile(r"<v(?:\.[\w.-]{0,80})?[ \t]+([^>\n]{1,100})>")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>|<\d[\d:.]{0,20}>|\{\\[^{}\n]{0,100}\}")
_SILENT = ("NOTE", "STYLE", "REGION", "WEBVTT")


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises as `decode`."""
    said: list[str] = []
    begins = section = 0
    for block in re.split(r"\n\n+", clean(decode(file.read()))):
        lines = block.split("\n")
        at = next(
            (number for number, line in enumerate(lines) if _TIMES.fullmatch(line[:200])), None
        )
        if at is None:
            if lines[0].startswith(_SILENT):
                continue
            at = -1  # an empty line within a subtitle
        elif match := _TIMES.fullmatch(lines[at][:200]):
            hours, minutes, seconds = (int(part or 0) for part in match.groups())
            begins = hours * 3600 + minutes * 60 + seconds
            if begins >= section + SECTION_SECONDS or begins < section:
                _add(said, section, draft)
                said, section = [], begins - begins % SECTION_SECONDS
        for line in lines[at + 1 :]:
            text = unescape(_TAG.sub("", _SPEAKER.sub(r"\1: ", line))).strip()
            # Subtitles that roll repeat the line above.
            if text and text not in said[-2:]:
                said.append(text)
    _add(said, section, draft)


def _add(said: list[str], section: int, draft: Draft) -> None:
    heading = f"{section // 3600:02}:{section // 60 % 60:02}:{section % 60:02}"
    draft.add("\n".join(said), heading=heading)
