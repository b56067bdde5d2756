"""Starts the embedded servers, indexes the collections and prints how well each half and both find.

    python -m benchmarks.retrieval [LANGUAGE ...]

Weights and thresholds of the product were chosen on the questions with even numbers; what is
printed is of the odd ones.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.application import acting_as
from deploy.local.servers import embedded_servers

if TYPE_CHECKING:  # it needs Django, which needs the servers
    from benchmarks.retrieval.measure import Ranks


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="lumikb-retrieval-") as home,
        embedded_servers(Path(home)) as environment,
    ):
        os.environ |= acting_as("OWNER", environment) | {
            "DJANGO_SETTINGS_MODULE": "lumikb.settings"
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True)
        import django

        django.setup()
        _measure(sys.argv[1:])


def _measure(languages: list[str]) -> None:
    from django.conf import settings

    from benchmarks.retrieval.measure import fits, found, put, ranked
    from benchmarks.retrieval.questions import HANDBOOK, LANGUAGES, collection, spellings

    print(f"{settings.EMBEDDING_MODEL}; hit@1 / hit@5 / nDCG@10 of 100 questions each")
    collections = [collection(language) for language in languages or LANGUAGES]
    for number, each in enumerate(collections):
        put(each, number)
    marked: dict[tuple[str, bool], list[bool]] = {}
    for number, each in enumerate(collections):
        asked = [question for question in each.questions if question.answer % 2]
        seen = [found(question, number) for question in asked]
        for kind in ("asked", "remembered", "all"):
            chosen = [n for n, question in enumerate(asked) if kind in (question.kind, "all")]
            ranks = ranked(each, [asked[n] for n in chosen], [seen[n] for n in chosen])
            print(f"{each.language} {kind:11}", *(_line(*way) for way in ranks.items()), sep="  ")
        for question, candidates in zip(asked, seen, strict=True):
            for part in (range(HANDBOOK), range(HANDBOOK, len(each.passages))):
                if question.kind == "asked":
                    told = not fits(each, question, candidates, part)
                    marked.setdefault((each.language, question.answer in part), []).append(told)
    print("told that nothing fits, of the questions that are not answered and of those that are:")
    for each in collections:
        no, yes = (marked[each.language, answered] for answered in (False, True))
        print(f"{each.language}  {sum(no) / len(no):.2f}  {sum(yes) / len(yes):.2f}")
    spelled = spellings()
    put(spelled, len(collections))
    seen = [found(question, len(collections)) for question in spelled.questions]
    ranks = ranked(spelled, spelled.questions, seen)
    print(f"{len(seen)} other spellings", *(_line(*way) for way in ranks.items()), sep="  ")


def _line(name: str, ranks: "Ranks") -> str:
    return f"by {name} {ranks.hits(1):.2f} {ranks.hits(5):.2f} {ranks.ndcg():.3f}"


if __name__ == "__main__":
    main()
