"""What is inside of a mail is found by its own words, through the API, and cited with its path."""

from collections.abc import Callable
from email.message import EmailMessage

import pytest
from django.contrib.auth.models import User
from django.test import Client

from documents.models import Document
from tests.processing import files, scans

pytestmark = pytest.mark.django_db
MakeDocument = Callable[..., Document]


def mail(subject: str, body: str, **attached: bytes) -> bytes:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "Ada <ada@example.org>"
    message.set_content(body)
    for name, content in attached.items():
        file = ".".join(name.rsplit("_", 1))
        message.add_attachment(content, "application", "octet-stream", filename=file)
    return message.as_bytes()


@pytest.mark.parametrize("word", ["walruses", "barometer", "quotation", "marzipan"])
def test_each_part_of_a_mail_is_found_and_cited_with_its_path(
    word: str, make_ready: MakeDocument, api: Callable[[User], Client], editor: User
) -> None:
    picture = scans.page("A picture of walruses on the ice", dpi=150).crop((0, 0, 1240, 400))
    document = files.docx([("Heading 1", "Tools"), ("Normal", "The barometer costs 40 euros.")])
    archive = files.zipped({"plans/sweets.txt": "Marzipan is made of almonds."})
    inner = mail("Lists", "See the archive.", lists_zip=archive)
    make_ready(
        "offer.eml",
        mail(
            "Re: offer",
            "Here is the quotation.",
            scan_png=scans.encoded(picture),
            tools_docx=document,
            forwarded_eml=inner,
        ),
        files.EML,
    )
    body = {"query": word, "knowledge_bases": None, "limit": 3}
    response = api(editor).post("/api/v1/search", body, content_type="application/json")
    first = response.json()["results"][0]
    assert first["filename"] == "offer.eml"
    assert word in first["text"].lower()
    path, is_recognised = {
        "walruses": ("Re: offer > scan.png, page 1", True),
        "barometer": ("Re: offer > tools.docx > Tools", False),
        "quotation": ("Re: offer", False),
        "marzipan": ("Re: offer > forwarded.eml > Lists > lists.zip > sweets.txt", False),
    }[word]
    assert first["heading"] == path
    assert first["recognised"] is is_recognised
