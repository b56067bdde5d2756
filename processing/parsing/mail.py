"""E-mail as its programs keep it: one message (EML), many (MBOX), or a page of the web with all
that belongs to it (MHTML).

By Python's own parser with its old policy: the new one raises at headers that are a little wrong.
"""

import email.errors
import email.generator  # which messages load when they are written: too late, in the sandbox
import email.header
import email.message
import email.parser
import email.policy
import email.utils
import re
from contextlib import suppress
from functools import partial
from typing import IO
from urllib.parse import urljoin

from formats import BY_MEDIA_TYPE
from processing.errors import PermanentError
from processing.parsing import tnef
from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline
from processing.parsing.html import decode_markup, inline_picture, read_markup
from processing.parsing.letter import Attachment, Letter, add_letter
from processing.parsing.sentences import DAMAGED

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."
MAX_MESSAGES = 50_000
MAX_PARTS = 2_000  # of one message
MAX_PART_DEPTH = 30
MAX_HEADER_CHARS = 20_000

_FROM_LINE = re.compile(rb"^From (?:\S+|\S* at \S+) .*\d{1,2}:\d{2}.*\r?\n", re.MULTILINE)
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_FIELDS = ("From", "To", "Cc", "Date")
_OUTLOOK = {"application/ms-tnef", "application/vnd.ms-tnef"}
_ENCRYPTED = {"application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted"}
_SIGNATURES = {"application/pgp-signature", "application/pkcs7-signature"}
_SIGNATURES |= {"application/x-pkcs7-signature"}
_RESOURCES = {"application/applefile"}  # a Mac's remarks on the file beside them
_REPORTS = {"message/delivery-status", "message/disposition-notification"}
# Up to the next beginning: very many that never end take linear time.
_PGP = re.compile(
    r"-----BEGIN PGP MESSAGE-----(?:(?!-----BEGIN ).)*?-----END PGP MESSAGE-----", re.DOTALL
)
# RFC 3676: the marks of a quotation, a space that only protects the line, its text.
_FLOWED = re.compile(r"(>*) ?(.*)")
_SIGN_OFF = "-- "
_LOGO_BYTES = 8 * 1024  # what is shown within the text and larger may be a photograph of text
_CUT_OFF = (email.errors.CloseBoundaryNotFoundDefect, email.errors.StartBoundaryNotFoundDefect)
_RAW = email.policy.compat32.clone(max_line_length=0, mangle_from_=False)


def read(file: IO[bytes], draft: Draft) -> None:
    """Each message below its subject. Raises PermanentError: `corrupt`, `too_large`."""
    data = file.read().lstrip(b"\xef\xbb\xbf\r\n")
    messages = _messages(data)
    if len(messages) > MAX_MESSAGES:
        raise PermanentError(
            "too_large",
            f"This mailbox has more than {MAX_MESSAGES:,} messages; split it and upload the parts.",
        )
    if len(messages) == 1:
        _read_message(_unquoted(data, *messages[0]), draft)
        return
    for number, (start, end) in enumerate(messages, 1):
        draft.allowance = draft.allowance.renewed()  # each has its own
        with draft.part(f"message {number:,}") as is_read:
            if is_read:
                _read_message(_unquoted(data, start, end), draft)


def header(message: email.message.Message, name: str) -> str:
    """The first of this name, in letters. Bytes that are not ASCII stand in it as they came."""
    for key, value in message.raw_items():
        if key.lower() == name.lower():
            return _decoded(str(value))
    return ""


def _messages(data: bytes) -> list[tuple[int, int]]:
    """Where the messages of a mailbox begin and end; a file that does not begin as one is a single
    message.
    """
    if not data.startswith(b"From "):
        return [(0, len(data))]
    starts = [match.span() for match in _FROM_LINE.finditer(data) if _is_start(data, match.start())]
    starts = starts or [(0, len(data.partition(b"\n")[0]) + 1)]
    ends = [start for start, _ in starts[1:]] + [len(data)]
    return [(start, end) for (_, start), end in zip(starts, ends, strict=True)]


def _unquoted(data: bytes, start: int, end: int) -> bytes:
    """A message as it was before it came into a mailbox, if it is in one."""
    message = data[start:end]
    return _QUOTED_FROM.sub(rb"\1", message) if start else message


def _is_start(data: bytes, at: int) -> bool:
    """Whether an empty line stands before."""
    return at == 0 or data[max(at - 4, 0) : at].endswith((b"\n\n", b"\n\r\n"))


def _read_message(data: bytes, draft: Draft) -> None:
    try:
        message = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(data)
    except (RecursionError, ValueError, LookupError) as error:
        raise PermanentError("corrupt", DAMAGED) from error
    if not message.keys() and not data.strip():
        return
    if any(isinstance(defect, _CUT_OFF) for defect in message.defects):
        draft.unread("damaged_file")
    if _is_web_archive(message):
        _read_web_archive(message, draft)
        return
    fields = [(name, header(message, name)) for name in _FIELDS]
    letter = Letter(header(message, "Subject"), fields)
    _Parts(letter).take(message)
    add_letter(letter, draft)


class _Parts:
    """Puts each part of a message where it belongs."""

    def __init__(self, letter: Letter) -> None:
        self._letter = letter
        self._count = 0

    def take(self, part: email.message.Message, depth: int = 0) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            if self._count == MAX_PARTS + 1:
                self._letter.attachments.append(Attachment("further parts", None))
            return
        kind = part.get_content_type()
        if kind in _ENCRYPTED and "signed" not in (_parameter(part, "smime-type") or ""):
            self._letter.locked_count += 1
        elif kind in _REPORTS:
            self._say(_report(part))
        elif kind == "message/rfc822" or (kind == "message/global" and part.is_multipart()):
            self._attach_message(part)
        elif part.is_multipart():
            children = [child for child in part.get_payload() if not isinstance(child, str)]
            if depth == MAX_PART_DEPTH:
                self._letter.attachments.append(Attachment("nested parts", None))
                return
            for child in children:
                self.take(child, depth + 1)
        elif kind not in _SIGNATURES | _RESOURCES:
            self._take_leaf(part, kind)

    def _take_leaf(self, part: email.message.Message, kind: str) -> None:
        letter = self._letter
        name, content = _filename(part), _content(part)
        said = str(part.get("Content-Disposition") or "").strip().lower()
        if not name and not said.startswith("attachment"):
            try:
                if kind == "text/html":
                    letter.html += _markup(part, content)
                    return
                if kind in ("text/plain", "text/enriched"):
                    self._say(_text(part, content))
                    return
            except PermanentError:
                pass  # it is no text
        if kind.startswith("image/") and "Content-ID" in part and len(content) < _LOGO_BYTES:
            return
        if kind in _OUTLOOK or name.lower() == "winmail.dat":
            self._unpack(name, content)
            return
        letter.attachments.append(Attachment(name or _named(kind), content, kind))

    def _say(self, text: str) -> None:
        """Append plain text, without what nobody can read without a key."""
        text, locked_count = _PGP.subn("", text)
        self._letter.locked_count += locked_count
        self._letter.plain += ("\n\n" if self._letter.plain else "") + text

    def _unpack(self, name: str, content: bytes) -> None:
        """What Outlook has put into one part; reported when it is damaged or empty."""
        with suppress(PermanentError):  # it is no text
            sent = tnef.unpacked(content)
            if not (self._letter.plain or self._letter.html):
                self._letter.plain = sent.text
            self._letter.attachments += [Attachment(*file) for file in sent.files if file[1]]
            if sent.is_whole and (sent.files or sent.text):
                return
        self._letter.attachments.append(Attachment(name, None))

    def _attach_message(self, part: email.message.Message) -> None:
        inner = part.get_payload()
        inner = inner[0] if isinstance(inner, list) and inner else inner
        content, subject = _content(part), ""
        if isinstance(inner, email.message.Message) and not inner.keys():
            content = _decoded_message(part, inner)
        elif isinstance(inner, email.message.Message):
            subject = header(inner, "Subject")
            try:
                content = inner.as_bytes(policy=_RAW)
            except (ValueError, LookupError, TypeError, RecursionError):
                content = b""
        name = _filename(part) or (subject and f"{subject}.eml") or "message.eml"
        self._letter.attachments.append(Attachment(name, content, "message/rfc822"))


def _decoded_message(part: email.message.Message, inner: email.message.Message) -> bytes:
    """A message that was encoded on its way, which the parser expects of none."""
    wrapped = email.message.Message()
    wrapped["Content-Transfer-Encoding"] = str(part.get("Content-Transfer-Encoding", ""))
    wrapped.set_payload(inner.get_payload())
    return _content(wrapped)


def _is_web_archive(message: email.message.Message) -> bool:
    """Whether a browser or Word saved it: nobody has sent it to anybody."""
    if "Snapshot-Content-Location" in message or "saved by" in header(message, "From").lower():
        return True
    is_page = message.get_content_type() in ("multipart/related", "text/html")
    sent = ("From", "To", "Received", "Message-ID")
    return is_page and not any(name in message for name in sent)


def _read_web_archive(message: email.message.Message, draft: Draft) -> None:
    """The page, and those that are shown in it."""
    parts = {}
    for part in message.walk():
        for name in ("Content-Location", "Content-ID"):
            if said := header(part, name).strip():
                parts[said if name == "Content-Location" else f"cid:{said.strip('<>')}"] = part
    for part in message.walk():
        if part.get_content_type() in ("text/html", "application/xhtml+xml"):
            base = header(part, "Content-Location")
            markup = _markup(part, _content(part))
            read_markup(markup, draft, Outline(), picture=partial(_shown_part, parts, base))


def _shown_part(parts: dict[str, email.message.Message], base: str, source: str) -> bytes | None:
    """The picture that a page of this address shows, as it came along."""
    for name in (source, urljoin(base, source)):
        if name in parts:
            return _content(parts[name])
    return inline_picture(source)


def _content(part: email.message.Message) -> bytes:
    try:
        content = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        return b""
    return content if isinstance(content, bytes) else b""


def _text(part: email.message.Message, content: bytes) -> str:
    """Raises as `decode`."""
    text = decode(content, _parameter(part, "charset"))
    if (_parameter(part, "format") or "").lower() == "flowed":
        is_space_added = (_parameter(part, "delsp") or "").lower() == "yes"
        text = _unfolded(text, "" if is_space_added else " ")
    return text


def _unfolded(text: str, between: str) -> str:
    """RFC 3676: a line that ends with a space goes on in the next one of the same quotation."""
    lines: list[list[str]] = []  # the parts of each
    open_quote = None  # the marks of the line that goes on
    for line in text.splitlines():
        quote, said = _FLOWED.match(line).groups()  # type: ignore[union-attr]
        goes_on = said.endswith(" ") and said != _SIGN_OFF
        if open_quote != quote or said == _SIGN_OFF:
            lines.append([f"{quote} "] if quote else [])
        lines[-1].append(said[:-1] + between if goes_on else said)
        open_quote = quote if goes_on else None
    return "\n".join(map("".join, lines))


def _report(part: email.message.Message) -> str:
    """What became of a message: fields, in blocks."""
    blocks = part.get_payload()
    if not isinstance(blocks, list):
        return _text(part, _content(part))
    said = (
        "\n".join(f"{name}: {_decoded(str(value))}" for name, value in block.raw_items())
        for block in blocks
        if isinstance(block, email.message.Message)
    )
    return "\n\n".join(filter(None, said))


def _markup(part: email.message.Message, content: bytes) -> str:
    """Raises as `decode`."""
    charset = _parameter(part, "charset")
    return decode(content, charset) if charset else decode_markup(content)


def _parameter(part: email.message.Message, name: str) -> str | None:
    try:
        value = part.get_param(name)
        return email.utils.collapse_rfc2231_value(value) if value else None
    except (ValueError, LookupError, TypeError):
        return None


def _filename(part: email.message.Message) -> str:
    try:
        return _decoded(part.get_filename() or "")
    except (ValueError, LookupError, TypeError):
        return ""


def _named(kind: str) -> str:
    format = BY_MEDIA_TYPE.get(kind)
    return f"attachment{format.extensions[0] if format else ''}"


def _decoded(value: str) -> str:
    try:
        value = decode(value[:MAX_HEADER_CHARS].encode("utf-8", "surrogateescape"))
        parts = email.header.decode_header(value)
    except (PermanentError, ValueError, LookupError):
        return value[:MAX_HEADER_CHARS]
    said = []
    for part, charset in parts:
        if isinstance(part, str):
            said.append(part)
        elif charset is None:  # what stands between encoded words
            said.append(part.decode("raw-unicode-escape", "replace"))
        else:
            with suppress(PermanentError):  # it is no text
                said.append(decode(part, charset))
    return "".join(said)
