"""A search as a test asks for one."""

from typing import Any

from search import retrieval
from search.passages import Passage
from search.query import parse


def search(
    user: Any, text: str, slugs: list[str] | None = None, limit: int = 10, **fields: Any
) -> list[Passage]:
    """The best passages; `fields` as `Query.narrowed` has them."""
    query = parse(text).narrowed(knowledge_bases=slugs, **fields)
    return retrieval.search(user, query, limit).best(limit)
