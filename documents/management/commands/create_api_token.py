"""manage.py create_api_token"""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from documents import tokens
from documents.members import called
from documents.models import ApiToken


class Command(BaseCommand):
    help = "Make an API token for a user and print it; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="command line", help="what it is for")

    def handle(self, username: str, name: str, **options: Any) -> None:
        user = called(username, get_user_model().objects.filter(is_active=True))
        if user is None:
            raise CommandError(f"There is no active user “{username}”.")
        most = ApiToken._meta.get_field("name").max_length or 0
        if not 0 < len(name) <= most:
            raise CommandError(f"A token's name has 1 to {most} characters.")
        self.stdout.write(tokens.make(user, name, by=None))
