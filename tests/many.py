"""Very many documents at once, by few statements: as if people had uploaded them."""

from django.contrib.auth.models import User
from django.db import connection

from documents.models import KnowledgeBase

PEOPLE = """
INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, first_name,
    last_name, email, date_joined)
SELECT 'person-' || n, '!', FALSE, FALSE, TRUE, '', '', '', now() FROM generate_series(1, %s) AS n
"""
BASES = """
INSERT INTO documents_knowledgebase (name, slug)
SELECT 'Base ' || lpad(n::text, 6, '0'), 'base-' || n FROM generate_series(1, %s) AS n
"""
MEMBERS = """
INSERT INTO documents_membership (knowledge_base_id, user_id, role)
SELECT base.id, person.id, 'owner'
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM documents_knowledgebase) AS base
JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM auth_user
    WHERE username LIKE 'person-%%') AS person
    ON person.n = 1 + (base.n - 1) %% %s
"""
# Of each knowledge base's owner, one after the other; `status` says what they are.
DOCUMENTS = """
INSERT INTO documents_document (id, knowledge_base_id, filename, content_type, size, sha256,
    uploaded_by_id, status, created_at, due_at, posted_at, progressed_at, indexed_at, chunk_count,
    stage, waiting_for, failure_code, failure_message, attempts, deaths, lease_epoch,
    progress_count, progress_total, kept_unit, unread, kept_unread, place, fingerprint)
SELECT gen_random_uuid(), base.id, '%(status)s ' || n || '.md', 'text/markdown', 100,
    lpad(md5(n::text), 64, '0'), base.owner, '%(status)s', moment, moment, moment, moment,
    CASE '%(status)s' WHEN 'ready' THEN moment END, 0, '', '',
    CASE '%(status)s' WHEN 'failed' THEN 'encrypted' ELSE '' END,
    CASE '%(status)s' WHEN 'failed' THEN 'It is encrypted.' ELSE '' END,
    0, 0, 0, 0, 0, 1, '[]', '[]', '', ''
FROM (SELECT n, now() - (%(count)s - n) * interval '%(apart)s microseconds' AS moment
    FROM generate_series(%(first)s + 1, %(first)s + %(count)s) AS n) AS made
JOIN (SELECT base.id, min(member.user_id) AS owner, row_number() OVER (ORDER BY base.id) AS nth
    FROM documents_knowledgebase AS base
    LEFT JOIN documents_membership AS member ON member.knowledge_base_id = base.id
    GROUP BY base.id) AS base
    ON base.nth = CASE WHEN n %% %(in_first)s <> 0 THEN 1
        ELSE 1 + n / %(in_first)s %% (SELECT count(*) FROM documents_knowledgebase) END
"""
MESSAGES = """
INSERT INTO documents_outboxmessage (document_id, action, priority, due_at, is_due, person, base)
SELECT id, 'process', 0, due_at, TRUE, COALESCE(uploaded_by_id, 0), knowledge_base_id
FROM documents_document AS document
WHERE status = 'pending' AND NOT EXISTS (
    SELECT FROM documents_outboxmessage AS message WHERE message.document_id = document.id)
"""
TABLES = ("document", "outboxmessage", "documentcount", "knowledgebase", "membership")


def make_bases(count: int, people: int) -> None:
    """So many knowledge bases, each of one of so many people."""
    with connection.cursor() as cursor:
        cursor.execute(PEOPLE, [people])
        cursor.execute(BASES, [count])
        cursor.execute(MEMBERS, [people])


def make_documents(
    status: str, count: int, first: int = 0, in_first: int = 1, apart: int = 10
) -> None:
    """So many of this status, over all the knowledge bases; those that wait have a message.

    All but one of `in_first` are in the first knowledge base; they came `apart` microseconds.
    """
    assert KnowledgeBase.objects.exists()
    assert User.objects.exists()
    with connection.cursor() as cursor:
        asked = {
            "status": status,
            "count": count,
            "first": first,
            "in_first": in_first,
            "apart": apart,
        }
        cursor.execute(DOCUMENTS % asked)
        cursor.execute(MESSAGES)


def analyze() -> None:
    """As autovacuum does a minute later."""
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute("SELECT has_table_privilege(%s, 'MAINTAIN')", [f"documents_{table}"])
            assert cursor.fetchone() == (True,), "else PostgreSQL warns, and does nothing"
            cursor.execute(f"ANALYZE documents_{table}")
