r"""TeX and LaTeX: what a reader of the printed document sees of it, as far as that can be told
without running it: no preamble, comments and commands; letters for \"a and \ss; formulas as they
are written.
"""

import itertools
import re
import unicodedata
from typing import IO

from processing.parsing.decoding import decode
from processing.parsing.draft import Draft, Outline, clean

NO_TEXT = "This file contains no text; check that it is the right one and upload it again."

MAX_OWN_COMMANDS, MAX_OWN_CHARS = 2_000, 500

_VERBATIM = re.compile(
    r"\\begin\{(?P<name>verbatim|lstlisting|minted)\*?\}"
    r"(?P<lines>(?:(?!\\begin\{(?P=name)).)*?)\\end\{(?P=name)\*?\}"
    r"|\\(?:verb|lstinline)\*?(?P<mark>[^a-zA-Z\s*{[])(?P<words>[^\n]*?)(?P=mark)",
    re.DOTALL,
)
_LEFT_OUT = (
    (re.compile(r"\\begin\{comment\}"), re.compile(r"\\end\{comment\}")),
    (re.compile(r"\\iffalse(?![a-zA-Z])"), re.compile(r"\\fi(?![a-zA-Z])")),
)
# But not in what is printed as it is written.
_COMMENT = re.compile(
    rf"(?P<kept>{_VERBATIM.pattern})|(?<!\\)(?P<before>(?:\\\\)*)%[^\n]*(?:\n[ \t]*)?",
    re.DOTALL,
)
_SECTION = re.compile(
    r"\\(part|chapter|section|subsection|subsubsection|paragraph|subparagraph)\*?\s*"
    r"(?:\[[^\]]{0,300}\])?\s*\{"
)
_LEVELS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph")
_TITLE = re.compile(r"\\(?:title|author|date|subtitle)\s*(?:\[[^\]]{0,300}\])?\s*\{")
_ACCENT = re.compile(
    r"""\\(["'`^~=.]|[uvHcdbkr](?![a-zA-Z]))\s*(?:\{\s*(\\?[a-zA-Z])\s*\}|(\\?[a-zA-Z]))"""
)
_COMBINING = {
    '"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", "=": "\u0304",
    ".": "\u0307", "u": "\u0306", "v": "\u030c", "H": "\u030b", "c": "\u0327", "d": "\u0323",
    "b": "\u0331", "k": "\u0328", "r": "\u030a",
}  # fmt: skip
_LETTERS = {
    "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "aa": "å",
    "AA": "Å", "l": "ł", "L": "Ł", "i": "i", "j": "j", "S": "§", "P": "¶", "dots": "…",
    "ldots": "…", "textellipsis": "…", "euro": "€", "texteuro": "€", "pounds": "£",
    "copyright": "©", "textregistered": "®", "texttrademark": "™", "textbackslash": "\\",
    "textendash": "–", "textemdash": "—", "LaTeX": "LaTeX", "TeX": "TeX", "BibTeX": "BibTeX",
    "quad": " ", "qquad": " ", "newline": "\n", "par": "\n\n", "item": "\n- ", "textdegree": "°",
    "glqq": "„", "grqq": "“", "glq": "‚", "grq": "‘", "tableofcontents": "", "maketitle": "",
}  # fmt: skip
_LETTER = re.compile(r"\\([a-zA-Z]+)\*?(?![a-zA-Z])[ \t]*(?:\{\})?")
# Commands whose arguments are read by machines.
_SILENT = re.compile(
    r"\\(?:label|ref|eqref|pageref|autoref|cref|Cref|cite[a-z]*|nocite|bibliography|input|include"
    r"|bibliographystyle|vspace|hspace|setlength|setcounter|addtocounter|usepackage|documentclass"
    r"|includegraphics|pagestyle|thispagestyle|hypersetup|newcommand|renewcommand|def|definecolor"
    r"|color|fontsize|selectlanguage|graphicspath|addbibresource|pagenumbering|index|hyphenation)"
    r"(?![a-zA-Z])\*?\s*(?:\[[^\]]{0,300}\]\s*)*(?:\{[^{}]{0,2000}\}\s*){0,2}"
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{([a-zA-Z*]{1,40})\}(?:\[[^\]]{0,200}\])?")
_COLUMNS = re.compile(
    r"(\\begin\{(?:tabular[x*]?|longtable|array|minipage|multicols|thebibliography|wrapfigure)\*?\}"
    r"(?:\[[^\]]{0,200}\])?)(?:\{(?:[^{}]|\{[^{}]*\}){0,300}\}){1,2}"
)
# Commands of which the last argument is printed, after one or two that are not.
_MEASURED = re.compile(
    r"\\(?:(?:textcolor|colorbox|parbox|raisebox|rotatebox|scalebox)\*?\s*(?:\[[^\]]{0,200}\]\s*)*"
    r"\{[^{}]{0,200}\}|(?:multicolumn|multirow|fcolorbox|resizebox)\*?\s*(?:\[[^\]]{0,200}\]\s*)*"
    r"(?:\{(?:[^{}]|\{[^{}]*\}){0,200}\}\s*){2})(?=\s*\{)"
)
_ASIDE = re.compile(r"\\(?:footnote|footnotetext|thanks|marginpar)\s*(?:\[[^\]]{0,20}\])?\s*(?=\{)")
_ITEM = re.compile(r"\\item\s*\[([^\]]{0,300})\]")
_FORMULAS = re.compile(
    r"\\begin\{(equation|align|gather|multline|eqnarray|displaymath|flalign)(\*?)\}(.{0,20000}?)"
    r"\\end\{\1\2\}",
    re.DOTALL,
)
_LABEL = re.compile(r"\\label\s*\{[^{}]{0,300}\}|(?<!\\)&")
_LINK = re.compile(r"\\href\s*\{([^{}]{0,1000})\}")
_MATH = re.compile(
    r"\$\$.{1,5000}?\$\$|\$[^$\n]{1,1000}\$|\\\[.{1,5000}?\\\]|\\\(.{1,1000}?\\\)", re.DOTALL
)
_KEPT = re.compile("\ue000(\\d+)\ue001")
_INCLUDED = re.compile(r"\\(?:input|include|subfile)\s*\{")
_OWN = re.compile(r"\\(?:(?:re)?newcommand\*?|def|gdef)\s*\{?\s*\\([a-zA-Z]+)\s*\}?\s*\{")
_COMMAND = re.compile(r"\\([a-zA-Z]+)(?![a-zA-Z])(?:\{\})?")
_CONTROLS = re.compile(r"\\([%&_#${}])")


def read(file: IO[bytes], draft: Draft) -> None:
    """A section for each heading. Raises as `decode`."""
    text = _COMMENT.sub(
        lambda match: match["kept"] or match["before"] or "", clean(decode(file.read()))
    )
    for begins, ends in _LEFT_OUT:
        text = _without(text, begins, ends)
    preamble, begin, body = text.partition(r"\begin{document}")
    if begin:
        titles = (_argument(preamble, match.end()) for match in _TITLE.finditer(preamble))
        own = _own_commands(preamble)
        draft.add("\n".join(_plain(_expanded(title, own)) for title, _ in titles))
        body = body.partition(r"\end{document}")[0]
    else:
        body = text
    own = _own_commands(text)
    body = _expanded(body, own)
    if included := len(_INCLUDED.findall(_VERBATIM.sub("", body))):
        draft.unread("included_file", count=included)
    outline = Outline()
    start = 0
    for match in _SECTION.finditer(body):
        if match.start() < start:
            continue
        draft.add(_plain(body[start : match.start()]), heading=outline.path)
        title, end = _argument(body, match.end())
        name = " ".join(_plain(title).split())
        outline.enter(_LEVELS.index(match[1]) + 1, name)
        body_start = end
        start = body_start
        draft.add(name, heading=outline.path)
    draft.add(_plain(body[start:]), heading=outline.path)


def _without(text: str, begins: re.Pattern[str], ends: re.Pattern[str]) -> str:
    """The text without its parts from one to the other; in linear time."""
    parts = []
    at = 0
    for begin in begins.finditer(text):
        if begin.start() < at:
            continue
        end = ends.search(text, begin.end())
        if end is None:
            break
        parts.append(text[at : begin.start()])
        at = end.end()
    return "".join([*parts, text[at:]])


def _own_commands(text: str) -> dict[str, str]:
    """What the author's own commands stand for, as far as they take no arguments."""
    found: dict[str, str] = {}
    for match in itertools.islice(_OWN.finditer(text), MAX_OWN_COMMANDS):
        said, _ = _argument(text, match.end())
        if "#" not in said and len(said) <= MAX_OWN_CHARS:
            found[match[1]] = _expanded(said, found)[:MAX_OWN_CHARS]
    return found


def _expanded(text: str, own: dict[str, str]) -> str:
    """Without going further than a few times the text's length."""
    left = max(2 * len(text), 100_000)

    def said(match: re.Match[str]) -> str:
        nonlocal left
        content = own.get(match[1])
        if content is None or left < len(content):
            return match[0]
        left -= len(content)
        return content

    return _COMMAND.sub(said, text) if own else text


def _argument(text: str, start: int) -> tuple[str, int]:
    """What stands up to the brace that closes the one before `start`, and where it ends."""
    depth = 1
    for position in range(start, min(start + 5_000, len(text))):
        if text[position] == "{" and text[position - 1] != "\\":
            depth += 1
        elif text[position] == "}" and text[position - 1] != "\\":
            depth -= 1
            if not depth:
                return text[start:position], position + 1
    return "", start


def _plain(text: str) -> str:
    kept: list[str] = []

    def keep(content: str) -> str:
        kept.append(content)
        return f"\ue000{len(kept) - 1}\ue001"

    text = text.replace("\ue000", "").replace("\ue001", "")
    text = _VERBATIM.sub(lambda match: keep(match["lines"] or match["words"] or ""), text)
    text = _FORMULAS.sub(lambda match: f"\n{keep(_LABEL.sub('', match[3]).strip())}\n", text)
    text = _MATH.sub(lambda match: keep(match[0]), text)
    text = _ACCENT.sub(_accented, text)
    text = _COLUMNS.sub(r"\1", text)
    text = _SILENT.sub(" ", text)
    text = _MEASURED.sub("", text)
    text = _ASIDE.sub(" ", text)
    text = _ITEM.sub(r"\n- \1 ", text)
    text = _ENVIRONMENT.sub("\n", text)
    text = _LINK.sub(r"\1 ", text)
    text = re.sub(r"\\\\(?:\[[^\]]{0,20}\])?|\\(?:hline|toprule|midrule|bottomrule)\b", "\n", text)
    text = re.sub(r"(?<!\\)&", " | ", text)
    text = _LETTER.sub(lambda match: _LETTERS.get(match[1], ""), text)
    text = re.sub(r"\\[,;:! ]|(?<!\\)~", " ", text).replace("\\-", "").replace("\\/", "")
    text = re.sub(r"(?<!\\)[{}]", "", text)
    text = text.replace("``", "“").replace("''", "”").replace("---", "—").replace("--", "–")
    text = _CONTROLS.sub(r"\1", text)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return _KEPT.sub(lambda match: kept[int(match[1])], "\n".join(lines))


def _accented(match: re.Match[str]) -> str:
    letter = (match[2] or match[3]).removeprefix("\\")
    return unicodedata.normalize("NFC", letter + _COMBINING[match[1]])
