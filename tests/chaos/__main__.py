"""`make chaos SEED=n MINUTES=m`. Exit status 1 at a violation; then the run's folder is kept."""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import Run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", default="1", help="decides users, documents and faults")
    parser.add_argument("--minutes", type=float, default=20)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: in good order
    folder = Path(tempfile.mkdtemp(prefix=f"lumikb-chaos-{options.seed}-"))
    print(f"chaos: seed {options.seed}, {options.minutes:g} minutes, in {folder}", flush=True)
    report = Run(options.seed, 60 * options.minutes, folder).run()
    print(report.text())
    if report.violations:
        print(f"logs (home.log, harness.log) and dump: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
