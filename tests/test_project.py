"""What holds for the project as a whole."""

import pytest
from django.core.management import call_command

from formats import FORMATS
from processing.parsing.child import reader


@pytest.mark.django_db
def test_the_migrations_are_those_of_the_models() -> None:
    call_command("makemigrations", check=True, dry_run=True)


@pytest.mark.django_db
def test_django_finds_nothing_wrong() -> None:
    call_command("check", fail_level="WARNING", databases=["default"])


def test_every_type_that_is_accepted_can_be_parsed() -> None:
    for format in FORMATS:
        read, no_text = reader(format.media_type)
        assert callable(read)
        assert no_text.endswith(".")
