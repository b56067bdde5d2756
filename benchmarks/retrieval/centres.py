"""Makes processing/index/centres.json of the questions in usual.tsv, with the local model.

.venv/bin/python -m benchmarks.retrieval.centres
"""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from deploy.local.models import MODELS

USUAL = Path(__file__).with_name("usual.tsv")
NAME = "e5-small"


def main() -> None:
    from processing.index.centres import FILE, OTHERS, packed

    e5 = MODELS["e5"]
    model = e5.load()
    vectors = defaultdict(list)
    for line in USUAL.read_text().splitlines():
        language, question = line.split("\t")
        vectors[language].append(model.embed(e5.query_prefix + question)[0])
    means = {language: np.mean(found, axis=0) for language, found in vectors.items()}
    means[OTHERS] = np.mean(list(means.values()), axis=0)
    centres = {NAME: {language: packed(mean.tolist()) for language, mean in means.items()}}
    FILE.write_text(json.dumps(centres, indent=1) + "\n")


if __name__ == "__main__":
    main()
