"""UPDATE ... RETURNING, which Django's querysets do not have: one statement instead of two."""

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.sql import UpdateQuery


def updated(rows: QuerySet[Any], returning: Sequence[str], **changes: Any) -> list[tuple[Any, ...]]:
    """Change these rows; returns these columns of each that was changed, as they are now."""
    query = rows.query.chain(UpdateQuery)
    query.add_update_values(changes)  # type: ignore[attr-defined]  # of an UpdateQuery
    sql, params = query.get_compiler(connection=connection).as_sql()
    columns = ", ".join(
        connection.ops.quote_name(rows.model._meta.get_field(name).column) for name in returning
    )
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} RETURNING {columns}", params)
        return cursor.fetchall()
