"""EPUB: the chapters in the order of the spine, each through the HTML reader, under the titles of
the book's contents list and its own headings.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from html import unescape
from typing import IO, Any
from urllib.parse import unquote, urldefrag

from lxml import etree

from processing.errors import PermanentError
from processing.parsing import svg
from processing.parsing.archive import UNREADABLE, Archive
from processing.parsing.draft import Draft, Outline, one_line
from processing.parsing.html import decode_markup, inline_picture, read_markup
from processing.parsing.picture import add_shown
from processing.parsing.sentences import DAMAGED, ENCRYPTED

NO_TEXT = "This book contains no text; check that it is the right one and upload it again."

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_NCX = "{http://www.daisy.org/z3986/2005/ncx/}"
_TYPE = "{http://www.idpf.org/2007/ops}type"
# The contents list stands above all headings of the chapters themselves, which begin with 1.
_CONTENTS_LEVEL = -20
_MAX_DEPTH = 10
_HEADING = re.compile(r"<h[1-6](?:\s[^<>]*)?>(.*?)</h[1-6]>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")
_LENIENT = etree.XMLParser(recover=True, resolve_entities=False, no_network=True)


@dataclass(frozen=True, slots=True)
class _Item:
    """A file of the book."""

    name: str
    media_type: str
    properties: str


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: see `Archive`; `encrypted` for books with DRM."""
    book = _Book(Archive(file))
    chapters = list(book.chapters())
    if not chapters:
        raise PermanentError("corrupt", DAMAGED)
    if book.encrypted().intersection(chapter.name for chapter in chapters):
        raise PermanentError("encrypted", ENCRYPTED)
    titles = book.titles()
    outline = Outline()
    for chapter in chapters:
        if chapter.media_type.startswith("image/") and "svg" not in chapter.media_type:
            if add_shown(book.read(chapter.name), draft, heading=outline.path) == "unread":
                draft.unread("picture")
            continue
        markup = decode_markup(book.read(chapter.name))
        for level, title in titles.get(chapter.name, ()):
            outline.enter(level, "" if _begins_with(markup, title) else title)
        before = draft.count
        folder = posixpath.dirname(chapter.name)
        pictures: set[str] = set()
        if "svg" in chapter.media_type:
            draft.add("\n".join(svg.texts(markup.encode())), heading=outline.path)
        else:
            load = partial(book.picture, folder)
            pictures = read_markup(markup, draft, outline, titled=False, picture=load)
        has_some = "<img" in markup or "<image" in markup
        if draft.count == before and has_some and "wordless" not in pictures:
            draft.unread("picture")


class _Book:
    """The archive and its package document; names of files in any case, as most readers do it."""

    def __init__(self, archive: Archive) -> None:
        """Raises PermanentError("corrupt") when there is no package document."""
        self._archive = archive
        self._names = {name.casefold(): name for name in archive.namelist()}
        package = self._package_name()
        self._folder = posixpath.dirname(package)
        self._package = self._xml(package)
        self._items = {
            item.get("id"): _Item(
                self._resolved(self._folder, item.get("href")),
                item.get("media-type") or "",
                item.get("properties") or "",
            )
            for item in self._package.iterfind("{*}manifest/{*}item")
        }

    def chapters(self) -> Iterator[_Item]:
        """Those that there are, in reading order."""
        for reference in self._package.iterfind("{*}spine/{*}itemref"):
            item = self._items.get(reference.get("idref"))
            if item is not None and item.name:
                yield item

    def read(self, name: str) -> bytes:
        return self._archive.read(name)

    def picture(self, folder: str, source: str) -> bytes | None:
        """What a chapter of this folder shows from there."""
        name = self._resolved(folder, source)
        try:
            return self._archive.read(name) if name else inline_picture(source)
        except UNREADABLE:
            return None

    def titles(self) -> dict[str, list[tuple[int, str]]]:
        """File -> (level, title) of what the contents list says begins with it."""
        found: dict[str, list[tuple[int, str]]] = {}
        for name, level, title in self._contents():
            entries = found.setdefault(name, [])
            if title and (not entries or level > entries[-1][0]):  # further ones begin inside of it
                entries.append((level, title))
        return found

    def encrypted(self) -> set[str]:
        """Files that need a key. Fonts may be listed too, only to be obfuscated: those do not
        matter to us.
        """
        name = self._names.get(_ENCRYPTION.casefold())
        if name is None:
            return set()
        references = self._xml(name).iterfind(".//{*}CipherReference")
        return {self._resolved("", reference.get("URI")) for reference in references}

    def _package_name(self) -> str:
        container = self._names.get(_CONTAINER.casefold())
        rootfile = self._xml(container).find(".//{*}rootfile") if container else None
        said = self._resolved("", rootfile.get("full-path")) if rootfile is not None else ""
        others = (name for folded, name in self._names.items() if folded.endswith(".opf"))
        name = said or next(others, "")
        if not name:
            raise PermanentError("corrupt", DAMAGED)
        return name

    def _contents(self) -> Iterator[tuple[str, int, str]]:
        """(file, level, title) of the contents list: EPUB 3's, else EPUB 2's."""
        for item in self._items.values():
            if "nav" in item.properties.split() and item.name:
                yield from self._navigation(item.name)
                return
        for item in self._items.values():
            if item.media_type == "application/x-dtbncx+xml" and item.name:
                yield from self._ncx(item.name)
                return

    def _navigation(self, name: str) -> Iterator[tuple[str, int, str]]:
        folder = posixpath.dirname(name)
        for nav in self._xml(name).iter("{*}nav"):
            if nav.get(_TYPE, "toc") != "toc":
                continue
            for link in nav.iter("{*}a"):
                depth = sum(1 for _ in link.iterancestors("{*}ol")) - 1
                title = one_line("".join(link.itertext()))
                yield self._resolved(folder, link.get("href")), _level(depth), title

    def _ncx(self, name: str) -> Iterator[tuple[str, int, str]]:
        folder = posixpath.dirname(name)
        for point in self._xml(name).iter(f"{_NCX}navPoint"):
            depth = sum(1 for _ in point.iterancestors(f"{_NCX}navPoint"))
            title = one_line(point.findtext(f"{_NCX}navLabel/{_NCX}text") or "")
            content = point.find(f"{_NCX}content")
            target = content.get("src") if content is not None else None
            yield self._resolved(folder, target), _level(depth), title

    def _xml(self, name: str) -> Any:
        """The root of a file; books are often a little wrong."""
        try:
            root = etree.fromstring(self._archive.read(name), _LENIENT)
        except etree.XMLSyntaxError:  # there is nothing in it
            root = None
        if root is None:
            raise PermanentError("corrupt", DAMAGED)
        return root

    def _resolved(self, folder: str, link: str | None) -> str:
        """The file that is meant, "" where there is none."""
        path = unquote(urldefrag(link or "").url)
        path = posixpath.normpath(posixpath.join(folder, path)).lstrip("/")
        return self._names.get(path.casefold(), "")


def _level(depth: int) -> int:
    return _CONTENTS_LEVEL + max(0, min(depth, _MAX_DEPTH))


def _begins_with(markup: str, title: str) -> bool:
    """Whether the chapter's own first heading says the same."""
    heading = _HEADING.search(markup)
    return heading is not None and _folded(_TAG.sub("", unescape(heading[1]))) == _folded(title)


def _folded(title: str) -> str:
    return "".join(filter(str.isalnum, one_line(title).casefold()))
