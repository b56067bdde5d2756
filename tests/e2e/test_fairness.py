"""Nobody's giants stand before another user's note."""

import statistics
import time
from collections.abc import Callable, Iterator
from zlib import crc32

import httpx
import pytest

from tests.e2e.lab import PATIENCE, Lab, figures
from tests.e2e.product import wait_for
from tests.processing.stubs import DIMENSIONS, Answer, Call, Reply, embedding_reply, unit

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(2 * PATIENCE)]

TURN_SECONDS = 10  # where there is one slot
NOTE = b"The heron nests in April.\n"
NEIGHBOUR = (
    "from django.contrib.auth.models import User;"
    "from documents.models import KnowledgeBase, Membership;"
    "user, _ = User.objects.get_or_create(username='neighbour');"
    "Membership.objects.get_or_create(user=user, role='editor',"
    " knowledge_base=KnowledgeBase.objects.get(slug='{slug}'))"
)


def paced(seconds: float) -> Answer:
    """An embedding service that takes so long for each passage of a call."""

    def answer(call: Call) -> Reply:
        texts = call.json["input"]
        time.sleep(seconds * len(texts))
        vectors = (unit(crc32(text.encode()) % DIMENSIONS) for text in texts)
        return embedding_reply(list(enumerate(vectors)))

    return answer


@pytest.fixture(scope="module", params=[4, 1], ids="{}-threads".format)
def threads(request: pytest.FixtureRequest, full: bool) -> int:
    """Of each worker."""
    if request.param == 1 and not full:
        pytest.skip("starts a product of its own: only with --full")
    return int(request.param)


@pytest.fixture(scope="module")
def ward(lab: Callable[..., Lab], threads: int) -> Lab:
    if threads == 1:
        return lab(module="tests.e2e.one_slot", WORKERS="1", TURN_SECONDS=str(TURN_SECONDS))
    return lab(WORKERS="1")


@pytest.fixture(scope="module")
def neighbour(ward: Lab) -> httpx.Client:
    """Another user, who may upload to the same knowledge base."""
    ward.product.manage("shell", "-c", NEIGHBOUR.format(slug=ward.slug))
    token = ward.product.manage("create_api_token", "neighbour", "--name", "test").split()[-1]
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=ward.product.api.base_url, headers=headers, timeout=60)


@pytest.fixture
def slowly(ward: Lab, full: bool) -> Iterator[None]:
    """The embedding service has its pace."""
    usual = ward.embedding.stub.answer
    ward.embedding.stub.answer = paced(0.01 if full else 0.1)
    yield
    ward.embedding.stub.answer = usual


def test_a_note_is_ready_soon_although_another_users_giants_have_all_the_slots(
    ward: Lab, neighbour: httpx.Client, threads: int, slowly: None, full: bool
) -> None:
    count, giant = (10, ward.text(13_000)) if full else (3, ward.text(80))  # 12 MB
    slots = threads * len(ward.workers())
    idle = [until_ready(ward, neighbour) for _ in range(count)]
    giants = [ward.upload(giant) for _ in range(slots)]
    wait_for(lambda: at_work(ward, giants) == slots, 5 * PATIENCE, "all to be at work")
    behind = [until_ready(ward, neighbour) for _ in range(count)]

    print(f"\n{figures('idle', idle)}\n{figures('behind giants', behind)}")
    assert not ready(ward, giants), "they were done too soon to stand before anybody"
    for each in giants:
        ward.product.api.delete(f"documents/{each}").raise_for_status()
    if slots == 1:
        assert max(behind) <= max(idle) + TURN_SECONDS
    elif full:
        assert statistics.median(behind) <= 2 * statistics.median(idle)
        assert max(behind) <= max(idle) + 5


def until_ready(ward: Lab, user: httpx.Client) -> float:
    """Seconds from the upload of a note."""
    began = time.monotonic()
    files = {"file": (ward.new_name(), NOTE)}
    answer = user.post(f"knowledge-bases/{ward.slug}/documents", files=files)
    answer.raise_for_status()
    ward.product.wait_until_ready([answer.json()["id"]], PATIENCE)
    return time.monotonic() - began


def at_work(ward: Lab, documents: list[str]) -> int:
    found = ward.stores.sql(
        "SELECT id FROM documents_document"
        " WHERE id = ANY(%s) AND status = 'processing' AND kept_count > 0",
        documents,
    )
    return len(found)


def ready(ward: Lab, documents: list[str]) -> list[object]:
    return list(
        ward.stores.sql(
            "SELECT id FROM documents_document WHERE id = ANY(%s) AND status = 'ready'", documents
        )
    )
