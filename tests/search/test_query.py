"""What people type, and what it asks for."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.query import MAX_LENGTH, Query, parse


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", Query()),
        ("heron nests", Query("heron nests")),
        ('the "grey heron" nests', Query("the grey heron nests", phrases=("grey heron",))),
        ("„graue Reiher“", Query("graue Reiher", phrases=("graue Reiher",))),
        ("«héron» 「青鷺」", Query("héron 青鷺", phrases=("héron", "青鷺"))),
        ("heron -eagle", Query("heron", excluded=("eagle",))),
        ('heron -"bald eagle" -x', Query("heron", excluded=("bald eagle", "x"))),
        ("name:report heron", Query("heron", names=("report",))),
        ('NAME:"annual report"', Query("", names=("annual report",))),
        ("type:pdf,docx type:md x", Query("x", types=("pdf", "docx", "md"))),
        ("kb:handbook kb:other,third x", Query("x", bases=("handbook", "other", "third"))),
        ('kb:"Annual Reports" x', Query("x", bases=("Annual Reports",))),
        ('kb:"Sales, EMEA" -kb:"Sales, US" x', Query("x", bases=("Sales, EMEA",), without=(
            Query(bases=("Sales, US",)),
        ))),
        ("tag:draft,hr -kb:a,b x", Query("x", tags=("draft", "hr"), without=(
            Query(bases=("a", "b")),
        ))),
        ("x after:2025-01-31", Query("x", after=date(2025, 1, 31))),
        ("x before:2026", Query("x", before=date(2026, 1, 1))),
        ("x after:2025-1", Query("x", after=date(2025, 1, 1))),
        ("x after:31.01.2025", Query("x", after=date(2025, 1, 31))),
        ("x before:2025/01/31", Query("x", before=date(2025, 1, 31))),
        ("x -tag:draft,old", Query("x", without=(Query(tags=("draft",)), Query(tags=("old",))))),
        ("x -type:pdf,docx", Query("x", without=(Query(types=("pdf", "docx")),))),
        ('-name:"the draft" x', Query("x", without=(Query(names=("the draft",)),))),
        ("x −tag:old -kb:a -after:2025", Query("x", without=(
            Query(tags=("old",)), Query(bases=("a",)), Query(after=date(2025, 1, 1)),
        ))),
        # words, and no filters
        ("MFX-2291-K e-mail well-being", Query("MFX-2291-K e-mail well-being")),
        ("a - b -- c -", Query("a - b -- c -")),
        ("after:lunch before:2025-13", Query("after:lunch before:2025-13")),
        ("-after:lunch kb:, x", Query("-after:lunch kb:, x")),
        ("type:nonsense -type:rubbish x", Query("type:nonsense -type:rubbish x")),
        ("http://example.com Re: hello", Query("http://example.com Re: hello")),
        ('5" pipe', Query('5" pipe')),
        ('19" rack and 24" screen', Query('19" rack and 24" screen')),
        ('דו"ח שנתי של צה"ל', Query('דו"ח שנתי של צה"ל')),
        ("דו”ח של צה”ל", Query("דו”ח של צה”ל")),
        ('"דו"ח שנתי" של', Query('דו"ח שנתי של', phrases=('דו"ח שנתי',))),
        ('24" "the screen"', Query('24" the screen', phrases=("the screen",))),
        ('我要"精确"吗', Query("我要 精确 吗", phrases=("精确",))),
        ("store below -20 °C", Query("store below -20 °C")),
        ("grew by -2,5 % in -3 dB", Query("grew by -2,5 % in -3 dB")),
        ('"" "!" heron', Query('"" "!" heron')),
        ("filename:x", Query("filename:x")),
        ("-!", Query("-!")),
        ("\ud800 a\x00b", Query("? a b")),
        ("heron \u200f-eagle", Query("heron", excluded=("eagle",))),
        ("\u2067שלום\u2069 \u200fname:דוח", Query("שלום", names=("דוח",))),
        ('name:"report', Query(names=("report",))),
        ('name:" heron', Query('name:" heron')),
    ],
)  # fmt: skip
def test_what_is_typed_is_understood(text: str, query: Query) -> None:
    assert parse(text) == query


@given(st.text(alphabet=st.sampled_from('ab "-:name type kb after„“«»2025-01')) | st.text())
def test_any_text_is_a_query(text: str) -> None:
    query = parse(text)
    assert len(query.text) <= MAX_LENGTH
    assert query.is_empty in (True, False)


@pytest.mark.parametrize("text", ["-12 °C outside", "outside \u221212 °C"])
def test_a_number_below_zero_leaves_nothing_out(text: str) -> None:
    assert parse(text) == Query(text=text)
    assert parse("frost -12").excluded == ("12",)


def test_what_is_empty_asks_for_nothing() -> None:
    assert parse("  ?! * ").is_empty
    assert parse("-word").is_empty
    assert parse("").narrowed(knowledge_bases=["handbook"]).is_empty
    assert not parse("kb:handbook").is_empty
    assert not parse("name:report").is_empty
    assert not parse("税").is_empty


def test_fields_and_text_hold_together() -> None:
    typed = parse('heron -eagle "in April" kb:a kb:b after:2025')
    both = typed.narrowed(
        phrases=["the nest"], excluded=["hawk"], names=["x", ""], types=["pdf"],
        knowledge_bases=["b", "c"], after=date(2024, 1, 1), before=date(2026, 1, 1),
    )  # fmt: skip
    assert both == Query(
        "heron in April the nest",
        phrases=("in April", "the nest"),
        excluded=("eagle", "hawk"),
        names=("x",),
        types=("pdf",),
        bases=("a", "b"),
        knowledge_bases=("b", "c"),
        after=date(2025, 1, 1),
        before=date(2026, 1, 1),
    )
    assert parse("x").narrowed(knowledge_bases=[]).knowledge_bases == ()
    odd = parse("x").narrowed(phrases=["\ud800 a\x00b"], excluded=["c\ud800"])
    assert (odd.text, odd.phrases, odd.excluded) == ("x ? a b", ("? a b",), ("c?",))
