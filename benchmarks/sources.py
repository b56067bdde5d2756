"""Documents as people write them, in OpenDocument's one XML file, of which LibreOffice makes those
of other formats: notes, comments, headers, boxes, merged cells, numbers, formulas, charts, changes
that are tracked, hidden things, letters of many languages; and long ones.
"""

from collections.abc import Iterable, Sequence

from tests.processing.files import open_document

LANGUAGES = {
    "ar": "تصل الشحنة إلى الميناء صباح يوم الأحد ومعها ٢٥ صندوقا",
    "he": "המשלוח מגיע לנמל ביום ראשון בבוקר עם 25 ארגזים",
    "fa": "محموله صبح یکشنبه با ۲۵ جعبه به بندر می‌رسد",
    "zh": "货物星期天早上到达港口，共二十五箱。",
    "ja": "貨物は日曜日の朝、二十五箱で港に着きます。",
    "ko": "화물은 일요일 아침에 항구에 도착합니다",
    "ru": "Груз прибывает в порт в воскресенье утром, двадцать пять ящиков",
    "el": "Το φορτίο φτάνει στο λιμάνι την Κυριακή το πρωί",
    "hi": "माल रविवार की सुबह बंदरगाह पहुँचता है",
    "th": "สินค้าจะมาถึงท่าเรือในเช้าวันอาทิตย์",
    "vi": "Hàng sẽ đến cảng vào sáng Chủ nhật với hai mươi lăm thùng",
    "tr": "Yük pazar sabahı yirmi beş sandıkla limana ulaşır, İSTANBUL ığdır",
    "de": "Die Ladung trifft am Sonntag früh ein: 25 Kisten, Größe „süß“ – 3,50 €",
    "pl": "Ładunek przybywa do portu w niedzielę rano, źdźbło żółć",
    "signs": "𝛼 ≤ β ± ½ × 10⁶ µm, 20 °C → ∞, 👩‍🔬 😀, naïve café",
}
STORY = (
    "The harbour master kept a ledger of every crate that came ashore, and in the winter of the "
    "flood he wrote down number {n} with its weight of {n}.{r} kilograms, the name of its owner "
    "and the berth where the steamer lay."
)
Rows = Iterable[Sequence[object]]


def texts() -> dict[str, bytes]:
    """name -> an FODT."""
    languages = "".join(_h(1, tag) + _p(said) for tag, said in LANGUAGES.items())
    long = "".join(
        _h(1, f"Chapter {n}") + "".join(_p(_story(n * 9 + line)) for line in range(9))
        for n in range(60)
    )
    return {
        "report": _file("text", _REPORT, _STYLES),
        "languages": _file("text", languages),
        "tables": _file("text", _TABLES),
        "things": _file("text", _THINGS, _GONE),
        "long": _file("text", long, _STYLES),
    }


def sheets() -> dict[str, bytes]:
    """name -> an FODS."""
    stock = [["Part", "Berth", "Count"], *([f"Crate {n}", f"B{n % 7}", n] for n in range(3000))]
    made = {
        "numbers": (_table("Numbers", "".join(map(_number, _NUMBERS))), _FORMATS),
        "merged": (_MERGED, _GONE),
        "languages": (_table("Sprachen 語", _rows(LANGUAGES.items())),),
        "long": (_table("Stock", _rows(stock)) + _table("Second", _rows([["Total", 44985]])),),
        "things": (_SHEET_THINGS,),
    }
    return {name: _file("spreadsheet", *parts) for name, parts in made.items()}


def slides() -> dict[str, bytes]:
    """name -> an FODP."""
    made = {
        "usual": _slide("Harbour plan", _box(_list("Cranes", "Berths", "Tides")), "Say it slowly")
        + _slide("Second", _box(_p("Two") + _p("lines and a number 42")), "And this aside"),
        "tables": _slide("Prices", _framed(_table("T", _rows([["Part", "Count"], ["Screw", 4]])))),
        "languages": "".join(_slide(tag, _box(_p(said))) for tag, said in LANGUAGES.items()),
        "shapes": _slide("Shapes", _SHAPES),
        "long": "".join(_slide(f"Berth {n}", _box(_p(_story(n)))) for n in range(60)),
    }
    return {name: _file("presentation", body, _PLACES) for name, body in made.items()}


def _file(kind: str, body: str, before: str = "") -> bytes:
    declared = b'<?xml version="1.0" encoding="UTF-8"?>\n'  # else LibreOffice takes it for a text
    return declared + open_document(kind, body, before=before, flat=True)


# Words and lines


def _story(n: int) -> str:
    return STORY.format(n=n, r=n % 9)


def _p(text: str) -> str:
    return f"<text:p>{text}</text:p>"


def _h(level: int, text: str) -> str:
    return f'<text:h text:outline-level="{level}">{text}</text:h>'


def _list(*texts: str, style: str = "") -> str:
    items = "".join(f"<text:list-item>{_p(text)}</text:list-item>" for text in texts)
    return f'<text:list text:style-name="{style}">{items}</text:list>'


def _note(kind: str, sign: str, text: str) -> str:
    return (
        f'<text:note text:note-class="{kind}"><text:note-citation>{sign}</text:note-citation>'
        f"<text:note-body>{_p(text)}</text:note-body></text:note>"
    )


_DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
_WRITER = f"<dc:creator {_DC}>Ada</dc:creator><dc:date {_DC}>2026-11-29T10:00:00</dc:date>"


def _comment(text: str) -> str:
    return f"<office:annotation>{_WRITER}{_p(text)}</office:annotation>"


_AT = 'svg:x="2cm" svg:y="3cm" svg:width="20cm" svg:height="8cm"'


def _framed(inner: str) -> str:
    return f"<draw:frame {_AT}>{inner}</draw:frame>"


def _box(inner: str) -> str:
    return _framed(f"<draw:text-box>{inner}</draw:text-box>")


# Tables


def _cell(text: object, attributes: str = "", more: str = "") -> str:
    is_number = isinstance(text, int)
    value = f'float" office:value="{text}' if is_number else "string"
    attributes += f' office:value-type="{value}"'
    return f"<table:table-cell {attributes}>{_p(str(text))}{more}</table:table-cell>"


def _row(*cells: str, attributes: str = "") -> str:
    return f"<table:table-row {attributes}>{''.join(cells)}</table:table-row>"


def _rows(rows: Rows) -> str:
    return "".join(_row(*map(_cell, row)) for row in rows)


def _table(name: str, rows: str, columns: int = 3) -> str:
    return (
        f'<table:table table:name="{name}"><table:table-column '
        f'table:number-columns-repeated="{columns}"/>{rows}</table:table>'
    )


_COVERED = "<table:covered-table-cell/>"
_WIDE, _HIGH = 'table:number-columns-spanned="2"', 'table:number-rows-spanned="2"'
_TABLES = (
    _h(1, "Tariffs")
    + _table(
        "A",
        f"<table:table-header-rows>{_row(_cell('Berth'), _cell('Season', _WIDE), _COVERED)}"
        f"</table:table-header-rows>{_row(_cell('North', _HIGH), _cell('Summer'), _cell(12))}"
        f"{_row(_COVERED, _cell('Winter'), _cell(9))}",
    )
    + _p("Between the tables.")
    + _table("B", _rows([["Year", 2024, 2025], *([f"Line {n}", n, n * n] for n in range(200))]))
    + _table("C", _row(_cell("Outer", "", _table("D", _rows([["inner left", "inner right"]], ), 2)),
                       _cell("Points", "", _list("first point", "second point")), _cell("")))
    + _p("Behind the tables.")
)  # fmt: skip

# Texts

_STYLES = (
    '<office:styles><text:outline-style style:name="Outline">'
    '<text:outline-level-style text:level="1" style:num-format="1" style:num-suffix="."/>'
    '<text:outline-level-style text:level="2" style:num-format="1" text:display-levels="2"/>'
    '</text:outline-style><text:list-style style:name="L"><text:list-level-style-number '
    'text:level="1" style:num-format="a" style:num-suffix=")"/></text:list-style></office:styles>'
    '<office:automatic-styles><style:page-layout style:name="P"><style:header-style/>'
    "<style:footer-style/></style:page-layout></office:automatic-styles><office:master-styles>"
    '<style:master-page style:name="Standard" style:page-layout-name="P"><style:header>'
    f"{_p('Quarterly letter of the harbour')}</style:header><style:footer>"
    f"{_p('Confidential footer')}</style:footer></style:master-page></office:master-styles>"
)
_REPORT = (
    _h(1, "Arrivals")
    + _p(f"Steamers came {_note('footnote', '1', 'Counted at noon by Brunel')} daily "
         f"{_note('endnote', 'i', 'See the almanac of Greenwich')} in June.")
    + _p(f"Cranes{_comment('Verify with the foreman')} were idle.")
    + _h(2, "By week") + _list("Monday shift", "Tuesday shift", "Friday shift", style="L")
    + _h(2, "By month") + _p("April was <text:span>quiet</text:span>,<text:tab/>May<text:s "
                             'text:c="3"/>was not<text:line-break/>and June was worse.')
    + _h(1, "Departures") + _p('See <text:a xlink:href="http://example.org/">the timetable</text:a>'
                               " of ferries.")
)  # fmt: skip
_CHANGES = (
    '<text:tracked-changes><text:changed-region text:id="c1"><text:insertion><office:change-info>'
    f"{_WRITER}</office:change-info></text:insertion></text:changed-region><text:changed-region "
    f'text:id="c2"><text:deletion><office:change-info>{_WRITER}</office:change-info>'
    f"{_p('struckout')}</text:deletion></text:changed-region></text:tracked-changes>"
)
_FORMULA = (
    '<draw:object><math xmlns="http://www.w3.org/1998/Math/MathML"><mrow><mi>speed</mi><mo>=</mo>'
    "<mfrac><mi>distance</mi><mi>duration</mi></mfrac></mrow></math></draw:object>"
)
_CHART_SPACE = 'xmlns:chart="urn:oasis:names:tc:opendocument:xmlns:chart:1.0"'
_CHART = (
    f'<draw:object><office:document office:mimetype="application/vnd.oasis.opendocument.chart">'
    f'<office:body><office:chart><chart:chart {_CHART_SPACE} chart:class="chart:bar" '
    f'svg:width="12cm" svg:height="8cm"><chart:title>{_p("Tonnage of the year")}</chart:title>'
    f'<chart:plot-area table:cell-range-address="local-table.$A$1:.$B$3" '
    'chart:data-source-has-labels="both"><chart:axis chart:dimension="x"><chart:categories '
    'table:cell-range-address="local-table.$A$2:.$A$3"/></chart:axis><chart:axis '
    'chart:dimension="y"/><chart:series chart:values-cell-range-address="local-table.$B$2:.'
    '$B$3" chart:label-cell-address="local-table.$B$1" chart:class="chart:bar"/>'
    "</chart:plot-area><table:table "
    'table:name="local-table">'
    "<table:table-header-columns><table:table-column/></table:table-header-columns>"
    "<table:table-columns><table:table-column/></table:table-columns><table:table-header-rows>"
    f"{_row(_cell(''), _cell('Coal'))}</table:table-header-rows><table:table-rows>"
    f"{_rows([['Spring', 11], ['Autumn', 12]])}</table:table-rows></table:table></chart:chart>"
    "</office:chart></office:body></office:document></draw:object>"
)
_THINGS = (
    _CHANGES
    + _h(1, "Things")
    + _p('Kept <text:change-start text:change-id="c1"/>added<text:change-end text:change-id="c1"/>'
         ' and <text:change text:change-id="c2"/>done.')
    + _p(f"Beside{_box(_p('Words in a box') + _p('of two lines'))} the box.")
    + _p(f"Formula {_framed(_FORMULA)} of motion.")
    + _p(f"Drawn <draw:custom-shape {_AT}>{_p('Words in a shape')}</draw:custom-shape> here.")
    + _p('Seen <text:span text:style-name="gone">veiled</text:span> again.')
    + _p('Page <text:page-number text:select-page="current">1</text:page-number> of it, '
         '<text:bookmark text:name="b"/>marked.')
    + _p("<text:ruby><text:ruby-base>漢字</text:ruby-base><text:ruby-text>かんじ</text:ruby-text>"
         "</text:ruby> is read.")
    + _p(_framed(_CHART))
    + "<text:section text:name=\"S\">" + _p("In a section.") + "</text:section>"
)  # fmt: skip
_GONE = (
    '<office:automatic-styles><style:style style:name="gone" style:family="text">'
    '<style:text-properties text:display="none"/></style:style><style:style '
    'style:name="notable" style:family="table"><style:table-properties table:display="false"/>'
    "</style:style></office:automatic-styles>"
)

# Sheets

_NUMBER = 'xmlns:number="urn:oasis:names:tc:opendocument:xmlns:datastyle:1.0"'
_FORMATS = (
    f"<office:automatic-styles {_NUMBER}>"
    '<number:percentage-style style:name="NP"><number:number number:decimal-places="1" '
    'number:min-integer-digits="1"/><number:text>%</number:text></number:percentage-style>'
    '<number:number-style style:name="NZ"><number:number number:min-integer-digits="6"/>'
    '</number:number-style><number:date-style style:name="ND"><number:year number:style="long"/>'
    '<number:text>-</number:text><number:month number:style="long"/><number:text>-</number:text>'
    '<number:day number:style="long"/></number:date-style><number:number-style style:name="NT">'
    '<number:number number:decimal-places="2" number:min-integer-digits="1" '
    "/></number:number-style>"
    '<number:scientific-number-style style:name="NS"><number:scientific-number '
    'number:decimal-places="2" number:min-integer-digits="1" number:min-exponent-digits="2"/>'
    "</number:scientific-number-style>"
    + "".join(
        f'<style:style style:name="{name}" style:family="table-cell" '
        f'style:data-style-name="N{name}"/>'
        for name in "PZDTS"
    )
    + "</office:automatic-styles>"
)
_NUMBERS = (
    ("share", "P", 'office:value-type="percentage" office:value="0.125"'),
    ("code", "Z", 'office:value-type="float" office:value="42"'),
    ("day", "D", 'office:value-type="date" office:date-value="2026-11-29"'),
    ("sum", "T", 'office:value-type="float" office:value="1234567.25"'),
    ("large", "S", 'office:value-type="float" office:value="602000"'),
    ("true", "", 'office:value-type="boolean" office:boolean-value="true"'),
    ("computed", "", 'table:formula="=6*7" office:value-type="float" office:value="42"'),
    ("wrong", "", 'table:formula="=1/0" office:value-type="float" office:value="0"'),
    ("below", "", 'office:value-type="float" office:value="-273.15"'),
    ("text", "", 'office:value-type="string"'),
)


def _number(entry: tuple[str, str, str]) -> str:
    name, style, value = entry
    said = _p("00042") if name == "text" else ""
    attributes = f'table:style-name="{style}"' if style else ""
    return _row(_cell(name), f"<table:table-cell {attributes} {value}>{said}</table:table-cell>")


_MERGED = (
    _table(
        "Merged",
        _row(_cell("Berth"), _cell("Both seasons", _WIDE), _COVERED)
        + _row(_cell("North", _HIGH), _cell("Summer"), _cell(12))
        + _row(_COVERED, _cell("Winter", "", ""), _cell(9))
        + _row(_cell("Noted", "", _comment("Ask the pilot")), _cell("first"), _cell(""))
        + _row(_cell("Veiled"), attributes='table:visibility="collapse"')
        + _row(_cell("South"), _cell(""), _cell(7)),
    )
    + '<table:table table:name="Secret" table:style-name="notable">'
    + _rows([["unseen"]])
    + "</table:table>"
)
_SHEET_THINGS = (
    '<table:table table:name="Things"><table:shapes>'
    f"{_box(_p('Words in a box'))}{_framed(_CHART)}</table:shapes><table:table-column/>"
    + _row(f"<table:table-cell>{_p('two')}{_p('lines')}</table:table-cell>")
    + _row("<table:table-cell><text:p>rich <text:span>words</text:span> and <text:a "
           'xlink:href="http://example.org/">a link</text:a></text:p></table:table-cell>')
    + "</table:table>"
)  # fmt: skip


# Slides

_PLACES = (
    "<office:automatic-styles>"
    + "".join(
        f'<style:style style:name="{name}" style:family="presentation"/>'
        for name in ("title", "notes")
    )
    + "</office:automatic-styles>"
)


def _slide(title: str, shapes: str, notes: str = "") -> str:
    above = 'svg:x="2cm" svg:y="1cm" svg:width="20cm" svg:height="2cm"'
    said = (
        f"<presentation:notes><draw:frame {_placed('notes')} {_AT}><draw:text-box>{_p(notes)}"
        "</draw:text-box></draw:frame></presentation:notes>"
    )
    return (
        f"<draw:page><draw:frame {_placed('title')} {above}><draw:text-box>{_p(title)}"
        f"</draw:text-box></draw:frame>{shapes}{said if notes else ''}</draw:page>"
    )


def _placed(place: str) -> str:
    return f'presentation:style-name="{place}" presentation:class="{place}"'


_SHAPES = (
    f"<draw:rect {_AT}>{_p('In a rectangle')}</draw:rect><draw:g><draw:ellipse {_AT}>"
    f"{_p('In a group')}</draw:ellipse></draw:g><draw:custom-shape {_AT}>{_p('In a shape')}"
    f"</draw:custom-shape>{_framed(_CHART)}{_comment('A remark on the slide')}"
)
