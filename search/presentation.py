"""How what was found is shown: the words marked, by document, the same text once."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from documents.models import Document
from processing.index import terms

from .passages import Passage

ALIKE = 0.9  # the share of its words that a near-duplicate has in common with the first


@dataclass(slots=True)
class Group:
    """A document with its passages, the best first; `same` are others that say the same."""

    passages: list[Passage]
    same: list[Passage] = field(default_factory=list)

    @property
    def best(self) -> Passage:
        return self.passages[0]

    @property
    def more(self) -> list[Passage]:
        return self.passages[1:]

    @property
    def document(self) -> Document:
        return self.best.document


def grouped(passages: Iterable[Passage], limit: int, folds: bool = True) -> list[Group]:
    """The first `limit` documents, in the order of their best passages. A document whose best
    passage says the same as that of one before it is put to that one, unless it has another passage
    that says something else; `folds`: not where documents are asked for, and no words.
    """
    found = list(passages)
    groups: dict[object, Group] = {}
    twins: dict[object, Group] = {}
    for passage in found:
        document = passage.document.pk
        if own := groups.get(document):
            own.passages.append(passage)
        elif len(groups) == limit:
            continue  # of the others, more may still come
        elif twin := twins.get(document):
            said = (each for each in found if each.document.pk == twin.document.pk)
            if not any(_say_the_same(passage, each) for each in said):
                groups[document] = Group([passage])
        elif folds and (twin := _first_that_says(passage, groups.values())):
            twins[document] = twin
            twin.same.append(passage)
        else:
            groups[document] = Group([passage])
    return list(groups.values())


def highlight(
    text: str, query: str, language: str | None = None, phrases: Collection[str] = ()
) -> SafeString:
    """The text as HTML, with the words that the query asks for in <mark>, and each phrase whole."""
    pieces, end = [], 0
    for start, stop in _marked(text, query, language, phrases):
        pieces += [escape(text[end:start]), "<mark>", escape(text[start:stop]), "</mark>"]
        end = stop
    pieces.append(escape(text[end:]))
    return mark_safe("".join(pieces))  # noqa: S308 (every piece of text is escaped above)


def _marked(
    text: str, query: str, language: str | None, phrases: Collection[str]
) -> Iterator[tuple[int, int]]:
    """The ranges to mark, in order and apart from each other."""
    wanted = terms.marked(query)
    found = {(a, b) for term, a, b in terms.terms(text, language) if term in wanted}
    ranges = sorted(found.union(*(terms.standing(phrase, text) for phrase in phrases)))
    start = end = 0
    for first, last in ranges:
        if first >= end:
            if end:
                yield start, end
            start = first
        end = max(end, last)
    if end:
        yield start, end


def _first_that_says(passage: Passage, groups: Iterable[Group]) -> Group | None:
    return next((each for each in groups if _say_the_same(passage, each.best)), None)


def _say_the_same(one: Passage, other: Passage) -> bool:
    """But for a few words; another number is another invoice."""
    words, others = one.words, other.words
    different = words ^ others
    if not different:
        return True
    if any(character.isdigit() for word in different for character in word):
        return False
    return len(words & others) >= ALIKE * len(words | others)
