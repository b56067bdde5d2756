"""Tables of every format: what is stored of them, and what each row knows of its place."""

import itertools

import pytest

from processing.chunking import Piece, split
from processing.parsing import ParsedDocument
from processing.parsing.draft import Draft
from processing.parsing.tables import (
    ABOVE,
    LEFT,
    MAX_CONTEXT_CHARS,
    MAX_NAME_CHARS,
    add_table,
    column_names,
)


def table(*rows, **options) -> ParsedDocument:
    draft = Draft()
    add_table(draft, rows, **options)
    return draft.finish("nothing")


def sections(document: ParsedDocument) -> list[tuple[str, str]]:
    return [(document.text[s.start : s.end], s.context) for s in document.sections]


def the_passage_with(document: ParsedDocument, words: str) -> Piece:
    (found,) = (piece for piece in split(document) if words in piece.text)
    return found


def test_every_cell_keeps_its_place_also_an_empty_one():
    document = table(["Pump", "Installed", "Retired"], ["P-1", "", "1999"], ["P-2", "1998", ""])
    assert document.text == "Pump | Installed | Retired\nP-1 |  | 1999\nP-2 | 1998 |"


def test_empty_columns_beyond_the_named_ones_are_no_cells():
    assert table(["A", "B", "", ""], ["x", "1", "", ""]).text == "A | B\nx | 1"


def test_the_last_row_of_a_long_table_knows_its_columns_and_nothing_is_stored_twice():
    rows = [[f"Depot {n:03}", "2024" if n % 2 else "", str(n)] for n in range(400)]
    document = table(["Site", "Since", "Litres"], *rows)
    assert document.text.count("Litres") == 1
    last = the_passage_with(document, "Depot 399")
    assert last.context == "Site | Since | Litres"
    assert last.text.endswith("Depot 399 | 2024 | 399")
    first = the_passage_with(document, "Depot 000")
    assert first.context == ""  # it has the header itself
    assert all(document.text[p.start : p.end] == p.text for p in split(document))


@pytest.mark.parametrize(
    ("first", "below", "is_header"),
    [
        (["Site", "2022", "2023"], ["Depot", "17", "18"], True),
        (["", "2022/23", "2023/24"], ["Depot", "17", "18"], True),
        (["Site", "2024-01-01", "2024-02-01"], ["Depot", "17", "18"], True),
        (["Task", "2024-01-01", "2024-02-01"], ["Roof", "2024-03-01", "2024-04-01"], False),
        (["Week", "1", "2", "3"], ["Depot", "17", "18", "19"], True),
        (["Depot", "17", "40", "19"], ["Station", "17", "18", "19"], False),
        (["1", "2", "3"], ["4", "5", "6"], False),
        (["Person", "Town", "Role"], ["Ada", "London", "porter"], True),
        (["Ada", "London", "porter"], ["Bob", "London", "guard"], False),
        (["Ada", "London"], ["Bob", "York"], False),
        (["Name:", "Ada"], ["Born:", "1815"], False),
        (["Name", "Name"], ["Ada", "1815"], False),
        (["Item", "Price"], ["Nail", "€ 1,234.50"], True),
    ],
)
def test_the_first_row_names_the_columns_when_the_values_speak_for_it(first, below, is_header):
    (section,) = table(first, below).sections
    assert section.context == (" | ".join(first).strip() if is_header else "")


def test_a_format_that_says_how_many_rows_are_header_is_believed():
    assert table(["Ada", "London"], ["Bob", "York"], header=1).sections[0].context == "Ada | London"
    assert table(["Item", "Price"], ["Nail", "1"], header=0).sections[0].context == ""


def test_names_of_several_rows_are_put_together():
    rows = [
        ["Sales by region", LEFT, LEFT, LEFT, LEFT],
        ["Region", "2023", LEFT, "2024", LEFT],
        [ABOVE, "Q1", "Q2", "Q1", "Q2"],
        ["North", "1", "2", "3", "4"],
    ]
    document = table(*rows)
    assert document.text == (
        "Sales by region\nRegion | 2023 |  | 2024 |\n| Q1 | Q2 | Q1 | Q2\nNorth | 1 | 2 | 3 | 4"
    )
    assert document.sections[0].context == "Region | 2023 Q1 | 2023 Q2 | 2024 Q1 | 2024 Q2"
    assert column_names(rows[:3]) == ["Region", "2023 Q1", "2023 Q2", "2024 Q1", "2024 Q2"]


def test_a_cell_over_several_rows_is_stored_once_and_known_to_all_of_them():
    rows = [["Castle" if n == 0 else ABOVE, f"Visitor {n}", str(n)] for n in range(200)]
    document = table(["Place", "Who", "Fee"], *rows, ["Museum", "Nobody", "0"])
    assert document.text.count("Castle") == 1
    late = the_passage_with(document, "Visitor 150")
    assert set(late.context.split("\n")) == {"Castle", "Place | Who | Fee"}
    assert document.sections[-1].context == "Place | Who | Fee"


def test_each_part_of_a_wide_row_knows_whose_it_is_and_its_own_columns():
    names = ["Respondent", *(f"Question {n}" for n in range(1, 201))]
    rows = [[f"Respondent R{r}", *(str((r * n) % 5) for n in range(1, 201))] for r in range(9)]
    document = table(names, *rows)
    lines = document.text.split("\n")
    assert lines[4] == " | ".join(rows[3])  # one line, whatever its sections
    for text, context in sections(document)[1:]:
        assert len(context) <= MAX_CONTEXT_CHARS + 2 * MAX_NAME_CHARS
        whose, *_, columns = context.split("\n")
        if text.startswith("Respondent"):  # the column with the names
            continue
        asked = [int(name.removeprefix("Question ")) for name in columns.split(" | ")]
        respondent = int(whose.removeprefix("Respondent R"))
        values = text.removesuffix(" |").split(" | ")
        assert values == [str((respondent * n) % 5) for n in asked]
    found = [p for p in split(document) if "Question 150" in p.context and "R3" in p.context]
    assert len(found) == 1


def test_empty_cells_of_a_wide_row_do_not_shift_its_values():
    names = [f"A rather long name of column {n}" for n in range(60)]
    row = ["Me", *[""] * 45, "here", *[""] * 13]
    document = table(names, row, header=1)
    assert document.text.split("\n")[1].split(" | ").index("here") == 46
    (context,) = (context for text, context in sections(document) if "here" in text)
    whose, columns = context.split("\n")
    text = next(text for text, _ in sections(document) if "here" in text)
    assert whose == "Me"
    assert columns.split(" | ")[text.split(" | ").index("here")] == names[46]


def test_a_long_text_in_a_cell_is_cut_off_from_the_others_and_still_theirs():
    report = "The valve was opened and closed. " * 200
    rows = [[str(n), f"Visit {n}", "Ada", report if n == 5 else "ok"] for n in range(9)]
    document = table(["No", "Visit", "By", "Report"], *rows)
    late = [piece for piece in split(document) if "valve" in piece.text][2:]
    assert len(late) > 3
    assert all("Visit 5" in piece.context and "Report" in piece.context for piece in late)
    assert "Visit 5" not in the_passage_with(document, "Visit 8").context


def test_an_empty_row_begins_a_table_with_columns_of_its_own_or_goes_on():
    document = table(
        ["Part", "Count"], ["Screw", "4"], [], ["Nut", "5"], ["", ""], ["Who", "Age", "Pay"],
        ["Ada", "36", "7"],
    )  # fmt: skip
    assert [context for _, context in sections(document)] == ["Part | Count", "Who | Age | Pay"]
    assert document.text.endswith("Nut | 5\nWho | Age | Pay\nAda | 36 | 7")


def test_rows_may_come_one_by_one_and_without_end_in_sight():
    drawn = itertools.count()
    draft = Draft()
    add_table(draft, ([f"row {next(drawn)}", "1"] for _ in range(50_000)))
    assert draft.finish("nothing").text.endswith("row 49999 | 1")
