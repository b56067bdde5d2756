"""A real S3 server, the one of compose.yaml with its settings: the storage's tests once more.

`make seaweedfs` installs it. What moto only plays is real here: signatures, the rights of a key
that is not the owner's, conditional writes of many at once, pages of a list, a kill.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from django.core.files.base import ContentFile

from deploy.local.process import REPOSITORY
from deploy.local.servers import free_ports
from lumikb.storage import S3Storage

# The names that these tests and fixtures need are those of the module they come from.
from tests.lumikb.test_storage import (  # noqa: F401
    on_s3,
    test_a_deleted_object_is_gone,
    test_a_document_becomes_ready_and_is_purged,
    test_a_document_whose_object_is_gone_answers_410,
    test_a_key_that_ends_with_a_slash_is_a_folder_and_no_object,
    test_a_missing_key_is_file_not_found,
    test_a_saved_object_is_read_back_with_its_size_and_time,
    test_a_scan_knows_where_its_storage_begins_in_the_bucket,
    test_all_pages_of_a_folder_are_listed,
    test_an_empty_object_is_empty_and_not_missing,
    test_an_object_is_never_overwritten_nor_the_new_one_renamed,
    test_an_object_that_s3_does_not_have_fails_the_document_for_good,
    test_an_upload_is_stored_and_its_content_comes_back,
    test_files_of_page_and_api_are_found_and_leave_nothing_when_they_are_deleted,
    test_of_two_writers_of_one_key_the_later_is_refused_even_when_it_began_first,
    test_the_content_type_is_what_the_file_says,
    test_the_reconciler_deletes_old_objects_that_nobody_owns,
    test_the_reconciler_requeues_a_document_whose_object_is_missing,
    test_what_is_missing_does_not_exist_and_can_be_deleted,
    upload,
    use,
)

PROGRAM = Path(sys.prefix) / "seaweedfs/bin/weed"
DEPLOY = REPOSITORY / "deploy/seaweedfs"
PORTS = ("s3", "master", "volume", "filer")
BUCKET = "lumikb"
KEYS = {"access_key": "key-of-lumikb", "secret_key": "secret-of-lumikb"}
ROOT = {"access_key": "lumikb-root", "secret_key": "password-of-root"}
pytestmark = [
    pytest.mark.skipif(
        not PROGRAM.exists() and not os.environ.get("CI"), reason="make seaweedfs installs it"
    ),
]


class Server:
    """Started by the script of compose.yaml, on free ports of this machine."""

    def __init__(self, home: Path) -> None:
        self.home = home
        [self.port, *_] = self.ports = free_ports(2 * len(PORTS))
        self.url = f"http://127.0.0.1:{self.port}"
        names = ("s3_access_key", "s3_secret_key", "s3_root_password")
        for name, value in zip(names, (*KEYS.values(), ROOT["secret_key"]), strict=True):
            (home / name).write_text(f"{value}\n")
        self.env = {
            "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
            "SECRETS": str(home),
            "DATA": str(home),
            "MASTER_ADDRESS": f"127.0.0.1:{self.ports[1]}.{self.ports[1 + len(PORTS)]}",
            "S3_BUCKET": BUCKET,
            "S3_ENDPOINT_URL": self.url,
        }

    def start(self) -> None:
        web, grpc = self.ports[: len(PORTS)], self.ports[len(PORTS) :]
        ports = [f"-{name}.port={port}" for name, port in zip(PORTS, web, strict=True)]
        ports += [f"-{name}.port.grpc={port}" for name, port in zip(PORTS, grpc, strict=True)]
        here = ["-s3.ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=64"]
        self.process = subprocess.Popen(
            ["/bin/sh", DEPLOY / "start.sh", *here, *ports],
            env=self.env,
            cwd=self.home,
            stdout=(self.home / "log").open("a"),
            stderr=subprocess.STDOUT,
            start_new_session=True,  # with what the script has begun beside it
        )
        deadline = time.monotonic() + 170
        while not self._answers():
            assert self.process.poll() is None, (self.home / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, "SeaweedFS does not start"
            time.sleep(0.1)

    def make_bucket(self) -> None:
        subprocess.run([sys.executable, DEPLOY / "bucket.py"], env=self.env, check=True)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def client(self, access_key: str, secret_key: str) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60),
        )

    def _answers(self) -> bool:
        """As compose.yaml's health check asks."""
        filer = f"http://127.0.0.1:{self.ports[PORTS.index('filer')]}"
        try:
            conf = httpx.get(f"{filer}/etc/seaweedfs/filer.conf", trust_env=False)
            health = httpx.get(f"{self.url}/healthz", trust_env=False)
            return '"fsync"' in conf.text and health.status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("seaweedfs"))
    server.start()
    server.make_bucket()
    server.make_bucket()  # can be run again
    yield server
    server.kill()


@pytest.fixture(scope="module")
def s3(server: Server) -> str:
    return server.url


@pytest.fixture(scope="module")
def boto(server: Server) -> Any:
    return server.client(**KEYS)


@pytest.fixture
def options(server: Server) -> dict[str, Any]:
    """Of a storage with production's bucket, emptied."""
    ours = server.client(**KEYS)
    for page in ours.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for each in page.get("Contents", ()):
            ours.delete_object(Bucket=BUCKET, Key=each["Key"])
    return {"endpoint_url": server.url, "bucket_name": BUCKET, "region_name": "us-east-1"} | KEYS


@pytest.fixture
def storage(options: dict[str, Any]) -> S3Storage:
    return S3Storage(**options)


def test_of_many_writers_of_one_key_at_once_one_wins(storage: Any) -> None:
    """Moto handles one request after the other."""
    for round_ in range(5):
        barrier = threading.Barrier(16)

        def write(number: int, key: str = f"1/{round_}/original") -> int | None:
            barrier.wait()  # noqa: B023 (all of a round)
            try:
                storage.save(key, ContentFile(f"writer {number}".encode()))
            except FileExistsError:
                return None
            return number

        with ThreadPoolExecutor(16) as writers:
            won = [each for each in writers.map(write, range(16)) if each is not None]
        assert len(won) == 1
        with storage.open(f"1/{round_}/original") as file:
            assert file.read() == f"writer {won[0]}".encode()


def test_keys_as_ours_are_come_in_the_order_of_their_bytes_over_several_pages(
    storage: Any,
) -> None:
    """A page is a thousand. Keys of other forms do not: a folder comes where its name does, without
    the slash ("1/a" before "1-1/a"), which the reconciler must not meet, and does not.
    """
    documents = [f"{base}/{number:032x}" for base in (1, 2, 10, 100) for number in range(130)]
    keys = [f"{each}/{name}" for each in documents for name in ("original", "text-1", "text-1-2")]
    with ThreadPoolExecutor(16) as writers:
        list(writers.map(lambda key: storage.save(key, ContentFile(b"x")), keys))
    found = [each.key for each in storage.scan()]
    assert len(found) == 1560
    assert found == sorted(keys, key=str.encode)


@pytest.mark.parametrize("flaw", ["key", "secret", "bucket", "no bucket"])
def test_wrong_credentials_and_the_buckets_of_others_are_refused(
    flaw: str, server: Server, options: dict[str, Any]
) -> None:
    root = server.client(**ROOT)
    if flaw == "bucket":
        root.create_bucket(Bucket="others")
        root.put_object(Bucket="others", Key="key", Body=b"not ours")
    wrong = {"key": {"access_key": "nobody"}, "secret": {"secret_key": "guess"}}
    # To a key that is for one bucket, one that is missing is one that it may not see: 403, not 404.
    other = {"bucket_name": "others" if flaw == "bucket" else "nobodys"}
    refused = S3Storage(**options | wrong.get(flaw, other))
    for call in (
        lambda: refused.open("key"),
        lambda: refused.save("new", ContentFile(b"x")),
        lambda: refused.delete("key"),
        lambda: list(refused.scan()),
    ):
        with pytest.raises(PermissionError):
            call()
    if flaw == "bucket":
        assert root.get_object(Bucket="others", Key="key")["Body"].read() == b"not ours"


def test_lumikbs_key_makes_and_deletes_no_bucket(boto: Any, server: Server, options: Any) -> None:
    for call in (
        lambda: boto.create_bucket(Bucket="mine"),
        lambda: boto.delete_bucket(Bucket=BUCKET),
        lambda: boto.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
    names = [each["Name"] for each in server.client(**ROOT).list_buckets()["Buckets"]]
    assert BUCKET in names
    assert "mine" not in names


def test_what_was_stored_outlives_a_kill_of_the_server(
    server: Server,
    storage: Any,
) -> None:
    """Not of the machine: that it syncs, start.sh has it do, and its health check asks for it."""
    assert (server.home / "filer.db").exists()
    contents = {f"1/{n}/original": os.urandom(100_000) for n in range(20)}
    for key, content in contents.items():
        storage.save(key, ContentFile(content))
    server.kill()
    server.start()
    deadline = time.monotonic() + 60
    while not readable(storage, "1/0/original"):  # its volumes come a moment after its port
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for key, content in contents.items():
        with storage.open(key) as file:
            assert file.read() == content
    with pytest.raises(FileExistsError):
        storage.save("1/0/original", ContentFile(b"another"))


def readable(storage: S3Storage, key: str) -> bool:
    """Until it is, that is an outage (OSError), and never a missing file."""
    try:
        with storage.open(key) as file:
            return bool(file.read())
    except FileNotFoundError:
        raise
    except OSError:
        return False
