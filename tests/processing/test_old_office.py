"""DOC, PPT and XLS, RTF: their text, and where it stands."""

import io

import pytest

from processing.errors import PermanentError
from processing.parsing import Unread, sentences
from processing.parsing.child import answer
from tests.processing import files
from tests.processing import old_office as old
from tests.processing.test_parsing import parts, parts_of, read

# DOC


def test_old_word_has_headings_tables_and_notes():
    data = old.doc(
        [
            (1, "People"),
            (0, "Ada Lovelace – “x” 日本"),
            (-1, "Part|Count"),
            (-1, "Screw|4"),
            (2, "Sub"),
            (0, "See \x13HYPERLINK x\x14the link\x15 here\x02."),
        ],
        notes="\x02 A note\r",
    )
    assert parts_of(data, files.DOC) == [
        (None, "People", "People\nAda Lovelace – “x” 日本"),
        (None, "People", "Part | Count\nScrew | 4"),
        (None, "People > Sub", "Sub\nSee the link here."),
        (None, "Footnotes", "A note"),
    ]


def test_old_word_draws_the_numbers_of_its_lists():
    lists = old.lists_of((0, "\0.", 1), (4, "\0\1)", 1), (23, "\uf0b7", 1))
    paragraphs = [
        (1, "Rules", old.in_list(1)),
        (0, "First", old.in_list(1, 1)),
        (0, "Second", old.in_list(1, 1)),
        (0, "Point", old.in_list(1, 2)),
        (0, "", old.in_list(1)),
        (0, "Third", old.in_list(1)),
        (0, "Anew", old.in_list(2)),
        (0, "No number", old.in_list(0)),
        (0, "Of no list", old.in_list(9)),
    ]
    text = "1. Rules\n1a) First\n1b) Second\n- Point\n\n3. Third\n5. Anew\nNo number\nOf no list"
    assert parts_of(old.doc(paragraphs, lists=lists), files.DOC) == [(None, "1. Rules", text)]
    for damaged in (lists[0][:9], b"\xff" * 40):  # costs the numbers, not the text
        data = old.doc(paragraphs, lists=(damaged, b"", lists[2]))
        assert "First\nSecond\nPoint" in read(data, files.DOC).text


@pytest.mark.parametrize(
    ("hidden", "text", "count"),
    [
        ("secret plan", "Our  is\nto wait.", 1),
        ("\x13XE plan\x15", "Our secret plan is\nto wait.", 0),  # what an index is made from
        ("is\rto", "Our secret plan\nwait.", 1),
    ],
)
def test_what_an_old_document_hides_is_said(hidden, text, count):
    paragraphs = [(0, "Our secret plan\x13XE plan\x15 is"), (0, "to wait.")]
    document = read(old.doc(paragraphs, hidden=hidden), files.DOC)
    assert [line.strip() for line in document.text.split("\n")] == text.split("\n")
    assert document.unread == ((Unread("hidden_part", count=count),) if count else ())


def test_a_power_in_rtf_is_a_power():
    data = rb"{\rtf1 10{\super 6} m{\super 2} 5\super 3\nosupersub 1\par}"
    assert read(data, files.RTF).text == "10^6 m2 5^31"


def test_the_text_of_word_95_is_read():
    data = bytearray(512)
    text = b"Gr\xfc\xdfe aus K\xf6ln.\rZweite Zeile\r"
    data[:4] = b"\xdc\xa5\x65\x00"
    data[0x18:0x20] = (512).to_bytes(4, "little") + (512 + len(text)).to_bytes(4, "little")
    stream = bytes(data) + text.ljust(4096, b"\0")
    found = read(old.container({"WordDocument": stream}), files.DOC)
    assert found.text == "Grüße aus Köln.\nZweite Zeile"


# PPT


def test_old_slides_have_titles_texts_and_notes():
    data = old.ppt([("Welcome", "First\nline", "Say this"), ("People", "Ada", "")])
    assert parts_of(data, files.PPT) == [
        (1, "Welcome", "Welcome\n\nFirst\nline\n\nSay this"),
        (2, "People", "People\n\nAda"),
    ]


def test_what_people_remarked_on_old_slides_is_read():
    data = old.ppt([("Welcome", "Text", "")], comment=("Ada", "Too long"))
    assert parts_of(data, files.PPT) == [(1, "Welcome", "Welcome\n\nText\n\nAda: Too long")]


# XLS


def test_boxes_and_charts_on_old_sheets_are_read_and_those_that_are_sheets():
    chart = old.chart("Tonnage", "Coal", {"Spring": 11.0, "Autumn": 12.5})
    data = old.xls(
        {"One": [["Name"], ["Ada"]], "Sums": chart, "Gone": chart},
        hidden=["Gone"],
        drawn=old.box("Łódź in a box") + old.box("a note", kind=25) + chart,
    )
    document = read(data, files.XLS)
    assert parts(document) == [
        (None, "One", "Name\nAda"),
        (None, "One", "Łódź in a box\nTonnage"),
        (None, "One", "| Coal\nSpring | 11\nAutumn | 12.5"),
        (None, "Sums", "Tonnage"),
        (None, "Sums", "| Coal\nSpring | 11\nAutumn | 12.5"),
    ]
    assert document.unread == (Unread("hidden_sheet", "sheet Gone"),)


def test_old_sheets_show_numbers_as_excel_does_and_hidden_sheets_are_said():
    data = old.xls(
        {"People": [["Name", "Share"], ["Ada Ł", 0.15]], "Lists": [["secret"]]}, hidden=["Lists"]
    )
    document = read(data, files.XLS)
    assert parts(document) == [(None, "People", "Name | Share\nAda Ł | 15%")]
    assert document.unread == (Unread("hidden_sheet", "sheet Lists"),)


def test_old_sheets_say_which_rows_and_columns_are_hidden_and_read_those_that_are_folded_up():
    rows = [
        ["Name", "Key", "Town", "Share"],
        *([f"N{n}", f"K{n}", f"T{n}", 0.5] for n in (1, 2, 3)),
    ]
    data = old.xls({"A": rows}, rows_hidden={1: 0, 2: 1}, columns_hidden={1: 0, 2: 2, 40: 0})
    document = read(data, files.XLS)
    assert document.text == "Name | Town | Share\nN2 | T2 | 50%\nN3 | T3 | 50%"
    assert document.unread == (
        Unread("hidden_row", "sheet A"),
        Unread("hidden_column", "sheet A"),
    )


# What is wrong with them


def test_a_workbook_whose_sectors_go_in_a_circle_is_damaged():
    data = bytearray(old.xls({"A": [["x"] * 50] * 50}))
    table = 512 * (int.from_bytes(data[0x4C:0x50], "little") + 1)
    data[table + 4 : table + 8] = (1).to_bytes(4, "little")  # the second follows itself
    assert answer(io.BytesIO(data), files.XLS)["error"] == ["corrupt", sentences.DAMAGED]


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        (files.DOC, old.doc([(0, "x")], encrypted=True)),
        (files.PPT, old.ppt([("a", "b", "")], encrypted=True)),
        (files.XLS, old.xls({"a": [["x"]]}, encrypted=True)),
        *((kind, old.container({"EncryptedPackage": b"x"})) for kind in (files.DOC, files.XLS)),
    ],
)
def test_a_password_is_said(content_type, data):
    with pytest.raises(PermanentError) as caught:
        read(data, content_type)
    assert (caught.value.code, caught.value.sentence) == ("encrypted", sentences.ENCRYPTED)


@pytest.mark.parametrize("kind", [files.DOC, files.PPT, files.XLS, files.MSG])
def test_a_container_that_is_cut_off_is_damaged_or_read_as_far_as_it_goes(kind):
    data = files.samples()[kind][1]
    for length in range(8, len(data), max(len(data) // 40, 1)):
        said = answer(io.BytesIO(data[:length]), kind)
        assert "text" in said or said["error"][0] in ("corrupt", "no_text")


# RTF


def test_rtf_has_headings_tables_notes_and_letters_of_every_font():
    text = (
        r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Cyr;}"
        r"{\f2\fcharset128 MS Mincho;}}{\stylesheet{\s0 Normal;}{\s1\outlinelevel0 heading 1;}"
        r"{\s2 heading 2;}}{\info{\title Not shown}}{\*\generator x;}"
        r"\pard\s1 Kapitel \u196?rger\par\pard Text {\f1\'cf\'f0} {\f2\'93\'fa\'96\'7b} \u8364?5"
        r" \u-10179?\u-8704? {\b bold}{\v hidden}{\deleted gone}\par"
        r"\trowd\cellx9\cellx99\pard\intbl a\par b\cell c\cell\row"
        r"\trowd\pard\intbl d\cell e\cell\row"
        r"\pard\s2 Sub\par\pard {\field{\*\fldinst HYPERLINK x}{\fldrslt link}} \{x\}\~y{\footnote"
        r" note}{\pict\wmetafile8 0123abc}\bin4 }}}} z\par{\header Head\par}{\footer Head\par}}"
    )
    document = read(text.encode(), files.RTF)
    assert parts(document) == [
        (None, "Kapitel Ärger", "Kapitel Ärger\nText Пр 日本 €5 😀 bold"),
        (None, "Kapitel Ärger", "a b | c\nd | e"),
        (None, "Kapitel Ärger > Sub", "Sub\nlink {x}\xa0y z"),
        (None, "", "Head"),
        (None, "Footnotes", "note"),
    ]
    assert document.unread == (Unread("picture"), Unread("hidden_part"))


def test_rtf_draws_numbers_and_puts_notes_and_boxes_where_they_belong():
    text = (
        r"{\rtf1\ansi{\stylesheet{\s1\outlinelevel0 Title 1;}}"
        r"\pard\plain\s1{\listtext\pard\plain  1.\tab}Arrivals\par"
        r"\pard Came{\*\footnote\pard\plain\tab Noted\par} by"
        r" sea{\footnote\ftnalt\pard\tab Ended}.\par"
        r"{\pntext\f3\'b7\tab}Point{\shp{\*\shpinst{\sp{\sn a}{\sv b}}"
        r"{\shptxt\pard In a\par box\par}}"
        r"{\shprslt{\*\do{\dptxbxtext In a box}}}} of it.\par"
        r"{\*\do{\dptxbxtext\pard Old box\par}}Last {\field{\*\fldinst{EQ \\o\\ad(\\s\\up 9("
        r"\u12363?),\u28450?\u23383?)}}{\fldrslt}}\par"
        r"\pard\intbl one\cell{\pard\plain two}\cell\row\pard {\header Top{\shptxt Logo}}End\par}"
    )
    assert parts_of(text.encode(), files.RTF) == [
        (
            None,
            "1. Arrivals",
            "1. Arrivals\nCame by sea.\n- Point of it.\nIn a\nbox\nLast 漢字\nOld box",
        ),
        (None, "1. Arrivals", "one | two"),
        (None, "1. Arrivals", "End"),
        (None, "", "TopLogo"),
        (None, "Footnotes", "Noted"),
        (None, "Endnotes", "Ended"),
    ]


def test_rtf_that_is_cut_off_is_read_as_far_as_it_goes():
    document = read(rb"{\rtf1 One\par Two {\b th", files.RTF)
    assert document.text == "One\nTwo th"
    assert document.unread == (Unread("damaged_file"),)
    sentence = "Nothing in this file was read: it is damaged; save it again and upload the result."
    assert answer(io.BytesIO(rb"{\rtf1 {\fonttbl"), files.RTF)["error"] == ["no_text", sentence]


def test_rtf_nested_deeply_is_read():
    deep = b"{" * 300_000 + b"word" + b"}" * 300_000
    assert read(b"{\\rtf1 " + deep + b" end}", files.RTF).text == "word end"


def test_a_word_with_its_reading_above_it_is_the_word():
    field = "\x13EQ \\* jc2 \\o\\ad(\\s\\up 9(きそく),規則)\x15"
    assert read(old.doc([(0, f"会社の{field}は")]), files.DOC).text == "会社の規則は"
