"""Is this process alive, can it serve, and is ingestion going on?

    /health/live     This process answers; asks nobody. For whoever restarts it.
    /health/serving  It can serve people: database, migrations, storage. For a load balancer, which
                     must not take the pages away because the relay stands still; and for whoever
                     starts the relay, the workers and the reconciler after the web.
    /health/ready    All of LumiKB does its work. For monitors and for people.

The last two answer 200 or 503 with every check by name, whether it is well, and a sentence. They
ask on the ops role, so that they answer when all connections of the web's are taken, and within
DEADLINE seconds, whatever a service does. Who has never been seen is not late: a fresh start is
ready before the others have run.
"""

import pkgutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import dramatiq
from django.apps import apps
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from documents.models import Document, DocumentEvent, Generation, Heartbeat, Outage, Status
from processing.errors import Misconfigured, PermanentError, ProcessingError
from processing.index import embeddings, generations, vectors

from .probes import Probe, ask

DEADLINE = 2.0  # seconds for all the checks together
OPS = "ops"  # the database alias
ASK_AGAIN = 10.0  # seconds after which the embedding service is asked again: it may cost something
SERVING = ("database", "migrations", "storage")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ok` is None when the check cannot tell, which is not well either. What `may_pass` is a fault
    that alarms nobody yet, because it may be over in a moment; people are told of it all the same.
    """

    ok: bool | None
    says: str
    may_pass: bool = False

    @property
    def is_well(self) -> bool:
        return bool(self.ok) and not self.may_pass


@csrf_exempt  # or who asks by a wrong method is told of a token, not of his method
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """200 while this process answers; asks nobody."""
    return HttpResponse("ok\n", content_type="text/plain")


@csrf_exempt
@require_safe
@never_cache
def serving(request: HttpRequest) -> HttpResponse:
    """200 when people can be served here, else 503."""
    verdicts = judged(ask(PROBES, DEADLINE))
    return _answer({name: verdicts[name] for name in SERVING})


@csrf_exempt
@require_safe
@never_cache
def ready(request: HttpRequest) -> HttpResponse:
    """200 when people can be served and ingestion goes on, else 503."""
    return _answer(judged(ask(PROBES, DEADLINE)))


def judged(answers: dict[str, Any]) -> dict[str, Verdict]:
    """Every check by name, from the answers of the PROBES."""
    verdicts: dict[str, Verdict] = {}
    for name in PROBES:
        answer = answers[name]
        if isinstance(answer, BaseException):
            first, *others = CHECKS_OF[name]
            cannot_tell = Verdict(None, f"Cannot tell without {NAMES[name]}.")
            verdicts |= {first: _no_answer(name, answer)} | dict.fromkeys(others, cannot_tell)
        else:
            verdicts |= answer
    return verdicts


def _answer(verdicts: dict[str, Verdict]) -> HttpResponse:
    ok = all(verdict.ok for verdict in verdicts.values())
    named = {name: {"ok": each.ok, "says": each.says} for name, each in verdicts.items()}
    return JsonResponse({"ok": ok, "checks": named}, status=200 if ok else 503)


def _no_answer(name: str, error: BaseException) -> Verdict:
    if isinstance(error, TimeoutError):
        return Verdict(False, f"{NAMES[name]} has not answered within {DEADLINE:g} seconds.")
    # Not the error's own text: it may name hosts, and anybody may read this.
    return Verdict(False, f"{NAMES[name]} cannot be used ({type(error).__name__}).")


def _redis() -> dict[str, Verdict]:
    dramatiq.get_broker().client.ping()  # type: ignore[attr-defined]
    return {"redis": Verdict(True, "Redis answers.")}


def _storage() -> dict[str, Verdict]:
    default_storage.check()  # type: ignore[attr-defined] # lumikb/storage.py
    return {"storage": Verdict(True, "Files can be stored.")}


def _vectors() -> dict[str, Verdict]:
    vectors.ping()
    with suppress(DatabaseError):  # the database's own check says so
        for row in Generation.objects.using(OPS).filter(state=Generation.State.SERVING):
            try:
                vectors.check_dimensions(row.collection, row.dimensions)
            except Misconfigured as error:
                return {"vectors": Verdict(False, f"Search cannot use the index ({error}).")}
    return {"vectors": Verdict(True, "Qdrant answers.")}


def _postgres() -> dict[str, Verdict]:
    """The database, and what it tells of the others."""
    with connections[OPS].cursor() as cursor:
        cursor.execute("SELECT 1")
    verdicts = {"database": Verdict(True, "PostgreSQL answers."), "migrations": _migrations()}
    if not verdicts["migrations"].ok:  # its tables may not be those that we read
        cannot_tell = Verdict(None, "Cannot tell before the migrations are applied.")
        return dict.fromkeys(CHECKS_OF["postgres"], cannot_tell) | verdicts
    ages = Heartbeat.ages(OPS)
    late = {
        "relay": settings.RELAY_LATE,
        "worker": 2 * settings.LEASE,
        "reconcile": settings.RECONCILE_LATE,
    }
    verdicts |= {kind: _seen(kind, ages.get(kind), limit) for kind, limit in late.items()}
    return verdicts | {"sandbox": _sandbox(), "ingestion": _ingestion(), "index": _index()}


_answered: dict[object, float] = {}  # when the embedding service did, by how it was asked


def _embedding() -> dict[str, Verdict]:
    """The service, and whether it has the model of the settings, with so many dimensions."""
    well = {"embedding": Verdict(True, "The embedding service answers.")}
    asked = settings.EMBEDDING_API_BASE, generations.wanted()
    if time.monotonic() - _answered.get(asked, -ASK_AGAIN) < ASK_AGAIN:
        return well
    try:
        embeddings.embed(["text"])
    except PermanentError as error:  # its sentence says which settings are wrong
        return {"embedding": Verdict(False, error.sentence)}
    except ProcessingError as error:
        says = f"The model of the settings cannot be used ({error})."
        return {"embedding": Verdict(False, says)}
    _answered.clear()
    _answered[asked] = time.monotonic()
    return well


def _index() -> Verdict:
    """Is search's index made as the settings ask for, or will it be?"""
    rows = {row.state: row for row in Generation.objects.using(OPS)}
    serving, filling = rows.get("serving"), rows.get("filling")
    if serving is None or generations.is_wanted(serving):
        return Verdict(True, "The index is made as the settings ask for.")
    if filling is None or not generations.is_wanted(filling):
        return Verdict(False, "The index is of another model than the settings name; reembed.")
    if filling.trouble or filling.is_late(settings.STUCK_AFTER):
        return Verdict(False, f"The new index does not get on: {filling.says()} {filling.trouble}")
    return Verdict(True, f"A new index is being filled: {filling.says()}")


def _migrations() -> Verdict:
    applied = MigrationRecorder(connections[OPS]).applied_migrations()
    missing = len(_known_migrations() - applied.keys())
    if missing:
        return Verdict(False, f"Migrations that are not applied: {missing}; run manage.py migrate.")
    return Verdict(True, "All migrations are applied.")


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    """By their files' names: Django's loader imports them all, which takes half a second."""
    return frozenset(
        (app.label, module.name)
        for app in apps.get_app_configs()
        if app.label not in settings.MIGRATION_MODULES
        for module in pkgutil.iter_modules([str(Path(app.path, "migrations"))])
    )


def _seen(kind: str, age: timedelta | None, limit: timedelta) -> Verdict:
    if age is None:
        return Verdict(True, f"{NAMES[kind]} has not been seen yet.")
    seconds = max(0, round(age.total_seconds()))
    ago = "1 second" if seconds == 1 else f"{seconds} seconds"
    return Verdict(age <= limit, f"{NAMES[kind]} did its work {ago} ago.")


def _sandbox() -> Verdict:
    """What the workers say of their systems: the web's may be another."""
    if not Heartbeat.unfiltered(OPS):
        return Verdict(True, "No worker is known that cannot filter system calls of parsers.")
    if settings.PARSER_SANDBOX == "required":
        return Verdict(False, "A worker that cannot filter system calls of parsers does not start.")
    return Verdict(
        True,
        "Parsers of a worker run without their filter of system calls (seccomp); "
        "PARSER_SANDBOX=required would not let that worker start.",
    )


def _ingestion() -> Verdict:
    """Is what is due worked on? A long queue is no fault, a service that stays away is one."""
    long_ago = Now() - settings.STUCK_AFTER
    documents = Document.objects.using(OPS)
    outages = Outage.objects.using(OPS)
    if outage := outages.filter(since__lt=long_ago).first():
        return Verdict(False, f"Documents wait: {outage.reason}")
    waits_long = documents.due().filter(due_at__lt=long_ago).exists()
    if waits_long and not _moves(long_ago):
        minutes = settings.STUCK_AFTER // timedelta(minutes=1)
        return Verdict(False, f"Documents wait, and none has moved for {minutes} minutes.")
    if outage := outages.first():
        return Verdict(True, f"Documents wait: {outage.reason}", may_pass=True)
    if waits_long:
        return Verdict(True, "Documents wait in a long queue, which moves.")
    return Verdict(True, "No document has waited for long.")


def _moves(since: Any) -> bool:
    """Somebody is at work, or something came to an end."""
    documents = Document.objects.using(OPS).live()
    at_work = documents.filter(status=Status.PROCESSING, progressed_at__gt=since)
    ended = DocumentEvent.objects.using(OPS).filter(
        kind__in=["succeeded", "failed"], created_at__gt=since
    )
    return at_work.exists() or ended.exists()


PROBES: dict[str, Probe] = {
    "postgres": Probe(_postgres),
    "redis": Probe(_redis),
    "storage": Probe(_storage),
    "vectors": Probe(_vectors),
    "embedding": Probe(_embedding),
}
CHECKS_OF = {name: (name,) for name in PROBES} | {
    "postgres": (
        *("database", "migrations", "relay", "worker", "reconcile", "sandbox"),
        *("ingestion", "index"),
    )
}  # the first is about the service itself
NAMES = {
    "postgres": "PostgreSQL",
    "redis": "Redis",
    "storage": "The file storage",
    "vectors": "Qdrant",
    "embedding": "The embedding service",
    "relay": "The relay",
    "worker": "A worker",
    "reconcile": "The reconciler",
}
