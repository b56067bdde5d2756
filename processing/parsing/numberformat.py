"""Numbers as Excel shows them, by the format code of their cell: "0.0%", "00000", "[h]:mm".

ECMA-376 Part 1, 18.8.31. Separators are those of an English Excel; a whole date is written as ISO
8601 has it, because which of the numbers is the month depends on who looks.
"""

import datetime
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel

MAX_CODE_CHARS = 255  # Excel's own limit
MAX_DIGITS = 30

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|_.|\*.|\[\$(?P<currency>[^\]-]*)[^\]]*\]'
    r"|\[[^\]]*\]"
    r"|(?P<general>general)|(?P<ampm>am/pm|a/p)|(?P<date>y+|m+|d+|h+|s+|e+(?![+-])|g+)"
    r"|(?P<exponent>e[+-]0+)|(?P<number>[0#?][0#?,]*(?:\.[0#?]*)?|\.[0#?]+)(?P<scale>,*)"
    r"|(?P<percent>%)|(?P<text>@)|(?P<literal>.)",
    re.IGNORECASE | re.DOTALL,
)
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
_CONDITION = re.compile(r"\[(<=|>=|<>|<|>|=)\s*(-?[\d.]+)\]")
_FRACTION = re.compile(r"(?P<whole>[?#0]+[ _]+)?(?P<above>[?#0]+)\s*/\s*(?P<below>[1-9]\d*|[?#0]+)")
_TENTHS = re.compile(r"s\.(0+)")
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
    if match := _FRACTION.search(_QUOTED.sub("", section)):
        return _fraction(value, match)
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
    is_unused = False  # the mark between groups of digits, before the first one
    for token in tokens:
        if is_unused and token["literal"] is not None:
            continue
        if token["number"] and spread:
            parts.append(spread.pop(0))
            is_unused = not parts[-1]
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
    if len(patterns) < 2 or any("." in pattern for pattern in patterns[:-1]):
        return []
    if any("," in pattern for pattern in patterns):
        return []
    last, point, fraction = patterns[-1].partition(".")
    pattern = "".join([*patterns[:-1], last])
    # All places from the first zero on are filled.
    least = "0" * len(pattern[pattern.find("0") :]) if "0" in pattern else "#"
    digits, _, places = _digits(amount, least + point + fraction, None).partition(".")
    groups = []
    for part in reversed([*patterns[1:-1], last]):
        groups.append(digits[-len(part) :] if part else "")
        digits = digits[: -len(part)] if part else digits
    groups[0] += f".{places}" if places else ""
    return [digits, *reversed(groups)]


def _fraction(value: float, code: "re.Match[str]") -> str:
    """Halves, quarters and the like: "1 3/4" with a place for the whole number, "7/4" without."""
    amount = Fraction(abs(value)).limit_denominator(10**9)
    below = code["below"]
    if below.isdecimal() and int(below):
        parts = Fraction(round(amount * int(below)), int(below))
        denominator = int(below)
    else:
        parts = amount.limit_denominator(10 ** min(len(below), 5) - 1)
        denominator = parts.denominator
    sign = "-" if value < 0 and parts else ""
    whole, rest = divmod(parts, 1) if code["whole"] else (0, parts)
    shown_part = f"{int(rest * denominator)}/{denominator}" if rest else ""
    if whole or not shown_part:
        shown_part = f"{whole} {shown_part}".strip()
    return sign + shown_part


def _digits(amount: Decimal, pattern: str, exponent: "re.Match[str] | None") -> str:
    whole, _, fraction = pattern.partition(".")
    most = min(len(fraction), MAX_DIGITS)
    if exponent:
        return _scientific(amount, len(whole), most, exponent["exponent"])
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


def _scientific(amount: Decimal, places: int, most: int, code: str) -> str:
    """Several places before the point go by thousands, or what they are: 120.0E-6."""
    power = amount.adjusted() if amount else 0
    power -= power % max(places, 1)
    mantissa = amount.scaleb(-power)
    sign = "-" if power < 0 else "+" if "+" in code else ""
    width = len(code) - 2
    return f"{mantissa:.{most}f}E{sign}{abs(power):0{width}}"


def _date(value: float, section: str, since_1904: bool) -> str:
    bare = _QUOTED.sub("", section).lower()
    if elapsed := _ELAPSED.search(bare):
        return _duration(value, elapsed[1][0], "s" in bare.replace("ss.", "s"))
    epoch = CALENDAR_MAC_1904 if since_1904 else CALENDAR_WINDOWS_1900
    moment = from_excel(value, epoch)
    if isinstance(moment, datetime.time):
        first = datetime.date(1904 if since_1904 else 1900, 1, 1)
        moment = datetime.datetime.combine(first, moment)
    if not isinstance(moment, datetime.datetime):
        return plain(value)
    has_time = bool(re.search("[hs]", bare))
    clock = _clock(value, bare)
    calendar = re.sub(r"h+.*?m+|m+(?=[^a-z]*s)", "", bare) if has_time else bare
    calendar = calendar.replace("am/pm", "").replace("e", "y")  # e: the year of an emperor
    kinds = {kind for kind in "ymd" if kind in calendar}
    if not kinds:
        return clock
    day = f"{moment:%Y-%m-%d}"
    if kinds != {"y", "m", "d"} and not has_time:
        return _as_coded(moment, section)
    return f"{day} {clock}" if has_time else day


def _clock(value: float, code: str) -> str:
    """The time of the day; without a place for hours it is how long something took."""
    tenths = _TENTHS.search(code)
    places = min(len(tenths[1]), 6) if tenths else 0
    seconds = round(value % 1 * 86_400, places)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(int(minutes), 60)
    second_text = f":{second:0{places + 3 if places else 2}.{places}f}" if "s" in code else ""
    if "h" not in code and "m" in code:
        return f"{minute:02}{second_text}"
    return f"{hour % 24:02}:{minute:02}{second_text}"


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
