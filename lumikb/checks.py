"""What `manage.py check` finds: settings that cannot work.

With `--database default`: does PostgreSQL have the connections that we may open?
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

LARGEST_PUT = 5 * 1024**3  # bytes: S3's limit for one request

RUN_ROLES = "Run deploy/postgres/roles.sql as a superuser."
TIMEOUTS = {"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"}

SERVER = """
    SELECT name, setting::int FROM pg_settings
    WHERE name IN ('max_connections', 'reserved_connections', 'superuser_reserved_connections')
"""
ROLES = """
    SELECT rolname, rolconnlimit, coalesce(rolconfig, '{}'),
           pg_has_role(oid, 'pg_use_reserved_connections', 'member')
    FROM pg_roles WHERE rolname = ANY(%s)
"""


def needs() -> dict[str, int]:
    """Connections that all our processes together may open, by role."""
    web, worker, relay = (
        settings.WEB_PROCESSES,
        settings.WORKER_PROCESSES,
        settings.RELAY_PROCESSES,
    )
    reconcile = 1
    return {
        "lumikb_web": web * settings.WEB_POOL_SIZE,
        # A heartbeat's own; the one on which a relay listens; the one that holds reconcile's lock.
        "lumikb_worker": worker * (settings.WORKER_POOL_SIZE + 1),
        "lumikb_ops": (web + relay + reconcile) * settings.OPS_POOL_SIZE + relay + reconcile,
    }


@register(Tags.database)
def connection_budget(
    app_configs: Any = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Processes times pool, against the limits of the roles and of the server."""
    if "default" not in (databases or ()):
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute(SERVER)
        server = dict(cursor.fetchall())
        cursor.execute(ROLES, [list(needs())])
        roles = {name: rest for name, *rest in cursor.fetchall()}
    if missing := sorted(needs().keys() - roles.keys()):
        message = f"PostgreSQL has no role {', '.join(missing)}."
        return [Error(message, hint=RUN_ROLES, id="lumikb.E001")]
    errors = []
    for role, need in needs().items():
        limit, config, may_use_reserved = roles[role]
        errors += _role_errors(role, need, limit, {line.partition("=")[0] for line in config})
        if role == "lumikb_ops" and not may_use_reserved:
            message = "lumikb_ops may not use the reserved connections."
            errors.append(Error(message, hint=RUN_ROLES, id="lumikb.E004"))
    return errors + _server_errors(server)


@register()
def upload_limit(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """S3Storage sends an object in one request: stored whole or not at all, and never over another.

    Parts would have to be cleared away after a crash, and no document of ours needs them: what is
    to be parsed is far smaller.
    """
    if not settings.S3_BUCKET or settings.UPLOAD_MAX_BYTES <= LARGEST_PUT:
        return []
    message = "UPLOAD_MAX_BYTES is more than S3 takes in one request (5 GiB)."
    return [Error(message, hint=f"At most {LARGEST_PUT}.", id="lumikb.E030")]


def _role_errors(role: str, need: int, limit: int, config: set[str]) -> list[CheckMessage]:
    errors: list[CheckMessage] = []
    if limit < 0:
        message = f"{role} has no limit: it can take the connections of all the others."
        errors.append(Error(message, hint=RUN_ROLES, id="lumikb.E002"))
    elif limit < need:
        errors.append(
            Error(
                f"Our processes may open {need} connections as {role}, whose limit is {limit}.",
                hint=f"ALTER ROLE {role} CONNECTION LIMIT {need}, or fewer processes "
                "(WEB_PROCESSES, WORKER_PROCESSES, RELAY_PROCESSES) or smaller pools.",
                id="lumikb.E002",
            )
        )
    if lacking := sorted(TIMEOUTS - config):
        message = f"{role} has no {', '.join(lacking)}."
        errors.append(Error(message, hint=RUN_ROLES, id="lumikb.E003"))
    return errors


def _server_errors(server: dict[str, int]) -> list[CheckMessage]:
    need = needs()
    reserved, ops = server["reserved_connections"], need.pop("lumikb_ops")
    open_to_all = server["max_connections"] - reserved - server["superuser_reserved_connections"]
    errors: list[CheckMessage] = []
    if reserved < ops:
        errors.append(
            Error(
                f"relay, reconcile and health may open {ops} connections; {reserved} are reserved "
                "for them.",
                hint=f"Set reserved_connections = {ops} in postgresql.conf and restart PostgreSQL.",
                id="lumikb.E005",
            )
        )
    if open_to_all < (total := sum(need.values())):
        errors.append(
            Error(
                f"web and workers may open {total} connections; PostgreSQL leaves {open_to_all} to "
                "them (max_connections less the reserved ones).",
                hint=f"Set max_connections = {server['max_connections'] + total - open_to_all} or "
                "more in postgresql.conf and restart PostgreSQL.",
                id="lumikb.E006",
            )
        )
    return errors
