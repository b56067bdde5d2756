"""manage.py inventory"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError

from documents.models import Status
from processing import inventory
from processing.errors import ProcessingError
from processing.inventory import TALLIES, Inventory

NAME, CELL = 18, 36  # widths of the table; a collection may be called by a long name


class Command(BaseCommand):
    help = (
        "Count what the database, the storage and the index hold. Ends with status 1 when one of "
        "them does not answer, or lacks what was there at the time of the manifest."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="the manifest of a backup")
        parser.add_argument(
            "--compare",
            type=Path,
            metavar="MANIFEST",
            help="say what was there and is not; - reads it",
        )
        parser.add_argument(
            "--checksums", action="store_true", help="read all the files: takes long"
        )

    def handle(self, json: bool, compare: Path | None, checksums: bool, **options: Any) -> None:
        manifest = _read(compare) if compare else None
        try:
            found = inventory.take(manifest.as_of if manifest else None, checksums)
        except (ProcessingError, OSError, DatabaseError) as error:
            raise CommandError(f"Cannot tell: {error}") from error
        self.stdout.write(_as_json(found) if json else _as_table(found, manifest))
        if manifest and (lacking := found.lacks(manifest)):
            raise CommandError("\n".join(["Not all is there:", *lacking]))
        if manifest and not json:
            self.stdout.write("All is there.")


def _read(path: Path) -> Inventory:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
        return Inventory.from_dict(json.loads(text))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{path} is no manifest (`inventory --json`): {error!r}") from error


def _as_json(found: Inventory) -> str:
    return json.dumps(asdict(found), default=datetime.isoformat, indent=2)


def _as_table(found: Inventory, manifest: Inventory | None) -> str:
    columns = {"here": found} | ({"manifest": manifest} if manifest else {})
    lines = [" " * NAME + "".join(heading.rjust(CELL) for heading in columns)]
    for rows in zip(*map(_rows, columns.values()), strict=True):
        name, _ = rows[0]
        lines.append(name.ljust(NAME) + "".join(cell.rjust(CELL) for _, cell in rows))
    return "\n".join(lines)


def _rows(of: Inventory) -> Iterator[tuple[str, str]]:
    yield "as of", f"{of.as_of:%F %T %Z}"
    for name in ("users", "knowledge_bases", "documents"):
        yield name.replace("_", " "), f"{getattr(of, name):,}"
    yield "  digest", of.digest[:16]
    for status in Status:
        yield f"  {status}", f"{of.by_status.get(status, 0):,}"
    for name in TALLIES:
        tally = getattr(of, name)
        missing = f" ({tally.missing:,} missing)" if tally.missing else ""
        yield name, f"{tally.found:,}{missing}"
    yield "  collection", of.collection
    yield "objects", f"{of.objects:,}"
    yield "  bytes", f"{of.bytes:,}"
