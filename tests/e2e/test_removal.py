"""A knowledge base is deleted, and who does it is killed at every step: nothing is left."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.lab import PATIENCE, Lab
from tests.e2e.product import wait_for
from tests.failpoints import names

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * PATIENCE)]

KILLED_AT = [*names("removal."), *names("purge."), "relay.posted"]


def test_a_knowledge_base_is_deleted_while_its_relays_and_workers_are_killed(
    lab: Callable[..., Lab], full: bool
) -> None:
    here = lab(PURGE_AFTER_HOURS="24", RECONCILE_EVERY="5")
    product, stores = here.product, here.stores
    slug = product.knowledge_base("To be deleted")
    neighbour = here.upload(here.text(1))
    count = 5000 if full else 12
    documents = [product.upload(slug, here.new_name(), here.text(1)) for _ in range(count)]
    [row] = stores.sql("SELECT id FROM documents_knowledgebase WHERE slug = %s", slug)
    base = row["id"]
    patience = PATIENCE * (10 if full else 1)
    unready = "SELECT id FROM documents_document WHERE knowledge_base_id = %s AND status <> 'ready'"
    wait_for(
        lambda: not stores.sql(unready, base), patience, lambda: str(stores.sql(unready, base)[:9])
    )
    here.ready_at([neighbour])
    assert product.api.delete(f"documents/{documents[0]}").status_code == 204

    for point in KILLED_AT:
        here.failpoints.set(point, "kill")
    began = time.monotonic()
    assert product.api.delete(f"knowledge-bases/{slug}").status_code == 204
    answered = time.monotonic() - began
    for address in (f"knowledge-bases/{slug}", f"documents/{documents[-1]}"):
        assert product.api.get(address).status_code == 404
    wait_for(
        lambda: not stores.sql("SELECT id FROM documents_knowledgebase WHERE id = %s", base),
        patience,
        lambda: str(
            stores.sql(
                "SELECT count(*), count(purging_at), count(purged_at) FROM documents_document"
                " WHERE knowledge_base_id = %s",
                base,
            )
        ),
    )
    gone = time.monotonic() - began
    print(f"\n{count} documents: answered in {answered:.2f} s, all gone in {gone:.1f} s")
    assert not [point for point in KILLED_AT if here.failpoints.pending(point)]

    for table, column in stores_of_documents(here):
        left = f"SELECT 1 FROM {table} WHERE {column} = ANY(%s::uuid[])"  # noqa: S608
        assert not stores.sql(left, documents), table
    assert not stores.sql("SELECT 1 FROM documents_documentcount WHERE knowledge_base = %s", base)
    folder = product.home / "objects" / str(base)
    assert not [path for path in folder.rglob("*") if path.is_file()]
    for document in documents[:: count // 12]:
        assert not stores._points(document)
    assert stores.held(neighbour).points


def stores_of_documents(here: Lab) -> list[tuple[str, str]]:
    """Tables that refer to documents, and those themselves."""
    rows = here.stores.sql(
        "SELECT table_name FROM information_schema.columns"
        " WHERE column_name = 'document_id' AND table_schema = 'public'"
        " AND table_name <> 'documents_auditentry'"
    )
    return [("documents_document", "id"), *((row["table_name"], "document_id") for row in rows)]
