"""Text recognition: what is read from pictures, how well, and what is said where it is not."""

import io
import struct
import zlib
from email.message import EmailMessage
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from formats import tessdata
from processing.errors import PermanentError
from processing.parsing import Limits, ParsedDocument, Unread, parse, recognition
from processing.parsing.child import answer, reader
from processing.parsing.draft import Draft
from tests.processing import files, old_office, pdfs, scans

ON = Limits(recognised_pages=1_000)
PNG, JPEG, TIFF = "image/png", "image/jpeg", "image/tiff"


def read(data: bytes, content_type: str, limits: Limits = ON) -> ParsedDocument:
    function, no_text = reader(content_type)
    draft = Draft(limits=limits)
    function(io.BytesIO(data), draft)
    return draft.finish(no_text)


def failure(data: bytes, content_type: str, limits: Limits = ON) -> tuple[str, str]:
    code, sentence = answer(io.BytesIO(data), content_type, limits)["error"]  # type: ignore[misc]
    return code, sentence


# How well


@pytest.mark.parametrize("text", [scans.ENGLISH, scans.GERMAN], ids=["English", "German"])
@pytest.mark.parametrize(("dpi", "turn", "noise"), [(150, 0, 0), (200, 1.5, 0.15), (300, -2, 0.1)])
def test_a_scan_is_read_with_hardly_an_error(text, dpi, turn, noise):
    page = scans.page(text, dpi=dpi, turn=turn, noise=noise)
    document = read(scans.encoded(page, "JPEG", quality=60, dpi=(dpi, dpi)), JPEG)
    assert scans.errors(text, document.text) < 0.02
    assert [(section.page, section.recognised) for section in document.sections] == [(1, True)]
    assert document.unread == ()


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_page_that_lies_on_its_side_is_set_upright(turn):
    page = scans.page("\n".join([scans.ENGLISH] * 3)).rotate(turn, expand=True, fillcolor=255)
    assert scans.errors("\n".join([scans.ENGLISH] * 3), read(scans.encoded(page), PNG).text) < 0.02


def test_a_screenshot_with_small_letters_is_read():
    image = scans.page(scans.ENGLISH, dpi=72, points=14).crop((0, 0, 595, 250))
    assert scans.errors(scans.ENGLISH, read(scans.encoded(image), PNG).text) < 0.03


# Pictures


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "CMYK", "LA", "I;16"])
def test_a_picture_in_any_colours_is_read(mode):
    page = scans.page("The boiler room key\nHangs behind the door.")
    if mode == "I;16":
        page = page.convert("I").point(lambda value: value * 200).convert("I;16")
    elif mode == "RGBA":  # the paper is transparent
        page = Image.merge("RGBA", [page, page, page, page.point(lambda value: 255 - value)])
    else:
        page = page.convert(mode)
    format, content_type = ("TIFF", TIFF) if mode in ("CMYK", "I;16") else ("PNG", PNG)
    text = read(scans.encoded(page, format), content_type).text
    assert text == "The boiler room key\nHangs behind the door."


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "GIF", "BMP"])
def test_a_picture_of_each_format_is_read(format):
    page = scans.page("The boiler room key")
    content_type = f"image/{format.lower()}"
    assert read(scans.encoded(page, format), content_type).text == "The boiler room key"


def test_a_photograph_is_turned_as_its_camera_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    page = scans.page("The boiler room key").rotate(90, expand=True)
    assert read(scans.encoded(page, "JPEG", exif=exif), JPEG).text == "The boiler room key"


def test_each_page_of_a_tiff_has_its_number_and_those_past_the_limit_are_said():
    pages = [scans.page(f"This is page {name}") for name in ("one", "two", "three")]
    document = read(scans.tiff(pages), TIFF, Limits(recognised_pages=2))
    assert [(s.page, document.text[s.start : s.end]) for s in document.sections] == [
        (1, "This is page one"),
        (2, "This is page two"),
    ]
    assert document.unread == (Unread("image_page", "page 3"),)


# PDF


def test_the_pages_of_a_pdf_that_are_images_are_read_and_marked():
    scan = scans.joined(
        pdfs.of_page(pdfs.said(72, 700, "A page of letters")),
        scans.pdf([scans.page(scans.ENGLISH), scans.page(scans.GERMAN)]),
    )
    document = read(scan, files.PDF)
    assert [(section.page, section.recognised) for section in document.sections] == [
        (1, False),
        (2, True),
        (3, True),
    ]
    second, third = (document.text[s.start : s.end] for s in document.sections[1:])
    assert scans.errors(scans.ENGLISH, second) < 0.02
    assert scans.errors(scans.GERMAN, third) < 0.02
    assert document.unread == ()


def test_a_stamp_on_a_scan_does_not_keep_it_from_being_read():
    scan = scans.stamped(scans.pdf([scans.page(scans.ENGLISH)]), "Scanned 2026-11-29")
    document = read(scan, files.PDF)
    assert "boiler room key" in document.text
    assert "Scanned 2026-11-29" in document.text
    assert document.sections[0].recognised
    assert failure(scan, files.PDF, Limits())[1].startswith("Hardly anything in this file was read")


# What is said


def test_where_it_is_off_the_report_says_so():
    page = scans.page(scans.ENGLISH)
    for data, content_type in ((scans.encoded(page), PNG), (scans.pdf([page]), files.PDF)):
        assert failure(data, content_type, Limits()) == (
            "no_text",
            "Nothing in this file was read: 1 page is an image in which no text was read; "
            "run text recognition (OCR) on it and upload the result.",
        )


def test_of_a_picture_without_text_it_is_not_said_that_recognition_would_help():
    sky = Image.linear_gradient("L").resize((900, 700))
    assert failure(scans.encoded(sky), PNG) == (
        "no_text",
        "Nothing in this file was read: 1 page is an image in which text recognition found "
        "nothing; if there is text on it, upload a sharper copy.",
    )


@pytest.mark.parametrize("size", [(1, 1), (5, 2_000), (11, 11)])
def test_a_tiny_picture_is_read_or_explained(size):
    assert failure(scans.encoded(Image.new("L", size)), PNG)[0] == "no_text"


def test_a_damaged_picture_is_explained():
    whole = scans.encoded(scans.page(scans.ENGLISH), "JPEG")
    for data in (whole[:600], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0" + bytes(4)):
        content_type = JPEG if data[:2] == b"\xff\xd8" else PNG if data[:1] == b"\x89" else TIFF
        assert failure(data, content_type)[0] == "corrupt"


def test_a_picture_of_too_many_pixels_is_not_decoded():
    size = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", size), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(kind + content))
        bomb += struct.pack(">I", len(content)) + kind + content + check
    code, sentence = failure(bomb, PNG)
    assert code == "too_large"
    assert "3,600,000,000 pixels, more than the 80,000,000 that we read" in sentence


def test_a_large_photograph_is_made_smaller():
    image = scans.page(scans.ENGLISH, dpi=200).resize((9_924, 14_028))
    document = read(scans.encoded(image, "JPEG", quality=30), JPEG)
    assert "boiler room key" in document.text


# Languages


def test_english_and_german_come_with_the_installation():
    assert {"deu", "eng"} <= set(tessdata.languages())
    assert tessdata.groups("eng") == ("eng",)
    assert tessdata.groups("xyz") == tessdata.groups()
    assert tessdata.groups()[0].startswith("deu+eng")


def test_languages_are_read_together_with_those_of_their_script(monkeypatch):
    names = ("chi_sim", "deu", "eng", "fra", "ita", "rus", "spa")
    monkeypatch.setattr(tessdata, "languages", lambda: names)
    tessdata.groups.cache_clear()
    try:
        assert tessdata.groups() == ("deu+eng+fra+ita", "chi_sim", "rus")
        assert tessdata.of_script(tessdata.groups(), "han") == ["chi_sim"]
    finally:
        tessdata.groups.cache_clear()


CHINESE_FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")


@pytest.mark.skipif("fra" not in tessdata.languages(), reason="needs tesseract-ocr-fra")
@pytest.mark.parametrize("languages", ["", "fra"])
def test_french_is_read_with_debian_s_model(languages):
    page = scans.encoded(scans.page(scans.FRENCH, turn=1, noise=0.1), "JPEG", quality=60)
    document = read(page, JPEG, Limits(recognised_pages=1, languages=languages))
    assert scans.errors(scans.FRENCH, document.text) < 0.02


@pytest.mark.skipif(
    "chi_sim" not in tessdata.languages() or not CHINESE_FONT.exists(),
    reason="needs tesseract-ocr-chi-sim and fonts-wqy-microhei",
)
@pytest.mark.parametrize("languages", ["", "chi_sim"])
def test_chinese_is_found_page_by_page(languages):
    page = scans.encoded(scans.drawn(scans.CHINESE, str(CHINESE_FONT)))
    document = read(page, PNG, Limits(recognised_pages=1, languages=languages))
    wanted, found = ("".join(text.split()) for text in (scans.CHINESE, document.text))
    assert scans.errors(wanted, found) < 0.06
    assert "锅炉房的钥匙" in document.text


# In the sandbox


def test_pictures_are_read_in_the_sandbox(tmp_path):
    path = tmp_path / "scan"
    path.write_bytes(scans.pdf([scans.page(scans.ENGLISH, noise=0.1)]))
    document = parse(path, files.PDF, limits=ON)
    assert scans.errors(scans.ENGLISH, document.text) < 0.02
    path.write_bytes(scans.tiff([scans.page("This is page one"), scans.page("This is page two")]))
    assert parse(path, TIFF, limits=ON).text == "This is page one\n\nThis is page two"


def test_a_scan_in_a_mail_is_found_below_its_name():
    image = scans.encoded(scans.page("The boiler room key"))
    scan = scans.pdf([scans.page("To pay")])
    document = read(mail_of(("scan.png", image), ("scan.pdf", scan)), files.EML)
    assert [(s.heading, s.recognised) for s in document.sections[2:]] == [
        ("Re: offer > scan.png, page 1", True),
        ("Re: offer > scan.pdf, page 1", True),
    ]


def mail_of(*attached: tuple[str, bytes]) -> bytes:
    message = EmailMessage()
    message["Subject"], message["From"] = "Re: offer", "ada@example.org"
    message.set_content("See below")
    for name, content in attached:
        message.add_attachment(content, maintype="application", subtype="x", filename=name)
    return message.as_bytes()


@pytest.mark.parametrize("kind", [PNG, TIFF, "image/gif"])
def test_no_picture_raises_what_is_not_a_sentence(kind):
    good = {PNG: "PNG", TIFF: "TIFF", "image/gif": "GIF"}[kind]
    data = scans.encoded(scans.page("Word", dpi=50), good)
    for at in range(0, len(data), max(len(data) // 30, 1)):
        damaged = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        function, no_text = reader(kind)
        draft = Draft(limits=Limits())
        try:
            function(io.BytesIO(damaged), draft)
            draft.finish(no_text)
        except PermanentError:
            continue


def test_large_letters_are_made_smaller_and_keep_their_places():
    page = scans.page("The boiler room key\nhangs behind the door", dpi=300, points=26)
    picture = recognition.Picture(page.tobytes(), page.width, page.height, page.width, 300)
    smaller = recognition._sized(picture)
    assert 0.4 < smaller.width / picture.width < 0.8
    found = recognition.recognise(picture, "eng")
    assert (found.width, found.height) == page.size
    first = found.lines[0][0]
    assert first.text == "The"
    ink = page.crop((first.left, first.top, first.right, first.bottom))
    assert ink.getextrema()[0] < 80
    edge = ImageOps.invert(page).getbbox()
    assert edge is not None
    assert abs(first.left - edge[0]) <= 4
    assert abs(first.top - edge[1]) <= 4


@pytest.mark.parametrize("points", [8, 11])
def test_letters_of_the_usual_size_stay_as_they_are(points):
    page = scans.page(scans.ENGLISH, dpi=250, points=points)
    picture = recognition.Picture(page.tobytes(), page.width, page.height, page.width, 250)
    assert recognition._sized(picture) is picture


def old_files(picture: bytes) -> dict[str, bytes]:
    stored = old_office.blip(picture)
    return {
        files.DOC: old_office.doc([(0, "Body")], pictures=bytes(68) + stored),
        files.XLS: old_office.xls({"Body": [["Body"]]}, pictures=bytes(40) + stored),
        files.PPT: old_office.ppt([("Body", "", ""), ("", "", "")], picture=stored),
    }


@pytest.mark.parametrize("content_type", [files.DOC, files.XLS, files.PPT])
def test_pictures_in_files_of_the_old_programs_are_read_or_said(content_type):
    picture = scans.encoded(scans.page("Walruses in a picture", dpi=100).crop((0, 0, 800, 200)))
    data = old_files(picture)[content_type]
    document = read(data, content_type)
    where = (2 if content_type == files.PPT else None, True)
    last = document.sections[-1]
    assert document.text.endswith("\n\nWalruses in a picture")
    assert (last.page, last.recognised) == where
    assert document.unread == ()
    said = read(data, content_type, Limits()).unread
    assert said == (Unread("image_page", "page 2") if where[0] else Unread("picture"),)
    for broken in (b"\x89PNG" + bytes(5_000), bytes(5_000)):  # is said too, of a file that goes on
        document = read(old_files(broken)[content_type], content_type)
        assert (document.text, len(document.unread)) == ("Body", 1)


def test_a_bitmap_in_an_old_file_gets_the_head_that_it_needs():
    scan = scans.page("Walruses in a picture", dpi=100).crop((0, 0, 800, 200)).convert("L")
    bitmap = old_office.blip(scans.encoded(scan, "BMP")[14:], 0xF01F)
    data = old_office.doc([(0, "Body")], pictures=bitmap)
    assert read(data, files.DOC).text == "Body\n\nWalruses in a picture"
