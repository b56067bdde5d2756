"""One client's requests, and what their answers say: facts for the model, or a violation."""

import logging
import threading
import time
from typing import Any

import httpx

from tests.chaos.contents import Content
from tests.chaos.model import Acknowledged, Fate, Model, Violation

TIMEOUT = 20  # seconds, then a client has no answer
TRIES = 6  # a client repeats an upload that had no answer so often, then leaves it open

log = logging.getLogger("chaos.client")


class Client:
    """Speaks to the API about one knowledge base in one user's name. Thread-safe."""

    def __init__(self, http: httpx.Client, slug: str, model: Model, stop: threading.Event) -> None:
        self.slug, self.model, self.stop = slug, model, stop
        self._http = http

    def of(self, slug: str) -> "Client":
        """The same client in another knowledge base."""
        return Client(self._http, slug, self.model, self.stop)

    def ask(self, method: str, url: str, **arguments: Any) -> httpx.Response | None:
        """The answer; None for none in time, a broken connection, or 5xx: it may have happened."""
        began = time.monotonic()
        answer: httpx.Response | None = None
        try:
            answer = self._http.request(method, url, **arguments)
            outcome = str(answer.status_code)
        except httpx.TransportError as error:
            outcome = type(error).__name__
        if answer is not None and answer.status_code >= 500:
            answer = None
        about = arguments["files"]["file"][0] if "files" in arguments else ""
        if answer is not None and answer.status_code == 201:
            about += f" {answer.json().get('id') or answer.json()['slug']}"
        log.info("%s %s %s: %s, %.2f s", method, url, about, outcome, time.monotonic() - began)
        self.model.count("requests" if answer is not None else "requests without an answer")
        return answer

    def upload(self, filename: str, content: Content) -> None:
        """Repeat until there is an answer, as a careful client does."""
        for _ in range(TRIES):
            answer = self.send(filename, content)
            if answer is not None:
                if answer.status_code == 201:
                    self.accept(answer, filename, content)
                else:
                    self.explain_refusal(answer, filename)
                return
            if self.stop.wait(1):
                return

    def send(self, filename: str, content: Content, replaces: str = "") -> httpx.Response | None:
        """Send a file once, as a new document or in the place of one."""
        self.model.sending(self.slug, filename, content)
        method, url = "POST", f"knowledge-bases/{self.slug}/documents"
        if replaces:
            method, url = "PUT", f"documents/{replaces}/file"
        answer = self.ask(method, url, files={"file": (filename, content.data)})
        if answer is None:
            self.model.no_answer(self.slug, filename, content)
        return answer

    def accept(self, answer: httpx.Response, filename: str, content: Content) -> Acknowledged:
        """A 201: from now on the document exists. Raises Violation."""
        body = answer.json()
        told = (body["filename"], body["size"], body["sha256"])
        if told != (filename, len(content.data), content.sha256):
            raise Violation("lost", f"sent {filename} {content.sha256}, told {body}")
        document = Acknowledged(body["id"], self.slug, filename, content)
        self.model.count("uploads acknowledged")
        return self.model.accept(document)

    def explain_refusal(self, answer: httpx.Response, filename: str) -> None:
        """A 409 is right when a document of that name is there, or may be. Raises Violation."""
        if answer.status_code != 409:
            raise unexpected(answer, f"to uploading {filename}")
        document_id = answer.json()["error"]["details"].get("document_id")
        self.model.count("uploads refused as duplicates")
        if any(each.fate is not Fate.DELETED for each in self.model.named(self.slug, filename)):
            return
        if not self.model.may_have_arrived(self.slug, filename):
            raise Violation("unexplained", f"{filename} was refused for {document_id}")
        if document_id:
            self._adopt(document_id, filename)

    def _adopt(self, document_id: str, filename: str) -> None:
        """An upload that had no answer has arrived: the refusal of its repetition says so."""
        answer = self.ask("GET", f"documents/{document_id}")
        if answer is None:
            return
        body = answer.json()
        content = self.model.perhaps(self.slug, filename, body.get("sha256", ""))
        if answer.status_code != 200 or content is None or body["filename"] != filename:
            raise Violation("unexplained", f"{filename} was refused for {body}")
        self.model.accept(Acknowledged(document_id, self.slug, filename, content))
        self.model.count("uploads acknowledged by a refusal")


def unexpected(answer: httpx.Response, to: str) -> Violation:
    kind = "lost" if answer.status_code == 404 else "unexplained"
    return Violation(kind, f"HTTP {answer.status_code} {to}: {answer.text[:500]}")
