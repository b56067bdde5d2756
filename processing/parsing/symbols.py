"""Characters of the symbol fonts that Office files use, as the letters that they look like; and the
word that a field shows with its reading.

After Unicode's mapping tables of Adobe's Symbol and of Microsoft's Wingdings; of Wingdings only
what means something in a text: boxes, ticks, arrows.
"""

import re

# A word with how it is read above it is a formula without a result: EQ \o\ad(\s\up 9(reading),word)
RUBY = re.compile(r"EQ\b.*\\o.*,([^,()]*)\)\s*$", re.DOTALL | re.IGNORECASE)

_GREEK = zip("abgdezhqiklmnxoprsVtufcyw", "αβγδεζηθικλμνξοπρσςτυφχψω", strict=True)
_CAPITALS = zip("ABGDEZHQIKLMNXOPRSTUFCYW", "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ", strict=True)
_SYMBOL = {
    0x22: "∀", 0x24: "∃", 0x27: "∋", 0x40: "≅", 0x5E: "⊥", 0x7E: "∼", 0xA3: "≤", 0xA5: "∞",
    0xAB: "↔", 0xAC: "←", 0xAD: "↑", 0xAE: "→", 0xAF: "↓", 0xB0: "°", 0xB1: "±", 0xB2: "″",
    0xB3: "≥", 0xB4: "×", 0xB5: "∝", 0xB6: "∂", 0xB7: "•", 0xB8: "÷", 0xB9: "≠", 0xBA: "≡",
    0xBB: "≈", 0xBC: "…", 0xC4: "⊗", 0xC5: "⊕", 0xC6: "∅", 0xC7: "∩", 0xC8: "∪", 0xCC: "⊂",
    0xCE: "∈", 0xCF: "∉", 0xD1: "∇", 0xD2: "®", 0xD3: "©", 0xD4: "™", 0xD5: "∏", 0xD6: "√",
    0xD7: "⋅", 0xD8: "¬", 0xD9: "∧", 0xDA: "∨", 0xDB: "⇔", 0xDE: "⇒", 0xE5: "∑", 0xF2: "∫",
}  # fmt: skip
_SYMBOL |= {ord(latin): greek for latin, greek in (*_GREEK, *_CAPITALS)}
_WINGDINGS = {
    0x28: "☎", 0x2A: "✉", 0x4A: "☺", 0x4C: "☹", 0x6C: "●", 0x6E: "■", 0x6F: "☐", 0x71: "❑",
    0x72: "❒", 0x76: "❖", 0x9F: "•", 0xA7: "▪", 0xA8: "☐", 0xD8: "➢", 0xDF: "←", 0xE0: "→",
    0xE1: "↑", 0xE2: "↓", 0xE8: "➔", 0xEF: "⇦", 0xF0: "⇨", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒",
    0xFE: "☑",
}  # fmt: skip
_WINGDINGS_2 = {
    0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0xA3: "☐", 0x97: "●",
}  # fmt: skip
_FONTS = {"symbol": _SYMBOL, "wingdings": _WINGDINGS, "wingdings 2": _WINGDINGS_2}


def is_symbol_font(font: str | None) -> bool:
    return (font or "").lower() in _FONTS or (font or "").lower() in ("wingdings 3", "webdings")


def in_font(font: str | None, text: str) -> str:
    """Text that is set in a font; what we do not know of a symbol font is left out."""
    if not is_symbol_font(font):
        return text
    signs = _FONTS.get((font or "").lower(), {})
    return "".join(c if c.isspace() else signs.get(ord(c) & 0xFF, "") for c in text)
