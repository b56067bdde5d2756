"""One query in, the right passages out; and never one that the user may not see."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from unicodedata import normalize
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape
from hypothesis import given
from hypothesis import strategies as st

from documents import lifecycle
from documents.models import Chunk, Document, KnowledgeBase, Membership
from formats import BY_EXTENSION
from processing.errors import ProcessingError, RetryableError, ServiceUnavailable
from processing.index import embeddings, terms, vectors
from processing.index.folding import runs
from processing.index.languages import language_of
from processing.index.model import Model
from search import retrieval
from search.passages import Passage
from search.presentation import highlight
from search.query import parse
from tests.conftest import process
from tests.processing.stubs import (
    Reply,
    embedding_stub,
    failing,
    forwarding,
    hanging,
    qdrant_at,
    qdrant_stub,
    refused_url,
)
from tests.searching import search
from tests.texts import SAMPLES

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]
HERON = "The heron nests in April."
YEARS = "The accounts of the year before last were audited in spring, without any remarks. " * 4
JAHRE = "Die Konten des vorletzten Jahres wurden im Frühjahr geprüft, ohne Anmerkungen. " * 4
ANS = "Les comptes de l'avant-dernière année ont été vérifiés au printemps, sans remarque. " * 4


@pytest.fixture
def add(make_document: MakeDocument) -> Callable[..., Document]:
    """A READY document of these passages, made without the parser: it is quicker."""

    def make(filename: str, *texts: str, **fields: Any) -> Document:
        return index(make_document(filename, **fields), *texts)

    return make


def index(document: Document, *texts: str) -> Document:
    claim = lifecycle.claim(document.pk)
    assert claim
    chunks = [
        Chunk(
            id=Chunk.id_for(document.pk, n),
            document=document,
            position=n,
            text=text,
            start=0,
            end=len(text),
            language=language_of(text),
            words=terms.tsvector(text),
        )
        for n, text in enumerate(texts)
    ]
    put_points(document, chunks)
    assert lifecycle.succeed(claim, chunks)
    document.refresh_from_db()
    return document


def put_points(document: Document, chunks: list[Chunk]) -> None:
    dense = embeddings.embed([chunk.text for chunk in chunks])
    points = [
        vectors.Point(
            chunk.pk,
            chunk.position,
            vector,
            terms.passage_weights(chunk.text, document.filename, chunk.language),
        )
        for chunk, vector in zip(chunks, dense, strict=True)
    ]
    vectors.upsert(document.knowledge_base_id, document.pk, points)


def names(passages: list[Passage]) -> list[str]:
    return [passage.document.filename for passage in passages]


# --- The right one first -------------------------------------------------------------------------

LIBRARY = {
    "birds.md": b"# Wading birds\n\nThe grey heron builds its nest in tall trees in April.\n",
    "leave.md": b"# Holidays\n\nEvery employee has 28 days of paid vacation a year.\n",
    "pump.md": b"# Pump XK-4711\n\nReplace the seal every 2000 hours of operation.\n",
    "travel.md": b"# Expenses\n\nHotel bills above 120 euros need the approval of a manager.\n",
}
QUESTIONS = {
    "when does the heron nest?": "birds.md",
    "How much annual leave do I get?": "leave.md",
    "XK-4711": "pump.md",
    "how often must the seal be changed": "pump.md",
    "who signs off an expensive hotel?": "travel.md",
}


def test_the_document_with_the_answer_comes_first(make_ready: MakeDocument, editor: User) -> None:
    for filename, content in LIBRARY.items():
        make_ready(filename, content)
    first = {question: names(search(editor, question))[0] for question in QUESTIONS}
    assert first == QUESTIONS


def test_the_better_passage_has_the_higher_score(add: MakeDocument, editor: User) -> None:
    add("notes.md", "Income tax is due in May.", HERON)
    passages = search(editor, "when do herons nest")
    assert [passage.chunk.position for passage in passages] == [1, 0]
    assert passages[0].score > passages[1].score


def test_a_word_that_means_nothing_to_the_model_is_found_by_its_letters(
    add: MakeDocument, editor: User
) -> None:
    for n in range(30):
        add(f"{n}.md", f"Order zq{n}xw was delivered to the customer in good condition.")
    assert names(search(editor, "zq17xw", limit=1)) == ["17.md"]


# --- What people type ----------------------------------------------------------------------------


def test_each_hit_has_the_exact_phrase_and_a_rare_one_is_found(
    add: MakeDocument, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among more passages with all its words than there are candidates."""
    monkeypatch.setattr(retrieval, "DEPTH", 5)
    for n in range(4):
        add(f"{n}.md", *["Not to be: or to. Be that as it may, to be or to be not."] * 5)
    add("hamlet.md", "A long speech, in the middle of which to be, OR not to be stands somewhere.")
    assert names(search(editor, '"to be or not to be"')) == ["hamlet.md"]
    assert search(editor, '"to be or not to bee"') == []


def test_a_phrase_is_found_however_it_is_written(add: MakeDocument, editor: User) -> None:
    add("a.md", "Die Prüfung der O\u0308ltankpru\u0308fplakette am Gebäude")
    add("b.md", "Rechnung ＩＮＶ－２０２４－００３１７ über 7 Euro")
    add("c.md", "人人生而自由，在尊严和权利上一律平等")
    assert names(search(editor, '"der Öltankprüfplakette"')) == ["a.md"]
    assert names(search(editor, "„inv-2024-00317“")) == ["b.md"]
    assert names(search(editor, "“尊严和权利”")) == ["c.md"]
    assert search(editor, "“权利和尊严”") == []
    add("d.md", "Take 5 kg of flour and bolts HX4471K9")
    add("e.md", "Take 7kg of sugar and bolts HX-4472-K9")
    assert names(search(editor, '"5kg"')) == names(search(editor, '"HX-4471-K9"')) == ["d.md"]
    assert names(search(editor, '"7 kg"')) == ["e.md"]


def test_an_identifier_in_quotation_marks_finds_only_itself(
    add: MakeDocument, editor: User
) -> None:
    for n in range(300, 330):
        add(f"{n}.md", f"Invoice INV-2024-00{n} of May, 12 pieces, payable within 30 days.")
    assert names(search(editor, '"INV-2024-00317"')) == ["317.md"]
    assert names(search(editor, "INV-2024-00317"))[0] == "317.md"
    assert names(search(editor, "inv 2024 00317"))[0] == "317.md"
    assert names(search(editor, "inv202400317"))[0] == "317.md"


def test_what_is_excluded_is_not_found(add: MakeDocument, editor: User) -> None:
    add("a.md", "The heron nests in April.")
    add("b.md", "The heron nests in May.")
    assert names(search(editor, "heron -april")) == ["b.md"]
    assert names(search(editor, 'heron -"nests in may"')) == ["a.md"]


def test_documents_are_chosen_by_their_names(add: MakeDocument, editor: User) -> None:
    for n in range(30):
        add(f"invoice-{n:03}.md", "The same text about a heron in every file.")
    assert names(search(editor, "name:invoice-017 heron")) == ["invoice-017.md"]
    assert names(search(editor, "name:invoice-017")) == ["invoice-017.md"]
    assert names(search(editor, "invoice-017.md"))[0] == "invoice-017.md"
    assert search(editor, 'name:"invoice 017"') == []


def test_documents_are_chosen_however_many_passages_they_have(
    add: MakeDocument, editor: User
) -> None:
    add("invoice-1.md", *[f"The heron of {n} nests in April." for n in range(20)])
    with CaptureQueriesContext(connection) as captured:
        assert len(search(editor, "name:invoice type:md heron")) == 10
    most = f"LIMIT {retrieval.MOST_CHOSEN + 1}"
    (chosen,) = [each["sql"] for each in captured if most in each["sql"]]
    assert "documents_chunk" not in chosen


def test_one_word_of_its_name_finds_a_file(add: MakeDocument, editor: User) -> None:
    add("Jahresabschluss 2023.md", "Die Bilanz steht auf Seite vier.")
    add("other.md", "The heron nests in April.")
    assert names(search(editor, "Jahresabschlüsse"))[0] == "Jahresabschluss 2023.md"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("word", "old.doc new.docx"), (".DOCX", "new.docx"), ("docm", "new.docx"),
        ("picture", "a.png b.jpg"), ("image", "a.png b.jpg"), ("jpeg", "b.jpg"),
        ("email", "c.eml"), ("e-mail", "c.eml"), ("mail,png", "a.png c.eml"),
        ("py", "d.py"), ("css", "e.CSS"), ("source", "d.py e.CSS"), ('"source code"', "d.py e.CSS"),
    ],
)  # fmt: skip
def test_a_type_is_called_as_people_call_it(
    typed: str, found: str, add: MakeDocument, editor: User
) -> None:
    for name in ("old.doc", "new.docx", "a.png", "b.jpg", "c.eml", "d.py", "e.CSS"):
        kind = BY_EXTENSION[Path(name).suffix.lower()]
        add(name, HERON, content_type=kind.media_type)
    assert sorted(names(search(editor, f"heron type:{typed}"))) == sorted(found.split())


def test_a_knowledge_base_is_chosen_in_the_text(
    add: MakeDocument, knowledge_base: KnowledgeBase, make_user: Any
) -> None:
    add("heron.md", HERON)
    """By what people know of it, its name: a slug has a random end."""
    other = KnowledgeBase.objects.create(name="Annual Reports, Élan")
    add("secret.md", HERON, knowledge_base=other)
    root = make_user("root", is_superuser=True)
    slug = [f"kb:{other.slug}", f"kb:{other.slug.upper()}"]
    name = ["kb:reports", "kb:REPORT", 'kb:"annual reports"', "kb:e\u0301lan", "kb:élan,nowhere"]
    for typed in [*slug, *name]:
        assert names(search(root, f"heron {typed}")) == ["secret.md"], typed
        assert names(search(root, f"heron -{typed}")) == ["heron.md"], typed
    assert names(search(root, "kb:reports")) == ["secret.md"]
    assert search(root, "heron kb:reports", ["handbook"]) == []
    assert search(root, "heron kb:unknown") == []
    assert search(make_user("guest"), "heron kb:reports") == []


# --- Who sees what -------------------------------------------------------------------------------


@pytest.fixture
def heron(add: MakeDocument) -> Document:
    return add("heron.md", HERON)


@pytest.fixture
def other(heron: Document, add: MakeDocument, make_user: Any) -> KnowledgeBase:
    """A knowledge base of somebody else, with the same words in it."""
    other = KnowledgeBase.objects.create(name="Other", slug="other")
    owner = make_user("olga")
    Membership.objects.create(knowledge_base=other, user=owner)
    add("secret.md", HERON, knowledge_base=other)
    return other


def test_a_user_finds_only_what_stands_in_their_knowledge_bases(
    other: KnowledgeBase, editor: User, make_user: Any
) -> None:
    assert names(search(editor, "heron")) == ["heron.md"]
    assert names(search(User.objects.get(username="olga"), "heron")) == ["secret.md"]
    assert search(make_user("nobody"), "heron") == []


def test_a_superuser_finds_everything(other: KnowledgeBase, make_user: Any) -> None:
    root = make_user("root", is_superuser=True)
    assert sorted(names(search(root, "heron"))) == ["heron.md", "secret.md"]


def test_only_the_named_knowledge_bases_are_searched(other: KnowledgeBase, make_user: Any) -> None:
    root = make_user("root", is_superuser=True)
    assert names(search(root, "heron", ["other"])) == ["secret.md"]
    assert names(search(root, "heron", ["handbook", "unknown"])) == ["heron.md"]


@pytest.mark.parametrize("slugs", [["unknown"], ["other"], [], ["\x00"], [""]])
def test_a_name_that_the_user_cannot_see_finds_nothing(
    slugs: list[str], other: KnowledgeBase, editor: User
) -> None:
    assert search(editor, "heron", slugs) == []


def test_a_member_who_left_finds_nothing_more(heron: Document, editor: User) -> None:
    Membership.objects.all().delete()
    assert search(editor, "heron") == []


# --- Which documents -----------------------------------------------------------------------------


def test_a_deleted_document_is_not_found_though_its_points_are_still_there(
    heron: Document, editor: User
) -> None:
    lifecycle.soft_delete(heron.pk, editor)
    assert vectors.count(heron.pk) == 1
    assert search(editor, "heron") == []


def test_a_restored_document_is_found_again(heron: Document, editor: User) -> None:
    lifecycle.soft_delete(heron.pk, editor)
    lifecycle.restore(heron.pk, editor)
    assert names(search(editor, "heron")) == ["heron.md"]


def test_a_document_that_is_being_purged_is_not_found(heron: Document, editor: User) -> None:
    Document.objects.update(deleted_at=Now() - timedelta(days=2))
    assert lifecycle.begin_purge(heron.pk)
    assert search(editor, "heron") == []


def test_points_of_a_document_that_has_no_row_are_not_found(heron: Document, editor: User) -> None:
    stranger = Document(pk=uuid4(), knowledge_base=heron.knowledge_base)
    put_points(stranger, [Chunk(id=uuid4(), position=0, text=HERON)])
    assert names(search(editor, "heron")) == ["heron.md"]


def test_a_document_that_is_only_being_indexed_is_not_found(
    make_document: MakeDocument, editor: User
) -> None:
    document = make_document()
    assert lifecycle.claim(document.pk)
    put_points(document, [Chunk(id=Chunk.id_for(document.pk, 0), position=0, text=HERON)])
    assert search(editor, "heron") == []


def test_a_point_in_the_wrong_knowledge_base_is_not_found(
    heron: Document, other: KnowledgeBase
) -> None:
    """The index could be wrong; PostgreSQL decides."""
    chunk = heron.chunk_set.get()
    put_points(Document(pk=heron.pk, knowledge_base=other), [chunk])
    assert names(search(User.objects.get(username="olga"), "heron")) == ["secret.md"]


def test_a_requeued_document_stays_found_while_it_waits_and_when_it_fails(
    heron: Document, editor: User
) -> None:
    lifecycle.requeue(heron.pk)
    assert names(search(editor, "heron")) == ["heron.md"]
    claim = lifecycle.claim(heron.pk)
    assert claim
    assert names(search(editor, "heron")) == ["heron.md"]
    lifecycle.fail(claim, "corrupt", "It is damaged.")
    assert names(search(editor, "heron")) == ["heron.md"]


def replacement(of: Document, filename: str) -> Document:
    return Document(
        filename=filename,
        knowledge_base=of.knowledge_base,
        content_type=of.content_type,
        size=1,
        sha256="0" * 64,
    )


def test_a_replaced_document_is_found_until_the_new_one_is_ready(
    heron: Document, editor: User
) -> None:
    new = lifecycle.replace(heron, replacement(heron, "new.md"))
    assert new
    assert names(search(editor, "heron")) == ["heron.md"]
    index(new, HERON)
    assert names(search(editor, "heron")) == ["new.md"]
    assert vectors.count(heron.pk) == 1


def test_a_replaced_document_stays_found_when_the_new_one_fails(
    heron: Document, editor: User
) -> None:
    new = lifecycle.replace(heron, replacement(heron, "new.md"))
    assert new
    assert process(new).status == "failed"  # its file was never stored
    assert names(search(editor, "heron")) == ["heron.md"]


# --- Nothing, and how much -----------------------------------------------------------------------


def test_an_empty_knowledge_base_is_an_empty_list(
    knowledge_base: KnowledgeBase, editor: User
) -> None:
    assert search(editor, "heron") == []


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_query_is_an_empty_list_and_asks_nobody(
    text: str, heron: Document, editor: User, settings: Any
) -> None:
    with embedding_stub(settings, failing(500)) as stub:
        assert search(editor, text) == []
    assert not stub.calls


@pytest.mark.parametrize("text", ["?!", "what is the", "\x00", "\ud800 heron", "heron " * 2000])
def test_no_query_is_an_error(text: str, heron: Document, editor: User) -> None:
    search(editor, text)


def test_a_limit_is_kept_and_the_best_stay(add: MakeDocument, editor: User) -> None:
    add("notes.md", "Taxes.", "Hotels.", "Pumps.", HERON)
    [passage] = search(editor, "heron", limit=1)
    assert passage.chunk.text == HERON


def test_many_deleted_documents_do_not_hide_a_live_one(add: MakeDocument, editor: User) -> None:
    """Their points stay until they are purged, and fit the query better."""
    for n in range(8):
        gone = add(f"{n}.md", *["heron nest"] * 8)
        lifecycle.soft_delete(gone.pk, editor)
    add("live.md", "In spring one sees a large grey wading bird there, the heron, on its nest.")
    assert names(search(editor, "heron nest", limit=2)) == ["live.md"]


# --- Highlighting --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "query", "html"),
    [
        ("Herons nest.", "nesting heron", "<mark>Herons</mark> <mark>nest</mark>."),
        ("a < b & <script>", "nothing", "a &lt; b &amp; &lt;script&gt;"),
        (
            "<script>x</script>",
            "script",
            "&lt;<mark>script</mark>&gt;x&lt;/<mark>script</mark>&gt;",
        ),
        ("The heron", "the heron", "The <mark>heron</mark>"),
        ("ÜBER uns", "über", "<mark>ÜBER</mark> uns"),
        ("尊重人的尊严", "尊严", "尊重人的<mark>尊严</mark>"),
        ("heron", "", "heron"),
        ("", "heron", ""),
    ],
)
def test_the_words_of_the_query_are_marked_and_all_else_is_escaped(
    text: str, query: str, html: str
) -> None:
    assert highlight(text, query) == html


def test_the_word_is_marked_in_every_language_and_nothing_else_changes() -> None:
    for language, sample in SAMPLES.items():
        for text in (sample, normalize("NFD", sample)):
            for run in runs(text):
                word = text[run.start : run.end]
                html = highlight(text, word, language)
                shown = unescape(html.replace("<mark>", "").replace("</mark>", ""))
                assert shown == text
                marked = "".join(re.findall("<mark>(.*?)</mark>", html))
                assert run.parts[0][0] in unescape(marked)


@given(st.text(), st.text())
def test_without_its_marks_it_is_the_text(text: str, query: str) -> None:
    html = highlight(text, query)
    assert html.replace("<mark>", "").replace("</mark>", "") == escape(text)


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("D’après le directeur, le prix monte.", '"d\'après le directeur"', "D’après le directeur"),
        ("Look on: who is on the list?", '"on the list"', "on the list"),
        ("第二，尊嚴和權利", '"尊严和权利"', "尊嚴和權利"),
        (normalize("NFD", "Häuser und Gärten"), '"häuser und"', normalize("NFD", "Häuser und")),
    ],
)
def test_a_phrase_is_marked_whole_and_its_small_words_nowhere_else(
    text: str, query: str, marked: str
) -> None:
    asked = parse(query)
    html = highlight(text, asked.text, None, asked.phrases)
    assert [unescape(mark) for mark in re.findall("<mark>(.*?)</mark>", html)] == [marked]


def test_a_query_is_never_html_itself() -> None:
    assert highlight("<b>", "<b>") == "&lt;<mark>b</mark>&gt;"


# --- Services and connections --------------------------------------------------------------------


def test_without_the_embedding_service_the_words_are_searched(
    heron: Document, editor: User, settings: Any
) -> None:
    with embedding_stub(settings, failing(503)) as stub:
        found = retrieval.search(editor, parse("herons"))
        assert found.only_words
        assert names(found.best(10)) == ["heron.md"]
        assert names(search(editor, "nesting")) == ["heron.md"]
    assert len(stub.calls) == 1  # who comes after that does not wait for it again


def test_a_text_that_the_embedding_service_refuses_is_no_outage_for_others(
    heron: Document, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = embeddings.embed_query

    def refusing(text: str, model: Model) -> Any:
        if "odd" in text:
            raise RetryableError("embedding_refused", "It did not accept the text.")
        return embed(text, model)

    monkeypatch.setattr(embeddings, "embed_query", refusing)
    found = retrieval.search(editor, parse("odd heron"))
    assert (found.only_words, names(found.best(1))) == ("away", [heron.filename])
    assert retrieval.search(editor, parse("heron")).only_words is None


def test_an_index_that_is_away_is_an_outage_and_no_empty_list(
    heron: Document, editor: User, settings: Any
) -> None:
    with qdrant_at(settings, refused_url()), pytest.raises(ServiceUnavailable):
        search(editor, "heron")


def test_not_every_search_waits_for_an_index_that_hangs(
    heron: Document, editor: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SEARCH_INDEX_TIMEOUT = 0.3
    real = settings.QDRANT_URL
    with qdrant_stub(settings, hanging) as stub:
        for _ in range(3):
            with pytest.raises(ServiceUnavailable):
                search(editor, "heron")
        assert len(stub.calls) == 1
        monkeypatch.setattr(retrieval, "INDEX_REST", 0.0)
        retrieval._asked_again_at[settings.QDRANT_URL] = 0.0  # a while later
        with pytest.raises(ServiceUnavailable):
            search(editor, "heron")
        assert len(stub.calls) == 2
        settings.SEARCH_INDEX_TIMEOUT = 18
        retrieval._asked_again_at[settings.QDRANT_URL] = 0.0
        stub.answer = lambda call: Reply(status=400)  # an answer, too
        with pytest.raises(ProcessingError):
            search(editor, "heron")
        assert not retrieval._asked_again_at
        retrieval._asked_again_at[settings.QDRANT_URL] = 0.0
        stub.answer = forwarding(real)
        assert names(search(editor, "heron")) == ["heron.md"]
        assert not retrieval._asked_again_at


@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_while_services_are_asked(
    heron: Document, editor: User, settings: Any
) -> None:
    mine = connection._connections["default"]  # type: ignore[attr-defined]  # this thread's
    held: list[bool] = []

    def watch(call: Any) -> None:
        held.append(mine.connection is not None)

    service = settings.EMBEDDING_API_BASE.removesuffix("/v1")
    with (
        embedding_stub(settings, forwarding(service, watch)),
        qdrant_stub(settings, forwarding(settings.QDRANT_URL, watch)),
    ):
        assert names(search(editor, "heron")) == ["heron.md"]
    assert held == [False, False]


# --- The API -------------------------------------------------------------------------------------


def post(client: Client, **body: Any) -> Any:
    return client.post("/api/v1/search", body, content_type="application/json")


def test_the_api_answers_passages_with_their_citation(
    make_ready: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    document = make_ready("birds.md", b"# Birds\n\nThe heron nests in April.\n")
    response = post(api(editor), query="heron", knowledge_bases=None, limit=5)
    assert response.status_code == 200
    answer = response.json()
    [result] = answer["results"]
    chunk = document.chunk_set.get()
    assert result.pop("score") > 0
    assert 0.5 < result.pop("relevance") <= 1
    assert answer["took_ms"] > 0
    assert result == {
        "document_id": str(document.pk),
        "chunk_id": str(chunk.pk),
        "filename": "birds.md",
        "knowledge_base": "handbook",
        "page": None,
        "heading": "Birds",
        "context": "",
        "more_in_document": 0,
        "same_text": [],
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "recognised": False,
    }


def test_the_api_takes_few_statements_whatever_is_found(
    add: MakeDocument,
    api: Callable[[User], Client],
    editor: User,
    django_assert_num_queries: Any,
) -> None:
    for n in range(5):
        add(f"{n}.md", HERON)
    client = api(editor)
    post(client, query="heron")  # the token's first use in a while is written down
    with django_assert_num_queries(4):  # token, knowledge bases, passages, and the audit's line
        assert len(post(client, query="heron").json()["results"]) == 5


@pytest.mark.parametrize(
    "body",
    [
        {"query": ""},
        {},
        {"query": "x" * 2001},
        {"query": "heron", "phrases": ["x" * 2001]},
        {"query": "heron", "limit": 0},
        {"query": "heron", "limit": 101},
        {"query": "heron", "knowledge_bases": "handbook"},
        {"query": "heron", "knowledge_base": "handbook"},
        {"query": "heron", "knowledge_bases": ["handbook"] * 1001},
        {"query": "heron", "after": "lunch"},
        {"query": "heron", "after": 0},
        {"query": "heron", "before": "86400"},
        {"query": "heron", "before": "2025-13"},
        *({"query": "heron", field: [""]} for field in ("tags", "types", "phrases", "exclude")),
        {"query": "heron", "name": ""},
        {"query": "", "knowledge_bases": ["handbook"]},
        {"query": "heron", "offset": -1},
    ],
)
def test_the_api_refuses_what_makes_no_sense_in_its_usual_form(
    body: dict[str, Any], api: Callable[[User], Client], editor: User
) -> None:
    response = post(api(editor), **body)
    assert response.status_code in (400, 422)
    assert {"code", "message", "details"} <= response.json()["error"].keys()
    fields = [name.split(".")[0] for name in response.json()["error"]["details"]]
    assert set(fields) <= {*body, "query"}  # as the client calls them


@pytest.mark.parametrize(("query", "status"), [("\x00", 200), ("?!", 200), ("\ud800", 400)])
def test_the_api_answers_any_text(
    query: str, status: int, heron: Document, api: Callable[[User], Client], editor: User
) -> None:
    assert post(api(editor), query=query).status_code == status


@pytest.mark.parametrize("slug", ["unknown", "other", "\x00"])
def test_the_api_knows_no_knowledge_base_that_the_user_cannot_see(
    slug: str, other: KnowledgeBase, api: Callable[[User], Client], editor: User
) -> None:
    response = post(api(editor), query="heron", knowledge_bases=["handbook", slug])
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "not_found"
    assert error["details"] == {"knowledge_bases": slug}


def test_the_api_asks_once_for_any_number_of_knowledge_bases(
    heron: Document,
    api: Callable[[User], Client],
    editor: User,
    django_assert_num_queries: Any,
) -> None:
    client = api(editor)
    post(client, query="heron")  # the token's first use in a while is written down
    with django_assert_num_queries(6):  # and twice the one that is named
        post(client, query="heron", knowledge_bases=["handbook"] * 1000)


def test_the_api_refuses_strangers(heron: Document) -> None:
    response = post(Client(), query="heron")
    assert response.status_code == 401
    assert response.json()["error"]["code"]


def test_the_api_says_when_search_is_away(
    heron: Document, api: Callable[[User], Client], editor: User, settings: Any
) -> None:
    client = api(editor)
    with qdrant_at(settings, refused_url()):
        response = post(client, query="heron")
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert response.json()["error"]["code"] == "search_unavailable"


def test_the_api_says_when_only_half_could_be_searched(
    heron: Document, api: Callable[[User], Client], editor: User, settings: Any
) -> None:
    client = api(editor)
    assert post(client, query="heron").json()["half"] is None
    with embedding_stub(settings, failing(503)):
        answer = post(client, query="herons nest").json()
    assert (answer["half"], answer["half_because"]) == ("words", "away")
    assert [result["filename"] for result in answer["results"]] == ["heron.md"]


def test_the_api_says_what_an_operator_has_to_mend(
    heron: Document, api: Callable[[User], Client], editor: User, settings: Any
) -> None:
    client = api(editor)
    with embedding_stub(settings, failing(401)):
        answer = post(client, query="herons nest").json()
    assert (answer["half"], answer["half_because"]) == ("words", "misconfigured")
    settings.QDRANT_API_KEY = "wrong"
    with qdrant_at(settings, settings.QDRANT_URL):
        response = post(client, query="heron")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "search_misconfigured"


def test_the_api_says_how_much_a_hit_fits_and_whether_any_does(
    heron: Document, api: Callable[[User], Client], editor: User
) -> None:
    client = api(editor)
    answer = post(client, query="When does the heron nest?").json()
    assert answer["fits"]
    assert answer["results"][0]["relevance"] > 0.5
    answer = post(client, query="asdfqwer zxcv").json()
    assert not answer["fits"]
    assert all(result["relevance"] < 0.5 for result in answer["results"])


def test_what_stands_there_word_for_word_fits_in_any_language(
    add: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    """A word is asked for by its stems in each language that it may be of: one of them is enough,
    also in the middle of a passage about something else.
    """
    texts = {
        "O'Reilly": f"{JAHRE} Das Buch kam bei O'Reilly heraus. {JAHRE}",
        "Reynolds": f"{ANS} Reynolds en a été informé. {ANS}",
        "INV-2024-00317": f"{YEARS} INV-2024-00317 is still open. {YEARS}",
        "Häuser gestrichen": f"{JAHRE} Die Häuser wurden gestrichen. {JAHRE}",
        "horaires bibliothèque": f"{ANS} Les horaires de la bibliothèque changent. {ANS}",
        "собаки хозяева": f"{YEARS} Собаки и их хозяева. {YEARS}",
    }
    for number, text in enumerate(texts.values()):
        add(f"{number}.txt", text)
    for query, text in texts.items():
        answer = post(api(editor), query=query).json()
        assert answer["fits"], query
        assert answer["results"][0]["text"] == text


@pytest.mark.parametrize(
    "query",
    ["asdfqwer zxcv", "qwertz uiop", "blorfle snargh wibbit", "zzz yyy xxx", "фывапролд ячсмить"],
)
def test_letters_without_a_meaning_fit_nowhere(
    heron: Document, add: MakeDocument, api: Callable[[User], Client], editor: User, query: str
) -> None:
    for number, text in enumerate(("Income tax is due in May.", "Собаки гуляли в парке.")):
        add(f"{number}.txt", text)
    assert not post(api(editor), query=query).json()["fits"]


def test_the_api_goes_on_where_it_ended(
    add: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    for n in range(7):
        add(f"{n}.md", f"The heron nests in the tree {n}.")
    client = api(editor)
    pages = [post(client, query="heron", limit=3, offset=offset).json() for offset in (0, 3, 6)]
    found = [result["filename"] for page in pages for result in page["results"]]
    assert sorted(found) == [f"{n}.md" for n in range(7)]
    assert [page["more"] for page in pages] == [True, True, False]


def test_the_api_groups_by_document(
    add: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    add("a.md", "The heron of the reeds.", "A heron in May.", "Herons are grey.")
    twins = [add(f"{n}.md", HERON) for n in range(3)]
    results = post(api(editor), query="heron in April", grouped=True).json()["results"]
    assert len(results) == 2
    more = {result["filename"]: result["more_in_document"] for result in results}
    assert more["a.md"] == 2
    [same] = [result for result in results if result["filename"] != "a.md"]
    assert {same["document_id"], *same["same_text"]} == {str(twin.pk) for twin in twins}


def test_a_copy_of_a_file_is_one_result_whichever_of_its_passages_comes_first(
    add: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    """The passages of copies rank alike, in any order."""
    said = [f"The heron {verb} its young in {month}." for verb, month in zip(
        ("feeds", "warms", "guards", "teaches"), ("April", "May", "June", "July"), strict=True
    )]  # fmt: skip
    copies = {str(add(f"{n}.md", *said).pk) for n in range(3)}
    results = post(api(editor), query="heron and its young", grouped=True).json()["results"]
    [one] = results
    assert one["more_in_document"] == 3
    assert sorted([one["document_id"], *one["same_text"]]) == sorted(copies)


def test_what_a_copy_says_besides_is_found_too(
    add: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    add("a.md", HERON)
    add("b.md", HERON, "Whoever sees a heron calls the ferryman, day or night.")
    results = post(api(editor), query="heron", grouped=True).json()["results"]
    assert {result["filename"] for result in results} == {"a.md", "b.md"}


def test_documents_that_are_asked_for_by_their_names_are_all_shown(
    add: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    for n in range(3):
        add(f"contract-{n}.md", HERON)
    results = post(api(editor), name="contract", grouped=True).json()["results"]
    assert len(results) == 3


@pytest.mark.parametrize("grouped", [True, False])
def test_whether_something_fits_is_said_of_the_best_on_every_page(
    add: MakeDocument, api: Callable[[User], Client], editor: User, grouped: bool
) -> None:
    add("heron.md", HERON)
    add("tax.md", "Income tax is due in May.")
    client = api(editor)
    for offset in (0, 1, 5):
        answer = post(client, query="heron in April", limit=1, offset=offset, grouped=grouped)
        assert answer.json()["fits"]


def test_what_is_not_meant_alone_is_no_question(
    heron: Document, api: Callable[[User], Client], editor: User
) -> None:
    for asked in ({"query": "-draft"}, {"exclude": ["draft"]}):
        answer = post(api(editor), **asked)
        assert answer.status_code == 400
        assert "what is searched for" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"query": "heron", "phrases": ["nests in April"]}, ["heron.md"]),
        ({"query": "heron", "exclude": ["april"]}, ["eagle.txt"]),
        ({"query": "heron", "name": "eag"}, ["eagle.txt"]),
        ({"query": "heron", "types": [".TXT"]}, ["eagle.txt"]),
        ({"query": "heron", "types": ["docx"]}, []),
        ({"query": "heron", "after": "2999-01-01"}, []),
        ({"query": "heron", "before": "2000-01-01"}, []),
        ({"query": "heron type:txt", "types": ["md"]}, ["eagle.txt", "heron.md"]),
        ({"query": "heron kb:handbook", "knowledge_bases": []}, []),
        ({"query": "heron -type:txt"}, ["heron.md"]),
        ({"query": "heron -name:HERON"}, ["eagle.txt"]),
        ({"query": "heron -tag:draft"}, ["eagle.txt", "heron.md"]),
        ({"query": "heron -after:2000 -type:md"}, []),
        ({"query": "heron -before:2000"}, ["eagle.txt", "heron.md"]),
        ({"query": "heron -kb:handbook"}, []),
        ({"query": "heron -kb:nowhere"}, ["eagle.txt", "heron.md"]),
        ({"query": "-type:txt"}, ["heron.md"]),
        ({"types": ["plain text"]}, ["eagle.txt"]),
        ({"query": "heron", "types": ["nonsense"]}, []),
        ({"query": "heron", "tags": ["  Q1   REPORT "]}, ["eagle.txt"]),
        ({"query": 'heron tag:"q1  report"'}, ["eagle.txt"]),
        ({"query": "heron", "before": "2000"}, []),
        ({"query": "heron", "after": "2000-01"}, ["eagle.txt", "heron.md"]),
    ],
)
def test_the_api_has_fields_for_what_people_type(
    fields: dict[str, Any],
    found: list[str],
    heron: Document,
    add: MakeDocument,
    api: Callable[[User], Client],
    editor: User,
) -> None:
    add("eagle.txt", "The eagle and the heron.", content_type="text/plain", tags=["q1 report"])
    answer = post(api(editor), **fields)
    assert answer.status_code == 200, answer.content
    assert sorted(result["filename"] for result in answer.json()["results"]) == found
