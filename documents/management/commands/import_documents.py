"""manage.py import_documents"""

import json
import logging
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from documents.connections import release
from documents.imports import Import, Outcome, Watch
from documents.management import numbers
from documents.members import called
from documents.models import KnowledgeBase
from documents.permissions import may_edit

log = logging.getLogger(__name__)

BAD = ("refused",)
QUIET = ("unchanged",)
TOLD = ("replaced",)  # though nothing is wrong


class Command(BaseCommand):
    help = (
        "Import files and folder trees into a knowledge base, in bulk priority. It can be ended "
        "and begun again at any time: what is there already, by name and content, is left as it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="of the knowledge base")
        parser.add_argument("paths", nargs="+", metavar="PATH", type=Path)
        parser.add_argument("--as", dest="user", help="who uploads; else nobody in particular")
        parser.add_argument(
            "--on-duplicate",
            choices=["skip", "replace", "fail"],
            default="skip",
            help="when a document of another content has the name",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument("--json", action="store_true", help="a line of JSON for each file")
        parser.add_argument(
            "--watch", action="store_true", help="go on with what is new or changed"
        )
        parser.add_argument(
            "--mirror", action="store_true", help="with --watch: delete what is deleted there"
        )
        parser.add_argument(
            "--every", type=numbers.seconds, default=2.0, help="seconds between two looks"
        )

    def handle(self, slug: str, paths: list[Path], **options: Any) -> None:
        if options["mirror"] and not options["watch"]:
            raise CommandError("--mirror goes with --watch only.")
        base = KnowledgeBase.objects.named([slug]).first()
        if base is None:
            raise CommandError(KnowledgeBase.unknown(slug))
        by = self._person(options["user"], base)
        for path in paths:
            if not path.exists():
                raise CommandError(f"There is no {path}.")
        works = [
            Import(path.resolve(), base, by, options["on_duplicate"], options["dry_run"])
            for path in paths
        ]
        self.as_json, self.is_watch = options["json"], options["watch"]  # which counts nothing
        if self.is_watch:
            self._watch([Watch(work, options["mirror"]) for work in works], options["every"])
            return
        counted: Counter[str] = Counter()
        for work in works:
            sources = list(work.sources())
            bar = tqdm(
                work.run(sources), total=len(sources), unit=" files", file=sys.stderr, disable=None
            )
            for outcome in bar:
                counted[outcome.what] += 1
                self._tell(outcome)
        if not self.as_json:
            for what, count in sorted(counted.items()):
                self.stdout.write(f"{what:<12}{count:>8,}")
        if any(counted[what] for what in BAD):
            sys.exit(1)

    def _person(self, name: str | None, base: KnowledgeBase) -> Any:
        if name is None:
            return None
        user = called(name, get_user_model().objects.filter(is_active=True))
        if user is None:
            raise CommandError(f"There is no user “{name}”.")
        if not may_edit(user, base):
            raise CommandError(f"“{name}” may not add documents to “{base}”.")
        return user

    def _watch(self, watches: list[Watch], every: float) -> None:
        """Until it is interrupted, or may not go on; no failure of PostgreSQL or the storage ends
        it.
        """
        try:
            while True:
                for watch in watches:
                    try:
                        self._still_may(watch.work)
                        for outcome in watch.look():
                            self._tell(outcome)
                    except CommandError:
                        raise
                    except Exception:
                        log.exception("cannot import from %s just now", watch.work.root)
                    release()
                time.sleep(every)
        except KeyboardInterrupt:
            return

    def _still_may(self, work: Import) -> None:
        """Raises CommandError."""
        base = KnowledgeBase.objects.filter(pk=work.base.pk).first()
        if base is None:
            raise CommandError(f"The knowledge base “{work.base}” has been deleted.")
        if work.by is None:
            return
        user = get_user_model().objects.filter(is_active=True, pk=work.by.pk).first()
        if user is None or not may_edit(user, base):
            raise CommandError(f"“{work.by}” may no longer add documents to “{base}”.")

    def _tell(self, outcome: Outcome) -> None:
        if self.as_json:
            self.stdout.write(json.dumps(asdict(outcome), ensure_ascii=False))
        elif outcome.what not in QUIET and (self.is_watch or outcome.why or outcome.what in TOLD):
            line = f"{outcome.what}: {outcome.path or outcome.filename}"
            tqdm.write(f"{line}: {outcome.why}" if outcome.why else line, file=self.stdout._out)
        self.stdout.flush()  # who reads them from a pipe knows of each at once
