"""How long the operators' pages take at a million documents and a million lines of the audit.

    .venv/bin/python -m benchmarks.operations [--documents 1000000] [--requests 40]

On a PostgreSQL of its own, with rows that `generate_series` makes: nine of ten documents are ready,
half of them since a week ago; one of twenty has failed, for one of a dozen causes; the others wait,
or are in work. A page is asked for in this process, as the web process answers it: its seconds are
those of the server.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import django

from deploy.local.application import acting_as
from deploy.local.servers import embedded_servers

BAR_MS = 300.0
KNOWLEDGE_BASES = 1000
CAUSES = 12
AT_WORK = 200

DOCUMENTS = f"""
    INSERT INTO documents_document (
        id, knowledge_base_id, filename, content_type, size, sha256, status, stage, place,
        progress_count, progress_total, priority, attempts, deaths, lease_epoch, lease_expires_at,
        waiting_for, failure_code, failure_message, chunk_count, indexed_at, finished_at,
        created_at, due_at, progressed_at, posted_at
    )
    SELECT gen_random_uuid(), 1 + n %% {KNOWLEDGE_BASES}, 'file-' || n || '.pdf', 'application/pdf',
        1000, repeat('0', 64), status, CASE WHEN status = 'processing' THEN 'embed' ELSE '' END, '',
        0, 0, 0, 1, 0, 1, CASE WHEN status = 'processing' THEN now() + interval '1 hour' END,
        '', CASE WHEN status = 'failed' THEN 'cause_' || n %% {CAUSES} ELSE '' END,
        CASE WHEN status = 'failed' THEN 'A sentence.' ELSE '' END, 1,
        CASE WHEN status = 'ready' THEN at END,
        CASE WHEN status IN ('ready', 'failed') THEN at END, at, at, at, at
    FROM (
        SELECT n, now() - interval '14 days' * random() AS at,
            CASE WHEN n < {AT_WORK} THEN 'processing' WHEN n %% 20 = 0 THEN 'failed'
                 WHEN n %% 20 = 1 THEN 'pending' ELSE 'ready' END AS status
        FROM generate_series(1, %(count)s) AS n
    ) AS made
"""  # noqa: S608 (made of our own numbers)
AUDIT = """
    INSERT INTO documents_auditentry
        (at, action, person_id, person, document_id, knowledge_base_id, what, detail)
    SELECT now() - interval '300 days' * random(),
        (ARRAY['read', 'searched', 'uploaded', 'downloaded'])[1 + n % 4],
        1 + n % 500, 'user-' || n % 500, document.id, document.knowledge_base_id,
        document.filename, ''
    FROM (SELECT row_number() OVER () AS n, id, knowledge_base_id, filename
          FROM documents_document) AS document
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=40)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lumikb-operations-") as home,
        embedded_servers(Path(home)) as env,
    ):
        os.environ |= env | {"DJANGO_SETTINGS_MODULE": "lumikb.settings", "LOG_LEVEL": "WARNING"}
        owner = acting_as("OWNER", dict(os.environ))
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=owner, check=True)
        django.setup()
        few, _ = measure(owner, 1000, 5)
        many, slowest = measure(owner, arguments.documents, arguments.requests)
    assert few == many, f"statements: {few} at first, {many} then"
    assert slowest <= BAR_MS, f"{slowest:.0f} ms"


def measure(owner: dict[str, str], count: int, requests: int) -> tuple[dict[str, int], float]:
    """Of each page the statements; and the slowest one's p95 in milliseconds."""
    from django.contrib.auth.models import User

    from documents.models import AuditEntry, Document

    make(owner["DATABASE_URL"], count)
    root, _ = User.objects.get_or_create(username="root", is_staff=True, is_superuser=True)
    document = Document.objects.filter(status="ready")[:1].get()
    print(f"{Document.objects.count():,} documents, {AuditEntry.objects.count():,} audit lines")
    audit = "/admin/documents/auditentry/"
    pages = {
        "front page": "/admin/",
        "its figures": "/admin/operations/",
        "failures by cause": "/admin/causes/",
        "audit": audit,
        "audit, its last page": f"{audit}?p={min(100, count // 100)}",
        "audit of a person": f"{audit}?person_id=7",
        "audit of a document": f"{audit}?document_id={document.pk}",
        "audit of a knowledge base": f"{audit}?knowledge_base_id=7",
        "audit by action": f"{audit}?action__exact=downloaded",
        "audit of a month": f"{audit}?within=31",
        "a document": f"/admin/documents/document/{document.pk}/change/",
    }
    statements, slowest = {}, 0.0
    for name, path in pages.items():
        statements[name], times = ask(root, path, requests)
        p95 = statistics.quantiles(times, n=20)[-1]
        slowest = max(slowest, p95)
        print(
            f"{name:<28}{statements[name]:>4} statements, median {statistics.median(times):6.1f} "
            f"ms, p95 {p95:6.1f} ms"
        )
    return statements, slowest


def make(url: str, count: int) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO documents_knowledgebase (id, name, slug) SELECT n, 'Base ' || n,"
            " 'base-' || n FROM generate_series(1, %s) AS n ON CONFLICT DO NOTHING",
            [KNOWLEDGE_BASES],
        )
        connection.execute("TRUNCATE documents_document, documents_auditentry CASCADE")
        connection.execute(DOCUMENTS, {"count": count})
        connection.execute(AUDIT)
        connection.execute("VACUUM ANALYZE documents_document, documents_auditentry")


def ask(user: Any, path: str, requests: int) -> tuple[int, list[float]]:
    """The statements of one request, and the milliseconds of each."""
    from django.db import connection
    from django.test import Client

    client = Client(SERVER_NAME="localhost", headers={"HX-Request": "true"})
    client.force_login(user)
    assert client.get(path).status_code == 200
    statements: list[str] = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        client.get(path)
    times = []
    for _ in range(requests):
        began = time.perf_counter()
        client.get(path)
        times.append((time.perf_counter() - began) * 1000)
    return len(statements), times


if __name__ == "__main__":
    main()
