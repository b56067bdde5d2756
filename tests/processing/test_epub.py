"""EPUB: chapters under the titles of the contents list, whatever else stands in the spine."""

import pytest

from processing.parsing.model import Unread
from tests.processing import files
from tests.processing.test_parsing import parts, read

NCX = '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{}</navMap></ncx>'
NAV = '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><body><nav epub:type="toc"><ol>{}</ol></nav></body></html>'


def point(title: str, target: str, inner: str = "") -> str:
    return f'<navPoint><navLabel><text>{title}</text></navLabel><content src="{target}"/>{inner}</navPoint>'


def link(title: str, target: str, inner: str = "") -> str:
    return f'<li><a href="{target}">{title}</a>{f"<ol>{inner}</ol>" if inner else ""}</li>'


def book(
    chapters: dict[str, str | bytes], contents: str = "", *, navigation: str = "", types=None
) -> bytes:
    """A book of these files, in this order, with a contents list of EPUB 2 or 3."""
    items = "".join(
        f'<item id="c{n}" href="{name}" media-type="{(types or {}).get(name, "application/xhtml+xml")}"/>'
        for n, name in enumerate(chapters)
    )
    items += (
        '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>' if contents else ""
    )
    items += '<item id="nav" href="nav.xhtml" properties="nav"/>' if navigation else ""
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    container = '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
    return files.zipped(
        {
            "META-INF/container.xml": container,
            "OPS/book.opf": f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>",
            "OPS/toc.ncx": NCX.format(contents),
            "OPS/nav.xhtml": NAV.format(navigation),
        }
        | {f"OPS/{name}": content for name, content in chapters.items()}
    )


def page(body: str) -> str:
    return f"<html><head/><body>{body}</body></html>"


CHAPTERS: dict[str, str | bytes] = {
    "a.xhtml": page("<p>The clock was wound.</p>"),
    "b.xhtml": page("<h1>The Storm</h1><p>The lamp broke.</p>"),
    "c.xhtml": page("<p>It went on.</p>"),
    "d.xhtml": page("<p>All was quiet.</p>"),
}


@pytest.mark.parametrize("edition", [2, 3])
def test_chapters_are_cited_by_the_contents_list(edition):
    entry = point if edition == 2 else link
    contents = entry(
        "Part One", "a.xhtml", entry("The storm!", "b.xhtml") + entry("Calm", "d.xhtml#x")
    )
    data = book(CHAPTERS, contents) if edition == 2 else book(CHAPTERS, navigation=contents)
    assert parts(read(data, files.EPUB)) == [
        (None, "Part One", "The clock was wound."),
        (None, "Part One > The Storm", "The Storm\n\nThe lamp broke."),
        (None, "Part One > The Storm", "It went on."),  # a file that the list does not name goes on
        (None, "Part One > Calm", "All was quiet."),
    ]


def test_a_file_is_found_whatever_the_case_of_its_name():
    data = book({"Text/Chapter.xhtml": page("<h1>One</h1>")}).replace(b"href=", b"href=")
    members = files.members(data)
    members["OPS/book.opf"] = members["OPS/book.opf"].replace(b"Text/Chapter", b"text/chapter")
    assert parts(read(files.zipped(members), files.EPUB)) == [(None, "One", "One")]


def test_pictures_in_the_spine_are_said_and_the_others_read():
    chapters = CHAPTERS | {
        "cover.png": b"\x89PNG\r\n\x1a\n\0\0",
        "plate.xhtml": page('<img src="x.png"/>'),
    }
    data = book(chapters, types={"cover.png": "image/png"})
    document = read(data, files.EPUB)
    assert "The lamp broke." in document.text
    assert document.unread == (Unread("picture", "", 2),)


def test_the_text_of_a_drawing_in_the_spine_is_read():
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><text x="1">North gate</text></svg>'
    data = book({"map.svg": svg}, types={"map.svg": "image/svg+xml"})
    assert read(data, files.EPUB).text == "North gate"


def test_a_book_without_a_container_is_found_by_its_package():
    members = files.members(book(CHAPTERS))
    del members["META-INF/container.xml"]
    members["META-INF/other.xml"] = b"<x/>"
    assert "The lamp broke." in read(files.zipped(members), files.EPUB).text
