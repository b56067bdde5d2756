"""The formats that are text with some order in it: what is read of them, and where it stands."""

import itertools
import json

import pytest

from formats.unread import sentence
from processing.errors import PermanentError
from processing.parsing import Unread
from tests.processing import files
from tests.processing.test_mail import mail
from tests.processing.test_parsing import parts, parts_of, read

# JSON


def test_json_is_read_below_its_names_and_lists_of_alike_objects_are_tables():
    value = {
        "name": "M\u00fcller",
        "orders": [{"id": 1, "sum": 2.50}, {"id": 2, "sum": None}],
        "deep": {"inner": [1, {"title": "Last", "is": True}]},
    }
    assert parts_of(json.dumps(value), files.JSON) == [
        (None, "", "name: Müller"),
        (None, "orders", "orders"),
        (None, "orders", "id | sum\n1 | 2.5\n2 |"),
        (None, "deep", "deep"),
        (None, "deep > inner", "inner\n- 1"),
        (None, "deep > inner > Last", "Last\ntitle: Last\nis: true"),
    ]


def test_json_lines_are_one_table():
    assert parts_of('{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n', files.JSON) == [
        (None, "", "a | b\n1 | x\n2 | y")
    ]


def test_numbers_in_json_are_as_they_are_written():
    long = "1" * 5_000
    assert (
        f"id: {long}\nprice: 1.10"
        in read(b'{"id": %s, "price": 1.10}' % long.encode(), files.JSON).text
    )


@pytest.mark.parametrize("text", ['{"a": 1, // no\n}', '{"cut": "of', "[" * 100_000 + "word"])
def test_what_is_no_json_is_plain_text(text):
    assert read(text.encode(), files.JSON).text == text


@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        ('{"a": "of', True),
        ('{"a": [1, 2', True),
        ('{"a": 1, "b"', True),
        ('[{"a": tr', True),
        ('{"a": 1}\n{"a":', True),
        ('{"a": 1, // no\n}', False),
        ("{'a': 1}", False),
        ("no JSON", False),
    ],
)
def test_json_that_breaks_off_is_said_to_be_damaged(text, is_cut):
    document = read(text.encode(), files.JSON)
    assert document.text == text
    assert document.unread == ((Unread("damaged_file"),) if is_cut else ())


def test_many_objects_do_not_have_a_section_each():
    value = [{"a": {"b": [n]}} for n in range(60_000)]
    document = read(json.dumps(value).encode(), files.JSON)
    assert len(document.sections) < 51_000
    assert "- 59999" not in document.text
    assert "b: 59999" in document.text


# XML


def test_xml_says_which_element_each_text_is_of():
    data = (
        '<!DOCTYPE c [<!ENTITY co "Acme &amp; Co">]><catalog xmlns="urn:x">'
        '<book id="bk1"><author>Ada</author><title>On <i>XML</i> here</title></book>'
        '<book id="bk2"><by>&co;</by><!-- no --></book><end><note>Last</note></end></catalog>'
    )
    assert parts_of(data, files.XML) == [
        (
            None,
            "catalog > book",
            "book (id: bk1)\nauthor: Ada\ntitle: On XML here\nbook (id: bk2)\nby: Acme & Co",
        ),
        (None, "catalog > end", "note: Last"),
    ]


def test_an_xml_bomb_does_not_grow_and_no_file_is_fetched():
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]><x><a>word</a><b>&l11;</b></x>'
    assert "word" in read(bomb.encode(), files.XML).text
    outside = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x><a>word</a><b>&f;</b></x>'
    assert read(outside.encode(), files.XML).text == "a: word"


def test_xml_that_is_cut_off_is_read_as_far_as_it_goes():
    document = read(b"<a><b>One</b><c>Two</c><d>Th", files.XML)
    assert "b: One\nc: Two" in document.text
    assert document.unread == (Unread("damaged_file"),)


# YAML


def test_yaml_stays_as_it_is_below_its_names():
    text = (
        "# All of it\nserver:\n  host: example.org\n  ports:\n    - 80\n  text: |\n    foo: bar\n"
        "clients:\n- name: Ada\n"
    )
    assert parts_of(text, files.YAML) == [
        (None, "", "# All of it"),
        (None, "server", "server:\n  host: example.org"),
        (None, "server > ports", "ports:\n    - 80"),
        (None, "server > text", "text: |\n    foo: bar"),
        (None, "clients", "clients:\n- name: Ada"),
    ]


def test_a_yaml_bomb_stays_as_it_is():
    bomb = "a: &a [x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{above}'] * 9)}]\n"
        for above, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert len(read(bomb.encode(), files.YAML).text) < 2 * len(bomb)


# Markup


def test_restructured_text_has_the_headings_of_its_rules():
    text = (
        "=====\nTitle\n=====\n\n.. a comment\n   of two lines\n\nText.\n\nPart\n----\n\n"
        ".. note:: Said\n\nSmall\n~~~~~\n\nMore.\n\nPart two\n--------\n\na  b\n== ==\nc  d\n"
    )
    assert parts_of(text, files.RST) == [
        (None, "Title", "=====\nTitle\n=====\n\nText."),
        (None, "Title > Part", "Part\n----\n\n.. note:: Said"),
        (None, "Title > Part > Small", "Small\n~~~~~\n\nMore."),
        (None, "Title > Part two", "Part two\n--------\n\na  b\n== ==\nc  d"),
    ]


def test_asciidoc_has_headings_but_not_in_blocks_of_code():
    text = "= Doc\n\n== One\n\n// gone\nText\n\n----\n== code\n----\n\n////\ngone\n////\n=== Two\nx"
    assert parts_of(text, files.ASCIIDOC) == [
        (None, "Doc", "= Doc"),
        (None, "Doc > One", "== One\n\nText\n\n----\n== code\n----"),
        (None, "Doc > One > Two", "=== Two\nx"),
    ]


def test_pictures_in_texts_are_no_words_and_are_said():
    picture = "data:image/png;base64,iVBORw0KGgo="
    for content_type, text in (
        (files.RST, f"A\\_b \\| c\n=========\n\n.. image:: {picture}\n\nText"),
        (files.ASCIIDOC, f"= A_b | *c*\n\nimage::{picture}[]\n\nText"),
    ):
        document = read(text.encode(), content_type)
        assert document.sections[0].heading == "A_b | c"
        assert "base64" not in document.text
        assert document.text.endswith("Text")
        assert document.unread == (Unread("picture"),)


def test_signs_in_a_heading_are_no_marks_unless_they_are_two():
    text = "== C# and snake_case\n\nx\n\n== The `a_b` of **bold** [[id]]F#\n\ny"
    assert [heading for _, heading, _ in parts_of(text, files.ASCIIDOC)] == [
        "C# and snake_case",
        "The a_b of bold F#",
    ]


def test_tex_is_read_as_it_is_printed():
    text = r"""\documentclass{article}
\usepackage[utf8]{inputenc} \title{Gr\"o\ss e} \author{Ada}
\begin{document}\maketitle
\section{Erste \emph{Sache}} % gone
M\"uller, na\"{\i}ve \v{C}apek, $a^2$ \cite{x}: 100\,\% sicher.
\begin{tabular}{l|r} a & b \\ c & d \\ \end{tabular}
\begin{verbatim}
x = \alpha % kept
\end{verbatim}
\subsection*{Two}
\begin{itemize}\item eins\footnote{Note}\item zwei\end{itemize}
\end{document} gone"""
    assert parts_of(text, files.TEX) == [
        (None, "", "Größe\nAda"),
        (None, "Erste Sache", "Erste Sache"),
        (
            None,
            "Erste Sache",
            "Müller, naïve Čapek, $a^2$ : 100 % sicher.\n\na | b\nc | d\n\nx = \\alpha % kept",
        ),
        (None, "Erste Sache > Two", "Two"),
        (None, "Erste Sache > Two", "- eins Note\n- zwei"),
    ]


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        (r"\verb|a_%b| \lstinline!x{!", "a_%b x{"),
        (r"\begin{comment}no\end{comment}a\iffalse no \fi b", "a b"),
        (r"\begin{figure}\includegraphics[width=2cm]{plot}\caption{Sales}\end{figure}", "Sales"),
        (r"\textcolor{red}{Stop} \colorbox{blue}{go} \parbox{2cm}{on}", "Stop go on"),
        (r"\multicolumn{2}{|c|}{Both} & C", "Both | C"),
        (r"\multirow{2}{*}{Two} & x", "Two | x"),
        (r"\begin{minipage}[t]{0.5\textwidth}In it\end{minipage}", "In it"),
        (r"\begin{align} a &= b \label{e} \end{align}", "a = b"),
        (r"\begin{description}\item[Term] means\end{description}", "- Term means"),
        (r"word\footnote[2]{Note} end\footnotemark", "word Note end"),
        (r"\reflectbox{R} \indexed x", "R x"),
    ],
)  # fmt: skip
def test_what_tex_does_not_print_is_left_out_and_words_stay_apart(source, printed):
    document = read(rf"\begin{{document}}{source}\end{{document}}".encode(), files.TEX)
    assert document.text == printed


def test_a_notebook_is_its_cells_in_order_with_what_they_wrote():
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "Text"]},
        {
            "cell_type": "code",
            "source": "print(1)",
            "outputs": [
                {"output_type": "stream", "text": ["1\n"]},
                {"data": {"image/png": "xx", "text/plain": "<Figure>"}},
                {"data": {"text/html": "<table><tr><th>a<th>b<tr><td>1<td>2</table>"}},
                {"output_type": "error", "traceback": ["\x1b[0;31mBroken\x1b[0m"]},
            ],
        },
    ]
    document = read(json.dumps({"cells": cells}).encode(), files.NOTEBOOK)
    assert parts(document) == [
        (None, "Title", "# Title\nText"),
        (None, "Title", "print(1)"),
        (None, "Title", "1"),
        (None, "Title", "a | b\n1 | 2"),
        (None, "Title", "Broken"),
    ]
    assert document.unread == (Unread("picture"),)


def test_the_lines_of_an_early_notebook_have_no_ends():
    cells = [
        {"cell_type": "markdown", "source": ["# Title", "", "Text"]},
        {"cell_type": "code", "input": ["a = 1", "b = 2"], "outputs": [{"text": ["1", "2"]}]},
    ]
    notebook = {"nbformat": 2, "worksheets": [{"cells": cells}]}
    document = read(json.dumps(notebook).encode(), files.NOTEBOOK)
    assert [text for _, _, text in parts(document)] == ["# Title\n\nText", "a = 1\nb = 2", "1\n2"]


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', "[" * 100_000])
def test_a_broken_notebook_is_refused(text):
    with pytest.raises(PermanentError, match="damaged or not what its name says"):
        read(text.encode(), files.NOTEBOOK)


# Subtitles


def test_subtitles_are_cited_by_their_minute():
    text = (
        "1\r\n00:00:01,000 --> 00:00:02,000\r\n<i>Hello</i> there\r\n\r\n"
        "2\r\n00:01:05,000 --> 00:01:07,000\r\n{\\an8}Second\r\nline\r\n\r\n"
        "3\r\n01:00:00,000 --> 01:00:01,000\r\nLast\r\n"
    )
    assert parts_of(text, files.SRT) == [
        (None, "00:00:00", "Hello there"),
        (None, "00:01:00", "Second\nline"),
        (None, "01:00:00", "Last"),
    ]


def test_webvtt_names_who_speaks_and_says_rolling_lines_once():
    text = (
        "WEBVTT - x\n\nNOTE gone\nx\n\nSTYLE\n::cue {}\n\nid\n00:01.000 --> 00:02.000 align:start\n"
        "<v.loud Ada>Hi &amp; ho\n\n00:02.000 --> 00:03.000\nAda: Hi &amp; ho\n"
        "and <00:02.5><c>on</c>\n"
    )
    assert parts_of(text, files.VTT) == [(None, "00:00:00", "Ada: Hi & ho\nand on")]


# XHTML


def test_xhtml_closes_its_elements_itself():
    page = (
        '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head>'
        '<title/><script src="x"/></head><body><p>First<a id="x"/></p><div/><p>Last</p>'
        "</body></html>"
    )
    assert read(page.encode(), "application/xhtml+xml").text == "First\n\nLast"


# Letters


def test_letters_that_cannot_be_told_are_in_the_report_once():
    data = "Grüße ".encode() * 9 + b"\xff\xfe ! \xff"
    document = read(data, files.TEXT)
    lost = document.text.count("\ufffd")
    assert lost > 1
    assert document.unread == (Unread("lost_letter", count=lost),)
    assert sentence("lost_letter", "", 2) == "2 letters could not be told and stand as \ufffd."
    assert read(mail(a_txt=data), files.EML).unread == (Unread("lost_letter", count=lost),)


def test_what_colours_a_terminal_is_no_part_of_the_words():
    log = "\x1b[32mINFO\x1b[0m started\n\x1b[1;31mERROR\x1b[m \x1b]0;title\x07failed\n"
    assert read(log.encode(), "text/x-log").text == "INFO started\nERROR failed"


def test_letters_that_are_struck_over_each_other_are_there_once():
    page = b"N\x08NA\x08AM\x08ME\x08E\n     _\x08l_\x08s \x08lists\n\x08"
    assert read(page, files.TEXT).text == "NAME\n     lslists"


def test_commands_that_a_tex_file_makes_say_what_they_stand_for():
    source = r"""\newcommand{\tool}{Lumi\-Tool}\def\both{\tool{} and \emph{more}}
    \newcommand{\shout}[1]{#1!}\title{On \tool}
    \begin{document}We use \tool{} here, \both; \shout{loud}. \toolbox\end{document}"""
    document = read(source.encode(), files.TEX)
    assert document.text == "On LumiTool\n\nWe use LumiTool here, LumiTool and more; loud."
    letters = "abcdefghijklmnopqrst"
    bomb = "".join(
        rf"\def\{letter}{{" + rf"\{before}" * 10 + "}"
        for before, letter in itertools.pairwise(letters)
    )
    many = rf"\def\a{{{'ha' * 20}}}{bomb}" + r"\begin{document}x " + r"\t " * 1000
    assert len(read(many.encode(), files.TEX).text) < 300_000


@pytest.mark.parametrize(
    ("content_type", "source"),
    [
        (files.TEX, r"\section{A} text \input{one} \include{two} \includegraphics{p}"),
        (files.ASCIIDOC, "= A\n\ntext\n\ninclude::one.adoc[]\n\ninclude::two.adoc[]\n"),
        (files.RST, "A\n=\n\ntext\n\n.. include:: one.rst\n\n.. include:: two.rst\n"),
    ],
)
def test_the_files_that_a_text_names_as_its_parts_are_said(content_type, source):
    assert read(source.encode(), content_type).unread == (Unread("included_file", "", 2),)


EVENT = (
    "BEGIN:VCALENDAR\r\nBEGIN:VTIMEZONE\r\nTZNAME:CET\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\n"
    "DTSTART;TZID=Europe/Berlin:20240105T100000\r\nDTEND:20240105T110000Z\r\n"
    "SUMMARY:Team meeting\\, weekly\r\nDESCRIPTION:One\\nTwo \r\n long\r\n er\r\n"
    'ATTENDEE;CN="Bob, B.";RSVP=TRUE:mailto:b@x.org\r\nUID:secret\r\n'
    "BEGIN:VALARM\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
CONTACTS = (
    "BEGIN:VCARD\nN:Hopper;Grace;;;\nFN:Grace Hopper\nitem1.TEL;TYPE=work:+1 555\nORG:Navy;Code\n"
    "PHOTO;ENCODING=b:AAAA\n BBBB\nEND:VCARD\nBEGIN:VCARD\nVERSION:2.1\n"
    "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Gr=C3=\n=B6=C3=9Fe;J\nEND:VCARD\n"
)


def test_calendars_and_contacts_are_read_as_their_programs_show_them():
    assert parts_of(EVENT, "text/calendar") == [
        (
            None,
            "Team meeting, weekly",
            "Begin: 2024-01-05 10:00\nEnd: 2024-01-05 11:00 UTC\nTeam meeting, weekly\nOne\n"
            "Two longer\nAttendee: Bob, B. <b@x.org>",
        )
    ]
    assert parts_of(CONTACTS, "text/vcard") == [
        (
            None,
            "Hopper, Grace",
            "Hopper, Grace\nGrace Hopper\nPhone: +1 555\nOrganization: Navy, Code",
        ),
        (None, "Größe, J", "Größe, J"),
    ]
