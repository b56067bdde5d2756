"""Which files are taken: their names made safe, their types by name and by content."""

import re
import unicodedata
from pathlib import PurePosixPath
from typing import IO

from formats import BY_EXTENSION, FORMATS, of_file
from formats.signatures import HEAD_BYTES

from .refusals import Refused, invalid_filename

# Letters of Arabic, Syriac, India, Tibet, Burma, the Khmer and the Mongols, and pictures, between
# which a joiner or a non-joiner belongs to the spelling.
_JOINED = "\u0600-\u0dff\u0f00-\u109f\u1780-\u18af"
_PICTURES = "\u2600-\u27bf\ufe0f\U0001f000-\U0001faff"
_JOINERS = re.compile(
    f"(?<=[{_JOINED}])[\u200c\u200d](?=[{_JOINED}])|(?<=[{_PICTURES}])\u200d(?=[{_PICTURES}])"
)

_ESCAPES = re.compile("%[0-9A-Fa-f]{2}")


def as_written(name: str) -> str:
    """The name that a form sends: browsers and curl write a quotation mark as %22 and escape
    nothing else, so a name with other escapes was written with them.
    """
    is_theirs = set(_ESCAPES.findall(name)) == {"%22"}
    return name.replace("%22", '"') if is_theirs else name


def clean_filename(name: str) -> str:
    """The name as we keep it: no path, NFC, nothing invisible, at most 255 characters.

    Raises Refused when nothing is left of it.
    """
    name = visible(name.replace("\\", "/").rsplit("/", 1)[-1]).rstrip(". ")
    path = PurePosixPath(name)
    if not path.stem.strip(". "):
        raise invalid_filename("The file has no usable name; rename it and upload it again.")
    if len(name) > 255:
        name = path.stem[: 255 - len(path.suffix)].rstrip() + path.suffix
    return name


def visible(name: str) -> str:
    """A name in NFC, on one line, without what nobody sees: control, format (bidi, zero width where
    it means nothing), surrogate and unassigned characters.
    """
    joiners = {joiner.start() for joiner in _JOINERS.finditer(name)}
    name = "".join(
        letter
        for place, letter in enumerate(name)
        if unicodedata.category(letter)[0] != "C" or place in joiners
    )
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", name)).strip()


def detect_type(filename: str, file: IO[bytes]) -> str:
    """The content type: what the name says, or what the content is by its own mark (`letter.doc`
    may well be RTF or a web page). Raises Refused.

    Only the kind of file is decided here; whether it is whole is found out by parsing it.
    """
    extension = PurePosixPath(filename).suffix.lower()
    if extension not in BY_EXTENSION:
        raise unsupported_type(f"Files of type “{extension or 'unknown'}” cannot be read.")
    file.seek(0)
    format = of_file(extension, file.read(HEAD_BYTES), file)
    file.seek(0)
    if format is None:
        raise unsupported_type(f"The content is not what the name says ({extension}).")
    return format.media_type


def unsupported_type(why: str) -> Refused:
    types = ", ".join(format.label for format in FORMATS)
    return Refused(
        "unsupported_type", f"{why} Accepted are: {types}.", 415, {"accepted": list(BY_EXTENSION)}
    )
