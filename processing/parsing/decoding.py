"""Bytes to text when nobody says for certain which encoding they are in.

Names of encodings mean what they mean to browsers (https://encoding.spec.whatwg.org): "iso-8859-1"
is windows-1252, "Shift_JIS" is Microsoft's.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterator

import chardet
import webencodings
from chardet import EncodingEra

from processing.errors import PermanentError

MAX_CONTROL_SHARE = 0.02  # text in the old encodings has none; random bytes have 0.1
# Of the lines that are not ASCII: enough for a stable guess, which takes 20 ms.
SAMPLE_BYTES = 64 * 1024
CONTEXT_BYTES = 60
# A guess is as good as the best one when it has this share of its confidence.
NEAR = 0.8
ANY = 0.5  # the same where all those hold what no text does
EVEN = 0.99
# Of so few bytes that are not ASCII the detector's statistics say little, but that they are letters
# of one language: then any guess counts that has a share of the best one's confidence, and
# windows-1252 counts for more, which most such files are in. (Names in 24 languages, one to eight
# in a file: 0.96 of the files right, 0.9 without; in Spanish 1.0, 0.6 without.)
FEW = 100
POSSIBLE = 0.15
USUAL = 1.4
# Damaged text has a few bad bytes among many good letters; another encoding's is mostly bad.
MAX_BAD_SHARE = 0.05

_CONTROLS = [bytes([code]) for code in range(32) if code not in b"\t\n\r\x0c"]

# UTF-32 first: its little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Japanese and Korean mail: seven bits, so they would pass for ASCII.
_ESCAPES = (
    (re.compile(rb"\x1b(?:\$[@B]|\([IJ])"), "iso2022_jp_ext"),
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
)
# What a browser's name means to Python, where webencodings has less: Python's euc_jp lacks the
# letters of NEC and IBM, its gbk is a part of gb18030.
_PYTHON_NAMES = {"gbk": "gb18030", "euc-jp": "euc_jis_2004"}
# Those in which some bytes mean nothing.
_WITH_GAPS = (
    *("cp932", "euc_jis_2004", "gb18030", "big5hkscs", "cp949", "cp874", "cp1253", "cp1255"),
    *("iso8859-6", "iso8859-7", "iso8859-8"),
)
# Guesses that are wrong more often than right: these are hardly met in files any more, and too
# like those that are. (64 sentences in 30 languages: one more right without them.)
_NEVER = (
    *("mac-greek", "mac-iceland", "mac-latin2", "mac-turkish", "hp-roman8", "johab"),
    *("iso8859-3", "iso8859-4", "iso8859-10", "iso8859-14", "iso8859-16", "koi8-t"),
    *("cp720", "cp737", "cp775", "cp855", "cp856", "cp857", "cp858", "cp860", "cp861", "cp862"),
    *("cp863", "cp864", "cp865", "cp869", "cp1006", "cp1125", "kz1048", "ptcp154"),
)
# Two scripts, signs, or a capital behind a small letter, within a word; control characters.
_STRANGE = re.compile(
    r"[A-Za-z][\u0370-\u07ff]|[\u0370-\u07ff][A-Za-z]|[\x80-\x9f]"
    r"|[^\W\d_][\u00a1-\u00ac\u00ae-\u00b4\u00b6\u00b8\u00b9\u00bb-\u00bf\u02c6-\u02dd][^\W\d_]"
    r"|[a-z][\u00c0-\u00d6\u00d8-\u00de][a-z]"
)
# The letters of languages that are not ASCII, where an encoding has those of several: French,
# Spanish, Portuguese, Italian, German, Dutch, Swedish, Danish, Icelandic, Catalan; Polish, Czech,
# Slovak, Hungarian, Romanian, Croatian, Turkish, Lithuanian, Latvian, Estonian; Russian, Ukrainian,
# Serbian, Belarusian; Greek.
_ALPHABETS = [
    frozenset(letters + letters.upper() + ("İ" if "ı" in letters else ""))
    for letters in (
        *("àâæçéèêëîïôœùûüÿ", "áéíñóúü", "áâãàçéêíóôõúü", "àèéìíîòóùú", "äöüß", "áéèëïíóöüúç"),
        *("åäöé", "æøåé", "áðéíóúýþæö", "àçèéíïòóúü"),
        *("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţșț", "čćđšž"),
        *("çğıöşüâî", "ąčęėįšųūž", "āčēģīķļņšūž", "äöõüšž"),
        "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
        "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
        "абвгдђежзијклљмнњопрстћуфхцчџш",
        "абвгдежзійклмнопрстуўфхцчшыьэюяё",
        "αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΐΰ",
    )
]
_LAST_CYRILLIC = "\u052f"
# What is not ASCII, with what stands around it in its line (CONTEXT_BYTES behind; before, see use).
_NOT_ASCII = re.compile(rb"(?:[\x80-\xff]+[^\n\x80-\xff]{0,%d})+" % CONTEXT_BYTES)


def decode(data: bytes, declared: str | None = None) -> str:
    """The text of a file: by its byte order mark, as UTF-8, as it declares itself (HTML), else by
    statistics. A byte that is wrong costs one character.

    UTF-8 comes before the declaration because bytes that are valid UTF-8 by chance hardly exist,
    wrong declarations do. Raises PermanentError("unsupported_type") for what is no text at all.
    """
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(marked, "replace")
    for escape, escaped in _ESCAPES:
        if escape.search(data) and data.isascii():
            return data.decode(escaped, "replace")
    if wide := _wide(data):
        return data.decode(wide, "replace")
    if (text := _utf8(data)) is not None:
        return text
    if sum(map(data.count, _CONTROLS)) > MAX_CONTROL_SHARE * len(data):
        for wide in ("utf-16-le", "utf-16-be"):
            if _is_one_script(data, wide):
                return data.decode(wide, "replace")
        raise PermanentError(
            "unsupported_type", "This file is not text; upload it in the format that its name says."
        )
    named = _python_name(declared) if declared else None
    if named and named != "utf-8":
        text = data.decode(named, "replace")
        if not _is_damaged(text):
            return text
    return data.decode(_guess(data), "replace")


def warm_up() -> None:
    """Have the detector read its tables, each at its first use: later no file opens."""
    polish = b"Kr\xf3l \xbf\xf3\xb3\xe6 z ko\xf1cem. "
    for sample in (b"caf\xe9", polish, polish * 500, b"\x97L\x8b\x8b\x8bx\x89\xc9"):
        _guess(sample)


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: NUL bytes, and all of them at the same places."""
    sample = data[:SAMPLE_BYTES]
    nuls = sample.count(0)
    if nuls * 200 < len(sample) or not nuls:
        return None
    # UTF-16 without many a NUL is not Western, so its bytes are no ASCII; UTF-8 has stray NULs.
    if nuls * 5 < len(sample) and (_printable(sample) > 0.85 or _has_utf8(sample)):
        return None
    for encoding, width, parity in (
        ("utf-32-le", 4, 3),
        ("utf-32-be", 4, 0),
        ("utf-16-le", 2, 1),
        ("utf-16-be", 2, 0),
    ):
        if sample[parity::width].count(0) * (4 if width == 4 else 1.1) >= nuls:
            text = sample[: len(sample) // width * width].decode(encoding, "replace")
            strange = sum(unicodedata.category(letter) in ("Cn", "Co", "Cs") for letter in text)
            if (strange + text.count("\ufffd") + text.count("\0")) * 50 <= len(text):
                return encoding
    return None


def _is_one_script(data: bytes, encoding: str) -> bool:
    """Letters of one script and nothing else: Chinese in UTF-16, on a line without a space."""
    try:
        text = data[: SAMPLE_BYTES // 2 * 2].decode(encoding)
    except UnicodeDecodeError:
        return False
    if any(unicodedata.category(letter)[0] == "C" and letter not in "\r\n\t" for letter in text):
        return False
    chinese = len(re.findall(r"[\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]", text))
    return chinese > 0.9 * len(text) or len({ord(letter) >> 8 for letter in text}) <= 3


def _printable(sample: bytes) -> float:
    return len(re.sub(rb"[^\t\n\r -~]", b"", sample)) / len(sample)


def _has_utf8(sample: bytes) -> bool:
    return not sample.isascii() and "\ufffd" not in sample[:-3].decode("utf-8", "replace")


def _utf8(data: bytes) -> str | None:
    """UTF-8; also with surrogates in it (some programs write them), or with some bytes damaged
    among more good ones. Windows-1252 that was pasted into it keeps its letters.
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
    good = len(re.findall(r"[^\x00-\x7f\ufffd]", text))
    is_utf8 = bad * 2 <= good or bad <= good > 2  # by chance a third of it at most is valid
    return data.decode("utf-8", "lumikb-pasted") if is_utf8 else None


def _pasted(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: one byte after or before an ASCII letter is windows-1252."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    data, start, end = error.object, error.start, error.end
    beside = data[max(start - 1, 0) : start] + data[end : end + 1]
    if end - start == 1 and any(chr(code).isascii() and chr(code).isalpha() for code in beside):
        return data[start:end].decode("cp1252", "replace"), end
    return "\ufffd", end


codecs.register_error("lumikb-pasted", _pasted)


def _python_name(label: str) -> str | None:
    """What a browser takes an encoding's name for, as Python's codec; None for none."""
    known = webencodings.lookup(label)
    if known is None:
        try:
            return codecs.lookup(label).name if "".encode(label) == b"" else None
        except (LookupError, ValueError, TypeError):
            return None  # the declaration names no text encoding
    if known.name.startswith("utf-16"):
        return "utf-8"  # what names its encoding in single bytes is not in UTF-16
    if known.name == "replacement":
        return None
    if known.name == "x-user-defined":
        return "cp1252"
    return _PYTHON_NAMES.get(known.name) or known.codec_info.name


def _is_damaged(text: str) -> bool:
    letters = sum(not letter.isascii() for letter in text)
    return text.count("\ufffd") > 1 + MAX_BAD_SHARE * letters


def _guess(data: bytes) -> str:
    """The codec in which this is text."""
    sample = _sample(data)
    guesses = list(_guesses(sample))
    whole = (guess for guess in guesses if _fits(data, guess[0]))
    best, confidence = next(whole, None) or (guesses[0] if guesses else ("cp1252", 0.0))
    # One bad byte, and the detector takes an encoding for impossible.
    for encoding in _WITH_GAPS:
        mended = sample.decode(encoding, "ignore").encode(encoding, "ignore")
        if 0 < len(sample) - len(mended) <= 2 + 0.01 * len(sample):
            again = next(_guesses(mended), None)
            if again and again[0] == encoding and again[1] > confidence:
                best, confidence = again
    return best


def _sample(data: bytes) -> bytes:
    """What is not ASCII, from the whole file: in the rest all encodings are alike."""
    places = [match.span() for match in _NOT_ASCII.finditer(data)]
    while len(places) > 1 and sum(end - start for start, end in places) > SAMPLE_BYTES:
        places = places[::2]
    parts = (
        data[max(start - CONTEXT_BYTES, 0) : start].rpartition(b"\n")[2] + data[start:end]
        for start, end in places
    )
    return b"\n".join(parts)[:SAMPLE_BYTES]


def _guesses(sample: bytes) -> Iterator[tuple[str, float]]:
    """(codec, confidence), the best first. Among those that are about as good, those last that hold
    what no text does, and where all is even windows-1252 first, as in browsers. Of little text
    those first that make it the letters of one language.
    """
    found = chardet.detect_all(
        sample,
        ignore_threshold=True,
        encoding_era=EncodingEra.ALL & ~EncodingEra.MAINFRAME,
        exclude_encodings=_NEVER,
    )
    named = [
        (name, guess["confidence"])
        for guess in found
        if guess["encoding"] and (name := _python_name(guess["encoding"]))
    ]
    if not named:
        return
    top = named[0][1]
    strange = {name for name, _ in named if _STRANGE.search(sample.decode(name, "replace"))}
    if sum(code > 127 for code in sample) <= FEW and _is_alphabetic(sample, named[0][0]):
        near = [
            guess
            for guess in named
            if guess[1] >= POSSIBLE * top and _is_alphabetic(sample, guess[0])
        ]
        near.sort(
            key=lambda guess: (
                guess[0] in strange,
                -round(_share_of_one_language(sample.decode(guess[0], "replace")), 1),
                -guess[1] * (USUAL if guess[0] == "cp1252" else 1),
            )
        )
        yield from near
        yield from (guess for guess in named if guess not in near)
        return
    near = [guess for guess in named if guess[1] >= NEAR * top]
    if strange.issuperset(name for name, _ in near):
        near = [guess for guess in named if guess[1] >= ANY * top]
    near.sort(
        key=lambda guess: (
            guess[0] in strange,
            guess[0] != "cp1252" or guess[1] < EVEN * top,
        )
    )
    yield from near
    yield from named[len(near) :]


def _is_alphabetic(sample: bytes, encoding: str) -> bool:
    """Latin, Greek or Cyrillic."""
    return max(filter(str.isalpha, sample.decode(encoding, "replace")), default="") <= (
        _LAST_CYRILLIC
    )


def _share_of_one_language(text: str) -> float:
    """Of the letters, and what stands in the place of some, that are not ASCII."""
    letters = [
        letter
        for letter in text
        if not letter.isascii()
        and (letter.isalpha() or unicodedata.category(letter) in ("So", "Cc", "Cn", "Co"))
        and letter not in "©®™°µ"
    ]
    found = (sum(map(alphabet.__contains__, letters)) for alphabet in _ALPHABETS)
    return max(found) / len(letters) if letters else 1.0


def _fits(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
