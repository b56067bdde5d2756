"""EPUB: the chapters in the order of the spine, each through the HTML reader, under one common
heading path.
"""

import posixpath
import zipfile
from collections.abc import Iterator
from typing import IO
from urllib.parse import unquote, urldefrag

from defusedxml import ElementTree

from processing.errors import PermanentError
from processing.parsing.archive import open_archive
from processing.parsing.draft import Draft, Outline
from processing.parsing.html import decode_markup, read_markup
from processing.parsing.sentences import DAMAGED, ENCRYPTED

NO_TEXT = "This book contains only images; run text recognition (OCR) on it and upload the result."

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `open_archive`; `encrypted` for books with DRM."""
    archive = open_archive(file)
    chapters = [name for name in _spine(archive) if name in archive.NameToInfo]
    if not chapters:
        raise PermanentError("corrupt", DAMAGED)
    if _encrypted(archive).intersection(chapters):
        raise PermanentError("encrypted", ENCRYPTED)
    outline = Outline()
    for name in chapters:
        read_markup(decode_markup(archive.read(name)), draft, outline)


def _spine(archive: zipfile.ZipFile) -> Iterator[str]:
    """Member names of the chapters, in reading order."""
    container = ElementTree.fromstring(archive.read(_CONTAINER))
    rootfile = container.find(".//{*}rootfile")
    package_name = rootfile.get("full-path") if rootfile is not None else None
    if not package_name:
        raise PermanentError("corrupt", DAMAGED)
    package = ElementTree.fromstring(archive.read(package_name))
    links = {
        item.get("id"): item.get("href", "") for item in package.iterfind("{*}manifest/{*}item")
    }
    for reference in package.iterfind("{*}spine/{*}itemref"):
        path = unquote(urldefrag(links.get(reference.get("idref"), "")).url)
        yield posixpath.normpath(posixpath.join(posixpath.dirname(package_name), path))


def _encrypted(archive: zipfile.ZipFile) -> set[str]:
    """Members that need a key. Fonts may be listed too, only to be obfuscated: those do not matter
    to us.
    """
    if _ENCRYPTION not in archive.NameToInfo:
        return set()
    root = ElementTree.fromstring(archive.read(_ENCRYPTION))
    return {
        unquote(reference.get("URI", "")) for reference in root.iterfind(".//{*}CipherReference")
    }
