"""manage.py reconcile"""

import json
import logging
import signal
import sys
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from documents.connections import release
from documents.management import numbers
from documents.models import ReconcileRun
from processing import reconcile, reembed

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0  # between two looks for an operator's wish
LINE = "{check:<32}{found:>8}{mended:>8}{seconds:>9}  {note}"


class Command(BaseCommand):
    help = (
        "Compare the database, the index and the storage, and mend what differs. "
        "Ends with status 1 when a check could not tell; with --every it goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--every", type=numbers.seconds, metavar="SECONDS", help="go on until stopped"
        )
        parser.add_argument("--dry-run", action="store_true", help="find, but mend nothing")
        parser.add_argument("--json", action="store_true", help="one JSON object a run")

    def handle(self, every: float | None, dry_run: bool, json: bool, **options: Any) -> None:
        if every is not None:
            self._repeat(every, dry_run, json)
            return
        complete = dry_run or self._run_requested(json)
        if not (self._run_once(dry_run, json) and complete):
            sys.exit(1)

    def _repeat(self, every: float, dry_run: bool, json: bool) -> None:
        """Until SIGTERM or SIGINT, which end it at once: the next run does what this one left."""
        stop = threading.Event()

        def end(*_: Any) -> None:
            stop.set()
            sys.exit(0)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        while not stop.is_set():
            try:
                self._run_once(dry_run, json)
            except Exception:  # whatever it was, the next run may go through
                log.exception("cannot reconcile just now; trying again")
            release()
            self._until_the_next(stop, time.monotonic() + every, json)

    def _until_the_next(self, stop: threading.Event, until: float, json: bool) -> None:
        """Fill a new index, where one is needed; and run when an operator asks for it."""
        is_filling = True
        while (left := until - time.monotonic()) > 0 and not stop.is_set():
            try:
                self._run_requested(json)
                is_filling = is_filling and not reembed.work(min(left, LOOK_SECONDS))
            except Exception:
                log.exception("cannot go on just now; trying again")
                is_filling = False
            release()
            if not is_filling:
                stop.wait(min(left, LOOK_SECONDS))

    def _run_requested(self, json: bool) -> bool:
        """Those runs that operators wait for; whether all their checks could be made."""
        complete = True
        while reconcile.is_requested():
            report = reconcile.run_requested()
            if report is None:  # another process makes it
                break
            complete = self._print(report, json) and complete
        return complete

    def _run_once(self, dry_run: bool, json: bool) -> bool:
        """Whether all the checks could be made, by this run or by the one under way."""
        report = reconcile.run(dry_run=dry_run)
        if report is None:
            self.stderr.write("Another run is under way.")
            return True
        return self._print(report, json)

    def _print(self, report: ReconcileRun, json: bool) -> bool:
        if json:
            self.stdout.write(_as_json(report))
        else:
            self._print_table(report)
        return not any(row["skipped"] for row in report.findings)

    def _print_table(self, report: ReconcileRun) -> None:
        took = (report.finished_at - report.started_at).total_seconds()  # type: ignore[operator]
        mode = "; a dry run: nothing mended" if report.dry_run else ""
        self.stdout.write(f"reconciled at {report.finished_at:%F %T} in {took:.1f} s{mode}")
        headings = {name: name for name in ("check", "found", "mended", "seconds")}
        self.stdout.write(LINE.format(**headings, note="").rstrip())
        for row in report.findings:
            seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
            line = LINE.format(**row | {"seconds": seconds}, note=_note(row))
            self.stdout.write(line.rstrip())


def _note(row: dict[str, Any]) -> str:
    if row["skipped"]:
        return row["skipped"]
    more = ["and more, which the next run looks at"] if row["more"] else []
    if row["place"]:
        more.append(f"so far since {row['since']}; the next run goes on")
    return ", ".join([*row["examples"], *more])


def _as_json(report: ReconcileRun) -> str:
    return json.dumps(
        {
            "started_at": report.started_at and report.started_at.isoformat(),
            "finished_at": report.finished_at and report.finished_at.isoformat(),
            "dry_run": report.dry_run,
            "findings": report.findings,
        }
    )
