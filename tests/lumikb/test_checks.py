"""`manage.py check --database default`: what PostgreSQL gives, and what our processes may open."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from deploy.local import postgres
from lumikb import checks

pytestmark = pytest.mark.django_db(transaction=True)


def check() -> None:
    call_command("check", database=["default"])


@pytest.fixture
def alter(superuser: psycopg.Connection) -> Iterator[Callable[[str], Any]]:
    """Change a role; afterwards all are as deploy/postgres/roles.sql makes them."""
    yield superuser.execute
    superuser.execute((postgres.SQL / "roles.sql").read_text())


def test_the_roles_and_the_server_of_deploy_postgres_are_enough_for_the_usual_processes() -> None:
    check()


def test_the_sum_of_each_role_is_that_of_its_processes(settings: Any) -> None:
    settings.WEB_PROCESSES, settings.WORKER_PROCESSES, settings.RELAY_PROCESSES = 3, 7, 2
    assert checks.needs() == {
        "lumikb_web": 3 * 10,
        "lumikb_worker": 7 * (2 + 1),  # the heartbeat's own
        "lumikb_ops": 3 * 2
        + 2 * (2 + 1)
        + (2 + 1),  # health, relays with LISTEN, reconcile with its lock
    }


def test_more_processes_than_a_role_has_connections_for_are_an_error(settings: Any) -> None:
    settings.WEB_PROCESSES = 7
    with pytest.raises(SystemCheckError) as raised:
        check()
    said = str(raised.value)
    assert "(lumikb.E002) Our processes may open 70 connections as lumikb_web" in said
    assert "ALTER ROLE lumikb_web CONNECTION LIMIT 70, or fewer processes" in said


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER ROLE lumikb_worker CONNECTION LIMIT -1", "E002) lumikb_worker has no limit"),
        ("ALTER ROLE lumikb_web RESET lock_timeout", "E003) lumikb_web has no lock_timeout"),
        (
            "REVOKE pg_use_reserved_connections FROM lumikb_ops",
            "E004) lumikb_ops may not use the reserved connections",
        ),
    ],
)
def test_a_role_that_is_not_as_it_should_be_is_an_error(
    statement: str, said: str, alter: Callable[[str], Any]
) -> None:
    alter(statement)
    with pytest.raises(SystemCheckError) as raised:
        check()
    assert said in str(raised.value)
    assert checks.RUN_ROLES in str(raised.value)


def test_a_role_that_is_missing_is_an_error(superuser: psycopg.Connection) -> None:
    superuser.execute("ALTER ROLE lumikb_ops RENAME TO lumikb_away")
    try:
        with pytest.raises(SystemCheckError, match=r"E001\) PostgreSQL has no role lumikb_ops"):
            check()
    finally:
        superuser.execute("ALTER ROLE lumikb_away RENAME TO lumikb_ops")


@pytest.mark.parametrize(
    ("processes", "said"),
    [
        ({"RELAY_PROCESSES": 15}, "E005) relay, reconcile and health may open 52 connections; 30"),
        ({"WORKER_PROCESSES": 73}, "E006) web and workers may open 239 connections; PostgreSQL le"),
    ],
)
def test_more_processes_than_the_server_has_connections_for_are_an_error(
    processes: dict[str, int], said: str, settings: Any
) -> None:
    for name, number in processes.items():
        setattr(settings, name, number)
    with pytest.raises(SystemCheckError) as raised:
        check()
    assert said in str(raised.value)
    assert "restart PostgreSQL" in str(raised.value)
