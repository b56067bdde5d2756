"""Office files from their XML, part by part, as the programs write them and as nobody should."""

from collections.abc import Mapping
from typing import Any

from tests.processing.files import zipped

OPC = "http://schemas.openxmlformats.org/package/2006"
OOXML = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
NAMESPACES = {
    "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "r": OOXML,
    "a": "http://schemas.openxmlformats.org/drawingml/2006/main",
    "p": "http://schemas.openxmlformats.org/presentationml/2006/main",
    "c": "http://schemas.openxmlformats.org/drawingml/2006/chart",
    "dgm": "http://schemas.openxmlformats.org/drawingml/2006/diagram",
    "wp": "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing",
    "xdr": "http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing",
    "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
    "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
    "v": "urn:schemas-microsoft-com:vml",
    "o": "urn:schemas-microsoft-com:office:office",
    "pic": "http://schemas.openxmlformats.org/drawingml/2006/picture",
}
DECLARED = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in NAMESPACES.items())
Part = tuple[str, str | bytes]  # the kind of its relation, its content


def word(body: str, parts: Mapping[str, Part] | None = None) -> bytes:
    """A document of this body; `parts` are those beside it: name -> (kind, XML). Their relation's
    id is their name.
    """
    return package(
        "word/document.xml", f"<w:document {DECLARED}><w:body>{body}</w:body></w:document>", parts
    )


def p(text: str = "", properties: str = "") -> str:
    """A paragraph of Word."""
    return f"<w:p><w:pPr>{properties}</w:pPr>{r(text) if text else ''}</w:p>"


def r(text: str, properties: str = "") -> str:
    """A run of Word."""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def tbl(*rows: str) -> str:
    return f"<w:tbl>{''.join(rows)}</w:tbl>"


def tr(*cells: str, properties: str = "") -> str:
    """A row of Word; a cell is its text, or its w:tc."""
    made = (c if c.startswith("<w:tc") else f"<w:tc>{p(c)}</w:tc>" for c in cells)
    return f"<w:tr><w:trPr>{properties}</w:trPr>{''.join(made)}</w:tr>"


def part(name: str, content: str) -> str:
    """A part's XML: its root element with all namespaces."""
    return f"<{name} {DECLARED}>{content}</{name}>"


def slides(*shapes: str, parts: Mapping[str, Part] | None = None) -> bytes:
    """A presentation of slides of these shapes; `parts` belong to the first one."""
    listed = "".join(f'<p:sldId id="{256 + n}" r:id="s{n}"/>' for n in range(len(shapes)))
    members: dict[str, str | bytes] = {}
    for number, shape in enumerate(shapes):
        tree = f"<p:cSld><p:spTree>{shape}</p:spTree></p:cSld>"
        members |= _part_members(
            f"ppt/slides/slide{number}.xml", part("p:sld", tree), parts if number == 0 else None
        )
    relations = {f"s{n}": ("slide", f"slides/slide{n}.xml") for n in range(len(shapes))}
    main = part("p:presentation", f"<p:sldIdLst>{listed}</p:sldIdLst>")
    return zipped(
        _root("ppt/presentation.xml") | {"ppt/presentation.xml": main,
        "ppt/_rels/presentation.xml.rels": rels(relations)} | members
    )  # fmt: skip


def sp(text: str, placeholder: str = "") -> str:
    """A shape of PowerPoint, a paragraph for each line."""
    kind = f'<p:ph type="{placeholder}"/>' if placeholder else ""
    lines = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n"))
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="2" name="x"/><p:cNvSpPr/><p:nvPr>{kind}</p:nvPr></p:nvSpPr>'
        f"<p:spPr/><p:txBody>{lines}</p:txBody></p:sp>"
    )


def frame(graphic: str, description: str = "") -> str:
    """A graphic of PowerPoint: a table, a chart, a diagram."""
    return (
        f'<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="9" name="g" descr="{description}"/>'
        f"<p:nvPr/></p:nvGraphicFramePr><a:graphic><a:graphicData>{graphic}</a:graphicData>"
        "</a:graphic></p:graphicFrame>"
    )


def workbook(
    sheets: Mapping[str, str],
    parts: Mapping[str, Part] | None = None,
    *,
    styles: str = "",
    strings: str = "",
    properties: str = "",
) -> bytes:
    """A workbook of sheets of this XML below their root; `parts` belong to the first one."""
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="s{n}"/>' for n, name in enumerate(sheets, 1)
    )
    relations = {
        f"s{n}": ("worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(sheets) + 1)
    }
    relations |= {"styles": ("styles", "styles.xml"), "strings": ("sharedStrings", "strings.xml")}
    members: dict[str, str | bytes] = {}
    for number, content in enumerate(sheets.values(), 1):
        members |= _part_members(
            f"xl/worksheets/sheet{number}.xml",
            spreadsheet("worksheet", content),
            parts if number == 1 else None,
        )
    return zipped(
        _root("xl/workbook.xml")
        | {
            "xl/workbook.xml": spreadsheet("workbook", f"{properties}<sheets>{listed}</sheets>"),
            "xl/_rels/workbook.xml.rels": rels(relations),
            "xl/styles.xml": spreadsheet("styleSheet", styles),
            "xl/strings.xml": spreadsheet("sst", strings),
        }
        | members
    )


def spreadsheet(name: str, content: str) -> str:
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<{name} xmlns="{namespace}" xmlns:r="{OOXML}">{content}</{name}>'


def rows(*values: list[Any], first: int = 1) -> str:
    """The cells of a sheet: texts and numbers; (number, style) for one with a format; XML."""
    made = []
    for number, row in enumerate(values, first):
        cells = (_cell(chr(65 + n), number, value) for n, value in enumerate(row))
        made.append(f'<row r="{number}">{"".join(cells)}</row>')
    return f"<sheetData>{''.join(made)}</sheetData>"


def _cell(column: str, row: int, value: Any) -> str:
    where = f'r="{column}{row}"'
    if isinstance(value, tuple):
        return f'<c {where} s="{value[1]}"><v>{value[0]}</v></c>'
    if isinstance(value, int | float):
        return f"<c {where}><v>{value}</v></c>"
    if str(value).startswith("<"):
        return f"<c {where}>{value}</c>"
    return (
        f'<c {where} t="inlineStr"><is><t>{value}</t></is></c>' if value else f'<c {where} s="1"/>'
    )


def package(main: str, content: str, parts: Mapping[str, Part] | None = None) -> bytes:
    return zipped(_root(main) | _part_members(main, content, parts))


def rels(relations: Mapping[str, tuple[str, str]]) -> str:
    """id -> (kind, target)"""
    made = "".join(
        f'<Relationship Id="{id}" Type="{OOXML}/{kind}" Target="{target}"/>'
        for id, (kind, target) in relations.items()
    )
    return f'<Relationships xmlns="{OPC}/relationships">{made}</Relationships>'


def _root(main: str) -> dict[str, str | bytes]:
    types = (
        f'<Types xmlns="{OPC}/content-types"><Default Extension="xml" ContentType="x/x"/></Types>'
    )
    return {"[Content_Types].xml": types, "_rels/.rels": rels({"d": ("officeDocument", main)})}


def _part_members(
    name: str, content: str, parts: Mapping[str, Part] | None
) -> dict[str, str | bytes]:
    folder, _, file = name.rpartition("/")
    members: dict[str, str | bytes] = {name: content}
    relations = {part: (kind, part) for part, (kind, _) in (parts or {}).items()}
    members[f"{folder}/_rels/{file}.rels"] = rels(relations)
    return members | {f"{folder}/{part}": data for part, (_, data) in (parts or {}).items()}


def chart(series: str, extra: str = "") -> str:
    return part(
        "c:chartSpace",
        f"<c:chart>{extra}<c:plotArea><c:barChart>{series}</c:barChart></c:plotArea></c:chart>",
    )


def ser(name: str, categories: list[str], values: list[float], code: str = "General") -> str:
    """A series of a chart."""

    def points(all: list[Any]) -> str:
        return "".join(f'<c:pt idx="{n}"><c:v>{v}</c:v></c:pt>' for n, v in enumerate(all))

    return (
        f"<c:ser><c:tx><c:strRef><c:strCache>{points([name])}</c:strCache></c:strRef></c:tx>"
        f"<c:cat><c:strRef><c:strCache>{points(categories)}</c:strCache></c:strRef></c:cat>"
        f"<c:val><c:numRef><c:numCache><c:formatCode>{code}</c:formatCode>{points(values)}"
        "</c:numCache></c:numRef></c:val></c:ser>"
    )


def diagram(*points: str) -> str:
    made = (
        f"<dgm:pt><dgm:t><a:p><a:r><a:t>{point}</a:t></a:r></a:p></dgm:t></dgm:pt>"
        for point in points
    )
    return part("dgm:dataModel", f"<dgm:ptLst>{''.join(made)}</dgm:ptLst>")
