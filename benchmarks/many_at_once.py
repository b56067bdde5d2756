"""Ten thousand documents at once, and what somebody else notices of them.

    .venv/bin/python -m benchmarks.many_at_once requeue [--documents 10000 100000]
    .venv/bin/python -m benchmarks.many_at_once turns [--documents 10000] [--bases 50]

On a whole product of its own (`make run`). The documents are put into its database and storage, as
if they had been uploaded and, for `requeue`, had failed; from there on all is real: short notes
that its worker reads, embeds and indexes.

`requeue`: an operator requeues all that failed by the form of the admin; the relay, which carries
it out, is killed twice in the middle. Somebody else uploads one note after the other meanwhile.
Then as many by twelve clicks at the same moment, on three questions that were asked before.

`turns`: one person's documents wait; what another one uploads is timed. Then a third joins, with as
many in so many knowledge bases: how many of each person's are done in the same time.

Seconds, if nothing else is said. Status 1 when a bar of the issue is missed.
"""

import argparse
import hashlib
import re
import signal
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from benchmarks.client import Client
from benchmarks.running import Bars, running_product
from tests.e2e.product import Product, wait_for

NOTE = b"The heron nests in April beside the old mill.\n"
UPLOADS = 20  # that are timed, at the least
KILLED_AT = (0.3, 0.6)  # of the set
CLICKS, QUESTIONS = 12, 3
COMPARED = 300  # documents of two people, done
PATIENCE = 1800
PASSWORD = "only-for-this-measurement"  # noqa: S105 (of a product that ends with it)
MADE_AT_ONCE = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", choices=["requeue", "turns"])
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000])
    parser.add_argument("--bases", type=int, default=50)
    options = parser.parse_args()
    bars = Bars()
    with running_product() as product:
        if options.part == "requeue":
            requeue(product, options.documents, bars)
        else:
            turns(product, max(options.documents), options.bases, bars)
    bars.close()


# --- Requeue -------------------------------------------------------------------------------------


def requeue(product: Product, sizes: list[int], bars: Bars) -> None:
    neighbour = Neighbour(product)
    idle = neighbour.usual_time()
    bars.figure("an upload is ready, idle: median", idle)
    operator = Operator(product)
    for size in sizes:
        while_requeued, afterwards = _requeue_once(product, size, operator, neighbour, bars)
        for when, times in (("is carried out", while_requeued), ("waits", afterwards)):
            name = f"{len(times)} uploads are ready, while it {when}"
            if times:
                bars.figure(f"{name}: median", statistics.median(times), 2 * idle)
                bars.figure(f"{name}: slowest", max(times))
    _requeue_by_clicks(min(sizes), operator, bars)


def _requeue_once(
    product: Product, size: int, operator: "Operator", neighbour: "Neighbour", bars: Bars
) -> tuple[list[float], list[float]]:
    """The times of the uploads meanwhile: while it was carried out, and after."""
    from documents.models import BulkAction

    base = make_documents("failed", size, f"failed-{size}")
    began = time.monotonic()
    question = operator.ask()
    asked = time.monotonic() - began
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        uploads = pool.submit(neighbour.upload_until, stop)
        try:
            began = time.monotonic()
            operator.confirm(question)
            answered = time.monotonic() - began
            action = BulkAction.objects.get(pk=question["bulk"])
            kills = _kill_relay_in_the_middle(product, action)
            wait_for(lambda: _is_finished(action), PATIENCE, action.says)
        finally:
            stop.set()
        while_requeued, afterwards = uploads.result()
    took = (action.finished_at - action.confirmed_at).total_seconds()
    bars.figure(f"requeue of {size:,}: the question", asked, 2)
    bars.figure(f"requeue of {size:,}: the answer", answered, 2)
    bars.figure(f"requeue of {size:,}: until none is failed, relay killed {kills} times", took, 60)
    _each_once(base, size, bars)
    return while_requeued, afterwards


def _kill_relay_in_the_middle(product: Product, action: Any) -> int:
    """Returns how often it was."""
    kills = 0
    for share in KILLED_AT:
        while not _is_finished(action) and action.done < share * action.total:
            time.sleep(0.01)
        if action.finished_at is None:
            product.signal("relay", signal.SIGKILL)
            kills += 1
    return kills


def _is_finished(action: Any) -> bool:
    action.refresh_from_db()
    return action.finished_at is not None


def _requeue_by_clicks(size: int, operator: "Operator", bars: Bars) -> None:
    from documents.models import BulkAction

    base = make_documents("failed", size, "clicked")
    questions = [operator.ask() for _ in range(QUESTIONS)]
    together = threading.Barrier(CLICKS)

    def click(question: dict[str, str]) -> float:
        together.wait()
        began = time.monotonic()
        operator.confirm(question)
        return time.monotonic() - began

    with ThreadPoolExecutor(CLICKS) as pool:
        answered = list(pool.map(click, questions * (CLICKS // QUESTIONS)))
    actions = BulkAction.objects.filter(pk__in=[each["bulk"] for each in questions])
    wait_for(lambda: all(map(_is_finished, actions)), PATIENCE, "all three to be finished")
    bars.figure(f"{CLICKS} clicks at once for {size:,}: the slowest answer", max(answered))
    _each_once(base, size, bars)


def _each_once(base: Any, size: int, bars: Bars) -> None:
    """How often each was requeued, by its timeline; and whether a worker had one twice."""
    from documents.models import DocumentEvent, Status

    def how_often(kind: str) -> Counter[int]:
        events = DocumentEvent.objects.filter(document__knowledge_base=base, kind=kind)
        return Counter(Counter(events.values_list("document", flat=True)).values())

    wrong = size - how_often("requeued")[1]
    bars.figure(f"requeue of {size:,}: not exactly once, by their timelines", wrong, 0)
    failed = base.document_set.filter(status=Status.FAILED).count()
    bars.figure(f"requeue of {size:,}: failed now", failed, 0)
    twice = sum(count for times, count in how_often("claimed").items() if times > 1)
    bars.figure(f"requeue of {size:,}: begun twice by a worker so far", twice, 0)


class Operator:
    """Somebody of the group Operators in a browser: logged in, with forms and their tokens."""

    def __init__(self, product: Product) -> None:
        from django.contrib.auth.models import Group, User

        person = User.objects.create_user("operator", password=PASSWORD, is_staff=True)
        person.groups.add(Group.objects.get(name="Operators"))
        address = f"http://127.0.0.1:{product.port}"
        self._http = httpx.Client(base_url=address, timeout=120, follow_redirects=True)
        login = {"username": "operator", "password": PASSWORD}
        self._post("/login/", {**self._hidden(self._http.get("/login/")), **login})
        self._list = "/admin/documents/document/?status__exact=failed"

    def ask(self) -> dict[str, str]:
        """Choose all that failed, over all pages, to be requeued; returns the form that asks."""
        shown = self._http.get(self._list).raise_for_status()
        first = re.findall(r'name="_selected_action" value="([^"]+)"', shown.text)[0]
        chosen = {"action": "requeue", "select_across": "1", "_selected_action": first}
        return self._hidden(self._post(self._list, {**self._hidden(shown), **chosen}))

    def confirm(self, question: dict[str, str]) -> None:
        self._post(self._list, question)

    def _post(self, url: str, data: dict[str, str]) -> httpx.Response:
        return self._http.post(url, data=data).raise_for_status()

    def _hidden(self, page: httpx.Response) -> dict[str, str]:
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text)
        return dict(fields)


# --- Whose turn it is ----------------------------------------------------------------------------


def turns(product: Product, count: int, bases: int, bars: Bars) -> None:
    from documents.models import Document, Status

    neighbour = Neighbour(product)
    idle = neighbour.usual_time()
    bars.figure("an upload is ready, idle: median", idle)
    make_documents("pending", count, "one")
    wait_for(lambda: Document.objects.filter(status=Status.READY).exists(), PATIENCE, "the first")
    behind = [neighbour.upload() for _ in range(UPLOADS)]
    name = f"an upload is ready, behind {count:,} of another person"
    bars.figure(f"{name}: median", statistics.median(behind))
    bars.figure(f"{name}: slowest, more than idle", max(behind) - idle, 10)

    def done(person: str) -> int:
        return Document.objects.filter(uploaded_by__username=person, status=Status.READY).count()

    make_documents("pending", count, "third", bases)
    before = {person: done(person) for person in ("one", "third")}

    def since() -> dict[str, int]:
        return {person: done(person) - there for person, there in before.items()}

    wait_for(lambda: sum(since().values()) >= min(COMPARED, count), PATIENCE, "some to be done")
    shares = since()
    for person, with_bases in (("one", 1), ("third", bases)):
        bars.figure(f"documents done of who has {with_bases} knowledge bases", shares[person])
    more = shares["third"] / max(1, shares["one"])
    bars.figure(f"with {bases} knowledge bases, times as many as with 1", more, 1.1)


# --- What both are made of -----------------------------------------------------------------------


class Neighbour:
    """Somebody else, who uploads a note and waits for it."""

    def __init__(self, product: Product) -> None:
        self._client = Client(product.home, product.port)
        self._slug = self._client.knowledge_base("Neighbour")
        self._count = 0

    def upload(self) -> float:
        """Seconds until it is READY."""
        self._count += 1
        began = time.time()
        answer = self._client.upload(self._slug, f"{self._count}.md", NOTE).raise_for_status()
        return self._client.ready_at(answer.json()["id"], PATIENCE) - began

    def usual_time(self) -> float:
        """The median of some, when all is warm."""
        times = [self.upload() for _ in range(UPLOADS + 5)]
        return statistics.median(times[5:])

    def upload_until(self, stop: threading.Event) -> tuple[list[float], list[float]]:
        """The times of those that were begun before `stop`, and of some after it."""
        before = []
        while not stop.is_set():
            before.append(self.upload())
        return before, [self.upload() for _ in range(UPLOADS)]


def make_documents(status: str, count: int, person: str, bases: int = 1) -> Any:
    """Notes of this person as if they had been uploaded, in turn into so many knowledge bases of
    their own; returns the first of these.
    """
    from django.contrib.auth.models import User
    from django.core.files.storage import default_storage

    from documents.models import Document, KnowledgeBase, OutboxMessage, Status

    by, _ = User.objects.get_or_create(username=person)
    made = [
        KnowledgeBase.objects.create(name=f"{person} {n}", slug=f"{person}-{n}")
        for n in range(bases)
    ]
    failure = {"failure_code": "internal_error", "failure_message": "Something went wrong."}
    sha256 = hashlib.sha256(NOTE).hexdigest()
    for start in range(0, count, MADE_AT_ONCE):
        documents = [
            Document(
                knowledge_base=made[n % bases],
                filename=f"{n}.md",
                content_type="text/markdown",
                size=len(NOTE),
                sha256=sha256,
                uploaded_by=by,
                status=status,
                **(failure if status == Status.FAILED else {}),
            )
            for n in range(start, min(start + MADE_AT_ONCE, count))
        ]
        for document in documents:
            path = Path(default_storage.path(document.storage_key))
            path.parent.mkdir(parents=True)
            path.write_bytes(NOTE)
        Document.objects.bulk_create(documents)
        if status == Status.PENDING:
            ids = [document.pk for document in documents]
            OutboxMessage.add(
                ids,
                OutboxMessage.Action.PROCESS,
                OutboxMessage.Priority.INTERACTIVE,
                timedelta(0),
            )
    return made[0]


if __name__ == "__main__":
    main()
