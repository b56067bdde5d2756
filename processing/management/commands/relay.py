"""manage.py relay"""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from processing import relay


class Command(BaseCommand):
    help = (
        "Post outbox messages to the workers and take over from workers that died, until stopped."
    )

    def handle(self, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        relay.run(stop)
