"""The numbers of documents, from what triggers keep: `DocumentCount`.

Each number is a sum that is there and a few changes since it was made, so that it costs the same
for a thousand documents and for a million.
"""

from collections.abc import Collection

from django.db import connection, connections

from .models import DocumentCount, KnowledgeBase

ADDED_AT_ONCE = 10_000
LOCK = 0x4C554D43  # the advisory lock of those who add up: any constant, "LUMC"
ALL = DocumentCount.ALL
LIVE = ("ready", "failed", "unfinished")

# By state; `pending` and `processing` are what `unfinished` is made of, `bulk` those under way of
# documents/bulk.py.
Counts = dict[str, int]

SUMS = """
    SELECT {base}, state, sum(documents)::bigint
    FROM (
        SELECT knowledge_base, state, documents FROM documents_documentcount
        WHERE is_sum AND person = %(all)s AND {summed}
        UNION ALL
        SELECT knowledge_base, state, documents FROM documents_documentcount
        WHERE NOT is_sum AND {changed}
        UNION ALL
        SELECT knowledge_base_id, 'processing', 1 FROM documents_document
        WHERE deleted_at IS NULL AND status = 'processing' AND {processing}
        UNION ALL
        SELECT knowledge_base_id, 'bulk', 1 FROM documents_bulkaction
        WHERE confirmed_at IS NOT NULL AND finished_at IS NULL AND {under_way}
    ) AS counted
    GROUP BY 1, 2
"""
OF_BASES = SUMS.format(
    base="knowledge_base",
    summed="knowledge_base = ANY(%(bases)s)",
    changed="knowledge_base = ANY(%(bases)s)",
    processing="knowledge_base_id = ANY(%(bases)s)",
    under_way="knowledge_base_id = ANY(%(bases)s)",
)
OF_ALL = SUMS.format(
    base="NULL", summed="knowledge_base = %(all)s", changed="TRUE", processing="TRUE",
    under_way="TRUE",
)  # fmt: skip


def of_bases(ids: Collection[int]) -> dict[int, Counts]:
    """Of each of these knowledge bases."""
    found: dict[int, Counts] = {each: {} for each in ids}
    with connection.cursor() as cursor:
        cursor.execute(OF_BASES, {"bases": list(ids), "all": ALL})
        for base, state, documents in cursor.fetchall():
            found[base][state] = documents
    return {base: _split(counts) for base, counts in found.items()}


def of_all(using: str = "default") -> Counts:
    """Of the installation."""
    with connections[using].cursor() as cursor:
        cursor.execute(OF_ALL, {"all": ALL})
        return _split({state: documents for _, state, documents in cursor.fetchall()})


def tell(bases: Collection[KnowledgeBase]) -> None:
    """Set `document_count`, `ready_count`, `failed_count` and `unfinished_count` of each."""
    numbers = of_bases([base.pk for base in bases])
    for base in bases:
        of_base = {state: numbers[base.pk].get(state, 0) for state in LIVE}
        vars(base).update({f"{state}_count": number for state, number in of_base.items()})
        vars(base)["document_count"] = sum(of_base.values())


def add_up() -> None:
    """Turn changes into sums; in the relay, at each tick. Who finds another at it leaves it."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH changes AS (
                DELETE FROM documents_documentcount
                WHERE id IN (
                    SELECT id FROM documents_documentcount
                    WHERE NOT is_sum AND pg_try_advisory_xact_lock(%(lock)s)
                    LIMIT %(most)s
                )
                RETURNING *
            )
            INSERT INTO documents_documentcount AS kept
                (knowledge_base, person, state, documents, bytes, is_sum)
            SELECT COALESCE(knowledge_base, %(all)s), COALESCE(person, %(all)s), state,
                sum(documents), sum(bytes), TRUE
            FROM changes
            GROUP BY GROUPING SETS
                ((knowledge_base, person, state), (knowledge_base, state), (person, state), (state))
            ON CONFLICT (knowledge_base, person, state) WHERE is_sum DO UPDATE
                SET documents = kept.documents + excluded.documents,
                    bytes = kept.bytes + excluded.bytes
            """,
            {"lock": LOCK, "most": ADDED_AT_ONCE, "all": ALL},
        )


def _split(counts: Counts) -> Counts:
    """Those in work are few and change often: they are counted, not kept."""
    unfinished = counts.get("unfinished", 0)
    processing = min(unfinished, counts.get("processing", 0))
    return counts | {"pending": unfinished - processing, "processing": processing}
