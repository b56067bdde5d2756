"""Makes pictures of pages, as a scanner or a telephone does: turned a little, grey, noisy, squeezed
into JPEG.
"""

import ctypes
import io
from collections.abc import Sequence
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image, ImageDraw, ImageFilter, ImageFont

ENGLISH = """The boiler room key hangs behind the porter's lodge door.
Please return it before nine o'clock in the evening, or ask
the caretaker on the ground floor for the second one. Whoever
loses it pays for the lock: 145.50 euros, due within 14 days."""
FRENCH = """La clé de la chaufferie est accrochée derrière la porte.
Veuillez la rendre avant neuf heures du soir, où l'on ferme
l'accès à la cave. Toute clé égarée coûte 145,50 euros, payables
sous quatorze jours au gérant de l'immeuble, près de l'entrée."""
CHINESE = """锅炉房的钥匙挂在门房后面的墙上。
请在晚上九点以前归还，或者向一楼的管理员借第二把。
丢失钥匙的人必须支付更换门锁的费用，十四天之内付清。"""
GERMAN = """Der Schlüssel für den Heizungskeller hängt hinter der Tür.
Bitte geben Sie ihn vor 21 Uhr zurück, größere Schäden müssen
der Hausverwaltung gemeldet werden. Die Gebühr beträgt 145,50
Euro und ist binnen vierzehn Tagen auf das Konto zu überweisen."""


def page(
    text: str, *, dpi: int = 200, turn: float = 0.0, noise: float = 0.0, points: float = 11
) -> Image.Image:
    """An A4 page with this text, in PDFium's own Helvetica; `turn` in degrees, `noise` as a share
    of the whole range.
    """
    document = pdfium.PdfDocument.new()
    sheet = document.new_page(595, 842)
    for number, line in enumerate(text.split("\n")):
        _write(document, sheet, line, 57, 780 - 1.5 * points * number, points)
    sheet.gen_content()
    image = sheet.render(scale=dpi / 72, grayscale=True).to_pil().convert("L")
    return worn(image, turn, noise)


def worn(image: Image.Image, turn: float, noise: float) -> Image.Image:
    """As a scanner makes it: `turn` in degrees, `noise` as a share of the whole range."""
    if turn:
        image = image.rotate(turn, Image.Resampling.BICUBIC, fillcolor=255)
    if noise:
        image = image.filter(ImageFilter.GaussianBlur(image.width / 3_300))
        image = Image.blend(image, Image.effect_noise(image.size, 255 * noise), noise)
    return image


def drawn(text: str, font: str, dpi: int = 200, points: float = 14) -> Image.Image:
    """The same in a font of the system, for what Helvetica has no letters."""
    image = Image.new("L", (round(8.27 * dpi), round(11.69 * dpi)), 255)
    size = points * dpi / 72
    letters = ImageFont.truetype(font, size)
    ImageDraw.Draw(image).multiline_text((dpi, dpi), text, 0, letters, spacing=size / 2)
    return image


def _write(document: Any, sheet: Any, text: str, x: float, y: float, points: float) -> None:
    line = raw.FPDFPageObj_NewTextObj(document, b"Helvetica", points)
    raw.FPDFText_SetText(line, (ctypes.c_ushort * (len(text) + 1))(*map(ord, text), 0))
    raw.FPDFPageObj_Transform(line, 1, 0, 0, 1, x, y)
    raw.FPDFPage_InsertObject(sheet, line)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def tiff(pages: Sequence[Image.Image]) -> bytes:
    return encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")


def pdf(pages: Sequence[Image.Image], dpi: int = 200) -> bytes:
    """Pages that are images of JPEG."""
    return encoded(
        pages[0], "PDF", save_all=True, append_images=pages[1:], resolution=dpi, quality=60
    )


def joined(*parts: bytes) -> bytes:
    """The pages of these PDFs, one after the other."""
    document = pdfium.PdfDocument.new()
    for part in parts:
        document.import_pages(pdfium.PdfDocument(part))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def stamped(scan: bytes, text: str) -> bytes:
    """The same PDF with a line of letters on each page."""
    document = pdfium.PdfDocument(scan)
    for page in document:
        _write(document, page, text, 60, 20, 9)
        page.gen_content()
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def errors(said: str, read: str) -> float:
    """The share of characters that were recognised wrongly (Levenshtein), white space as one."""
    wanted, found = " ".join(said.split()), " ".join(read.split())
    row = list(range(len(found) + 1))
    for n, letter in enumerate(wanted, 1):
        above, row[0] = row[0], n
        for m, other in enumerate(found, 1):
            above, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, above + (letter != other))
    return row[-1] / len(wanted)
