"""manage.py reconcile"""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import Error as DatabaseError

from documents.connections import release
from documents.models import ReconcileRun
from processing import reconcile


class Command(BaseCommand):
    help = "Compare the database, the index and the storage, and mend what differs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=float, metavar="SECONDS", help="go on until stopped")
        parser.add_argument("--dry-run", action="store_true", help="find, but mend nothing")
        parser.add_argument("--json", action="store_true", help="one JSON object a run")

    def handle(self, **options: Any) -> None:
        while True:
            self._run_once(**options)
            if options["every"] is None:
                return
            release()
            time.sleep(options["every"])

    def _run_once(self, dry_run: bool, json: bool, every: float | None, **options: Any) -> None:
        try:
            report = reconcile.run(dry_run=dry_run)
        except DatabaseError as error:
            if every is None:
                raise
            self.stderr.write(f"cannot reconcile just now: {error}")
            release()
            return
        if report is None:
            self.stderr.write("Another run is under way.")
        elif json:
            self.stdout.write(_as_json(report))
        else:
            self._print_table(report)

    def _print_table(self, report: ReconcileRun) -> None:
        mode = " (dry run: nothing mended)" if report.dry_run else ""
        self.stdout.write(f"reconciled at {report.finished_at:%Y-%m-%d %H:%M:%S}{mode}")
        for row in report.findings:
            outcome = row["skipped"] or f"found {row['found']}, mended {row['mended']}"
            self.stdout.write(f"  {row['check']:<28} {outcome}")


def _as_json(report: ReconcileRun) -> str:
    return json.dumps(
        {
            "started_at": report.started_at.isoformat(),
            "finished_at": report.finished_at and report.finished_at.isoformat(),
            "dry_run": report.dry_run,
            "findings": report.findings,
        }
    )
