"""Bytes to text when nobody says for certain which encoding they are in."""

import codecs

from processing.errors import PermanentError

# Enough for a stable guess; charset-normalizer's time grows with the sample (64 KiB: about 0.1 s).
SAMPLE_BYTES = 64 * 1024
MAX_CONTROL_SHARE = 0.02  # text in the old encodings has none; random bytes have 0.1
_CONTROLS = [bytes([code]) for code in range(32) if code not in b"\t\n\r\x0c"]

# UTF-32 first: its little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(data: bytes, declared: str | None = None) -> str:
    """The text of a file: by its byte order mark, as UTF-8, as it declares itself (HTML), else by
    statistics.

    UTF-8 comes before the declaration because bytes that are valid UTF-8 by chance hardly exist,
    wrong declarations do. Raises PermanentError("unsupported_type") for what is no text at all.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if wide := _wide(data):
        return data.decode(wide, "replace")
    if (text := _utf8(data)) is not None:
        return text
    if sum(map(data.count, _CONTROLS)) > MAX_CONTROL_SHARE * len(data):
        raise PermanentError(
            "unsupported_type", "This file is not text; upload it in the format that its name says."
        )
    if declared:
        try:
            return data.decode(declared, "replace")
        except (LookupError, ValueError):
            pass  # the declaration names no text encoding
    return data.decode(_guess(data), "replace")


def _wide(data: bytes) -> str | None:
    """UTF-16 without its mark: in Western text every other byte is NUL."""
    sample = data[:SAMPLE_BYTES]
    half = len(sample) // 2
    if half and sample[1::2].count(0) > 0.4 * half and sample[::2].count(0) < 0.1 * half:
        return "utf-16-le"
    if half and sample[::2].count(0) > 0.4 * half and sample[1::2].count(0) < 0.1 * half:
        return "utf-16-be"
    return None


def _utf8(data: bytes) -> str | None:
    """UTF-8; also with surrogates in it (some programs write them), or with a few bytes damaged
    among many good ones.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        wide = data.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")
        return wide.decode("utf-16-le", "replace")  # joins the pairs, replaces the lone ones
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(character > "\x7f" for character in text) - bad
    return text if bad * 10 < good else None


def _guess(data: bytes) -> str:
    from charset_normalizer import from_bytes  # 40 ms to import, needed by few files

    # Cut at a line end, so that no character is cut in half.
    sample = (
        data
        if len(data) <= SAMPLE_BYTES
        else data[: data.rfind(b"\n", 0, SAMPLE_BYTES) + 1] or data[:SAMPLE_BYTES]
    )
    best = from_bytes(sample).best()
    return best.encoding if best else "cp1252"
