"""The circuit that all workers share: while a service is away, they ask it one at a time.

An `Outage` row is an open circuit. Until its `retry_at` no document is claimed; then one claim
becomes the probe. It ends the outage by getting through, or prolongs it. So ten thousand waiting
documents cost a service that is away one call for each backoff.
"""

from datetime import timedelta

from django.conf import settings
from django.db.models import Case, F, When
from django.db.models.functions import Now

from .models import Outage, OutboxMessage

LONGEST_WISH = timedelta(hours=1)  # a Retry-After beyond this is a mistake
# Nobody asked for so long although it was due: the workers were away too. The clock starts anew.
UNWATCHED = 2 * LONGEST_WISH


def failed(service: str, reason: str, wish: timedelta | None, is_probe: bool) -> timedelta:
    """A worker found the service away. Returns how long from now nobody is to ask it.

    `reason` is what people read; `wish` is the service's own Retry-After. Those that were under way
    when the outage began prolong nothing: only the first and the probes do.
    """
    Outage.objects.bulk_create(
        [Outage(service=service, reason=reason, since=Now(), failed_at=Now(), retry_at=Now())],
        update_conflicts=True,  # locks the row, which nobody can delete before our commit
        unique_fields=["service"],
        update_fields=["reason"],
    )
    outage = Outage.objects.filter(pk=service)
    failures = outage.values_list("failures", flat=True).get()
    if is_probe or not failures:
        backoff = settings.OUTAGE_BACKOFF * 2 ** min(failures, 10)
        wait = min(backoff, settings.OUTAGE_BACKOFF_MAX)
        if wish:
            wait = max(wait, min(wish, LONGEST_WISH))
        outage.update(
            failures=F("failures") + 1,
            since=Case(When(failed_at__lt=Now() - UNWATCHED, then=Now()), default=F("since")),
            failed_at=Now(),
            retry_at=Now() + wait,
        )
    left: timedelta = outage.annotate(left=F("retry_at") - Now()).values_list("left", flat=True)[0]
    return max(left, timedelta(0))


def take_probe() -> bool:
    """May this worker, alone, ask the services that are away? Another may, a lease later."""
    if Outage.objects.open().exists():
        return False
    return bool(Outage.objects.exclude(retry_at__gt=Now()).update(retry_at=Now() + settings.LEASE))


def retry_now() -> None:
    """An operator knows better than the backoff: the next claim is a probe."""
    if Outage.objects.update(retry_at=Now()):
        OutboxMessage.ring()


def end(service: str) -> bool:
    """An operator knows that it is back; who meets it away again says so anew."""
    if not Outage.objects.filter(pk=service).delete()[0]:
        return False
    OutboxMessage.ring()
    return True


def over(is_fetched: bool = True) -> None:
    """The probe got through to the index: nothing is away any more, but for the storage, perhaps,
    when the probe had all that it needed from there.
    """
    ended = Outage.objects.all() if is_fetched else Outage.objects.exclude(service="storage")
    if ended.delete()[0]:
        OutboxMessage.ring()
