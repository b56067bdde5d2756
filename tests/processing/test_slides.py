"""PPTX: what a person reads on a slide, and what is not read said."""

import pytest

from processing.chunking import split
from processing.parsing.model import Unread
from tests.processing import files
from tests.processing.office import chart, diagram, frame, part, rels, ser, slides, sp
from tests.processing.test_parsing import parts, parts_of, read

PICTURE = '<p:pic><p:nvPicPr><p:cNvPr id="3" name="p" descr="{}"/><p:cNvPicPr/><p:nvPr>{}</p:nvPr></p:nvPicPr></p:pic>'


def cell(text: str, attributes: str = "") -> str:
    return f"<a:tc {attributes}><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"


def table(*rows: list[str], named: bool = True) -> str:
    made = "".join(
        f"<a:tr>{''.join(c if c.startswith('<') else cell(c) for c in row)}</a:tr>" for row in rows
    )
    return frame(f'<a:tbl><a:tblPr firstRow="{int(named)}"/>{made}</a:tbl>')


def test_a_long_title_is_cited_in_short_and_read_whole():
    title = "The turbine " + "and its parts " * 30 + "last"
    document = read(slides(sp(title, "title") + sp("Body")), files.PPTX)
    assert document.text == f"{title}\n\nBody"
    assert len(document.sections[0].heading) <= 200


def test_a_picture_in_the_place_of_the_title_is_none():
    shapes = PICTURE.format("", '<p:ph type="title"/>') + sp("The turbine is inspected.")
    assert parts_of(slides(shapes), files.PPTX) == [(1, "", "The turbine is inspected.")]


def test_alternatives_groups_and_formulas_are_read_once():
    box = sp("harvest by area")
    both = f"<mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    formula = sp("").replace(
        "<a:r><a:t></a:t></a:r>", "<a:m><m:oMath><m:r><m:t>x=1</m:t></m:r></m:oMath></a:m>"
    )
    group = f"<p:grpSp><p:nvGrpSpPr><p:nvPr/></p:nvGrpSpPr>{both}<p:grpSp>{sp('inner')}</p:grpSp></p:grpSp>"
    assert parts_of(slides(group + formula), files.PPTX) == [(1, "", "harvest by area\ninner\nx=1")]


def test_diagrams_and_charts_are_read():
    parts_ = {
        "d.xml": ("diagramData", diagram("Supervisor", "Board")),
        "c.xml": (
            "chart",
            chart(
                ser("2024", ["North", "South"], [19.2, 1])
                + ser("2025", ["North", "South"], [7, 8]),
                "<c:title><c:tx><c:rich><a:p><a:r><a:t>Yield</a:t></a:r></a:p></c:rich></c:tx></c:title>",
            ),
        ),
    }
    shapes = frame('<dgm:relIds r:dm="d.xml"/>') + frame('<c:chart r:id="c.xml"/>', "By region")
    document = read(slides(shapes, parts=parts_), files.PPTX)
    assert document.text == (
        "Supervisor\nBoard\nBy region\nYield\n\n| 2024 | 2025\nNorth | 19.2 | 7\nSouth | 1 | 8"
    )
    assert document.sections[-1].context == "| 2024 | 2025"


def test_what_stands_on_every_slide_is_read_once():
    repeated = sp("Meridian Ltd", "ftr") + sp("1", "sldNum") + sp("12 May", "dt")
    one, two = sp("One", "title") + repeated, sp("Two", "title") + repeated
    assert parts_of(slides(one, two), files.PPTX) == [
        (1, "One", "One\n\nMeridian Ltd\n12 May"), (2, "Two", "Two"),
    ]  # fmt: skip


def test_what_the_master_writes_is_read_and_its_prompts_are_not():
    shapes = sp("Confidential") + sp("Click to edit", "title")
    master = part("p:sldMaster", f"<p:cSld><p:spTree>{shapes}</p:spTree></p:cSld>")
    layout = part("p:sldLayout", "<p:cSld><p:spTree/></p:cSld>")
    data = slides(
        sp("Body"), parts={"layout.xml": ("slideLayout", layout), "master.xml": ("x", master)}
    )
    data = files.with_member(
        data, "ppt/slides/_rels/layout.xml.rels", rels({"m": ("slideMaster", "master.xml")})
    )
    assert parts_of(data, files.PPTX) == [(1, "", "Body\nConfidential")]


def test_notes_and_comments_belong_to_their_slide():
    tree = f"<p:cSld><p:spTree>{sp('Speak slowly', 'body')}{sp('4', 'sldNum')}</p:spTree></p:cSld>"
    parts_ = {
        "n.xml": ("notesSlide", part("p:notes", tree)),
        "c.xml": ("comments", part("p:cmLst", "<p:cm><p:text>Is this so?</p:text></p:cm>")),
    }
    assert parts_of(slides(sp("Body"), parts=parts_), files.PPTX) == [
        (1, "", "Body\n\nNotes: Speak slowly\n\nComment: Is this so?")
    ]


def test_a_late_row_of_a_table_on_a_slide_knows_its_columns_and_merged_cells():
    rows = [[f"P-{n}", "", "winter"] for n in range(150)]
    north = [cell("North", 'rowSpan="2"'), cell("wide", 'gridSpan="2"'), cell("", 'hMerge="1"')]
    below = [cell("", 'vMerge="1"'), "1", "2"]
    document = read(
        slides(table(["Pump", "Installed", "Retired"], *rows, north, below)), files.PPTX
    )
    late = next(piece for piece in split(document) if "P-140" in piece.text)
    assert (late.context, late.page) == ("Pump | Installed | Retired", 1)
    assert document.text.endswith("North | wide |\n| 1 | 2")
    assert document.sections[-1].context == "North\nPump | Installed | Retired"


def test_what_is_not_read_is_said():
    film = PICTURE.format("", '<a:videoFile r:link="x"/>')
    document = read(
        slides(sp("Text") + film + frame("<p:oleObj/>"), PICTURE.format("A cat.", ""), PICTURE.format("", "")),
        files.PPTX,
    )  # fmt: skip
    assert document.unread == (
        Unread("image_page", "pages 2, 3", 2), Unread("recording", "slide 1"),
        Unread("embedded_file", "slide 1"),
    )  # fmt: skip
    assert parts(document) == [(1, "", "Text"), (2, "", "A cat.")]


@pytest.mark.parametrize("kind", ["slideshow.main", "template.main", "slideshow.macroEnabled.main"])
def test_slide_shows_and_templates_are_presentations(kind):
    types = (
        f'<Types><Override PartName="/ppt/presentation.xml" ContentType="x/{kind}+xml"/></Types>'
    )
    data = files.with_member(slides(sp("Goals")), "[Content_Types].xml", types)
    assert parts_of(data, files.PPTX) == [(1, "", "Goals")]


def test_a_slide_that_is_not_there_is_left_out():
    data = slides(sp("One"), sp("Two"))
    relations = rels({"s0": ("slide", "slides/NULL"), "s1": ("slide", "slides/slide1.xml")})
    data = files.with_member(data, "ppt/_rels/presentation.xml.rels", relations)
    assert [text for _, _, text in parts_of(data, files.PPTX)] == ["Two"]


def test_paragraphs_have_the_numbers_that_are_drawn_and_powers_are_powers():
    def item(text: str, kind: str, attributes: str = "") -> str:
        rule = f'<a:pPr {attributes}><a:buAutoNum type="{kind}"/></a:pPr>'
        return f"<a:p>{rule}<a:r><a:t>{text}</a:t></a:r></a:p>"

    raised = (
        '<a:p><a:r><a:t>10</a:t></a:r><a:r><a:rPr baseline="30000"/><a:t>6</a:t></a:r>'
        '<a:r><a:t> H</a:t></a:r><a:r><a:rPr baseline="-25000"/><a:t>2</a:t></a:r></a:p>'
    )
    body = (
        item("one", "arabicPeriod") + item("sub", "alphaLcParenR", 'lvl="1"')
        + item("two", "arabicPeriod") + "<a:p><a:r><a:t>plain</a:t></a:r></a:p>"
        + item("anew", "arabicPeriod") + item("x", "romanUcParenBoth", 'lvl="1"') + raised
    )  # fmt: skip
    shape = sp("@").replace("<a:p><a:r><a:t>@</a:t></a:r></a:p>", body)
    assert parts_of(slides(shape), files.PPTX)[0][2].splitlines() == [
        "1. one", "a) sub", "2. two", "plain", "1. anew", "(I) x", "10^6 H2",
    ]  # fmt: skip
