"""No passage is longer than what the model reads, in whatever script."""

import gettext
import json
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings as django_settings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.local.models import MODELS, Model
from processing.chunking import split
from processing.errors import RetryableError, ServiceUnavailable
from processing.index import tokens
from processing.parsing import ParsedDocument, Section

from .stubs import Reply, failing, stubbed

LANGUAGES = [
    *("ar", "bn", "bg", "cs", "da", "de", "el", "es", "et", "fa", "fi", "fr", "he", "hi", "hu"),
    *("hy", "id", "is", "it", "ja", "ka", "kk", "km", "ko", "lt", "lv", "mk", "ml", "mn", "my"),
    *("ne", "nl", "pl", "pt", "ro", "ru", "sk", "sr", "sv", "sw", "ta", "te", "th", "tr", "uk"),
    *("ur", "vi", "zh_Hans", "zh_Hant"),
]
SCRIPTS = [  # of each, letters, digits and signs
    *((0x21, 0x7E), (0xA1, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x531, 0x587), (0x590, 0x5FF)),
    *((0x600, 0x6FF), (0x900, 0x97F), (0xB80, 0xBFF), (0xE00, 0xE7F), (0x10A0, 0x10FF)),
    *((0x1200, 0x137F), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFB00, 0xFDFF)),
    *((0xFF01, 0xFF5E), (0x1F300, 0x1F64F), (0x13000, 0x1342F)),
]
words = st.one_of(
    *(st.text(st.characters(min_codepoint=a, max_codepoint=b), max_size=12) for a, b in SCRIPTS),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
texts = st.lists(words, min_size=1, max_size=8).flatmap(
    lambda parts: st.tuples(st.sampled_from(["", " ", "\n", ". "]), st.integers(1, 60)).map(
        lambda how: how[0].join(parts * how[1])
    )
)


@pytest.fixture(scope="module", params=MODELS)
def local(request: pytest.FixtureRequest) -> Model:
    return MODELS[request.param].load()


def messages(language: str) -> str:
    """What Django says in a language, 8,000 characters of it."""
    file = Path(django.__file__).parent / f"conf/locale/{language}/LC_MESSAGES/django.mo"
    with file.open("rb") as opened:
        catalogue = gettext.GNUTranslations(opened)._catalog  # type: ignore[attr-defined]
    return "\n".join(text for key, text in catalogue.items() if key)[:8000]


def passages(text: str, max_chars: int = 1000) -> list[str]:
    parsed = ParsedDocument(text, (Section(0, len(text), None, ""),))
    return [piece.text for piece in split(parsed, max_chars, tokens.passage_fits)]


@settings(deadline=None)
@given(text=texts)
def test_no_passage_is_longer_than_the_model_reads(text: str) -> None:
    """The application asks the embedded server."""
    found = passages(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    for passage in found:
        assert len(passage) <= 1000
        count = tokens._ask(
            django_settings.EMBEDDING_TOKENIZE_URL,
            django_settings.EMBEDDING_PASSAGE_PREFIX + passage,
        )
        assert count <= django_settings.EMBEDDING_MAX_TOKENS


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_passage_in_a_persons_language_is_longer_than_estimated(
    settings: Any, local: Model, language: str
) -> None:
    settings.EMBEDDING_TOKENIZE_URL = ""
    for passage in passages(messages(language)):
        whole = settings.EMBEDDING_PASSAGE_PREFIX + passage
        assert local.count(whole) <= tokens.estimate(whole)


@settings(deadline=None)
@example(text="0AABV" * 8)
@given(text=texts)
def test_codes_and_signs_of_any_script_are_not_estimated_too_low(text: str, local: Model) -> None:
    assert local.count(text) <= tokens.SHORT * tokens.estimate(text)


def test_english_passages_stay_as_long_as_they_were(settings: Any) -> None:
    english = "The relay posts due messages to the broker and deletes them. " * 100
    asked = passages(english)
    settings.EMBEDDING_TOKENIZE_URL = ""
    assert passages(english) == asked
    assert len(asked) == 8


def test_a_context_without_an_end_leaves_room_for_the_passage(settings: Any) -> None:
    settings.EMBEDDING_TOKENIZE_URL = ""
    text = "The heron nests in April. " * 40
    assert tokens.in_context("Birds", text) == f"Birds\n{text}"
    assert tokens.in_context("", text) == text
    long = "Name, amount, date, " * 500
    parsed = ParsedDocument(text, (Section(0, len(text), None, "Birds", context=long),))
    pieces = split(parsed, 1000, tokens.passage_fits)
    assert len(pieces) == 2
    for piece in pieces:
        assert piece.context == long  # stored whole
        whole = tokens.in_context(f"Birds\n{long}", piece.text)
        assert whole.startswith("Birds\nName, amount")
        assert whole.endswith(piece.text)
        assert tokens.estimate(whole) <= settings.EMBEDDING_MAX_TOKENS


def test_the_service_is_asked_as_vllm_is(settings: Any) -> None:
    settings.EMBEDDING_PASSAGE_PREFIX = "passage: "
    with stubbed(lambda call: Reply({"count": 600, "max_model_len": 512})) as stub:
        settings.EMBEDDING_TOKENIZE_URL = f"{stub.url}/tokenize"
        assert not tokens.passage_fits("", "слово " * 200)
        settings.EMBEDDING_MAX_TOKENS = 8192
        assert tokens.passage_fits("", "слово " * 2000)
        assert tokens.passage_fits("", "a short text needs no question")
        settings.EMBEDDING_MAX_TOKENS = 512
        assert tokens.passage_fits(
            "", "Herons nesting beside rivers are counted every April. " * 18
        )
    asked = [json.loads(call.body) for call in stub.calls]
    model = settings.EMBEDDING_MODEL.split("/", 1)[1]
    assert asked == [
        {"model": model, "prompt": "passage: " + "слово " * times} for times in (200, 2000)
    ]
    assert {call.path for call in stub.calls} == {"/tokenize"}
    assert stub.calls[0].headers["Authorization"] == f"Bearer {settings.EMBEDDING_API_KEY}"


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_a_service_that_does_not_count_is_an_outage(settings: Any, status: int) -> None:
    with stubbed(failing(status)) as stub:
        settings.EMBEDDING_TOKENIZE_URL = f"{stub.url}/tokenize"
        with pytest.raises(ServiceUnavailable):
            tokens.passage_fits("", "слово " * 200)
    with pytest.raises(ServiceUnavailable, match="no connection"):
        tokens.passage_fits("", "слово " * 200)


def test_nonsense_for_a_count_is_tried_again(settings: Any) -> None:
    with stubbed(lambda call: Reply({"tokens": []})) as stub:
        settings.EMBEDDING_TOKENIZE_URL = f"{stub.url}/tokenize"
        with pytest.raises(RetryableError) as caught:
            tokens.passage_fits("", "слово " * 200)
    assert caught.value.code == "bad_token_count"
