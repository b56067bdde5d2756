"""Whose turn it is: the next messages of the outbox, without looking at all that wait.

By priority; then each person who waits gets one in turn, whoever has however many; of a person
each knowledge base in turn; then by age. So a statement here reads the heads of as many queues as
there is room for, each by one step in the index `outbox_queues`, and costs the same for a thousand
and for a million that wait.
"""

from typing import Any

from django.db import connection

from documents.models import OutboxMessage

FILED_AT_ONCE = 1000
REMEMBERED = 10_000  # people: where each one's turn has come to among the knowledge bases

Action = OutboxMessage.Action
Level = tuple[str, int]  # action and priority


class Rounds:
    """A relay's turns: the next take goes on behind the one who was served last."""

    def __init__(self) -> None:
        self._person: dict[Level, int] = {}
        self._base: dict[tuple[Level, int], int] = {}

    def take(self, room: int) -> list[int]:
        """The ids of the next messages, up to `room`, in their order.

        It may be fewer although more wait: then the next take has them. While a service is away
        documents are left here, not in Redis where they would be refused; so is what only a newer
        release knows.
        """
        levels, is_to_be_filed = _levels()
        if is_to_be_filed:
            _file_due()
            levels, _ = _levels()
        no_process = all(action != Action.PROCESS for action, _ in levels)
        taken: list[int] = []
        for level in levels:
            left = room - len(taken)
            is_process = level[0] == Action.PROCESS
            # A purge is quick, and nobody waits for it: many leave most of the room to documents.
            # So does what moves points, and a page's picture, for which somebody waits.
            most = left if is_process or no_process else (left + 3) // 4
            chosen, may_have_more = self._of(level, most)
            taken += chosen
            if len(taken) >= room or (is_process and may_have_more):
                break
        return taken

    def _of(self, level: Level, most: int) -> tuple[list[int], bool]:
        """Messages of a level, and whether somebody there may have more than he got."""
        people = _people(level, self._person.get(level, -1), most)
        if not people:
            return [], False
        share = -(-most // len(people))
        after = [self._base.get((level, person), -1) for person in people]
        rows = _heads(level, people, after, share)
        served = [person for _, person, _ in rows]
        if len(self._base) > REMEMBERED:
            self._base.clear()
        for _, person, base in rows[:most]:
            self._person[level] = person
            self._base[level, person] = base
        may_have_more = len(people) == most or any(served.count(each) >= share for each in people)
        return [pk for pk, _, _ in rows[:most]], may_have_more


def _file_due() -> None:
    """What was for later and is due by now joins the queue of its person."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            UPDATE documents_outboxmessage AS message
            SET is_due = TRUE,
                person = COALESCE(document.uploaded_by_id, 0),
                base = document.knowledge_base_id
            FROM documents_document AS document
            WHERE document.id = message.document_id AND message.id IN (
                SELECT id FROM documents_outboxmessage
                WHERE NOT is_due AND action = %s AND due_at <= statement_timestamp()
                ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED
            )
            """,
            [(action, FILED_AT_ONCE) for action in Action.values],
        )


def _levels() -> tuple[list[Level], bool]:
    """Those at which something waits that may be posted now, the first first; and whether something
    is due that is not filed yet. In one statement, because each upload pays for it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT action, priority
            FROM unnest(%(actions)s::text[]) AS known(action)
            CROSS JOIN unnest(%(priorities)s::int[]) AS level(priority)
            CROSS JOIN LATERAL (  -- not EXISTS, which may be read as a join with all that wait
                SELECT FROM documents_outboxmessage AS message
                WHERE is_due
                    AND message.action = known.action AND message.priority = level.priority
                ORDER BY person, base, due_at, id  -- the index's, or a level with none reads all
                LIMIT 1
            ) AS any_message
            WHERE action = ANY(%(always)s) OR NOT EXISTS (
                SELECT FROM documents_outage WHERE retry_at > statement_timestamp()
            )
            UNION ALL
            SELECT action, NULL
            FROM unnest(%(actions)s::text[]) AS known(action)
            CROSS JOIN LATERAL (
                SELECT FROM documents_outboxmessage AS message
                WHERE NOT is_due
                    AND message.action = known.action AND due_at <= statement_timestamp()
                ORDER BY due_at
                LIMIT 1
            ) AS any_message
            ORDER BY priority
            """,
            {
                "actions": Action.values,
                "priorities": OutboxMessage.Priority.values,
                "always": [Action.PURGE, Action.DRAW],
            },
        )
        rows = cursor.fetchall()
    levels = [(action, priority) for action, priority in rows if priority is not None]
    levels.sort(key=lambda level: (level[1], level[0] == Action.PROCESS))
    return levels, len(levels) < len(rows)


def _ring(column: str, among: str, after: str) -> str:
    """Two CTEs, `behind` and `before`: the values of a column among these messages, up to `most`
    on either side of `after`, each found by one step in the index.
    """

    def part(name: str, side: str) -> str:
        there = f"FROM documents_outboxmessage WHERE is_due AND {among} AND {column} {side} {after}"
        return f"""
            {name} AS (
                (SELECT {column}, 1 AS nth {there} ORDER BY {column} LIMIT 1)
                UNION ALL
                SELECT following.{column}, nth + 1 FROM {name} CROSS JOIN LATERAL (
                    SELECT {column} {there} AND {column} > {name}.{column}
                    ORDER BY {column} LIMIT 1
                ) AS following
                WHERE nth < %(most)s
            )"""  # noqa: S608 (columns and conditions of this module)

    return f"WITH RECURSIVE {part('behind', '>')}, {part('before', '<=')}"


AT = "action = %(action)s AND priority = %(priority)s"

PEOPLE = f"""
    {_ring("person", AT, "%(after)s::bigint")}
    (SELECT person FROM behind UNION ALL SELECT person FROM before) LIMIT %(most)s
"""  # noqa: S608 (nothing of a user's is in it)

HEADS = f"""
    SELECT id, person, base
    FROM (
        SELECT message.id, asked.person, bases.base, asked.place,
            row_number() OVER (
                PARTITION BY asked.person ORDER BY message.turn, bases.place
            ) AS turn
        FROM unnest(%(people)s::bigint[], %(after)s::bigint[])
            WITH ORDINALITY AS asked(person, after, place)
        CROSS JOIN LATERAL (
            {_ring("base", AT + " AND person = asked.person", "asked.after")}
            SELECT base, row_number() OVER () AS place, count(*) OVER () AS count
            FROM ((SELECT base FROM behind UNION ALL SELECT base FROM before)
                LIMIT %(most)s) AS ring
        ) AS bases
        CROSS JOIN LATERAL (
            SELECT id, row_number() OVER (ORDER BY due_at, id) AS turn
            FROM (
                SELECT id, due_at FROM documents_outboxmessage
                WHERE is_due AND {AT} AND person = asked.person AND base = bases.base
                ORDER BY due_at, id LIMIT (%(most)s + bases.count - 1) / bases.count
            ) AS oldest
        ) AS message
    ) AS heads
    WHERE turn <= %(most)s
    ORDER BY turn, place
"""  # noqa: S608 (nothing of a user's is in it)


def _people(level: Level, after: int, most: int) -> list[int]:
    """Who waits at this level, from behind `after` around to it."""
    with connection.cursor() as cursor:
        asked: dict[str, Any] = {"after": after, "most": most}
        cursor.execute(PEOPLE, asked | {"action": level[0], "priority": level[1]})
        return [person for (person,) in cursor.fetchall()]


def _heads(
    level: Level, people: list[int], after: list[int], most: int
) -> list[tuple[int, int, int]]:
    """Up to `most` messages of each of these people, with the person and the knowledge base.

    Whose knowledge bases are many gets one of each from behind `after` around to it.
    """
    with connection.cursor() as cursor:
        asked: dict[str, Any] = {"people": people, "after": after, "most": most}
        cursor.execute(HEADS, asked | {"action": level[0], "priority": level[1]})
        return cursor.fetchall()
