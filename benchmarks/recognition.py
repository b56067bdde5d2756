"""How well text is recognised: fifty scans that are made here, by language, resolution and quality.

`python -m benchmarks.recognition` prints the share of characters that are wrong, and the seconds of
the processor a page. French and Chinese need Debian's models, Chinese its font too: see .ci/run.
"""

import io
import time
from pathlib import Path

from PIL import Image

from formats import tessdata
from processing.parsing.recognition import Picture, recognise
from tests.processing import scans

FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
TEXTS = {"eng": scans.ENGLISH, "deu": scans.GERMAN, "fra": scans.FRENCH, "chi_sim": scans.CHINESE}
QUALITIES = ((0.0, 0.0), (1.0, 0.1), (-2.0, 0.15), (2.0, 0.2))  # degrees, noise


def main() -> None:
    for language, text in TEXTS.items():
        is_chinese = language == "chi_sim"
        if language not in tessdata.languages() or (is_chinese and not FONT.exists()):
            print(f"{language}: not installed")
            continue
        for dpi in (150, 200, 300):
            results = [trial(text, dpi, *quality, is_chinese) for quality in QUALITIES]
            wrong = " ".join(f"{share:6.2%}" for share, _ in results)
            print(f"{language} {dpi} dpi: {wrong}, {max(s for _, s in results):.1f} s at most")


def trial(text: str, dpi: int, turn: float, noise: float, is_chinese: bool) -> tuple[float, float]:
    """(share of wrong characters, seconds of the processor) of one page."""
    page = scans.drawn(text, str(FONT), dpi) if is_chinese else scans.page(text, dpi=dpi)
    page = scans.worn(page, turn, noise)
    data = scans.encoded(page, "JPEG", quality=60)
    grey = Image.open(io.BytesIO(data)).convert("L")
    began = time.process_time()
    reading = recognise(Picture(grey.tobytes(), *grey.size, grey.size[0], dpi))
    spent = time.process_time() - began
    said = "\n".join(" ".join(word.text for word in line) for line in reading.lines)
    if is_chinese:
        text, said = "".join(text.split()), "".join(said.split())
    return scans.errors(text, said), spent


if __name__ == "__main__":
    main()
