"""manage.py export_audit"""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models.functions import Now

from documents.audit import lines
from documents.management import numbers
from documents.models import AuditEntry


class Command(BaseCommand):
    help = "Write the audit as JSON lines, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=numbers.days, help="only those of so many days")

    def handle(self, days: int | None, **options: Any) -> None:
        entries = AuditEntry.objects.all()
        if days is not None:
            entries = entries.filter(at__gt=Now() - timedelta(days=days))
        for line in lines(entries):
            self.stdout.write(line.decode(), ending="")
