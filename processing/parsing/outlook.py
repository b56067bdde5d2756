"""Outlook's messages (MSG): the properties of the message and of what is attached to it, by
[MS-OXMSG]; a text that is only there as RTF, by [MS-OXRTFCP] and [MS-OXRTFEX].

On PyPI: extract-msg is under the GPL, msg-parser has had no release since 2019, python-oxmsg knows
neither messages in messages nor RTF.
"""

import datetime
import email.parser
import struct
from typing import IO

from processing.errors import PermanentError
from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, one_line
from processing.parsing.html import decode_markup
from processing.parsing.letter import NO_SUBJECT, Attachment, Letter, add_letter
from processing.parsing.mail import header
from processing.parsing.ole import Container
from processing.parsing.rtf import html_of, text_of

NO_TEXT = "This message contains no text; check that it is the right one and upload it again."
MAX_NESTED = 3  # messages in messages
MAX_ATTACHMENTS = 1_000
MAX_RECIPIENTS = 500

_SUBJECT, _SENDER, _SENDER_ADDRESS, _SMTP_ADDRESS = "0037", "0C1A", "0C1F", "5D01"
_HEADERS = "007D"
_TO, _CC, _BODY, _HTML, _RTF, _CLASS = "0E04", "0E03", "1000", "1013", "1009", "001A"
_LONG_NAME, _SHORT_NAME, _SHOWN_NAME, _DATA, _MIME = "3707", "3704", "3001", "3701", "370E"
_SENT_AT, _RECEIVED_AT, _CREATED_AT, _CODE_PAGE = 0x0039, 0x0E06, 0x3007, 0x3FFD
_WIDE, _NARROW, _BINARY = "001F", "001E", "0102"
_ATTACHED, _RECIPIENT = "__attach_version1.0_#", "__recip_version1.0_#"
_RECIPIENT_SMTP, _RECIPIENT_ADDRESS, _RECIPIENT_KIND = "39FE", "3003", 0x0C15
_IS_TO, _IS_CC = 1, 2
_INNER = "__substg1.0_3701000D/"
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: `encrypted`, `corrupt`."""
    _read(Container(file), "", draft, 0)


def _read(container: Container, folder: str, draft: Draft, depth: int) -> None:
    message = _Properties(container, folder, 32 if not folder else 24)
    sender = message.text(_SENDER)
    address = message.text(_SMTP_ADDRESS) or message.text(_SENDER_ADDRESS)
    if "@" in address and address != sender:
        sender = f"{sender} <{address}>".strip()
    elif "@" not in sender:  # an address within a company; how it was sent may say another
        sent = email.parser.HeaderParser().parsestr(message.text(_HEADERS))
        sender = header(sent, "From") or sender
    when = message.time(_SENT_AT) or message.time(_RECEIVED_AT) or message.time(_CREATED_AT)
    fields = [
        ("From", sender),
        ("To", _recipients(container, folder, _IS_TO) or message.text(_TO)),
        ("Cc", _recipients(container, folder, _IS_CC) or message.text(_CC)),
        ("Date", when),
    ]
    letter = Letter(message.text(_SUBJECT), fields, message.text(_BODY))
    if html := message.data(_HTML):
        letter.html = decode_markup(html)
    elif compressed := message.data(_RTF):
        rtf = decompressed(compressed)
        letter.html = html_of(rtf)
        if not letter.html and not letter.plain.strip():
            letter.plain = text_of(rtf)
    inner = []
    attachments = _parts(container, folder, _ATTACHED)
    for name in attachments[:MAX_ATTACHMENTS]:
        attached = _Properties(container, name, 8)
        if any(each.startswith(name + _INNER) for each in container.names):
            inner.append(name + _INNER)
        elif _is_shown(attached):
            letter.attachments.append(_attachment(attached))
    if len(attachments) > MAX_ATTACHMENTS:
        letter.attachments.append(Attachment("further attachments", None))
    if "smime" in message.text(_CLASS).lower() and "multipartsigned" not in (
        message.text(_CLASS).lower()
    ):
        letter.locked_count = 1
        letter.attachments = []
    add_letter(letter, draft)
    for name in inner:
        subject = _Properties(container, name, 24).text(_SUBJECT)
        if depth == MAX_NESTED:
            draft.unread("embedded_file", subject)
            continue
        with draft.part(one_line(subject) or NO_SUBJECT) as is_read:
            if is_read:
                below = Draft(draft)
                _read(container, name, below, depth + 1)
                draft.append(below, letter.subject or "")


class _Properties:
    """Those of a message or an attachment; of fixed size in one stream, the others in their own."""

    def __init__(self, container: Container, folder: str, header: int) -> None:
        self._container = container
        self._folder = folder
        self._fixed = {}
        table = container.read(f"{folder}__properties_version1.0")[header:]
        for at in range(0, len(table) - 15, 16):
            _, number = struct.unpack_from("<HH", table, at)
            self._fixed[number] = table[at + 8 : at + 16]
        page = struct.unpack("<I", self._fixed.get(_CODE_PAGE, bytes(8))[:4])[0]
        self._encoding = f"cp{page}" if 0 < page < 65_000 else None

    def text(self, number: str) -> str:
        wide = self._container.read(f"{self._folder}__substg1.0_{number}{_WIDE}")
        if wide:
            return wide.decode("utf-16-le", "replace").rstrip("\0")
        narrow = self._container.read(f"{self._folder}__substg1.0_{number}{_NARROW}")
        try:
            return decode(narrow, self._encoding).rstrip("\0") if narrow else ""
        except PermanentError:  # it is no text
            return ""

    def data(self, number: str) -> bytes:
        """Of HTML also where it is kept as a text."""
        found = self._container.read(f"{self._folder}__substg1.0_{number}{_BINARY}")
        return found or self.text(number).encode("utf-8", "replace")

    def number(self, number: int) -> int:
        value: int = struct.unpack("<i", self._fixed.get(number, bytes(8))[:4])[0]
        return value

    def time(self, number: int) -> str:
        ticks = struct.unpack("<Q", self._fixed.get(number, bytes(8)))[0]
        try:
            moment = _EPOCH + datetime.timedelta(microseconds=ticks // 10)
        except OverflowError:
            return ""
        return f"{moment:%Y-%m-%d %H:%M} UTC" if ticks else ""


def _recipients(container: Container, folder: str, kind: int) -> str:
    """Those of a kind, each with its address; the message itself has only their names, which must
    do when they are very many.
    """
    names = _parts(container, folder, _RECIPIENT)
    said = []
    for name in names if len(names) <= MAX_RECIPIENTS else ():
        recipient = _Properties(container, name, 8)
        if recipient.number(_RECIPIENT_KIND) == kind:
            shown = recipient.text(_SHOWN_NAME)
            address = recipient.text(_RECIPIENT_SMTP) or recipient.text(_RECIPIENT_ADDRESS)
            is_address = "@" in address and address.casefold() not in shown.casefold()
            said.append(f"{shown} <{address}>" if is_address and shown else shown or address)
    return ", ".join(filter(None, said))


def _parts(container: Container, folder: str, kind: str) -> list[str]:
    """The storages of a kind in a message."""
    found: dict[str, None] = {}
    for name in container.names:
        rest = name[len(folder) :]
        if name.startswith(folder) and rest.startswith(kind):
            found[folder + rest.partition("/")[0] + "/"] = None
    return list(found)


_HIDDEN = 0x7FFE


def _is_shown(attached: _Properties) -> bool:
    """Not what the text's HTML shows by itself, as far as it is small: logos."""
    return not attached.number(_HIDDEN) or len(attached.data(_DATA)) > 8 * 1024


def _attachment(attached: _Properties) -> Attachment:
    names = (attached.text(number) for number in (_LONG_NAME, _SHOWN_NAME, _SHORT_NAME))
    name = next(filter(None, names), "attachment")
    return Attachment(name, attached.data(_DATA) or None, attached.text(_MIME))


_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript "
    rb"\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
MAX_RTF_BYTES = 50 * 1024**2


def decompressed(data: bytes) -> bytes:
    """RTF from its compressed form, [MS-OXRTFCP] 2.2; as far as it is whole."""
    if len(data) < 16:
        return b""
    _, size, kind = struct.unpack_from("<III", data)
    if kind == 0x414C454D:  # "MELA": as it is
        return data[16 : 16 + size]
    if kind != 0x75465A4C:  # "LZFu"
        return b""
    window = bytearray(_DICTIONARY.ljust(4096, b" "))
    at, out, position = len(_DICTIONARY), bytearray(), 16
    while position < len(data) and len(out) < min(size, MAX_RTF_BYTES):
        flags = data[position]
        position += 1
        for bit in range(8):
            if flags >> bit & 1:
                if position + 2 > len(data):
                    return bytes(out)
                reference = int.from_bytes(data[position : position + 2], "big")
                position += 2
                start, length = reference >> 4, (reference & 15) + 2
                if start == at:
                    return bytes(out[:size])
                for step in range(length):
                    byte = window[(start + step) % 4096]
                    out.append(byte)
                    window[at] = byte
                    at = (at + 1) % 4096
            else:
                if position >= len(data):
                    return bytes(out)
                out.append(data[position])
                window[at] = data[position]
                at = (at + 1) % 4096
                position += 1
    return bytes(out[:size])
