"""Tells kinds of file apart by their content: only which kind it is; whether a file is whole is
found out by reading it.
"""

import os
import re
from collections.abc import Callable
from typing import IO

HEAD_BYTES = 64 * 1024
BLOCK_BYTES = 1024 * 1024  # the most of a file that is held in memory

_ZIP, _OLE2 = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_CONTROL_BYTES = [bytes([byte]) for byte in range(32) if byte not in b"\t\n\f\r\x1b"]


def is_pdf(head: bytes, file: IO[bytes]) -> bool:
    return b"%PDF-" in head[:1024]


def begins(*marks: bytes) -> Callable[[bytes, IO[bytes]], bool]:
    return lambda head, file: head.startswith(marks)


def is_webp(head: bytes, file: IO[bytes]) -> bool:
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"  # RIFF is sound and film as well


def is_bmp(head: bytes, file: IO[bytes]) -> bool:
    return head.startswith(b"BM") and head[6:10] == bytes(4)  # "BM" alone begins words


def is_epub(head: bytes, file: IO[bytes]) -> bool:
    """Its first member says so, as the standard demands; many have it at another place."""
    if not head.startswith(_ZIP):
        return False
    return b"application/epub+zip" in head[:200] or contains("META-INF")(head, file)


def is_svg(head: bytes, file: IO[bytes]) -> bool:
    """Also one that was compressed by gzip."""
    return head.startswith(b"\x1f\x8b\x08") or (is_text(head, file) and b"<svg" in head)


def is_text(head: bytes, file: IO[bytes]) -> bool:
    if head.startswith((b"%PDF-", _ZIP, b"\x7fELF", _OLE2)):
        return False
    # UTF-16 or UTF-32, by its byte order mark
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return True
    # A stray NUL is a flaw of a text; one control character in 20 is no text. Random bytes have
    # one in 10.
    control = sum(head.count(byte) for byte in _CONTROL_BYTES)
    return control * 20 <= len(head) or _is_utf16(head)


def is_card(head: bytes, file: IO[bytes]) -> bool:
    """Whether it is a calendar or a contact."""
    start = _narrow(head).lstrip(b"\xef\xbb\xbf \t\r\n")[:20].upper()
    return start.startswith((b"BEGIN:VCALENDAR", b"BEGIN:VCARD"))


def is_rtf(head: bytes, file: IO[bytes]) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{\\rtf", b"{\\urtf"))


# Lines "Name: value", perhaps behind what a mailbox puts before each message.
_HEADERS = re.compile(
    rb"(?:>?From [^\n]*\r?\n)?((?:[A-Za-z][\w-]{0,100}[ \t]*:[^\n]*\n?|[ \t]+[^\n]*\n?)+)"
)
_OF_MESSAGES = re.compile(
    rb"^(?:From|To|Cc|Bcc|Date|Subject|Sender|Reply-To|Received|Return-Path|Delivered-To|Status"
    rb"|In-Reply-To|References|Message-ID|(?:X|MIME|Content|List|Resent|DKIM|ARC)-[\w-]+)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)


def is_message(head: bytes, file: IO[bytes]) -> bool:
    """Whether it begins with headers, one of which messages have: other texts have names too."""
    if head.startswith((b"%PDF-", _ZIP, b"\x7fELF", _OLE2)):
        return False
    headers = _HEADERS.match(head.lstrip(b"\xef\xbb\xbf\r\n"))
    return headers is not None and _OF_MESSAGES.search(headers[1]) is not None


def is_html(head: bytes) -> bool:
    """Whether a text is a page: it begins as one, or is full of what only pages have."""
    start = _BEGINNING.sub(b"", _narrow(head), count=1).lower()
    return start.startswith(_PAGE_STARTS) or (
        start.startswith(b"<") and len(re.findall(rb"<(?:t[rd]|div|span|br|p|li)[ >/]", start)) > 3
    )


def is_xml(head: bytes) -> bool:
    return _narrow(head).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml")


def is_sent(head: bytes) -> bool:
    """Whether a text is a message: it begins with a header that only messages have."""
    return _SENT.match(head.lstrip(b"\xef\xbb\xbf\r\n")) is not None


# What may stand before a page's first tag: a mark, a declaration of XML, comments.
_BEGINNING = re.compile(rb"^(?:\xef\xbb\xbf|\s|<\?xml[^>]*>|<!--.{0,4000}?-->)*", re.DOTALL)
_PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<table", b"<meta", b"<style")
_SENT = re.compile(
    rb"(?:From|Received|Return-Path|Delivered-To|Message-ID|MIME-Version|Subject|Date|X-[\w-]+)"
    rb"[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n|[\w-]+[ \t]*:[^\n]*\n)*[\w-]+[ \t]*:",
    re.IGNORECASE,
)


def _narrow(head: bytes) -> bytes:
    """Its ASCII, also of UTF-16."""
    is_wide = head.startswith((b"\xff\xfe", b"\xfe\xff")) or head[1:8:2] == bytes(4)
    return head.replace(b"\0", b"").lstrip(b"\xff\xfe") if is_wide else head


def is_ole(*streams: str) -> Callable[[bytes, IO[bytes]], bool]:
    """Whether it is a container of the old Office programs that has one of these streams, or one
    with a password, which hides them.
    """
    names = [name.encode("utf-16-le") + b"\0\0" for name in (*streams, "EncryptedPackage")]

    def recognises(head: bytes, file: IO[bytes]) -> bool:
        if not head.startswith(_OLE2):
            return False
        return any(_has(file, name) for name in names) or _is_cut_off(head, file)

    return recognises


def _is_cut_off(head: bytes, file: IO[bytes]) -> bool:
    """Whether a container ends before or within its directory: what it was, only its name says, and
    parsing will say that it is damaged.
    """
    if len(head) < 512:
        return True
    shift, first = (int.from_bytes(head[at : at + 4], "little") for at in (0x1E, 0x30))
    shift &= 0xFFFF
    size = file.seek(0, os.SEEK_END)
    return shift in (9, 12) and ((first + 1) << shift >= size or size % (1 << shift) > 0)


def of_open_document(kind: str) -> Callable[[bytes, IO[bytes]], bool]:
    """Whether it is an OpenDocument file of this kind, in an archive or as one XML file."""
    mark = f"application/vnd.oasis.opendocument.{kind}".encode()

    def recognises(head: bytes, file: IO[bytes]) -> bool:
        if head.startswith(_ZIP):
            # Its first member says it uncompressed; where another one is the first, look for both.
            return mark in head[:200] or (b"mimetype" not in head[:60] and _has(file, mark))
        return is_text(head, file) and b"office:document" in head and mark in head

    return recognises


def _is_utf16(head: bytes) -> bool:
    """Without its mark: random bytes hold half of a surrogate pair, or a control character."""
    return any(
        not re.search(r"[\0-\x08\x0e-\x1f\ufdd0-\ufdef\ufffd-\uffff]", text[:-1])
        for text in (head.decode(encoding, "replace") for encoding in ("utf-16-le", "utf-16-be"))
    )


def contains(folder: str) -> Callable[[bytes, IO[bytes]], bool]:
    """Whether it is a zip archive with this folder, or an Office file with a password, which has
    none to see.
    """
    # Some programs for Windows write the other slash.
    member = re.compile(rb"PK\x01\x02.{42}%s[/\\]" % folder.encode(), re.DOTALL)

    def recognises(head: bytes, file: IO[bytes]) -> bool:
        if head.startswith(_OLE2):  # how Office wraps a file with a password
            return _has(file, "EncryptedPackage".encode("utf-16-le")) or _is_cut_off(head, file)
        if not head.startswith(_ZIP):
            return False
        directory = _directory(file)
        if b"PK\x01\x02" not in directory:
            return True  # a damaged archive: parsing will say so
        return member.search(directory) is not None

    return recognises


def has_directory(head: bytes, file: IO[bytes]) -> bool:
    """Whether it is no archive and no container, or a whole one."""
    if head.startswith(_OLE2):
        return not _is_cut_off(head, file)
    return not head.startswith(_ZIP) or b"PK\x01\x02" in _directory(file)


def _directory(file: IO[bytes]) -> bytes:
    """The end of a file. An archive ends with the list of its members. Not read by zipfile: 50 MiB
    can list a million of them, which took it 15 s and 460 MB.
    """
    file.seek(max(file.seek(0, os.SEEK_END) - BLOCK_BYTES, 0))
    return file.read()


def _has(file: IO[bytes], wanted: bytes) -> bool:
    file.seek(0)
    end = b""
    while block := file.read(BLOCK_BYTES):
        if wanted in end + block:
            return True
        end = block[-len(wanted) :]
    return False
