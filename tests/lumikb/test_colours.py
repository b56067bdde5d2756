"""Text can be read on what it stands on, in the light and in the dark scheme (WCAG 2.2, AA)."""

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "static" / "lumikb.css").read_text()
ON = {  # text: what it stands on
    "ink": ["page", "surface", "sunken", "soft", "passage", "mark", "good-soft", "warn-soft"],
    "muted": ["page", "surface", "sunken"],
    "accent": ["page", "surface", "soft"],
    "on-accent": ["accent", "accent-strong"],
    "good": ["surface", "good-soft"],
    "warn": ["surface", "warn-soft"],
    "bad": ["surface", "bad-soft"],
}


def scheme(dark: bool) -> dict[str, str]:
    light, _, rest = CSS.partition("@media (prefers-color-scheme: dark)")
    blocks = [light] + [rest[: rest.index("}")]] * dark
    return dict(re.findall(r"--([\w-]+): (#\w{3,6});", "".join(blocks)))


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), [(t, g) for t, grounds in ON.items() for g in grounds])
def test_a_text_can_be_read_on_its_ground(text: str, ground: str, dark: bool) -> None:
    colours = scheme(dark)
    lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
