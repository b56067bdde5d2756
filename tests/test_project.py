"""What holds for the project as a whole."""

import pytest
from django.core.management import call_command

from documents import filetypes
from processing.parsing.formats import READERS


@pytest.mark.django_db
def test_the_migrations_are_those_of_the_models() -> None:
    call_command("makemigrations", check=True, dry_run=True)


@pytest.mark.django_db
def test_django_finds_nothing_wrong() -> None:
    call_command("check", fail_level="WARNING", databases=["default"])


def test_every_type_that_is_accepted_can_be_parsed() -> None:
    assert set(filetypes.TYPES.values()) == set(READERS)
