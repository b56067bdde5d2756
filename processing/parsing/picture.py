"""Pictures of text: PNG, JPEG, TIFF of several pages, WebP, GIF, BMP, decoded by Pillow."""

import io
import struct
import warnings
from typing import IO, Any

from PIL import Image, ImageOps

from processing.errors import PermanentError
from processing.parsing.draft import Draft
from processing.parsing.look import Look, size_for
from processing.parsing.pdf import recognised
from processing.parsing.pdf.layout import blocks
from processing.parsing.sentences import DAMAGED, NO_SUCH_PAGE

NO_TEXT = (
    "Text recognition (OCR) found no text in this picture; "
    "if there is some, upload a sharper picture of it."
)
MAX_PAGES = 2_000  # of a TIFF
MAX_PIXELS = 80_000_000  # A3 at 600 dpi has 70; a grey copy of it is made beside the decoded one
MAX_JPEG_PIXELS = 400_000_000  # JPEG can be decoded at a quarter of its size
MAX_READ_PIXELS = 16_000_000  # A4 at 400 dpi; what has more is made smaller
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")
# Screenshots have letters of 10 pixels; Tesseract wants 20 and more.
SMALL_SIDE = 1_400
_DPI = 200
# Of a picture within a document: a smaller one has hardly room for a line of text.
MIN_SHOWN_SIDE, MIN_SHOWN_PIXELS = 40, 30_000
_BROKEN = (OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError)

Image.MAX_IMAGE_PIXELS = None  # ours is MAX_PIXELS, and it does not depend on warnings


def warm_up() -> None:
    """Load what decodes: later no file opens."""
    Image.init()


def read(file: IO[bytes], draft: Draft) -> None:
    """Raises PermanentError: `corrupt`, `too_large`."""
    if _count_pages(file, MAX_PAGES) > MAX_PAGES:
        raise PermanentError(
            "too_large",
            f"This file has more than {MAX_PAGES:,} pages; split it and upload the parts.",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _opened(file)
        number = 0
        while True:
            number += 1
            if not draft.cut(f"page {number}"):
                pass
            elif not recognised.may(draft, number):
                draft.unread("image_page", page=number)
            else:
                _read_page(image, number, draft)
            if image.format != "TIFF" or not _turn_page(image, number):
                break


def look(file: IO[bytes], number: int, draft: Draft) -> Look:
    """Page `number` as it looks, its text read into the draft. Raises PermanentError."""
    count = max(_count_pages(file, MAX_PAGES), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _opened(file)
        if number > 1 and (image.format != "TIFF" or not _turn_page(image, number - 1)):
            raise PermanentError("no_page", NO_SUCH_PAGE)
        try:
            shown = _prepared(image, "RGB")
        except _BROKEN as error:
            raise PermanentError("corrupt", DAMAGED) from error
        scale = min(size_for(shown.width, shown.height, _dpi(image)), 1.0)
        size = (max(round(shown.width * scale), 1), max(round(shown.height * scale), 1))
        shown = shown.resize(size, Image.Resampling.BOX)
        found = None
        if recognised.may(draft, number):
            found = _read_page(image, number, draft)
    letters = recognised.Recognised.letters(blocks(found.lines)) if found else []
    return Look(shown, count, letters, found.matrix if found else (1, 0, 0, 1, 0, 0))


def add_shown(data: bytes, draft: Draft, *, page: int | None = None, heading: str = "") -> str:
    """Append the text of a picture that a document shows. Returns "read"; "wordless" where nothing
    is written in it, or it is too small for that; or "unread".
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _opened(io.BytesIO(data))
            width, height = image.size
            if min(width, height) < MIN_SHOWN_SIDE or width * height < MIN_SHOWN_PIXELS:
                return "wordless"
            draft.allowance.pictures += 1
            number = draft.allowance.pictures
            if not recognised.may(draft, number):
                return "unread"
            with draft.part(f"picture {number}") as is_read:
                if not is_read:
                    return "read"
                picture = _sized(_prepared(image, "L"), _dpi(image))
                found = recognised.add_text(picture, draft, page=page, heading=heading)
    except (PermanentError, *_BROKEN):
        return "unread"
    return "read" if found.lines else "wordless"


def _opened(file: IO[bytes]) -> Any:
    try:
        return Image.open(file, formats=FORMATS)
    except (OSError, ValueError, SyntaxError, EOFError, TypeError) as error:
        raise PermanentError("corrupt", DAMAGED) from error


def _count_pages(file: IO[bytes], most: int) -> int:
    """Of a TIFF, up to `most` and one more; by its chain of directories, which Pillow takes 3 ms
    each to follow.
    """
    head = file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(head[:4])
    count = 0
    place = struct.unpack(f"{order}I", head[4:])[0] if order and len(head) == 8 else 0
    while place and count <= most:
        count += 1
        file.seek(place)
        entries = file.read(2)
        if len(entries) < 2:
            break
        file.seek(12 * struct.unpack(f"{order}H", entries)[0], io.SEEK_CUR)
        following = file.read(4)
        place = struct.unpack(f"{order}I", following)[0] if len(following) == 4 else 0
    file.seek(0)
    return count


def _turn_page(image: Any, number: int) -> bool:
    """Whether there is another page."""
    try:
        image.seek(number)
    except (EOFError, OSError, ValueError, SyntaxError, TypeError, KeyError):
        return False
    return True


def _read_page(image: Any, number: int, draft: Draft) -> recognised.Recognised | None:
    try:
        grey = _prepared(image, "L")
    except _BROKEN as error:
        if number == 1:
            raise PermanentError("corrupt", DAMAGED) from error
        draft.unread("damaged_page", page=number)
        return None
    return recognised.add_page(_sized(grey, _dpi(image)), number, draft)


def _prepared(image: Any, mode: str) -> Any:
    """Upright, on white, in this mode (L or RGB).

    Raises PermanentError("too_large"), and what Pillow raises at damaged pictures.
    """
    width, height = image.size
    if MAX_PIXELS < width * height < MAX_JPEG_PIXELS and image.format == "JPEG":
        image.draft("L", (width // 4, height // 4))  # decodes only so many
        width, height = image.size
    if width * height > MAX_PIXELS:
        raise PermanentError(
            "too_large",
            f"This picture has {width * height:,} pixels, more than the {MAX_PIXELS:,} that we "
            "read; upload a smaller copy of it.",
        )
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        extremes: Any = upright.getextrema()
        low, high = extremes
        scale = 255 / (high - low) if high > low else 1.0
        return (
            upright.convert("F")
            .point(lambda value: (value - low) * scale)
            .convert("L")
            .convert(mode)
        )
    if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        shown = upright.convert("RGBA")
        paper = Image.new("RGBA", shown.size, "white")
        paper.alpha_composite(shown)
        return paper.convert(mode)
    return upright.convert(mode)


def _sized(grey: Any, dpi: int) -> recognised.Picture:
    width, height = grey.size
    factor = 1.0
    if width * height > MAX_READ_PIXELS:
        factor = (MAX_READ_PIXELS / (width * height)) ** 0.5
    elif max(width, height) < SMALL_SIDE and dpi < 150:
        factor = 2.0 if max(width, height) > SMALL_SIDE / 2 else 3.0
    if factor != 1.0:
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        grey = grey.resize(size, Image.Resampling.LANCZOS)
        dpi = round(dpi * factor)
    width, height = grey.size
    return recognised.Picture(grey.tobytes(), width, height, width, min(max(dpi, 70), 600))


def _dpi(image: Any) -> int:
    """As far as it is said and credible."""
    try:
        said = float(image.info.get("dpi", (0, 0))[0])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        said = 0.0
    if 100 <= said <= 1_200:
        return round(said)
    return 72 if max(image.size) < SMALL_SIDE else _DPI
