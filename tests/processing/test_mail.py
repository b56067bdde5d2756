"""Messages: their heads and texts, what is attached to them at any depth, and what cannot be read
of it.
"""

import base64
import email.message
import email.policy
import io
import quopri
import struct
import zipfile

import pytest

from processing.parsing import Unread, embedded, outlook
from processing.parsing import mail as mails
from processing.parsing import tnef as packed
from processing.parsing.child import answer
from processing.parsing.draft import Allowance
from processing.parsing.outlook import decompressed
from tests.processing import files, old_office, pdfs
from tests.processing.test_parsing import parts, parts_of, read

HEAD = (
    "From: =?utf-8?q?Ada_M=C3=BCller?= <ada@example.org>\nTo: bob@example.org\nSubject: Re: offer\n"
)
HEAD += "Date: Mon, 2 Nov 2026 10:00:00 +0100\n"
SAID = (
    "Subject: Re: offer\nFrom: Ada Müller <ada@example.org>\nTo: bob@example.org\n"
    "Date: Mon, 2 Nov 2026 10:00:00 +0100"
)


def mail(subject: str = "Re: offer", text: str = "Hello", **attached: bytes) -> bytes:
    """A message with these files, "name_ext"."""
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["Subject"], message["From"], message["To"] = subject, "ada@example.org", "b@example.org"
    message.set_content(text)
    for name, content in attached.items():
        message.add_attachment(
            content,
            maintype="application",
            subtype="octet-stream",
            filename=".".join(name.rsplit("_", 1)),
        )
    return message.as_bytes()


def zipped(**members: bytes) -> bytes:
    return files.zipped({".".join(name.rsplit("_", 1)): data for name, data in members.items()})


def test_a_message_says_who_wrote_it_when_and_about_what():
    document = read(
        f"{HEAD}Content-Type: text/plain; charset=iso-8859-1\n"
        "Content-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n".encode(),
        files.EML,
    )
    assert parts(document) == [(None, "Re: offer", SAID), (None, "Re: offer", "Grüße")]
    assert document.sections[1].context == (
        "Ada Müller <ada@example.org>, Mon, 2 Nov 2026 10:00:00 +0100"
    )


def test_of_two_ways_to_say_the_same_the_one_with_its_layout_is_read():
    body = (
        "Content-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/plain\n\n"
        "Plain\n"
        "--x\nContent-Type: text/html; charset=utf-8\n\n<h1>Top</h1><p>Rich\n--x--\n"
    )
    assert [text for _, _, text in parts_of(HEAD + body, files.EML)] == [SAID, "Top\n\nRich"]
    empty = body.replace("<h1>Top</h1><p>Rich", "<img src=x>")
    assert parts_of(HEAD + empty, files.EML)[1][2] == "Plain"


def test_each_message_of_a_mailbox_is_cited_by_its_subject():
    box = (
        "From a@b Mon Nov  2 10:00:00 2026\nSubject: one\nFrom: a@b\n\nfirst\n>From here\n\n"
        "From c@d Mon Nov  2 11:00:00 2026\nSubject: two\nFrom: c@d\n\nFrom now on it is one.\n"
    )
    assert parts_of(box, files.MBOX) == [
        (None, "one", "Subject: one\nFrom: a@b"),
        (None, "one", "first\nFrom here"),
        (None, "two", "Subject: two\nFrom: c@d"),
        (None, "two", "From now on it is one."),
    ]


def test_attachments_are_read_like_files_and_cited_with_their_own_place():
    inner = mail("Inner", "Deep", list_zip=zipped(notes_txt=b"In the archive", b_bin=b"\0"))
    pdf = pdfs.of_page(pdfs.said(72, 700, "To pay"))
    document = read(
        mail(
            "Re: offer",
            "See below",
            invoice_pdf=pdf,
            letter_docx=files.docx([("Heading 1", "Terms"), ("Normal", "Net")]),
            forwarded_eml=inner,
            logo_bin=b"\0\1",
        ),
        files.EML,
    )
    assert parts(document)[1:] == [
        (None, "Re: offer", "See below"),
        (None, "Re: offer > invoice.pdf, page 1", "To pay"),
        (None, "Re: offer > letter.docx > Terms", "Terms\n\nNet"),
        (
            None,
            "Re: offer > forwarded.eml > Inner",
            "Subject: Inner\nFrom: ada@example.org\nTo: b@example.org",
        ),
        (None, "Re: offer > forwarded.eml > Inner", "Deep"),
        (None, "Re: offer > forwarded.eml > Inner > list.zip > notes.txt", "In the archive"),
    ]
    assert document.unread == (
        Unread("embedded_file", "Re: offer > forwarded.eml > Inner > list.zip > b.bin"),
        Unread("embedded_file", "Re: offer > logo.bin"),
    )


def test_a_forwarded_message_without_a_name_has_its_subject():
    body = (
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nSee\n--x\n"
        "Content-Type: message/rfc822\n\nSubject: Inner\n\nDeep\n--x--\n"
    )
    assert parts_of(HEAD + body, files.EML)[1:] == [
        (None, "Re: offer", "See"),
        (None, "Re: offer > Inner", "Subject: Inner"),
        (None, "Re: offer > Inner", "Deep"),
    ]


def test_what_is_locked_is_said():
    document = read(mail(locked_pdf=files.encrypted_pdf()), files.EML)
    assert document.unread == (Unread("locked_file", "Re: offer > locked.pdf"),)
    encrypted = (
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\n"
        "Content-Transfer-Encoding: base64\n\nAAAA\n"
    )
    assert read((HEAD + encrypted).encode(), files.EML).unread == (
        Unread("locked_part", "Re: offer"),
    )


def test_what_lies_too_deep_or_is_too_much_is_said(monkeypatch):
    data = b"The end"
    for _ in range(embedded.MAX_DEPTH + 1):
        data = zipped(**{"z_txt" if data == b"The end" else "z_zip": data})
    document = read(mail(outer_zip=data), files.EML)
    assert "The end" not in document.text
    assert [entry.kind for entry in document.unread] == ["embedded_file"]
    began_at = Allowance.__init__.__defaults__[2:]
    monkeypatch.setattr(Allowance.__init__, "__defaults__", (2, 1_000, *began_at))
    document = read(mail(a_txt=b"one", b_txt=b"two", c_txt=b"three"), files.EML)
    assert "two" in document.text
    assert document.unread == (Unread("embedded_file", "Re: offer > c.txt"),)
    document = read(mail(a_txt=b"one " * 300, b_txt=b"two"), files.EML)
    assert "one" not in document.text
    assert "two" in document.text


def test_each_message_of_a_mailbox_may_bring_along_as_much_as_one_alone(monkeypatch):
    began_at = Allowance.__init__.__defaults__[2:]
    monkeypatch.setattr(Allowance.__init__, "__defaults__", (2, 1_000, *began_at))
    one = b"From ada@example.org Mon Nov  2 10:00:00 2026\n" + mail(a_txt=b"one", b_txt=b"two")
    document = read(one + b"\n" + one + b"\n" + one, files.MBOX)
    assert (document.text.count("one"), document.text.count("two")) == (3, 3)
    assert not document.unread


def test_headers_that_are_wrong_do_not_hinder():
    raw = (
        b"Subject: =?utf-8?b?R3LD?= =?x-unknown?q?=FC?= \xfcber\nFrom: <<>>,,;\nDate: never\n\nText"
    )
    document = read(raw, files.EML)
    assert "Text" in document.text
    assert "über" in document.text


def test_a_message_that_is_cut_off_is_read_as_far_as_it_goes():
    whole = mail(text="Hello there", a_txt=b"attached " * 100)
    document = read(whole[: whole.index(b"YXR0YWNo") + 200], files.EML)
    assert "Hello there" in document.text
    assert "attached attached" in document.text
    assert Unread("damaged_file") in document.unread


def test_a_page_that_was_saved_is_a_page():
    page = (
        "From: <Saved by Blink>\nSnapshot-Content-Location: http://x\nSubject: P\n"
        'Content-Type: multipart/related; boundary="q"\n\n--q\nContent-Type: text/html\n'
        "Content-Transfer-Encoding: quoted-printable\n\n"
        "<title>Page</title><h1>Hi</h1><p>caf=C3=A9\n"
        "--q\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAAA\n--q--\n"
    )
    assert parts_of(page, files.MHTML) == [(None, "", "Page"), (None, "Hi", "Hi\n\ncafé")]


def test_a_message_of_outlook_with_a_message_in_it():
    data = old_office.msg(
        "Re: offer",
        "Body",
        attachments=[("a.csv", b"a,b\n1,2\n3,4\n"), ("x.bin", b"\0")],
        inner=[old_office.message("Inner", "Deep", sender="Bob")],
    )
    document = read(data, files.MSG)
    assert parts(document) == [
        (
            None,
            "Re: offer",
            "Subject: Re: offer\nFrom: Ada <ada@example.org>\nDate: 2025-08-18 14:13 UTC",
        ),
        (None, "Re: offer", "Body"),
        (None, "Re: offer > a.csv", "a | b\n1 | 2\n3 | 4"),
        (None, "Re: offer > Inner", "Subject: Inner\nFrom: Bob <bob@example.org>"),
        (None, "Re: offer > Inner", "Deep"),
    ]
    assert document.unread == (Unread("embedded_file", "Re: offer > x.bin"),)


def test_a_message_of_outlook_names_all_who_got_it_with_their_addresses():
    streams = old_office.message("Offer") | {"__substg1.0_0E04001F": "Bob".encode("utf-16-le")}
    people = (
        (1, "Bob", "bob@example.org"),
        (1, "eve@example.org", "EVE@example.org"),
        (2, "", "dan@example.org"),
        (3, "Secret", "s@example.org"),
        (1, "Ann", "/o=Exchange/cn=ann"),
    )
    for number, (kind, name, address) in enumerate(people):
        folder = f"__recip_version1.0_#{number:08X}/"
        said = (0x0C150003).to_bytes(4, "little") + bytes(4) + kind.to_bytes(8, "little")
        streams[f"{folder}__properties_version1.0"] = bytes(8) + said
        streams[f"{folder}__substg1.0_3001001F"] = name.encode("utf-16-le")
        streams[f"{folder}__substg1.0_3003001F"] = address.encode("utf-16-le")
    streams["__substg1.0_5D01001F"] = "/o=Exchange/cn=ada".encode("utf-16-le")
    sent = "Received: x\r\nFrom: =?utf-8?q?Ad=C3=A1?= <ada@example.org>\r\n\r\n"
    streams["__substg1.0_007D001F"] = sent.encode("utf-16-le")
    data = old_office.container({name: content for name, content in streams.items() if content})
    assert read(data, files.MSG).text.splitlines()[1:4] == [
        "From: Adá <ada@example.org>",
        "To: Bob <bob@example.org>, eve@example.org, Ann",
        "Cc: dan@example.org",
    ]


def test_what_is_too_many_of_a_message_is_in_the_report(monkeypatch):
    monkeypatch.setattr(mails, "MAX_PARTS", 3)  # the whole and its text are two
    document = read(mail(a_txt=b"The heron", b_txt=b"nests", c_txt=b"in April"), files.EML)
    assert "heron" in document.text
    assert document.unread == (Unread("embedded_file", "Re: offer > further parts"),)

    monkeypatch.setattr(outlook, "MAX_ATTACHMENTS", 1)
    monkeypatch.setattr(outlook, "MAX_RECIPIENTS", 0)
    streams = old_office.message("Offer") | {"__substg1.0_0E04001F": "Bob".encode("utf-16-le")}
    for number in range(2):
        folder = f"__attach_version1.0_#{number:08X}/"
        streams[f"{folder}__properties_version1.0"] = bytes(8)
        streams[f"{folder}__substg1.0_3707001F"] = "a.txt".encode("utf-16-le")
        streams[f"{folder}__substg1.0_37010102"] = b"The heron"
    streams["__recip_version1.0_#00000000/__substg1.0_3001001F"] = "Eve".encode("utf-16-le")
    document = read(old_office.container(streams), files.MSG)
    assert "To: Bob\n" in document.text
    assert document.unread == (Unread("embedded_file", "Offer > further attachments"),)

    monkeypatch.setattr(packed, "MAX_FILES", 1)
    one = (0x00069002, bytes(14)), (0x00018010, b"N.TXT\0"), (0x0006800F, b"In the note")
    sent = packed.unpacked(tnef(*one, *one))
    assert (sent.files, sent.is_whole) == ([("N.TXT", b"In the note")], False)


def test_a_message_of_outlook_that_is_only_there_as_rtf():
    rtf = (
        rb"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 Caf\'e9 "
        rb"{\*\htmltag84 &nbsp;}"
        rb"\htmlrtf \'a0\htmlrtf0 {\*\htmltag72 </p>}\htmlrtf }\htmlrtf0}"
    )
    head = len(rtf).to_bytes(4, "little")
    stored = (len(rtf) + 12).to_bytes(4, "little") + head + b"MELA" + bytes(4) + rtf
    streams = old_office.message("S") | {"__substg1.0_10090102": stored}
    assert "Café" in read(old_office.container(streams), files.MSG).text


def test_compressed_rtf_is_what_microsoft_says():
    """[MS-OXRTFCP] 3.1, its first example."""
    data = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a00726370673132354232"
        "0af32068656c090020627705b06c647d0a800fa0"
    )
    assert decompressed(data) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"


@pytest.mark.parametrize("depth", [50, 3_000])
def test_messages_nested_deeply_are_read_or_refused(depth):
    data = "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(depth)
    )
    said = answer(io.BytesIO((HEAD + data + "\nText").encode()), files.EML)
    assert "Re: offer" in str(said.get("text")) or said["error"][0] == "corrupt"


def test_an_archive_with_a_password_is_said():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("secret.txt", "x")
    locked = bytearray(out.getvalue())
    locked[6] |= 1  # the flag of its header, and that of the directory
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    document = read(mail(a_zip=bytes(locked)), files.EML)
    assert document.unread == (Unread("locked_file", "Re: offer > a.zip > secret.txt"),)


def test_base64_of_a_text_is_a_text():
    body = base64.b64encode("Grüße aus Köln".encode()).decode()
    head = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    assert parts_of(HEAD + head + body, files.EML)[1][2] == "Grüße aus Köln"


def tnef(*attributes: tuple[int, bytes]) -> bytes:
    made = b"".join(
        b"\2" + struct.pack("<II", name, len(content)) + content + bytes(2)
        for name, content in attributes
    )
    return struct.pack("<IH", 0x223E9F78, 1) + made


def test_what_outlook_packs_into_one_part_is_read_and_a_damaged_one_said():
    long_name = (
        struct.pack("<II", 0x3707001F, 1)
        + struct.pack("<I", 20)
        + "long.txt\0\0".encode("utf-16-le")
    )
    packed = tnef(
        (0x0002800C, b"Plain body\0"),
        (0x00069002, bytes(14)), (0x00018010, b"N.TXT\0"), (0x0006800F, b"In the note"),
        (0x00069005, long_name),
        (0x00069002, bytes(14)), (0x00018010, b"b.bin\0"), (0x0006800F, b"\0\1"),
    )  # fmt: skip
    message = email.message.EmailMessage()
    message["Subject"] = "Re: offer"
    message.add_attachment(packed, "application", "ms-tnef", filename="winmail.dat")
    document = read(message.as_bytes(), files.EML)
    assert "Plain body" in document.text
    assert document.sections[-1].heading == "Re: offer > long.txt"
    assert document.text.endswith("In the note")
    assert document.unread == (Unread("embedded_file", "Re: offer > b.bin"),)
    for damaged in (packed[:60], b"nothing"):
        message = email.message.EmailMessage()
        message["Subject"] = "Re: offer"
        message.set_content("x")
        message.add_attachment(damaged, "application", "ms-tnef", filename="winmail.dat")
        assert read(message.as_bytes(), files.EML).unread == (
            Unread("embedded_file", "Re: offer > winmail.dat"),
        )


@pytest.mark.parametrize(
    ("written", "parameters", "text"),
    [
        ("One \ntwo.\n\n From \nhere", "", "One two.\n\nFrom here"),
        ("> said \n> on\n>> deep \n> not\nno", "", "> said on\n>> deep\n> not\nno"),
        ("Donau \ndampf", "; delsp=yes", "Donaudampf"),
        ("End \n-- \nAda \nMüller", "", "End\n--\nAda Müller"),
    ],
)
def test_lines_that_flow_are_one(written, parameters, text):
    head = f"{HEAD}Content-Type: text/plain; charset=utf-8; format=flowed{parameters}\n\n"
    assert parts_of(head + written, files.EML)[1][2] == text


def test_what_became_of_a_message_is_read():
    report = (
        "Content-Type: multipart/report; boundary=x\n\n--x\n\nIt came back.\n--x\n"
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; example.org\n\n"
        "Final-Recipient: rfc822; bob@example.org\nStatus: 5.1.1\n--x--\n"
    )
    assert parts_of(HEAD + report, files.EML)[1][2] == (
        "It came back.\n\nReporting-MTA: dns; example.org\n\n"
        "Final-Recipient: rfc822; bob@example.org\nStatus: 5.1.1"
    )


def test_what_needs_a_key_within_a_text_is_no_text_and_said():
    locked = "-----BEGIN PGP MESSAGE-----\n\nhQEMA0abcdef\n-----END PGP MESSAGE-----"
    document = read(f"{HEAD}\nSee:\n{locked}\nBye\n".encode(), files.EML)
    assert parts(document)[1][2] == "See:\n\nBye"
    assert document.unread == (Unread("locked_part", "Re: offer"),)


def test_a_file_that_a_mac_attached_is_one_file():
    parts_ = (
        "Content-Type: multipart/appledouble; boundary=x\n\n--x\n"
        "Content-Type: application/applefile; name=a.txt\n\nxx\n--x\n"
        "Content-Type: text/plain; name=a.txt\n\nread\n--x--\n"
    )
    document = read((HEAD + parts_).encode(), files.EML)
    assert parts(document)[1:] == [(None, "Re: offer > a.txt", "read")]
    assert document.unread == ()


def test_a_subject_over_several_lines_is_one():
    message = "Subject: A long\n subject\n\tof words\n\nHello"
    subject = "A long subject of words"
    assert parts_of(message, files.EML) == [
        (None, subject, f"Subject: {subject}"),
        (None, subject, "Hello"),
    ]


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("base64", base64.encodebytes), ("quoted-printable", quopri.encodestring)],
)
def test_a_message_may_be_attached_encoded(encoding, encode):
    attached = (
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n"
        f"Content-Transfer-Encoding: {encoding}\n\n"
    )
    inner = encode("\nFrom: ada@example.org\nSubject: Inner\n\nGrüße = \n".encode()).decode()
    document = read(f"{HEAD}{attached}{inner}\n--x--\n".encode(), files.EML)
    assert parts(document)[-1] == (None, "Re: offer > Inner", "Grüße =")
    assert document.unread == ()
