"""No secret in a log, an answer, a page or a row, whatever breaks.

The secrets of the tests' servers are long and random: each is its own canary. The stubs are the
worst that there can be: they quote all that they were sent.
"""

import io
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.test import Client
from django.utils.html import escape

from deploy.local.application import application
from deploy.local.servers import free_ports
from documents.models import ApiToken, Document, DocumentEvent, Outage, ReconcileRun
from lumikb.logs import RedactingFormatter
from tests.conftest import let_outages_pass, process
from tests.processing.stubs import (
    Answer,
    Call,
    Reply,
    embedding_stub,
    failing,
    hanging,
    qdrant_at,
    qdrant_stub,
    refused_url,
    stubbed,
)

S3_KEYS = {"access_key": "AKIACANARYCANARY", "secret_key": "canary-secret-canary-secret"}


def quoting(status: int, as_json: bool = True) -> Answer:
    """This status, and in words all that was sent, in the form that the caller can read."""

    def answer(call: Call) -> Reply:
        sent = f"Incorrect API key provided: {call.headers}"
        if call.headers.get("Authorization", "").startswith("AWS4"):
            error = f"<Error><Code>AccessDenied</Code><Message>{escape(sent)}</Message></Error>"
            return Reply(error.encode(), status, {"Content-Type": "application/xml"})
        body = {"error": {"message": sent}, "status": {"error": sent}}
        return Reply(body if as_json else sent.encode(), status)

    return answer


BROKEN = {
    **{f"HTTP {status}": quoting(status) for status in (401, 429)},
    "no JSON": quoting(200, as_json=False),
    "no answer": hanging,
    "refused": None,
}
WORST = "HTTP 401"  # while it lasts, all pages are looked at


def secrets_of_this_process() -> list[str]:
    return [each for each in configured.SECRETS if each] + list(S3_KEYS.values())


@pytest.fixture
def journal() -> Iterator[io.StringIO]:
    """What the product would log with LOG_LEVEL=DEBUG, formatted as it does."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    line = configured.LOGGING["formatters"]["line"]
    secrets = [*line["secrets"], *S3_KEYS.values()]  # the tests' own settings have no S3
    handler.setFormatter(RedactingFormatter("%(name)s %(message)s", secrets))
    root, templates = logging.getLogger(), logging.getLogger("django.template")
    usual = root.level, templates.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    templates.setLevel(logging.INFO)  # else each variable that a template lacks, with a traceback
    yield stream
    root.setLevel(usual[0])
    templates.setLevel(usual[1])
    root.removeHandler(handler)


@pytest.fixture
def root(make_user: Callable[..., User]) -> User:
    return make_user("root", is_staff=True, is_superuser=True)


def look_everywhere(root: User, document: Document) -> tuple[str, list[str]]:
    """All that a person or a script can read of what happened, and with which keys they came."""
    page = Client(raise_request_exception=False)
    page.force_login(root)
    token = ApiToken.issue(root, "test")
    upload = ContentFile(b"# New", "new.md")
    script = Client(headers={"Authorization": f"Bearer {token}"}, raise_request_exception=False)
    answers = [
        page.get("/search/?q=heron"),
        page.get(f"/documents/{document.pk}/"),
        page.get("/admin/documents/document/"),
        page.get(f"/admin/documents/document/{document.pk}/change/"),
        page.get("/admin/documents/outage/"),
        page.get("/admin/documents/reconcilerun/"),
        script.post("/api/v1/search", {"query": "heron"}, "application/json"),
        script.get(f"/api/v1/documents/{document.pk}"),
        script.get(f"/api/v1/documents/{document.pk}/events"),
        script.get(f"/api/v1/documents/{document.pk}/content"),
        script.post("/api/v1/knowledge-bases/handbook/documents", {"file": upload}),
    ]
    models = (Document, DocumentEvent, Outage, ReconcileRun)
    rows = [row for model in models for row in model.objects.values()]
    texts = [a.content.decode() for a in answers if not a.streaming]
    keys = [token, page.cookies["sessionid"].value]
    return "".join([*texts, *(str(a.headers) for a in answers), str(rows)]), keys


@pytest.fixture
def breaking(settings: Any) -> Iterator[dict[str, Callable[[Answer | None], Any]]]:
    """Ways to break each service; None: nobody listens."""
    settings.EMBEDDING_TIMEOUT = settings.QDRANT_TIMEOUT = 1

    @contextmanager
    def embedding(answer: Answer | None) -> Iterator[None]:
        with embedding_stub(settings, answer or failing(500)):
            if answer is None:
                settings.EMBEDDING_API_BASE = f"{refused_url()}/v1"
            yield

    def vectors(answer: Answer | None) -> Any:
        return qdrant_stub(settings, answer) if answer else qdrant_at(settings, refused_url())

    @contextmanager
    def storage(answer: Answer | None) -> Iterator[None]:
        usual = settings.STORAGES
        with stubbed(answer or failing(500)) as stub:
            options = {
                "endpoint_url": stub.url if answer else refused_url(),
                "bucket_name": "documents", "region_name": "us-east-1",
                "connect_timeout": 1, "read_timeout": 1, "tries": 1,
            }  # fmt: skip
            s3 = {"BACKEND": "lumikb.storage.S3Storage", "OPTIONS": options | S3_KEYS}
            settings.STORAGES = usual | {"default": s3}
            yield
        settings.STORAGES = usual

    return {"embedding": embedding, "vectors": vectors, "storage": storage}


@pytest.mark.parametrize(
    ("service", "model"),
    [
        ("embedding", "hosted_vllm/any"),
        ("embedding", "openai/any"),  # another of LiteLLM's ways
        ("vectors", "hosted_vllm/any"),
        ("storage", "hosted_vllm/any"),
    ],
)
@pytest.mark.django_db
def test_whatever_a_service_answers_no_secret_is_told(
    service: str,
    model: str,
    breaking: Any,
    journal: io.StringIO,
    settings: Any,
    root: User,
    make_document: Callable[..., Document],
) -> None:
    settings.EMBEDDING_MODEL = model
    document = make_document()
    keys: list[str] = []
    for name, answer in BROKEN.items():
        with breaking[service](answer):
            process(document)
            if name == WORST:
                output = io.StringIO()
                with suppress(SystemExit):  # it says that it could not check everything
                    call_command("reconcile", stdout=output)
                seen, used = look_everywhere(root, document)
                keys += used
                for secret in secrets_of_this_process():
                    assert secret not in seen + output.getvalue(), name
        let_outages_pass()
        Document.objects.update(status="pending", attempts=0, failure_code="", failure_message="")
    logged = journal.getvalue()
    assert logged.count("processing.actors postponed") >= 3  # it did break
    for secret in [*secrets_of_this_process(), *keys]:
        assert [line for line in logged.splitlines() if secret in line] == []


def test_processes_whose_passwords_are_wrong_do_not_tell_them(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """The whole product with keys that open nothing: what its processes say on their way."""
    if not pytestconfig.getoption("full"):
        pytest.skip("starts four processes: only with --full")
    wrong = "%2Fc4n4ry" * 5
    urls = ("DATABASE_URL", "WORKER_DATABASE_URL", "OPS_DATABASE_URL", "REDIS_URL")
    env = (
        os.environ
        | {name: _with_password(os.environ[name], wrong) for name in urls}
        | dict.fromkeys(("SECRET_KEY", "QDRANT_API_KEY", "EMBEDDING_API_KEY"), wrong)
        | {"LOG_LEVEL": "DEBUG", "WEB_CONCURRENCY": "1", "DB_POOL_TIMEOUT": "2"}
    )
    [port] = free_ports(1)
    programs = application(env, "127.0.0.1", port)
    logs = [tmp_path / program.name for program in programs]
    running = [
        subprocess.Popen(
            each.argv,
            env=each.env,
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        for each, log in zip(programs, logs, strict=True)
    ]
    deadline = time.monotonic() + 90
    try:
        while not all(_failed(log) for log in logs) and time.monotonic() < deadline:
            with suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=10, trust_env=False)
            time.sleep(0.2)
    finally:
        for each in running:
            os.killpg(each.pid, signal.SIGKILL)  # Dramatiq's child outlives its master
            each.wait()
    for log in logs:
        assert _failed(log), f"{log.name}: {log.read_text()}"
        assert "c4n4ry" not in log.read_text(), log.name


def _failed(log: Path) -> bool:
    text = log.read_text()
    return "authentication failed" in text or "invalid username-password" in text


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    host = f"{parts.username or ''}:{password}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=host).geturl()


def test_what_a_library_writes_all_the_same_is_blotted_out() -> None:
    line = RedactingFormatter("%(message)s", ["p/ssword-of-ours", "short", None])
    token = "lumikb_" + "a" * 43
    told = [
        "postgres://lumikb_web:p%2Fssword-of-ours@host",
        "key p/ssword-of-ours",
        f"curl -H 'Authorization: Bearer {token}'",
        f"token {token}",
        "Cookie: csrftoken=a; sessionid=0123456789abcdef; b",
    ]
    for text in told:
        record = logging.LogRecord("any", logging.INFO, "", 0, text, None, None)
        written = line.format(record)
        assert "***" in written
        assert not any(each in written for each in ("ssword-of-ours", token, "0123456789abcdef"))
    record = logging.LogRecord("any", logging.INFO, "", 0, "a short lumikb_web text", None, None)
    assert line.format(record) == "a short lumikb_web text"
