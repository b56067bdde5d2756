"""A hit is what stands in its document at its place, and what is marked in it was asked for."""

import random
import re
from collections.abc import Callable
from html import unescape
from unicodedata import normalize

import pytest
from django.contrib.auth.models import User

from benchmarks.retrieval.questions import LANGUAGES, collection
from documents import texts
from documents.models import Document
from processing.index import terms
from processing.index.folding import runs
from search.presentation import highlight
from tests.processing.files import pdf
from tests.searching import search
from tests.texts import SAMPLES

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
HITS, MANY_HITS = 150, 1000
PASSAGES = 30  # of each collection


@pytest.fixture
def library(make_ready: MakeDocument) -> list[str]:
    """Documents in many languages, composed and decomposed, with Windows' line ends and as PDF; and
    their texts, to ask from.
    """
    of_languages = {
        language: collection(language).passages[20 : 20 + PASSAGES] for language in LANGUAGES
    }
    written = {f"{name}.md": "\n\n".join(each) for name, each in of_languages.items()}
    written |= {f"{name}-samples.txt": text for name, text in SAMPLES.items()}
    for n, (name, text) in enumerate(written.items()):
        form = normalize("NFD", text) if n % 2 else text
        make_ready(name, form.replace("\n", "\r\n" if n % 3 else "\n").encode())
    make_ready("english.pdf", pdf(of_languages["en"][:3]), "application/pdf")
    return list(written.values())


def test_hits_are_what_stands_at_their_places_in_any_language(
    library: list[str], editor: User, pytestconfig: pytest.Config
) -> None:
    dice = random.Random(8)
    wanted = MANY_HITS if pytestconfig.getoption("full") else HITS
    seen = marked = 0
    read: dict[object, str] = {}
    while seen < wanted:
        text = dice.choice(library)
        words = [text[run.start : run.end] for run in runs(text)]
        start = dice.randrange(len(words))
        query = " ".join(words[start : start + dice.randint(1, 3)])[:60]
        for hit in search(editor, query):
            chunk = hit.chunk
            if hit.document.pk not in read:
                read[hit.document.pk] = texts.excerpt(hit.document, 0, 10**6)
            assert read[hit.document.pk][chunk.start : chunk.end] == chunk.text
            html = highlight(chunk.text, query, chunk.language)
            assert unescape(html.replace("<mark>", "").replace("</mark>", "")) == chunk.text
            asked = terms.marked(query)
            for mark in re.findall("<mark>(.*?)</mark>", html, re.DOTALL):
                said = {term for term, _, _ in terms.terms(unescape(mark), chunk.language)}
                assert said & asked, (query, mark)
                marked += 1
            seen += 1
    assert marked > seen / 4  # many are found by their meaning
