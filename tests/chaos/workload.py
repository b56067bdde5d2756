"""What people and scripts do, one operation after the other, chosen by the seed."""

import json
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.chaos import contents
from tests.chaos.client import TRIES, Client, unexpected
from tests.chaos.contents import Content
from tests.chaos.model import Acknowledged, Fate, Violation

RACERS = range(3, 9)
SEVERAL = range(2, 9)
MOST_UNFINISHED = 150  # documents; then nothing new until some are done
OPERATIONS = {  # how often each
    "upload": 52, "race": 3, "replace": 8, "delete": 6, "requeue": 4, "several": 3, "look": 10,
    "search": 12, "search_as_stranger": 2, "base": 2, "import_folder": 1,
}  # fmt: skip
BRING_DOCUMENTS = ("upload", "race", "replace", "base", "import_folder")
IN_A_BASE = range(1, 6)  # documents, of one that is deleted again
IN_A_FOLDER = range(2, 12)  # files
KILLED_AFTER = (0.5, 4.0)  # seconds; an import of a folder takes 2 to 4


class User(threading.Thread):
    """Works with documents of its own in its own knowledge base until `client.stop` is set."""

    def __init__(
        self,
        name: str,
        client: Client,
        stranger: httpx.Client,
        pace: float,
        seed: str,
        unfinished: Callable[[], int],
        managing: Callable[..., subprocess.Popen[str]],
    ) -> None:
        """`stranger` is somebody who may see nothing; `pace` is in seconds per operation;
        `managing` starts `manage.py`.
        """
        super().__init__(name=name, daemon=True)
        self.broken: BaseException | None = None  # a Violation, or an error of the harness
        self._client, self._model, self._stranger = client, client.model, stranger
        self._pace, self._unfinished, self._managing = pace, unfinished, managing
        self._choice = random.Random(f"{seed} {name}")

    def run(self) -> None:
        due = time.monotonic()
        try:
            while not self._client.stop.is_set():
                self._operate()
                # What a slow answer delayed is made up for, but not by a flood.
                due = max(due + self._pace, time.monotonic() - 5 * self._pace)
                self._client.stop.wait(due - time.monotonic())
        except BaseException as error:
            self.broken = error

    def _operate(self) -> None:
        names = list(OPERATIONS)
        name = self._choice.choices(names, list(OPERATIONS.values()))[0]
        if name in BRING_DOCUMENTS and self._unfinished() > MOST_UNFINISHED:
            name = "look"
        getattr(self, name)()

    def upload(self) -> None:
        """Under a new name, or that of a document that was deleted."""
        old = self._any(Fate.DELETED) if self._choice.random() < 0.1 else None
        if old and self._is_free(old.filename):
            self._client.upload(old.filename, contents.make(self._choice, old.content.suffix))
            return
        content = contents.make(self._choice)
        self._client.upload(self._new_name(content), content)

    def race(self) -> None:
        """Several uploads of one name at once: one document at most."""
        racers = self._choice.choice(RACERS)
        suffix = self._choice.choice([".md", ".txt"])
        sent = [contents.make(self._choice, suffix) for _ in range(racers)]
        filename = self._new_name(sent[0])
        start = threading.Barrier(racers)

        def run(content: Content) -> httpx.Response | None:
            start.wait()
            return self._client.send(filename, content)

        with ThreadPoolExecutor(racers) as threads:
            raced = list(zip(sent, threads.map(run, sent), strict=True))
        self._model.count("races")
        answers = [(content, answer) for content, answer in raced if answer is not None]
        for content, answer in answers:
            if answer.status_code == 201:
                self._client.accept(answer, filename, content)  # refuses a second one
        for _, answer in answers:
            if answer.status_code != 201:
                self._client.explain_refusal(answer, filename)

    def replace(self) -> None:
        old = self._any(Fate.LIVE)
        if old is None:
            return
        content = contents.make(self._choice, old.content.suffix)
        answer = self._client.send(old.filename, content, replaces=old.id)
        if answer is None:
            old.fate = Fate.EITHER
        elif answer.status_code == 201:
            old.fate = Fate.DELETED
            old.replaced_by = self._client.accept(answer, old.filename, content)
            self._model.count("replaced")
        else:
            raise unexpected(answer, f"to replacing {old.id}, which is live")

    def delete(self) -> None:
        document = self._any(Fate.LIVE)
        if document is None:
            return
        answer = self._client.ask("DELETE", f"documents/{document.id}")
        if answer is None:
            document.fate = Fate.EITHER
        elif answer.status_code == 204:
            document.fate, document.gone_at = Fate.DELETED, time.monotonic()
            self._model.count("deleted")
            if self._choice.random() < 0.3:
                self._restore(document)
        else:
            raise unexpected(answer, f"to deleting {document.id}, which is live")

    def _restore(self, document: Acknowledged) -> None:
        """Right after its deletion, in a race with the purge: either one wins."""
        gone_at, document.gone_at = document.gone_at, None
        answer = self._client.ask("POST", f"documents/{document.id}/restore")
        if answer is None:
            document.fate = Fate.EITHER
        elif answer.status_code == 200:
            document.fate = Fate.LIVE
            self._model.count("restored")
        elif answer.status_code in (404, 409):  # its purge has begun
            document.gone_at = gone_at
        else:
            raise unexpected(answer, f"to restoring {document.id}")

    def requeue(self) -> None:
        document = self._any(Fate.LIVE)
        if document is None:
            return
        answer = self._client.ask("POST", f"documents/{document.id}/requeue")
        if answer is not None and answer.status_code == 202:
            self._model.count("requeued")
        elif answer is not None and answer.status_code != 409:  # 409: not finished yet
            raise unexpected(answer, f"to requeueing {document.id}, which is live")

    def several(self) -> None:
        """Delete or requeue some at once: all of them, or none that is known of."""
        live = [each for each in self._own() if each.fate is Fate.LIVE]
        chosen = self._choice.sample(live, min(len(live), self._choice.choice(SEVERAL)))
        action = self._choice.choice(["delete", "requeue"])
        body = {"action": action, "ids": [each.id for each in chosen]}
        answer = self._client.ask(
            "POST", f"knowledge-bases/{self._client.slug}/documents/bulk", json=body
        )
        if answer is not None and answer.status_code != 200:
            raise unexpected(answer, f"to {action} for {len(chosen)} at once")
        if action == "requeue":
            return
        for document in chosen:
            document.fate = Fate.EITHER if answer is None else Fate.DELETED
            document.gone_at = None if answer is None else time.monotonic()
        if answer is not None and answer.json()["done"] != len(chosen):
            raise Violation("lost", f"of {len(chosen)} live documents {answer.text} were deleted")
        self._model.count("deleted several at once", len(chosen))

    def base(self) -> None:
        """A knowledge base is made, gets documents, and is deleted while they are worked on."""
        body = {"name": f"{self.name} {self._choice.random()}"}
        answer = self._client.ask("POST", "knowledge-bases", json=body)
        if answer is None:
            return
        if answer.status_code != 201:
            raise unexpected(answer, "to making a knowledge base")
        client = self._client.of(answer.json()["slug"])
        for _ in range(self._choice.choice(IN_A_BASE)):
            content = contents.make(self._choice)
            client.upload(self._new_name(content), content)
        client.stop.wait(self._choice.uniform(0, 5))
        self._model.removing(client.slug)
        for tried in range(TRIES):
            answer = client.ask("DELETE", f"knowledge-bases/{client.slug}")
            if answer is not None:
                if answer.status_code != 204 and not (tried and answer.status_code == 404):
                    raise unexpected(answer, f"to deleting the knowledge base {client.slug}")
                self._model.was_removed(client.slug)
                self._model.count("knowledge bases deleted")
                return
            client.stop.wait(1)

    def import_folder(self) -> None:
        """By `manage.py import_documents`, which is killed now and then, until it is through."""
        made = [contents.make(self._choice) for _ in range(self._choice.choice(IN_A_FOLDER))]
        files = {self._new_name(content): content for content in made}
        with tempfile.TemporaryDirectory(prefix="chaos-import-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content.data)
            for _ in range(TRIES):
                if self._import(folder, files):
                    self._model.count("folders imported")
                    return

    def _import(self, folder: str, files: dict[str, Content]) -> bool:
        """Whether it said of each file what became of it."""
        slug = self._client.slug
        for name, content in files.items():
            self._model.sending(slug, name, content)
            self._model.no_answer(slug, name, content)  # until it says so
        process = self._managing("import_documents", slug, folder, "--json")
        limit = self._choice.uniform(*KILLED_AFTER) if self._choice.random() < 0.5 else 120
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self._model.count("imports killed")
            return False
        if process.returncode:  # a server was away
            return False
        outcomes = [json.loads(line) for line in output.splitlines()]
        if {each["filename"] for each in outcomes} != files.keys():
            raise Violation("lost", f"of {sorted(files)} the import said {outcomes}")
        for each in outcomes:
            if each["what"] not in ("imported", "unchanged"):
                raise Violation("unexplained", f"the import said {each}")
            name = each["filename"]
            self._model.accept(Acknowledged(each["document"], slug, name, files[name]))
        return True

    def look(self) -> None:
        """Is an acknowledged document there, with the bytes that were sent?"""
        document = self._any(Fate.LIVE)
        if document is None:
            return
        answer = self._client.ask("GET", f"documents/{document.id}")
        if answer is None:
            return
        if answer.status_code != 200:
            raise unexpected(answer, f"to looking at {document.id}, which is live")
        body = answer.json()
        if body["sha256"] != document.content.sha256 or body["deleted_at"]:
            raise Violation("lost", f"{document.id} is not what was acknowledged: {body}")
        if body["status"] == "ready":
            document.ready_at = document.ready_at or time.monotonic()
        content = self._client.ask("GET", f"documents/{document.id}/content")
        if content is not None and content.content != document.content.data:
            raise Violation("lost", f"{document.id} has other bytes than were sent")

    def search(self) -> None:
        """By a document's own word: nothing that is deleted comes, and what is READY does."""
        known = [each for each in self._own() if each.content.marker]
        if not known:
            return
        wanted = self._choice.choice(known)
        expected = wanted.fate is Fate.LIVE and wanted.ready_at is not None
        gone = self._model.gone()
        query = {"query": wanted.content.marker, "knowledge_bases": [self._client.slug]}
        answer = self._client.ask("POST", "search", json=query)
        if answer is None:
            return
        if answer.status_code != 200:
            raise unexpected(answer, "to a search")
        self._model.count("searches")
        results = answer.json()["results"]
        for result in results:
            if result["document_id"] in gone:
                raise Violation("deleted document found", f"by a search: {result}")
            if result["knowledge_base"] != self._client.slug:
                raise Violation("forbidden document found", f"by a search: {result}")
        if expected and wanted.id not in {result["document_id"] for result in results}:
            self._model.count("READY documents that a search did not find")

    def search_as_stranger(self) -> None:
        """Somebody who is a member of no knowledge base finds nothing at all."""
        known = [each for each in self._own() if each.content.marker]
        if not known:
            return
        query = {"query": self._choice.choice(known).content.marker}
        try:
            answer = self._stranger.post("search", json=query)
        except httpx.TransportError:
            return
        if answer.status_code < 500 and answer.json().get("results") != []:
            raise Violation("forbidden document found", f"by a stranger: {answer.text[:500]}")

    def _own(self) -> list[Acknowledged]:
        known = list(self._model.documents.values())
        return [each for each in known if each.slug == self._client.slug]

    def _any(self, fate: Fate) -> Acknowledged | None:
        found = [each for each in self._own() if each.fate is fate]
        return self._choice.choice(found) if found else None

    def _is_free(self, filename: str) -> bool:
        named = self._model.named(self._client.slug, filename)
        return all(each.fate is Fate.DELETED for each in named)

    def _new_name(self, content: Content) -> str:
        return f"{''.join(self._choice.choices(contents.LETTERS, k=10))}{content.suffix}"
