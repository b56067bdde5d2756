"""What many tests need: people, a knowledge base, documents in a state, and empty services."""

import gc
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dramatiq
import httpx
import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connections
from django.db.models.functions import Now
from django.test import Client, TransactionTestCase
from xdist.scheduler import LoadScopeScheduling

from deploy.local import postgres
from deploy.local.home import secrets_of
from documents import lifecycle
from documents.connections import release
from documents.models import (
    ApiToken,
    Document,
    KnowledgeBase,
    Membership,
    Outage,
    PagePicture,
)
from documents.models.querysets import PostgresStartedAt
from processing import actors, durations, heartbeat, middleware, pipeline
from processing.index import embeddings, generations, vectors
from tests import embedded
from tests.e2e.product import Product

OWN = re.compile(r"tests/(browser/|chaos/test_short|e2e/test_(hostile|reconcile|recovery))")
# Servers, proxies and models that are started or loaded once for a file.
TOGETHER = re.compile(
    r"tests/(engines/|documents/test_uploads|local/test_(embeddings|models|qdrant)|"
    r"lumikb/test_storage|processing/test_(parsing_sandbox|pieces|tokens))"
)
Role = Membership.Role
LONG_AGO = timedelta(hours=1)


class OneProductATime(LoadScopeScheduling):
    """Of the processes of `make test`, one has the tests that share the lab, another those that
    share `product`, and the rest, one for each core, all others, which the first two help with when
    theirs are done. (Of the longest, one has the chaos, the other all of the lab.) Tests of one
    file that share something dear stay together; else each process would start one, and a second
    one for the tests that commit, which pytest-django puts behind all that do not. (xdist's own
    groups do nothing with pytest 9.2.)
    """

    def _split_scope(self, nodeid: str) -> str:
        if OWN.match(nodeid):
            return "own"
        if TOGETHER.match(nodeid):
            return nodeid.partition("::")[0]
        return "lab" if nodeid.startswith("tests/e2e/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneProductATime:
    config.option.loadscopereorder = False  # but as they come
    return OneProductATime(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Who asks for all tests has not asked for the longest.

    What is one process's own for long comes first: else the others wait for it in the end.

    Of the tests that share a product, first the one for which nothing else may be in it, then those
    that count what has failed, then what makes much fail, and in the end what kills the product.
    """
    first = (
        *("tests/e2e/test_reconcile", "tests/browser/", "tests/e2e/test_hostile"),
        *("tests/e2e/test_recovery", "tests/e2e/", "tests/chaos/test_short"),
    )

    def place(item: pytest.Item) -> int:
        places = (n for n, prefix in enumerate(first) if item.nodeid.startswith(prefix))
        return next(places, len(first))

    items.sort(key=place)
    of_all = {Path(path).resolve() for path in config.args} <= {config.rootpath / "tests"}
    if of_all and not (config.option.markexpr or config.getoption("--full")):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """What is there by now stays: the collector need not look at it again and again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """The database of the tests is made by its owner, as in production."""
    connections["default"].settings_dict.update(_credentials("OWNER_DATABASE_URL"))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The tests use it with the rights and the limits of the web; only to empty it, and to make its
    statistics, is theirs.
    """
    owner = connections["default"]
    with django_db_blocker.unblock():
        with owner.cursor() as cursor:
            cursor.execute((postgres.SQL / "grants.sql").read_text())
            cursor.execute("GRANT TRUNCATE, MAINTAIN ON ALL TABLES IN SCHEMA public TO lumikb_web")
        _change_role("DATABASE_URL")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TransactionTestCase, "_fixture_teardown", _empty_what_was_filled)
            yield
        _change_role("OWNER_DATABASE_URL")


def _empty_what_was_filled(_: TransactionTestCase) -> None:
    """After a test that commits. Django would empty all tables and make all the permissions anew,
    which most of such tests would wait longer for than for themselves.
    """
    with connections["default"].cursor() as cursor:
        some = (f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in _tables())  # noqa: S608
        cursor.execute(" UNION ALL ".join(some))
        if filled := [name for (name,) in cursor.fetchall()]:
            cursor.execute(f"TRUNCATE {', '.join(filled)} CASCADE")


@cache
def _tables() -> list[str]:
    """But those that the migrations fill and nobody changes."""
    names = connections["default"].introspection.django_table_names(include_views=False)
    return sorted({*names} - {"django_content_type", "auth_permission"})


def _change_role(variable: str) -> None:
    for each in connections.all():
        each.close()
        each.close_pool()
    connections["default"].settings_dict.update(_credentials(variable))


@pytest.fixture
def owner(transactional_db: None) -> Iterator[psycopg.Connection]:
    """The owner's connection to the tests' database, for what the web may not do."""
    name = connections["default"].settings_dict["NAME"]
    url = urlsplit(os.environ["OWNER_DATABASE_URL"])._replace(path=f"/{name}")
    with psycopg.connect(url.geturl(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def superuser() -> Iterator[psycopg.Connection]:
    """The superuser's connection to the tests' server, for what its operator does."""
    password = secrets_of(embedded.home())["postgres_superuser"]
    url = urlsplit(os.environ["DATABASE_URL"])
    url = url._replace(netloc=f"postgres:{password}@{url.hostname}:{url.port}", path="/postgres")
    with psycopg.connect(url.geturl(), autocommit=True) as connection:
        yield connection


def _credentials(variable: str) -> dict[str, str]:
    url = urlsplit(os.environ[variable])
    return {"USER": url.username or "", "PASSWORD": url.password or ""}


@pytest.fixture(autouse=True)
def _own_storage_and_index(settings: Any, tmp_path: Path) -> Iterator[None]:
    """Each test has an empty storage and a collection of its own."""
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "lumikb.storage.FileStorage",
            "OPTIONS": {"location": tmp_path / "objects"},
        }
    }
    settings.QDRANT_COLLECTION_PREFIX = tmp_path.name
    # The real ones are slow on purpose: half a second a user.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    url, key, name = settings.QDRANT_URL, settings.QDRANT_API_KEY, generations.wanted().collection
    used = vectors._client.cache_info()
    yield
    if vectors._client.cache_info() != used:  # a collection takes 50 MB of disk
        httpx.delete(f"{url}/collections/{name}", headers={"api-key": key}, timeout=60)


@pytest.fixture(autouse=True)
def _the_index_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not each second: tests count statements. A collection's name is a test's own."""
    monkeypatch.setattr(generations, "KEPT_SECONDS", 600.0)


@pytest.fixture(autouse=True)
def _batches_have_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is just now."""
    monkeypatch.setattr(pipeline, "BATCH_SECONDS", math.inf)


@pytest.fixture(autouse=True)
def _postgres_started_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the tests: for one lease after its start, nobody's lease is taken from him."""
    monkeypatch.setattr(PostgresStartedAt, "template", "timestamptz '2020-01-01'")


@pytest.fixture(autouse=True)
def _no_worker_is_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test stops in this process, the next one begins anew."""
    monkeypatch.setattr(heartbeat, "_stop_at", math.inf)


@pytest.fixture(autouse=True)
def _no_document_is_in_work() -> None:
    """What is logged from here on is not of the document that an earlier test worked on."""
    middleware._document_id.set("")


@pytest.fixture(autouse=True)
def _no_stage_has_ended() -> None:
    """What other tests' stages took is not this one's to save."""
    durations._observed.clear()


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The whole product, for all tests that leave it in order: its start takes a core 30 s.

    Nothing reconciles but who is asked to.
    """
    settings = {
        "REPOST_AFTER_SECONDS": "5",
        "RECONCILE_EVERY": "86400",
        "dramatiq_worker_timeout": "250",  # milliseconds; at 50, waiting takes 7 % of a core
    }
    product = Product(tmp_path_factory.mktemp("product") / "home", **settings)
    try:
        product.start()
        yield product
    finally:
        if product.process.poll() is None:  # the last of those tests looks at how it stops
            product.stop()


@pytest.fixture
def broker() -> Any:
    """The real broker, on the real Redis, empty."""
    broker = dramatiq.get_broker()
    broker.flush_all()
    return broker


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    def make(name: str, **fields: Any) -> User:
        return User.objects.create_user(name, password="right-horse-1", **fields)

    return make


@pytest.fixture
def knowledge_base(db: None) -> KnowledgeBase:
    return KnowledgeBase.objects.create(name="Handbook", slug="handbook")


@pytest.fixture
def editor(make_user: Callable[..., User], knowledge_base: KnowledgeBase) -> User:
    """Somebody who may upload to `knowledge_base`."""
    user = make_user("edith")
    Membership.objects.create(knowledge_base=knowledge_base, user=user, role=Role.EDITOR)
    return user


@pytest.fixture
def api() -> Callable[[User], Client]:
    """A client that calls the API in a user's name."""
    return lambda user: Client(headers={"Authorization": f"Bearer {ApiToken.issue(user, 'test')}"})


@pytest.fixture
def page(editor: User) -> Client:
    """A browser in which the editor is logged in."""
    client = Client()
    client.force_login(editor)
    return client


@pytest.fixture
def make_document(knowledge_base: KnowledgeBase, editor: User) -> Callable[..., Document]:
    """A registered document whose object is stored; PENDING."""

    def make(
        filename: str = "notes.md",
        content: bytes = b"# Notes\n\nThe heron nests in April.\n",
        content_type: str = "text/markdown",
        **fields: Any,
    ) -> Document:
        document = Document(
            filename=filename,
            content_type=content_type,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            **{"knowledge_base": knowledge_base, "uploaded_by": editor} | fields,
        )
        default_storage.save(document.storage_key, ContentFile(content))
        return lifecycle.register(document)

    return make


@pytest.fixture
def make_ready(make_document: Callable[..., Document]) -> Callable[..., Document]:
    """A document that was really processed."""

    def make(*args: Any, **kwargs: Any) -> Document:
        document = make_document(*args, **kwargs)
        process(document)
        assert document.status == "ready", document.explain()
        return document

    return make


def with_a_page(document: Document) -> Document:
    """As if it were a PDF whose first page is drawn."""
    Document.objects.filter(pk=document.pk).update(content_type="application/pdf")
    document.refresh_from_db()
    picture, is_new = PagePicture.objects.get_or_create(
        document=document,
        reading=document.indexed_epoch,
        page=1,
        defaults={"drawn_at": Now(), "pages": 1, "matrix": [1, 0, 0, 1, 0, 0]},
    )
    key = picture.key
    release()
    if is_new:
        default_storage.save(key, ContentFile(b"RIFF"))
    return document


def process(document: Document) -> Document:
    """Do in this thread what a worker does with the document's message."""
    embeddings.warm_up()  # takes seconds of the lease, which nobody renews here
    document.refresh_from_db()
    actors.process.fn(str(document.pk), alone=document.has_last_chance)  # as the relay says it
    document.refresh_from_db()
    return document


def let_outages_pass() -> None:
    """As if the backoff was over: the next claim is the probe, and everything is due."""
    Outage.objects.update(retry_at=Now())
    Document.objects.update(due_at=Now())


def let_lease_expire(document: Document) -> Document:
    """As if its worker had been silent for longer than a lease."""
    Document.objects.filter(pk=document.pk).update(lease_expires_at=Now() - LONG_AGO)
    document.refresh_from_db()
    return document
