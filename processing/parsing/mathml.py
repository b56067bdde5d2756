"""Formulas in MathML on one line, as those of Office are (`drawing.equation`)."""

from typing import Any

from processing.parsing.drawing import grouped, local

MAX_DEPTH = 100
_SILENT = {"annotation", "annotation-xml"}  # the same for a program
_WORDS = {"mi", "mo", "mn", "mtext", "ms"}


def formula(element: Any, depth: int = 0) -> str:
    """For example "speed = distance/time"."""
    name = local(element)
    if name in _SILENT or depth == MAX_DEPTH:
        return ""
    if name in _WORDS:
        text = " ".join((element.text or "").split())
        return f" {text} " if name == "mo" and len(text) == 1 and text in "=<>≤≥≠≈→" else text
    parts = [formula(child, depth + 1) for child in element]
    match name, len(parts):
        case "mfrac", 2:
            return f"{grouped(parts[0])}/{grouped(parts[1])}"
        case "msup" | "mover", 2:
            return f"{parts[0]}^{grouped(parts[1])}"
        case "msub" | "munder", 2:
            return f"{parts[0]}_{grouped(parts[1])}"
        case "msubsup" | "munderover", 3:
            return f"{parts[0]}_{grouped(parts[1])}^{grouped(parts[2])}"
        case "mroot", 2:
            return f"{parts[1]}√{grouped(parts[0])}"
        case "msqrt", _:
            return f"√{grouped(''.join(parts))}"
        case "mtable", _:
            return "; ".join(parts)
        case "mtr", _:
            return ", ".join(parts)
    return _joined(parts)


def _joined(parts: list[str]) -> str:
    """Two words in a row stay two."""
    said = ""
    for part in parts:
        is_apart = said[-1:].isalnum() and part[:1].isalnum() and len(said) + len(part) > 2
        is_apart = is_apart or (said.endswith(")") and part[:1].isalnum())
        said += f" {part}" if is_apart else part
    return said
