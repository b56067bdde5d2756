"""Which letters the bytes of a text stand for, when nobody says, or says wrongly."""

import random
import subprocess
import sys

import pytest

from processing.parsing.decoding import decode
from tests.processing import files
from tests.processing.test_parsing import read

SENTENCES = {
    "cp1251": "Договор аренды склада. Арендатор вносит плату до пятого числа каждого месяца.",
    "koi8-r": "Приказ о вводе в действие правил хранения документов.",
    "cp866": "Приказ о вводе в действие правил хранения документов.",
    "cp1250": "Zażółć gęślą jaźń. Umowa najmu wygasa z końcem października.",
    "iso8859-2": "Umowa najmu wygasa z końcem października, chyba że strony postanowią inaczej.",
    "cp1253": "Η σύμβαση μίσθωσης λήγει στο τέλος Οκτωβρίου, εκτός αν τα μέρη αποφασίσουν.",
    "cp1254": "Kira sözleşmesi ekim ayının sonunda sona erer, taraflar aksini kararlaştırmadıkça.",
    "cp1255": "תקופת ההודעה המוקדמת היא שלושה חודשים מיום קבלת המכתב.",
    "cp1256": "ينتهي عقد الإيجار في نهاية أكتوبر ما لم يقرر الطرفان خلاف ذلك.",
    "cp1257": "Nuomos sutartis baigiasi spalio pabaigoje, jei šalys nenusprendžia kitaip.",
    "cp1252": "Le contrat à durée indéterminée prévoit une période d’essai de trois mois.",
    "cp874": "พนักงานมีสิทธิลาพักร้อนได้ปีละสิบห้าวัน",
    "gb18030": "员工每年享有十五天带薪年假，须提前两周申请。喆、镕、珺均须签字。",
    "big5": "員工每年享有十五天帶薪年假，須提前兩週申請。",
    "cp932": "有給休暇は年間二十日です。申請は二週間前までに行ってください。①②③㈱東京商事",
    "euc-jp": "有給休暇は年間二十日です。申請は二週間前までに行ってください。",
    "cp949": "연차 휴가는 매년 십오일이며 두 주 전에 신청해야 합니다.",
    "iso2022_jp": "有給休暇は年間二十日です。申請は二週間前まで。",
    "utf-16-le": "Приказ о вводе в действие правил хранения.",
    "utf-16-be": "員工每年享有十五天帶薪年假，須提前兩週申請。",
    "utf-32-le": "Füße",
}
ASCII = "The quick brown fox jumps over the lazy dog. Inventory line 12.\n"


@pytest.mark.parametrize("encoding", ["iso8859-2", "cp1250"])
@pytest.mark.parametrize(
    "text", ["Příliš žluťoučký kůň úpěl ďábelské ódy.", "Smlouva o bytě. Žluťoučký."]
)
def test_what_no_text_holds_is_no_guess(text, encoding):
    """Greek letters or signs within words: as good for the detector, and never true."""
    assert decode(text.encode(encoding)) == text


def test_a_control_character_is_no_letter():
    assert decode("Café déjà vu — naïve".encode("mac_roman")) == "Café déjà vu — naïve"


@pytest.mark.parametrize("encoding", SENTENCES)
def test_a_sentence_is_read_in_its_encoding(encoding):
    assert decode(SENTENCES[encoding].encode(encoding)) == SENTENCES[encoding]


@pytest.mark.parametrize(
    "encoding", [name for name in SENTENCES if not name.startswith(("utf", "iso2022"))]
)
def test_a_sentence_at_the_end_of_a_long_file_counts_as_much(encoding):
    text = ASCII * 2_500 + SENTENCES[encoding]
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["cp1251", "cp1253", "cp1255", "cp874", "cp932", "cp949"])
def test_a_bad_byte_costs_one_character_and_no_letter(encoding):
    first, second = SENTENCES[encoding][:30], SENTENCES[encoding][30:]
    data = first.encode(encoding) + b"\xff" + second.encode(encoding)
    read_as = decode(data)
    assert (read_as[: len(first)], read_as[-len(second) :]) == (first, second)
    assert len(read_as) <= len(first + second) + 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Die Prüfung der Lüftung erfolgt jährlich. Größe".encode()[:-1] + b"\xc3", None),
        ("Prüfung der Lüftung. ".encode() + b"caf\xe9 late", "Prüfung der Lüftung. café late"),
        ("ü".encode() * 9 + b"\xff" + "ü".encode() * 9, "ü" * 9 + "\ufffd" + "ü" * 9),
        (b"K\xfcndigungsfrist: drei Monate", "Kündigungsfrist: drei Monate"),
        (b"Il periodo \xe8 di tre mesi, per\xf2 pu\xf2 essere cos\xec pi\xf9 lungo.", None),
        (b"Costs \x801,200 \x96 the landlord\x92s.", "Costs €1,200 – the landlord’s."),
    ],
)  # fmt: skip
def test_western_text_keeps_its_letters(data, text):
    assert decode(data).startswith(
        text or data.decode("cp1252" if b"\xe8" in data else "utf-8", "ignore")
    )


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "nom;ville\nHélène;Orléans\nThérèse;Nîmes\n"),
        ("cp1252", "élève;note\nZoë;12\nRené;9\n"),
        ("cp1252", "nombre;ciudad\nIñigo;Logroño\nMuñoz;Avilés\n"),
        ("cp1252", "Il caffè è già pronto, però non c'è più zucchero.\n"),
        ("cp1252", "naam;plaats\nZoë;Coöperatie\n"),
        ("cp1252", "Smörgåsbord & crème brûlée\n"),
        ("cp1252", "½ cup sugar, 1¼ tsp\n"),
        ("cp1254", "isim;şehir\nÇağla;İzmir\nGüneş;Muğla\n"),
        ("cp1250", "imię;miasto\nŁukasz;Łódź\nŻaneta;Gdańsk\n"),
        ("cp1250", "jméno;město\nJiří;Plzeň\nŠárka;České Budějovice\n"),
        ("cp1250", "név;város\nGyőző;Győr\nÁkos;Pécs\n"),
        ("cp1250", "nume;oraş\nŢiriac;Braşov\nIoană;Iaşi\n"),
        ("cp1257", "pilsēta\nRīga;1\nJūrmala;2\nLiepāja;3\n"),
        ("cp1251", "имя;город\nИван;Москва\n"),
        ("koi8-r", "Привет, как дела?\n"),
        ("cp1253", "όνομα;πόλη\nΝίκος;Αθήνα\n"),
    ],
)  # fmt: skip
def test_a_few_names_are_the_letters_of_one_language(encoding, text):
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("iso-8859-1", "cp1252", "“Café” €5 – now"),
        ("latin1", "cp1252", "“Café” €5 – now"),
        ("us-ascii", "cp1252", "“Café” €5 – now"),
        ("Shift_JIS", "cp932", "①株式会社髙橋商店の㈱"),
        ("x-sjis", "cp932", "有給休暇は年間二十日です。"),
        ("gb2312", "gb18030", "喆、镕、珺"),
        ("ks_c_5601-1987", "cp949", "똠방각하"),
        ("iso-8859-9", "cp1254", "Kira “sözleşmesi”"),
        ("windows-31j", "cp932", "髙橋"),
        ("utf-16", "cp1252", "The café opens at nine."),
        ("utf-8", "cp1252", "The café opens at nine."),
        ("no-such-encoding", "cp1252", "The café opens at nine."),
        ("x-user-defined", "cp1252", "café"),
        ("replacement", "cp1252", "café"),
        ("base64", "cp1252", "café"),
    ],
)
def test_a_page_s_own_declaration_means_what_it_means_to_browsers(label, codec, text):
    page = f"<meta charset={label}><p>".encode() + text.encode(codec)
    assert read(page, files.HTML).text == text


def test_what_is_valid_utf_8_is_utf_8_whatever_it_declares():
    assert read("<meta charset=koi8-r><p>мир".encode(), files.HTML).text == "мир"


@pytest.mark.parametrize("seed", range(5))
def test_any_bytes_are_decoded_or_refused(seed):
    data = random.Random(seed).randbytes(2_000)
    text = bytes(byte for byte in data if byte >= 32)
    assert isinstance(decode(text), str)


WARM = """
import sys
from encodings import *
from tests.processing.test_parsing_encodings import ASCII, SENTENCES
from processing.parsing import decoding
for name in SENTENCES:
    "".encode(name)
decoding.warm_up()
opened = []
sys.addaudithook(lambda event, details: opened.append(details[0]) if event == "open" else None)
for name, text in SENTENCES.items():
    for data in (text, text[:9], ASCII * 2_500 + text, text * 2_000):
        decoding.decode(data.encode(name, "ignore"))
print([name for name in opened if "chardet" in str(name)])
"""


def test_the_detector_opens_no_file_once_it_is_warm():
    done = subprocess.run(
        [sys.executable, "-c", WARM], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "[]\n", done.stderr
