"""Words, their forms and stems, in any language; and their weights."""

import subprocess
import sys
import unicodedata

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from processing.index import languages, terms
from processing.index.folding import bare
from processing.index.languages import language_of, languages_of_query
from tests.texts import SAMPLES

JOINTS = str.maketrans("", "", " -'’.,")


def nfd(text: str) -> str:
    """As macOS writes it."""
    return unicodedata.normalize("NFD", text)


def of(text: str) -> set[str]:
    return {term for term, _, _ in terms.terms(text)}


def score(query: str, passage: str) -> float:
    """Without rarity."""
    weights = terms.passage_weights(passage)
    return sum(weight * weights.get(term, 0) for term, weight in terms.query_weights(query).items())


# --- However it is written ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("Lüftungsanlage jährlich Größe", nfd("Größe der Lüftungsanlage jährlich")),
        ("Öltankprüfplakette", nfd("die Öltankprüfplakette")),
        ("harbourmaster logbook", "harbour\u200bmaster and log\u2060book"),
        ("kaleidoscope", "a kaleido\u2011scope"),
        ("العقد يجدد سنويا", "العقـــــد يُجَدَّدُ سنويًّا"),
        ("שלום", "שָׁלוֹם לכולם"),
        ("office file floor", "The oﬃce ﬁle on the ﬂoor"),
        ("Strasse", "STRAẞE und Straße"),
        ("strasse", "in der Straße"),
        ("istanbul isparta", "İSTANBUL ve ISPARTA"),
        ("ABC-1234", "ＡＢＣ－１２３４ is full width"),
        ("кафе елка", "КАФЕ и ёлка"),
        ("naive resume", "a naïve résumé"),
        ("Lodz Oresund", "Łódź and Øresund"),
        ("किताबें", "किताबें मेज़ पर हैं"),
        ("ガイド", "ｶﾞｲﾄﾞを見る"),
        ("한국어", nfd("한국어 문서")),
        ("soft hyphen", "so\u00adft hy\u00adphen"),
        ("葛城", "葛\U000e0100城市"),
        ("電腦", "电脑已经坏了"),
        ("体系", "這個體系"),
        ("100m2 5kg", "100㎡ 5㎏"),
        ("об'єкт", "Цей об\u02bcєкт"),
        ("ганок", "ґанок"),
        ("हंसी ज़मीन", "हँसी जमीन"),
        ("کتاب", "كتاب"),
    ],
)  # fmt: skip
def test_a_word_is_found_however_it_is_written(query: str, text: str) -> None:
    words = {bare(word) for word in query.replace("-", "").split()}
    assert score(query, text) > 0
    assert of(query) & words <= of(text)
    assert score(text, query) > 0


def test_marks_without_which_a_word_is_another_one_stay() -> None:
    assert bare("й") != bare("и")
    assert bare("कि") != bare("क")
    assert bare("ไม้") != bare("ไม")


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        ("invoice", "invoices", "Please send the invoices to the office before the end of May."),
        ("Rechnung", "Rechnungen", "Bitte schicken Sie die Rechnungen vor Ende Mai an das Büro."),
        ("Haus", "Häuser", "Die Häuser in dieser Straße wurden vor vielen Jahren gebaut."),
        ("facture", "factures", "Veuillez envoyer les factures au bureau avant la fin de mai."),
        ("собака", "собаки", "Собаки разрешены в офисе, если все согласны с этим."),
        ("factura", "facturas", "Envíe las facturas a la oficina antes de que termine mayo."),
        ("fattura", "fatture", "Si prega di inviare le fatture all'ufficio entro maggio."),
        ("conge", "congés", "Chaque employé a droit à des congés payés pendant les mois d'été."),
        ("Groesse", "Größe", "Die Größe der Anlage ist für den Betrieb nicht wichtig."),
        ("ספר", "הספר", "הספר נמצא על השולחן"),
        ("לשלום", "שלום", "שלום לכולם"),
        ("ירושלים", "בירושלים", "גרתי בירושלים שנים רבות"),
        ("книга", "книгу", "Я читаю книгу щодня і люблю її."),
    ],
)  # fmt: skip
def test_the_forms_of_a_word_find_each_other(one: str, other: str, text: str) -> None:
    assert score(one, text) > 0
    assert score(other, text) > 0
    assert score(other, text) >= score(one, text)  # as it stands there


def test_a_word_finds_its_form_though_the_language_of_neither_can_be_told() -> None:
    assert score("Bestellnummern", "Bestellnummern 7 8 9") > 0


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("contratto", "contratti", "it"), ("bureaux", "bureau", "fr"), ("faktura", "faktury", "pl"),
        ("kunde", "kundene", "no"), ("contratos", "contrato", "es"), ("fakturor", "faktura", "sv"),
        ("universities", "university", "en"), ("договоры", "договор", "ru"),
    ],
)  # fmt: skip
def test_a_single_word_is_of_any_language(one: str, other: str, language: str) -> None:
    assert terms.share(terms.asked(one), terms.present(other, language)) == 1.0


def test_an_acronym_is_a_word_though_it_is_written_like_one_of_no_meaning() -> None:
    assert "it" in terms.weighted("IT policy")
    assert "it" not in terms.weighted("how does it work")
    assert "is" not in terms.weighted("WHAT IS A HERON")
    assert "and" not in terms.weighted("heron AND eagle")


# --- Identifiers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("INV-2024-00317", ["INV-2024-00317", "inv2024", "INV 2024", "00317", "INV_2024_00317"]),
        ("MFX-2291-K", ["mfx-2291-k", "MFX2291", "mfx 2291", "2291", "MFX2291K"]),
        ("MFX2291", ["MFX-2291", "mfx 2291", "mfx"]),
        ("v1.2.3", ["v1.2.3", "V1.2.3", "1.2.3"]),
        ("anna.schmidt@example.com", ["anna.schmidt@example.com", "Schmidt", "example.com"]),
        ("§ 12 Abs. 3", ["§12", "§ 12", "§\u00a012"]),
        ("1.234.567,89 €", ["1.234.567,89", "1234567.89", "1'234'567.89"]),
        ("2025-01-31", ["2025-01-31", "2025"]),
        ("C++", ["c++"]),
        ("E-Mail", ["email", "e-mail", "E‑Mail"]),
        ("report_final_v2.pdf", ["report", "report_final_v2.pdf", "final"]),
        ("15 %", ["15%", "15 %"]),
        ("maxRetryCount", ["retry", "max_retry_count", "maxretrycount", "Count"]),
        ("parseHTTPResponse", ["http", "response", "parse_http_response"]),
        ("max_retry_count", ["maxRetryCount"]),
        ("٠١٢ १२३ ๑๒๐", ["012", "123", "120", "１２０"]),
    ],
)  # fmt: skip
def test_an_identifier_is_one_term_and_its_parts(text: str, queries: list[str]) -> None:
    for query in queries:
        assert score(query, f"It is {text} here.") > 0, query


@pytest.mark.parametrize(
    ("query", "text", "other"),
    [
        ("DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "DE02 1203 0000 0000 2020 51"),
        ("GB29NWBK60161331926819", "GB29 NWBK 6016 1331 9268 19", "GB29 NWBK 6016 1331 9268 20"),
        ("08005550199", "0800 555 0199", "0800 555 0198"),
        ("1234.56", "1\u202f234,56 €", "1 235,56 €"),
        ("2.14.3", "v2.14.3", "v2.14.2"),
        ("v2.14.3", "2.14.3", "2.14.2"),
        ("HX-4473-K9", "HX4473K9", "HX-4472-K9"),
        ("3,5l", "3,5 l", "3,6 l"),
        ("2024-02-17", "minutes_meeting_2024-02-17.txt", "17.02.2024"),
        ("docs.example.org", "https://docs.example.org/setup/first-steps", "docs.another.org"),
        ("R&D", "R&D", "r d"),
        ("15 %", "15% fat", "15 fat"),
    ],
)
def test_a_thing_that_is_written_in_another_way_weighs_more_than_one_like_it(
    query: str, text: str, other: str
) -> None:
    """Also in what it has of the query, which says how much the words count."""
    asked = terms.query_weights(query)
    share, others = (
        sum(weight for term, weight in asked.items() if term in terms.passage_weights(said))
        / sum(asked.values())
        for said in (f"It is {text} here.", f"It is {other} here.")
    )
    assert score(query, f"It is {text} here.") > score(query, f"It is {other} here.")
    assert share > max(0.4, others)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("java", "We use JavaScript."),
        ("C", "press Ctrl+Cancel"),
        ("JavaScripts", "We use Javascript."),
    ],
)
def test_a_name_with_a_capital_inside_is_a_word(query: str, text: str) -> None:
    assert (score(query, text) > 0) == (query == "JavaScripts")
    assert terms.share(terms.asked("JavaScript"), terms.present("javascript")) == 1
    assert {"ctrl", "c"} <= of("Ctrl+C") >= of("ctrl")


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("2001:db8::1", "2001db81"),
        ("00:1A:2B:3C:4D:5E", "001a2b3c4d5e"),
        ("user+news@example.com", "usernewsexamplecom"),
    ],
)
def test_what_is_one_thing_is_marked_as_one(text: str, whole: str) -> None:
    said = f"It is {text}: here."
    assert (whole, 6, 6 + len(text)) in set(terms.terms(said))


def test_a_table_of_numbers_is_found_by_each_of_them() -> None:
    for number in ("12", "345", "678", "3"):
        assert score(number, "12 345 678 3 91") > 0


def test_the_same_identifier_weighs_more_than_one_like_it() -> None:
    query = "INV-2024-00317"
    same, other = score(query, "Invoice INV-2024-00317"), score(query, "Invoice INV-2024-00318")
    assert same > other > 0
    assert score("C++", "C++ is a language") > score("C++", "C is a language")


# --- Where there are no spaces -------------------------------------------------------------------


def test_chinese_is_found_by_pairs_of_characters() -> None:
    assert {"尊严", "严和"} <= of("在尊严和权利上")
    assert score("尊严", "在尊严和权利上一律平等") > score("尊严", "严格地尊重")
    assert score("税", "所得税") > 0  # one character alone
    assert 0 < score("尊严", "严格地尊重") < score("尊严", "尊严") / 2
    assert terms.marked("尊严") == {"尊严"}


@pytest.mark.parametrize(
    ("query", "text"),
    [("สิทธิ", "มนุษย์ทุกคนมีสิทธิเท่าเทียมกัน"), ("人権", "すべての人は人権を持つ"), ("ສິດ", "ທຸກຄົນມີສິດ")],
)  # fmt: skip
def test_a_word_inside_a_text_without_spaces_is_found(query: str, text: str) -> None:
    assert score(query, text) > 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("phrase", "text", "marked"),
    [
        ("C++", "They write C++ and C.", ["C++"]),
        ("C", "They write C++ and C.", ["C++", "C"]),
        ("C#", "They write C++ and C.", []),
        ("a C++ compiler", "a C++ compiler, a C compiler", ["a C++ compiler"]),
        ("§ 12", "Nach §12 und Seite 12", ["§12"]),
        ("§ 12 BGB", "Nach § 12 BGB", ["§ 12 BGB"]),
        ("12 BGB", "Nach § 12 BGB", ["§ 12 BGB"]),
        ("15 %", "15% of 15", ["15%"]),
        ("a-a++", "a-a", []),
    ],
)
def test_a_sign_belongs_to_its_word_in_a_phrase(phrase: str, text: str, marked: list[str]) -> None:
    assert [text[start:end] for start, end in terms.standing(phrase, text)] == marked
    with connection.cursor() as cursor:
        asked = [terms.tsvector(text), terms.tsquery(phrase)]
        cursor.execute("SELECT %s::tsvector @@ %s::tsquery", asked)
        assert cursor.fetchone() == (bool(marked),)


# --- Languages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", SAMPLES)
def test_the_language_of_a_passage_is_told(language: str) -> None:
    expected = "" if language in ("zh", "th", "ja", "ko") else language
    assert language_of(SAMPLES[language]) == expected


@pytest.mark.parametrize(
    ("text", "stemmer"),
    [
        ("Ugovor o radu mora biti u pisanom obliku i potpisan od obje strane.", "serbian"),
        ("Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima.", "serbian"),
        ("Sastanak je odgođen za sljedeću sedmicu zbog bolesti.", "serbian"),
        ("Møtet er utsett til neste veke fordi leiaren er sjuk.", "norwegian"),
        ("Rekninga skal betalast innan tretti dagar.", "norwegian"),
        ("Regningen skal betales innen tretti dager.", "norwegian"),
        ("Pelanggan berhak atas pengembalian uang.", "indonesian"),
        ("Semua orang dilahirkan merdeka dan mempunyai martabat yang sama.", "indonesian"),
        ("Stretnutie je odložené na budúci týždeň.", ""),  # Slovak, not English
    ],
)  # fmt: skip
def test_a_language_with_sisters_is_told_from_english(text: str, stemmer: str) -> None:
    """The detector divides its belief among them, so that none has half of it."""
    assert languages.STEMMERS.get(language_of(text), "") == stemmer


def test_a_query_in_one_of_them_leaves_room_for_others() -> None:
    codes = languages_of_query("ugovor o radu mora biti")
    assert len({languages.STEMMERS[code] for code in codes}) == len(codes)


def test_what_cannot_be_told_is_the_commonest_of_its_script() -> None:
    assert language_of("INV-2024-00317") == "en"
    assert language_of("12 34") == ""
    assert "en" in languages_of_query("kaleidoscope harbourmaster")


# --- Ranges --------------------------------------------------------------------------------------


def test_a_term_knows_where_its_word_stands() -> None:
    text = "Über 3 herons, nesting—quietly."
    places = sorted({(start, end) for _, start, end in terms.terms(text)})
    assert [text[start:end] for start, end in places] == [
        "Über", "3", "herons", "nesting", "quietly",
    ]  # fmt: skip


@given(
    st.text()
    | st.sampled_from(list(SAMPLES.values())).flatmap(lambda t: st.permutations(t).map("".join))
)
def test_every_range_is_of_the_text_as_it_stands(text: str) -> None:
    for term, start, end in terms.terms(text):
        assert 0 <= start < end <= len(text)
        assert term
    for lexeme in terms.lexemes(text):
        assert lexeme


@pytest.mark.parametrize("language", SAMPLES)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_range_holds_the_word_in_every_language(language: str, form: str) -> None:
    text = unicodedata.normalize(form, SAMPLES[language])  # type: ignore[arg-type]
    for term, start, end in terms.terms(text, ""):
        held = bare(text[start:end])
        assert term in (held, held.translate(JOINTS)), (held, term)


# --- Weights -------------------------------------------------------------------------------------


def test_a_word_that_is_asked_for_twice_weighs_twice() -> None:
    once, twice = terms.query_weights("heron"), terms.query_weights("heron Heron")
    assert {term: 2 * weight for term, weight in once.items()} == twice


def test_words_of_questions_do_not_count_unless_there_are_no_others() -> None:
    assert terms.query_weights("What is the heron?") == terms.query_weights("heron")
    assert (
        terms.query_weights("Wie ist die Rechnung?").keys()
        <= terms.query_weights("Rechnung").keys()
    )
    assert len(terms.weighted("to be or not to be")) == 4


def test_a_word_said_more_often_weighs_more_but_never_much_more_than_twice_as_much() -> None:
    once, often = terms.passage_weights("heron"), terms.passage_weights("heron " * 50)
    [(term, light)], [(_, heavy)] = once.items(), often.items()
    assert light < heavy < 2 * light
    assert often.keys() == {term}


@pytest.mark.parametrize("filler", ["word{} ", "字{}的"])
def test_a_word_in_a_long_passage_weighs_less_than_in_a_short_one(filler: str) -> None:
    [(term, short)] = terms.passage_weights("heron").items()
    long = terms.passage_weights("heron " + "".join(filler.format(n) for n in range(400)))
    assert long[term] < short


def test_context_is_found_and_does_not_make_the_passage_longer() -> None:
    plain, placed = terms.passage_weights("heron"), terms.passage_weights("heron", "Birds > Waders")
    assert score("waders", "heron") == 0
    assert placed.items() >= plain.items()
    assert len(placed) > len(plain)


def test_the_numbers_are_the_same_in_every_process() -> None:
    """`hash()` would change with PYTHONHASHSEED, and an index would not be found again."""
    script = "from processing.index import terms; print(terms.query_weights('the heron nests'))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert printed == {str(terms.query_weights("the heron nests"))}
    assert set(terms.query_weights("heron")) == {0x7C824BA9}


@pytest.mark.parametrize("text", ["", " \n", "…—!", "*"])
def test_a_text_without_words_has_no_weights(text: str) -> None:
    assert terms.passage_weights(text) == terms.query_weights(text) == {}


def test_a_query_of_any_length_has_a_bounded_number_of_terms() -> None:
    assert len(terms.query_weights(" ".join(f"w{n}x" for n in range(5000)))) == terms.MOST_TERMS


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("O'Reilly", "Im Herbst kam das Buch von O'Reilly heraus."),
        ("houses", "The house was painted."),
        ("Kündigungsfristen", "Die Kündigungsfrist beträgt drei Monate."),
        ("наймы", "Срок найма три месяца."),
        ("会议记录", "会议记录保存在档案室里。"),
    ],
)
def test_a_word_is_there_whole_under_one_of_its_terms(query: str, text: str) -> None:
    assert terms.share(terms.asked(query), terms.present(text)) == pytest.approx(1)
    two = terms.asked(f"{query} zq17xw")
    assert 0 < terms.share(two, terms.present(text)) < 1
    assert terms.share(two, set()) == terms.share([], terms.present(text)) == 0
