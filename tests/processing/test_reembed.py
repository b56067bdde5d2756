"""Another model, and search never notices until it is better."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models.functions import Now
from django.urls import reverse

from documents import lifecycle
from documents.models import Chunk, Document, Generation, Status
from processing import pipeline, reembed
from processing.errors import ServiceUnavailable
from processing.index import embeddings, generations, points, terms, tokens, vectors
from search import retrieval
from search.query import parse
from tests.conftest import process

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]

HERONS = b"# Birds\n\nThe heron nests in April.\n"
TAXES = b"# Money\n\nIncome tax is due in May.\n"


class Killed(BaseException):
    """What a process that is killed does next: nothing."""


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    generations.forget()
    yield
    for row in Generation.objects.all():
        vectors.drop(row.collection)
    generations.forget()


def change_model(settings: Any) -> None:
    settings.EMBEDDING_MODEL = "hosted_vllm/all-MiniLM-L6-v2"
    settings.EMBEDDING_QUERY_PREFIX = settings.EMBEDDING_PASSAGE_PREFIX = ""
    settings.EMBEDDING_MAX_TOKENS = 256


def first(user: User, text: str) -> Document:
    """Of the documents that a search finds."""
    return retrieval.search(user, parse(text)).best(1)[0].document


def states() -> dict[str, str]:
    return dict(Generation.objects.order_by("pk").values_list("state", "model"))


def finish() -> None:
    for _ in range(20):
        if reembed.work(60):
            return
    raise AssertionError("it does not come to an end")


def test_the_first_passage_says_what_serves(make_ready: MakeDocument, settings: Any) -> None:
    assert not Generation.objects.exists()
    make_ready(content=HERONS)
    [row] = Generation.objects.all()
    assert (row.state, row.model) == ("serving", settings.EMBEDDING_MODEL)
    assert (
        row.collection == vectors.collection() == generations.first_name(generations.wanted().model)
    )
    assert reembed.work(1)  # nothing to do
    assert list(Generation.objects.all()) == [row]


def test_search_goes_on_with_the_old_model_until_the_new_index_is_whole(
    make_ready: MakeDocument, editor: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    herons, taxes = make_ready("h.md", content=HERONS), make_ready("t.md", content=TAXES)
    old = vectors.collection()
    change_model(settings)

    def found() -> None:
        assert vectors.collection() == old
        assert first(editor, "heron") == herons
        assert first(editor, "income tax") == taxes

    found()
    steps = []

    def look(name: str) -> None:
        steps.append(name)
        if name != "reembed.switched":
            found()

    with monkeypatch.context() as looking:
        looking.setattr(reembed, "failpoint", look)
        finish()
    assert {"reembed.added", "reembed.filled", "reembed.switched"} <= set(steps)
    assert vectors.collection() != old
    assert states() == {
        "retired": "hosted_vllm/multilingual-e5-small",
        "serving": "hosted_vllm/all-MiniLM-L6-v2",
    }
    assert first(editor, "heron") == herons
    assert vectors.counts([herons.pk, taxes.pk]) == {herons.pk: 1, taxes.pk: 1}
    point = stored(herons)
    [expected] = embeddings.embed([Chunk.objects.get(document=herons).in_context()])
    assert point == pytest.approx(expected, abs=1e-3)


def test_points_of_what_is_read_anew_meanwhile_are_left_to_its_worker(
    make_ready: MakeDocument, editor: User, settings: Any
) -> None:
    """It has more of them than search shows; without them it would be READY with holes."""
    document = make_ready(content=HERONS)
    change_model(settings)
    filling = reembed._begin()
    assert filling
    lifecycle.requeue(document.pk, editor)
    assert lifecycle.claim(document.pk)
    index = generations.index_of(filling)
    further = []
    for number in range(3):
        chunk = Chunk.objects.get(document=document)
        chunk.pk, chunk.position = Chunk.id_for(document.pk, number), number
        chunk.document = document
        further.append(chunk)
    vectors.upsert(
        document.knowledge_base_id, document.pk, points.of(index, further), index.collection
    )
    reembed.work(5)
    assert vectors.counts([document.pk], index.collection) == {document.pk: 3}


def stored(document: Document) -> list[float]:
    chunk = Chunk.objects.get(document=document)
    [point] = vectors._client().retrieve(vectors.collection(), [str(chunk.pk)], with_vectors=True)
    vector = point.vector[vectors.DENSE]  # type: ignore[index, call-overload]
    return list(vector)


@pytest.mark.parametrize(
    "point", ["reembed.embedded", "reembed.added", "reembed.filled", "reembed.switched"]
)
def test_killed_anywhere_it_goes_on(
    make_ready: MakeDocument,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
) -> None:
    settings.EMBEDDING_BATCH_SIZE = 2
    documents = [make_ready(f"{n}.md", content=HERONS + str(n).encode()) for n in range(5)]
    change_model(settings)

    def die(name: str) -> None:
        if name == point:
            raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(reembed, "failpoint", die)
        with pytest.raises(Killed):
            reembed.work(60)
    embedded = []
    real = embeddings.embed
    monkeypatch.setattr(
        embeddings, "embed", lambda texts, model=None: embedded.extend(texts) or real(texts, model)
    )
    finish()
    assert len(embedded) == {"reembed.embedded": 5, "reembed.added": 3}.get(point, 0)
    assert "filling" not in states()
    assert vectors.counts([each.pk for each in documents]) == {each.pk: 1 for each in documents}


def test_what_is_uploaded_meanwhile_is_in_both(
    make_ready: MakeDocument, editor: User, settings: Any
) -> None:
    make_ready("h.md", content=HERONS)
    change_model(settings)
    assert not reembed.work(0)  # begun, and no time for more
    taxes = make_ready("t.md", content=TAXES)
    for index in generations.written():
        assert vectors.counts([taxes.pk], index.collection) == {taxes.pk: 1}
    assert first(editor, "income tax") == taxes
    finish()
    assert first(editor, "income tax") == taxes


def test_what_is_changed_meanwhile_is_not_overwritten_by_its_old_passages(
    make_ready: MakeDocument, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_ready("h.md", content=HERONS)
    change_model(settings)

    def change(name: str) -> None:
        if name == "reembed.embedded" and not changed:
            changed.append(name)
            Chunk.objects.filter(document=document).update(text="Income tax is due in May.")
            Document.objects.filter(pk=document.pk).update(lease_epoch=99)  # as a claim does

    changed: list[str] = []
    monkeypatch.setattr(reembed, "failpoint", change)
    finish()
    [expected] = embeddings.embed([Chunk.objects.get(document=document).in_context()])
    assert changed
    assert stored(document) == pytest.approx(expected, abs=1e-3)


def test_deleted_documents_that_may_come_back_are_embedded_too(
    make_ready: MakeDocument, settings: Any
) -> None:
    document = make_ready(content=HERONS)
    Document.objects.filter(pk=document.pk).update(deleted_at=Now())
    change_model(settings)
    finish()
    assert vectors.count(document.pk) == 1


def test_a_passage_that_the_new_model_does_not_read_has_its_document_cut_anew(
    make_ready: MakeDocument, settings: Any
) -> None:
    document = make_ready(content=("Хартия прав человека. " * 40).encode())
    assert document.chunk_count == 1
    change_model(settings)  # which needs two tokens for three of these letters
    finish()  # its beginning is there at once, the rest when its turn comes
    assert vectors.count(document.pk) == 1
    document.refresh_from_db()
    assert document.status == Status.PENDING
    process(document)
    chunks = Chunk.objects.filter(document=document)
    assert len(chunks) > 1
    assert all(tokens.passage_fits(chunk.surroundings(), chunk.text) for chunk in chunks)
    assert vectors.count(document.pk) == len(chunks)


def test_a_model_that_is_not_there_is_said_and_search_goes_on(
    make_ready: MakeDocument, editor: User, settings: Any
) -> None:
    herons = make_ready(content=HERONS)
    settings.EMBEDDING_MODEL = "hosted_vllm/no-such-model"
    settings.EMBEDDING_TOKENIZE_URL = ""
    assert reembed.work(60)
    filling = Generation.objects.get(state="filling")
    assert "404" in filling.trouble
    assert first(editor, "heron") == herons
    later = make_ready("later.md", content=TAXES)  # nobody waits for the new index
    assert first(editor, "income tax") == later


def test_settings_that_are_changed_back_leave_nothing(
    make_ready: MakeDocument, settings: Any
) -> None:
    make_ready(content=HERONS)
    model = settings.EMBEDDING_MODEL, settings.EMBEDDING_QUERY_PREFIX
    passage, limit = settings.EMBEDDING_PASSAGE_PREFIX, settings.EMBEDDING_MAX_TOKENS
    change_model(settings)
    reembed.work(0)
    settings.EMBEDDING_MODEL, settings.EMBEDDING_QUERY_PREFIX = model
    settings.EMBEDDING_PASSAGE_PREFIX, settings.EMBEDDING_MAX_TOKENS = passage, limit
    assert reembed.work(60)
    assert states() == {"serving": model[0]}


def test_the_old_index_is_removed_on_an_operators_word(
    make_ready: MakeDocument, settings: Any, admin_client: Any
) -> None:
    make_ready(content=HERONS)
    old = vectors.collection()
    change_model(settings)
    finish()
    assert vectors._client().collection_exists(old)
    page = admin_client.get(reverse("admin:documents_generation_changelist"))
    assert b'<progress max="100" value="100">' in page.content
    chosen = list(Generation.objects.values_list("pk", flat=True))
    admin_client.post(
        reverse("admin:documents_generation_changelist"),
        {"action": "remove", "_selected_action": chosen},
    )
    assert states() == {
        "removed": "hosted_vllm/multilingual-e5-small",
        "serving": settings.EMBEDDING_MODEL,
    }
    assert reembed.work(60)
    assert not vectors._client().collection_exists(old)
    assert states() == {"serving": settings.EMBEDDING_MODEL}


def test_the_command_fills_switches_and_removes(
    make_ready: MakeDocument, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    make_ready(content=HERONS)
    change_model(settings)
    call_command("reembed", seconds=0)
    assert set(states()) >= {"serving"}
    call_command("reembed")
    assert "Search reads the index of the model in the settings." in capsys.readouterr().out
    call_command("reembed", remove_retired=True)
    assert "removed test" in capsys.readouterr().out  # the prefix of the tests' collections
    assert list(states()) == ["serving"]


def test_a_search_reads_one_index_from_its_start_to_its_end(
    make_ready: MakeDocument, editor: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    herons = make_ready(content=HERONS)
    old = vectors.collection()
    change_model(settings)
    read = []
    query_weights, candidates = terms.query_weights, vectors.candidates
    settings.REQUEST_TIMEOUT = 120

    def switch(text: str) -> dict[int, float]:
        finish()  # the query is embedded already, and nothing was looked for yet
        return query_weights(text)

    monkeypatch.setattr(terms, "query_weights", switch)
    monkeypatch.setattr(
        vectors, "candidates", lambda *asked: read.append(asked[-1]) or candidates(*asked)
    )
    assert first(editor, "heron") == herons
    assert set(read) == {old}
    assert vectors.collection() != old


@pytest.mark.parametrize("words", [None, "'read':1 'otherwise':2"])
def test_what_an_earlier_version_indexed_gets_its_words_and_keeps_its_vectors(
    words: str | None, make_ready: MakeDocument, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = make_ready(content=HERONS)
    vector = stored(document)
    Chunk.objects.update(words=words, language="")
    Generation.objects.update(words=1)
    generations.forget()
    assert first(editor, "heron") == document
    with monkeypatch.context() as without:
        without.setattr(embeddings, "embed", None)  # which may cost something
        finish()
    assert stored(document) == pytest.approx(vector, abs=1e-6)
    assert Generation.objects.get(state="serving").words == terms.VERSION
    [chunk] = Chunk.objects.all()
    assert chunk.language == "en"
    assert first(editor, '"heron nests"') == document


def test_an_outage_of_the_index_that_is_filled_is_no_ones_wait(
    make_ready: MakeDocument, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ready("h.md", content=HERONS)
    change_model(settings)
    reembed.work(0)
    new = generations.written()[1].collection
    real = pipeline._write

    def failing(index: generations.Index, *arguments: Any) -> None:
        if index.collection == new:
            raise ServiceUnavailable("embedding", "HTTP 500")
        real(index, *arguments)

    monkeypatch.setattr(pipeline, "_write", failing)
    taxes = make_ready("t.md", content=TAXES)
    assert taxes.status == Status.READY
    finish()
    assert vectors.count(taxes.pk) == 1


def test_what_it_takes_is_estimated(settings: Any) -> None:
    row = Generation(state="filling", passages_done=500, passages_total=2000, seconds_a_passage=0.1)
    assert row.percent() == 25
    assert row.says() == "500 of 2,000 passages; about 0:02:30 to go."
    row.passages_done = 2000
    assert row.percent() == 99  # not switched yet


def test_what_a_turn_has_kept_is_not_written_over(make_ready: MakeDocument, settings: Any) -> None:
    """Between two turns nobody has the document, and its points are of the reading under way."""
    document = make_ready(content=HERONS)
    change_model(settings)
    waiting = Document.objects.filter(pk=document.pk)
    waiting.update(status=Status.PENDING, kept_epoch=2, fingerprint="x")
    assert not reembed.work(1)
    [_, new] = generations.written()
    assert vectors.counts([document.pk], new.collection) == {}
    waiting.update(status=Status.READY)  # it came to its end; the others begin anew
    finish()
    assert vectors.count(document.pk) == 1
    assert waiting.get().kept_epoch is None


def test_a_document_deleted_while_it_was_worked_on_does_not_hold_up_the_new_index(
    make_ready: MakeDocument, settings: Any
) -> None:
    document = make_ready(content=HERONS)
    change_model(settings)
    Document.objects.filter(pk=document.pk).update(
        status=Status.PROCESSING, deleted_at=Now(), kept_epoch=2
    )
    finish()
    assert vectors.count(document.pk) == 1
