"""Numbers as Excel shows them, by the format code of their cell: "0.0%", "00000", "[h]:mm".

ECMA-376 Part 1, 18.8.31. Separators are those of an English Excel; a whole date is written as ISO
8601 has it, because which of the numbers is the month depends on who looks.
"""

import datetime
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache

from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel

MAX_CODE_CHARS = 255  # Excel's own limit
MAX_DIGITS = 30

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|_.|\*.|\[\$(?P<currency>[^\]-]*)[^\]]*\]'
    r"|\[[^\]]*\]"
    r"|(?P<general>general)|(?P<ampm>am/pm|a/p)|(?P<date>y+|m+|d+|h+|s+|e+(?![+-]))"
    r"|(?P<exponent>e[+-]0+)|(?P<number>[0#?][0#?,]*(?:\.[0#?]*)?|\.[0#?]+)(?P<scale>,*)"
    r"|(?P<percent>%)|(?P<text>@)|(?P<literal>.)",
    re.IGNORECASE | re.DOTALL,
)
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
_CONDITION = re.compile(r"\[(<=|>=|<>|<|>|=)\s*(-?[\d.]+)\]")
_FRACTION = re.compile(r"[?#0]\s*/\s*(?:[?#0]+|\d+)")
_QUOTED = re.compile(r'"[^"]*"?|\\.|_.|\*.|\[(?!(?:h+|m+|s+)\])[^\]]*\]', re.IGNORECASE | re.DOTALL)
_SPLIT = re.compile(r'((?:"[^"]*"?|\\.|[^;"\\])*);?', re.DOTALL)
_TESTS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b, "=": lambda a, b: a == b, "<>": lambda a, b: a != b,
}  # fmt: skip


def shown(value: float, code: str, *, since_1904: bool = False) -> str:
    """The number as the format code shows it; a code that makes no sense shows it plainly."""
    code = code[:MAX_CODE_CHARS]
    if not code or code == "General":
        return plain(value)
    try:
        section, negative_has_own = _section(code, value)
        if not section.strip():
            return ""
        if _is_date(section):
            return _date(value, section, since_1904)
        return _number(-value if value < 0 and negative_has_own else value, section)
    except (ArithmeticError, ValueError, TypeError):
        return plain(value)


def plain(value: float) -> str:
    """As a cell without a format shows it, which never has more than the 15 digits that Excel
    keeps.
    """
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.15g}".replace("e", "E")


@lru_cache(maxsize=1024)
def _sections(code: str) -> list[str]:
    return [match[1] for match in _SPLIT.finditer(code) if match[0]][:4] or [""]


def _section(code: str, value: float) -> tuple[str, bool]:
    """The part of the code for this value, and whether it says by itself that it is negative."""
    sections = _sections(code)
    numbers = sections[:3]
    if any(_CONDITION.search(section) for section in numbers):
        for section in numbers:
            test = _CONDITION.search(section)
            if test is None or _TESTS[test[1]](value, float(test[2])):
                return section, False
        return numbers[-1], False
    if value < 0 and len(numbers) > 1:
        return numbers[1], True
    if value == 0 and len(numbers) > 2:
        return numbers[2], False
    return numbers[0], False


@lru_cache(maxsize=1024)
def _is_date(section: str) -> bool:
    bare = _QUOTED.sub("", section)
    if _ELAPSED.search(bare):
        return True
    return "general" not in bare.lower() and bool(re.search(r"[ymdhs]|e(?![+-])", bare, re.I))


def _number(value: float, section: str) -> str:
    if _FRACTION.search(_QUOTED.sub("", section)):
        return plain(value)  # "0.5" is as good as "1/2"
    tokens = list(_TOKEN.finditer(section))
    amount = Decimal(repr(value)) * 100 ** sum(1 for token in tokens if token["percent"])
    for token in tokens:
        amount /= 1000 ** len(token["scale"] or "")
        if token["number"] and token["number"].endswith(","):
            amount /= 1000 ** (len(token["number"]) - len(token["number"].rstrip(",")))
    places = [token for token in tokens if token["number"]]
    exponent = next((token for token in tokens if token["exponent"]), None)
    spread = _spread(abs(amount), [token["number"] for token in places]) if not exponent else []
    parts = ["-"] if amount < 0 else []
    for token in tokens:
        if token["number"] and spread:
            parts.append(spread.pop(0))
        elif token["number"]:
            if token is places[0]:
                parts.append(_digits(abs(amount), token["number"].rstrip(","), exponent))
        elif token["general"] or token["text"]:
            parts.append(plain(abs(value)))
        elif token["percent"]:
            parts.append("%")
        else:
            parts.append(_literal(token))
    return "".join(parts).strip()


def _literal(token: "re.Match[str]") -> str:
    for name in ("quoted", "escaped", "currency", "literal"):
        if token[name] is not None:
            return token[name]
    return ""


def _spread(amount: Decimal, patterns: list[str]) -> list[str]:
    """The digits over several groups of places, as in "000-0000"; none where it is one number."""
    if len(patterns) < 2 or any("." in pattern or "," in pattern for pattern in patterns):
        return []
    width = sum(map(len, patterns))
    digits = f"{amount.quantize(Decimal(1), ROUND_HALF_UP):f}".rjust(width, "0")
    groups = []
    for pattern in reversed(patterns[1:]):
        groups.append(digits[-len(pattern) :])
        digits = digits[: -len(pattern)]
    return [digits, *reversed(groups)]


def _digits(amount: Decimal, pattern: str, exponent: "re.Match[str] | None") -> str:
    whole, _, fraction = pattern.partition(".")
    most = min(len(fraction), MAX_DIGITS)
    if exponent:
        return f"{amount:.{most}E}"
    try:
        rounded = amount.quantize(Decimal(1).scaleb(-most), ROUND_HALF_UP)
    except InvalidOperation:
        return plain(float(amount))
    text = f"{rounded:f}"
    digits, _, places = text.partition(".")
    least = sum(1 for place in fraction if place in "0?")
    while len(places) > least and places.endswith("0"):
        places = places[:-1]
    digits = digits.lstrip("0").rjust(min(whole.count("0"), MAX_DIGITS), "0")
    if "," in whole and digits.isdecimal():
        digits = re.sub(r"(?<=\d)(?=(?:\d{3})+$)", ",", digits)
    return digits + ("." + places if places else "")


def _date(value: float, section: str, since_1904: bool) -> str:
    bare = _QUOTED.sub("", section).lower()
    if elapsed := _ELAPSED.search(bare):
        return _duration(value, elapsed[1][0], "s" in bare.replace("ss.", "s"))
    epoch = CALENDAR_MAC_1904 if since_1904 else CALENDAR_WINDOWS_1900
    moment = from_excel(value, epoch)
    if isinstance(moment, datetime.time):
        moment = datetime.datetime.combine(datetime.date(1900, 1, 1), moment)
    if not isinstance(moment, datetime.datetime):
        return plain(value)
    has_time = bool(re.search("[hs]", bare))
    clock = f"{moment:%H:%M:%S}" if "s" in bare else f"{moment:%H:%M}"
    calendar = re.sub(r"h+.*?m+|m+(?=[^a-z]*s)", "", bare) if has_time else bare
    kinds = {kind for kind in "ymd" if kind in calendar.replace("am/pm", "")}
    if not kinds:
        return clock
    day = f"{moment:%Y-%m-%d}"
    if kinds != {"y", "m", "d"} and not has_time:
        return _as_coded(moment, section)
    return f"{day} {clock}" if has_time else day


def _as_coded(moment: datetime.datetime, section: str) -> str:
    """A date of which the code shows only a part: a month, a weekday."""
    names = {
        "yy": "%y", "yyyy": "%Y", "m": "%-m", "mm": "%m", "mmm": "%b", "mmmm": "%B", "d": "%-d",
        "dd": "%d", "ddd": "%a", "dddd": "%A",
    }  # fmt: skip
    parts = []
    for token in _TOKEN.finditer(section):
        code = (token["date"] or "").lower()
        parts.append(moment.strftime(names.get(code, "%Y")) if code else _literal(token))
    return "".join(parts).strip()


def _duration(value: float, unit: str, with_seconds: bool) -> str:
    seconds = round(abs(value) * 86_400)
    sign = "-" if value < 0 else ""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    match unit:
        case "s":
            return f"{sign}{seconds}"
        case "m":
            return f"{sign}{minutes}" + (f":{second:02}" if with_seconds else "")
    return f"{sign}{hours}:{minute:02}" + (f":{second:02}" if with_seconds else "")
