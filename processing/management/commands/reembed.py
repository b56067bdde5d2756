"""manage.py reembed"""

import math
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from documents.connections import release
from documents.management import numbers
from documents.models import Generation
from processing import reembed
from processing.errors import ProcessingError

SLICE = 5.0  # seconds of work between two lines


class Command(BaseCommand):
    help = (
        "Fill an index for the model of the settings beside the one in use, and switch when all is "
        "there; reconcile --every does so by itself. It may be stopped at any time and goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--remove-retired", action="store_true", help="delete the indexes not in use any more"
        )
        parser.add_argument(
            "--for",
            type=numbers.seconds,
            dest="seconds",
            metavar="SECONDS",
            help="stop after so long",
        )

    def handle(self, remove_retired: bool, seconds: float | None, **options: Any) -> None:
        try:
            if remove_retired:
                names = reembed.remove("retired", "removed")
                self.stdout.write("\n".join(f"removed {name}" for name in names) or "none is left")
                return
        except ProcessingError as error:
            raise CommandError(str(error)) from error
        until = math.inf if seconds is None else time.monotonic() + seconds
        while not reembed.work(SLICE):
            self.stdout.write(self._line())
            if time.monotonic() > until:
                return
        filling = Generation.objects.filter(state=Generation.State.FILLING).first()
        release()
        if filling:
            raise CommandError(
                f"{self._line()} {filling.trouble or 'Another process is at it.'}".strip()
            )
        self.stdout.write("Search reads the index of the model in the settings.")

    def _line(self) -> str:
        filling = Generation.objects.filter(state=Generation.State.FILLING).first()
        release()
        return filling.says() if filling else ""
