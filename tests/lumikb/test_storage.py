"""The directory, and S3 against a real server (moto's, its own process) and against broken ones."""

import io
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import httpx
import pytest
from django.apps import apps
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.utils import timezone
from urllib3.exceptions import SSLError

from deploy.local.servers import free_ports
from documents.models import Document, OutboxMessage, Status
from lumikb import checks
from lumikb.storage import BLOCK, FileStorage, S3Storage
from processing import actors, pipeline, reconcile, relay
from processing.errors import ServiceUnavailable
from processing.index import embeddings, vectors
from tests.conftest import let_outages_pass, process
from tests.searching import search

MiB = 1024 * 1024
KEYS = {"access_key": "key", "secret_key": "secret", "region_name": "us-east-1"}
BROKEN = {"bucket_name": "bucket", **KEYS, "connect_timeout": 0.5, "read_timeout": 0.5, "tries": 1}

OPERATIONS = {
    "save": lambda storage: storage.save("1/a/original", ContentFile(b"x")),
    "open": lambda storage: storage.open("1/a/original"),
    "exists": lambda storage: storage.exists("1/a/original"),
    "size": lambda storage: storage.size("1/a/original"),
    "get_modified_time": lambda storage: storage.get_modified_time("1/a/original"),
    "listdir": lambda storage: storage.listdir("1/a"),
    "scan": lambda storage: list(storage.scan()),
    "delete": lambda storage: storage.delete("1/a/original"),
}
FAULTS = ("refused", "stalled", "hangs up", "500", "403", "no bucket")
every_fault = pytest.mark.parametrize("fault", FAULTS)
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@pytest.fixture(scope="module")
def s3():
    """The address of an S3 server whose lists have pages of 7 keys."""
    [port] = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": "7"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not _listens(port):
            assert process.poll() is None, "moto's server ended"
            assert time.monotonic() < deadline, "moto's server does not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def boto(s3):
    return boto3.client(
        "s3",
        endpoint_url=s3,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )


@pytest.fixture
def options(s3, boto):
    """Of a storage with an empty bucket."""
    name = f"bucket-{random.randrange(10**12)}"
    boto.create_bucket(Bucket=name)
    return {"endpoint_url": s3, "bucket_name": name, **KEYS}


@pytest.fixture
def storage(shared_storage, options):
    shared_storage.bucket_name = options["bucket_name"]
    return shared_storage


@pytest.fixture(scope="module")
def shared_storage(s3):
    """To make a client takes 0.3 s: once is enough."""
    return S3Storage(endpoint_url=s3, bucket_name="set by each test", **KEYS)


@pytest.fixture
def faulty(shared_faulty):
    """A server that does `faulty.behave(request)` for each request, which the test sets."""
    shared_faulty.requests.clear()
    return shared_faulty


@pytest.fixture(scope="module")
def shared_faulty():
    server = FaultyServer()
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_saved_object_is_read_back_with_its_size_and_time(storage):
    before = timezone.now() - timedelta(seconds=2)
    key = storage.save("1/a/original", ContentFile(b"two\nlines"))

    assert key == "1/a/original"
    with storage.open(key) as file:
        assert file.size == storage.size(key) == 9
        assert not file.seekable()
        assert file.read(3) == b"two"
        assert list(file) == [b"\n", b"lines"]
        assert file.read() == b""
    assert storage.exists(key)
    assert before < storage.get_modified_time(key) < timezone.now() + timedelta(seconds=2)


def test_an_empty_object_is_empty_and_not_missing(storage):
    key = storage.save("empty", ContentFile(b""))

    assert storage.open(key).read() == b""
    assert storage.exists(key)


def test_a_file_without_a_name_is_stored_whole_and_stays_open(storage):
    file = File(io.BytesIO(b"all of it"))
    file.seek(4)
    storage.save("nameless", file)

    assert storage.open("nameless").read() == b"all of it"
    assert not file.closed


def test_text_is_refused_as_its_length_is_not_that_of_its_bytes(storage):
    with pytest.raises(TypeError):
        storage.save("text", ContentFile("ü"))
    assert not storage.exists("text")


def test_the_content_type_is_what_the_file_says(storage, boto):
    file = SimpleUploadedFile("evil.html", b"<script>", content_type="application/pdf")
    storage.save("1/a/page.html", file)

    stored = boto.head_object(Bucket=storage.bucket_name, Key="1/a/page.html")
    assert stored["ContentType"] == "application/pdf"


def test_100_mb_go_both_ways_in_bounded_memory(storage):
    storage.listdir("")  # makes the client: 14 MB, once per process
    block = os.urandom(MiB)
    with tempfile.TemporaryFile() as source:
        for number in range(100):
            source.write(number.to_bytes() + block[1:])
        with _memory_below(8 * MiB):
            storage.save("big", File(source, "big"))

    with _memory_below(8 * MiB), storage.open("big") as file:
        for number in range(100):
            assert file.read(MiB) == number.to_bytes() + block[1:]
        assert file.read() == b""
    with _memory_below(8 * MiB), storage.open("big") as file:
        assert sum(map(len, file.chunks())) == 100 * MiB


def test_all_threads_share_one_client(options):
    storage = S3Storage(**options)
    barrier = threading.Barrier(16)
    clients = []

    def use():
        barrier.wait()
        clients.append(storage.connection.meta.client)
        storage.listdir("")

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(clients) == 16
    assert len(set(map(id, clients))) == 1


def test_many_that_use_the_storage_first_share_one_client(options, settings, monkeypatch):
    """As in a web process that has just started, and 64 uploads come at once."""
    real = S3Storage.__init__
    monkeypatch.setattr(S3Storage, "__init__", lambda *a, **k: (time.sleep(0.1), real(*a, **k))[1])
    backend = {"BACKEND": "lumikb.storage.S3Storage", "OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"default": backend}
    apps.get_app_config("lumikb").ready()
    barrier = threading.Barrier(8)

    def client(_):
        barrier.wait()
        return id(default_storage.connection.meta.client)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(client, range(8)))) == 1


def test_a_forked_child_makes_its_own_client(storage):
    parents = storage.connection
    child = os.fork()
    if child == 0:
        works = storage.listdir("") == ([], []) and storage.connection is not parents
        os._exit(0 if works else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert storage.connection is parents


def test_the_deadlines_are_those_of_the_design(storage):
    config = storage.connection.meta.client.meta.config

    assert (config.connect_timeout, config.read_timeout) == (30, 60)
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}


def test_a_failing_server_is_tried_three_times(faulty):
    faulty.behave = _error(500, "InternalError")
    with pytest.raises(OSError, match="InternalError"):
        S3Storage(**faulty.options | {"tries": 3}).delete("key")
    assert faulty.requests == ["DELETE /bucket/key"] * 3


def test_the_second_try_sends_the_whole_content_again(faulty):
    bodies = []

    def fail_once(request):
        bodies.append(request.rfile.read(int(request.headers["Content-Length"])))
        _error(503, "SlowDown")(request) if len(bodies) == 1 else _answer(request, 200)

    faulty.behave = fail_once
    S3Storage(**faulty.options | {"tries": 3}).save("key", ContentFile(b"content" * 1000))
    assert bodies == [b"content" * 1000] * 2


def test_an_object_is_never_overwritten_nor_the_new_one_renamed(storage):
    storage.save("1/a/original", ContentFile(b"first"))

    with pytest.raises(FileExistsError):
        storage.save("1/a/original", ContentFile(b"second"))
    assert storage.open("1/a/original").read() == b"first"
    assert storage.listdir("1/a") == ([], ["original"])


def test_of_two_writers_of_one_key_the_later_is_refused_even_when_it_began_first(storage):
    class Overtaken(ContentFile):
        """Another writer stores the key while this one's content is being read."""

        def read(self, size=-1):
            if size and not storage.exists("key"):
                storage.save("key", ContentFile(b"winner"))
            return super().read(size)

    with pytest.raises(FileExistsError):
        storage.save("key", Overtaken(b"loser"))
    assert storage.open("key").read() == b"winner"


def test_a_put_that_was_applied_but_not_answered_is_an_error_and_no_second_object(faulty):
    stored = []

    def lose_the_first_reply(request):
        body = request.rfile.read(int(request.headers["Content-Length"]))
        assert request.headers["If-None-Match"] == "*"
        if stored:
            _error(412, "PreconditionFailed")(request)
        else:
            stored.append(body)
            _hang_up(request)

    faulty.behave = lose_the_first_reply
    with pytest.raises(FileExistsError):
        S3Storage(**faulty.options | {"tries": 3}).save("key", ContentFile(b"content"))
    assert stored == [b"content"]


@pytest.mark.parametrize("operation", ["open", "size", "get_modified_time"])
def test_a_missing_key_is_file_not_found(storage, operation):
    with pytest.raises(FileNotFoundError) as caught:
        OPERATIONS[operation](storage)
    assert "1/a/original" in str(caught.value)
    assert caught.value.__cause__


def test_what_is_missing_does_not_exist_and_can_be_deleted(storage):
    assert not storage.exists("1/a/original")
    storage.delete("1/a/original")
    assert storage.listdir("1/a") == ([], [])


def test_a_deleted_object_is_gone(storage):
    storage.save("1/a/original", ContentFile(b"x"))
    storage.save("1/a/text-1", ContentFile(b"x"))
    storage.delete("1/a/original")

    assert storage.listdir("1/a") == ([], ["text-1"])


def test_all_pages_of_a_folder_are_listed(storage):
    files = [f"text-{number:02}" for number in range(20)]
    folders = [f"folder-{number:02}" for number in range(20)]
    for name in files:
        storage.save(f"full/{name}", ContentFile(b"x"))
    for name in folders:
        storage.save(f"full/{name}/original", ContentFile(b"x"))

    found_folders, found_files = storage.listdir("full")
    assert sorted(found_folders) == folders
    assert sorted(found_files) == files
    folders, files = storage.listdir("")
    assert "full" in folders  # some servers still list what is empty
    assert files == []


def test_a_key_that_ends_with_a_slash_is_a_folder_and_no_object(storage, boto):
    """As consoles make them, and SeaweedFS when the last object of a folder is deleted."""
    for key in ("2/", "2/a/", "2/a/b/"):
        boto.put_object(Bucket=storage.bucket_name, Key=key, Body=b"")
    storage.save("2/a/original", ContentFile(b"x"))

    assert [each.key for each in storage.scan()] == ["2/a/original"]
    assert storage.listdir("2/a")[1] == ["original"]
    storage.delete("2/a")  # as a purge does, for the sake of a disk's folders
    assert storage.open("2/a/original").read() == b"x"
    storage.delete("2/a/original")
    assert list(storage.scan()) == []


KEYS_IN_ORDER = [
    "1-1/a", "1/a/original", "1/a/text-1", "1/a/text-10", "1/a/text-2", "1/b/original",
    "10/a/original", "10a", "2/Z/original", "2/a/original", "a", "ä", "\U0001f426",
]  # fmt: skip


@pytest.fixture(params=["directory", "s3"])
def either(request, tmp_path):
    if request.param == "directory":
        return FileStorage(tmp_path / "objects")
    return request.getfixturevalue("storage")


def test_a_scan_lists_all_keys_in_the_order_of_their_bytes(either):
    before = timezone.now() - timedelta(seconds=2)
    assert list(either.scan()) == []
    for key in random.sample(KEYS_IN_ORDER, len(KEYS_IN_ORDER)):
        either.save(key, ContentFile(b"x"))

    found = list(either.scan())
    assert [each.key for each in found] == KEYS_IN_ORDER
    assert {each.size for each in found} == {1}
    assert sorted(KEYS_IN_ORDER, key=str.encode) == KEYS_IN_ORDER
    assert all(before < each.modified_at < timezone.now() + timedelta(seconds=2) for each in found)


def test_a_scan_goes_on_behind_any_key(either):
    for key in KEYS_IN_ORDER:
        either.save(key, ContentFile(b"x"))
    places = [*KEYS_IN_ORDER, *(f"{key[:-1]}0" for key in KEYS_IN_ORDER), "0", "zzz"]
    places += [f"{key.rpartition('/')[0]}0" for key in KEYS_IN_ORDER]  # behind its folder
    for place in places:
        behind = [key for key in KEYS_IN_ORDER if key.encode() > place.encode()]
        assert [each.key for each in either.scan(place)] == behind, place


def test_a_scan_knows_where_its_storage_begins_in_the_bucket(options, storage):
    storage.save("other/1/a/original", ContentFile(b"x"))
    within = S3Storage(**options, location="mine")
    within.save("1/a/original", ContentFile(b"x"))
    assert [each.key for each in within.scan()] == ["1/a/original"]


def test_a_scan_reads_no_more_than_a_page_ahead(faulty):
    faulty.behave = _page(["a", "b"], more="token")
    scan = faulty.storage.scan()
    assert [next(scan)[0], next(scan)[0]] == ["a", "b"]
    assert len(faulty.requests) == 1
    assert next(scan)[0] == "a"
    assert "continuation-token=token" in faulty.requests[1]


@pytest.mark.parametrize("fault", ["no token", "cut off", "stalled", "hangs up", "500"])
def test_a_scan_that_breaks_off_is_an_error_and_not_the_end(faulty, fault):
    def fail_on_the_second_page(request):
        if len(faulty.requests) == 1:
            _page(["a", "b"], more="" if fault == "no token" else "token")(request)
        elif fault == "cut off":
            _answer(request, 200, b"<?xml version='1.0'?><ListBucketResult><Contents><Key>c</Key>")
        else:
            BEHAVIOURS[fault](request)

    faulty.behave = fail_on_the_second_page
    scan = faulty.storage.scan()
    assert [next(scan)[0], next(scan)[0]] == ["a", "b"]
    with pytest.raises(OSError, match=r"scan|cut off"):
        next(scan)


@every_operation
def test_a_missing_bucket_is_an_error_and_not_a_missing_file(storage, operation):
    storage.bucket_name = "no-such-bucket"
    with pytest.raises(OSError, match="NoSuchBucket") as caught:
        operation(storage)
    assert type(caught.value) is OSError


@every_operation
def test_a_404_of_something_that_is_not_s3_is_an_error_and_not_a_missing_file(faulty, operation):
    faulty.behave = partial(_answer, status=404, body=b"<html>nothing here</html>")
    with pytest.raises(OSError, match=r"1/a|scan") as caught:
        operation(faulty.storage)
    assert type(caught.value) is OSError


def test_a_refused_connection_is_a_connection_error():
    storage = S3Storage(**_refusing())
    for operation in OPERATIONS.values():
        with pytest.raises(ConnectionError):
            operation(storage)


@every_operation
def test_a_closed_connection_is_a_connection_error(faulty, operation):
    faulty.behave = _hang_up
    with pytest.raises(ConnectionError):
        operation(faulty.storage)


@every_operation
def test_a_server_that_does_not_answer_is_a_timeout(faulty, operation):
    faulty.behave = _stall
    with pytest.raises(TimeoutError):
        operation(faulty.storage)


@every_operation
def test_wrong_credentials_are_a_permission_error(faulty, operation):
    faulty.behave = _error(403, "InvalidAccessKeyId")
    with pytest.raises(PermissionError):
        operation(faulty.storage)


@every_operation
@pytest.mark.parametrize("status", [400, 409, 429, 500, 501, 503])
def test_every_other_answer_is_an_os_error(faulty, operation, status):
    faulty.behave = _error(status, "Whatever")
    with pytest.raises(OSError, match=f"Whatever|{status}") as caught:
        operation(faulty.storage)
    assert type(caught.value) is OSError


def test_an_answer_that_is_not_xml_is_an_os_error(faulty):
    faulty.behave = partial(_answer, status=200, body=b"<html><p>")
    with pytest.raises(OSError, match="ListObjects"):
        faulty.storage.listdir("1")


def test_content_that_cannot_be_sent_on_ends_at_the_deadline():
    # Accepts, and never reads: the sender's buffers fill up.
    with socket.create_server(("127.0.0.1", 0)) as deaf, tempfile.TemporaryFile() as source:
        source.truncate(64 * MiB)
        storage = S3Storage(endpoint_url=f"http://127.0.0.1:{deaf.getsockname()[1]}", **BROKEN)
        began = time.monotonic()
        with pytest.raises((TimeoutError, ConnectionError)):
            storage.save("key", File(source, "key"))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("read", [lambda file: file.read(), lambda file: list(file.chunks())])
def test_a_body_that_is_cut_off_is_an_error_and_not_the_end(faulty, read):
    faulty.behave = partial(_answer, status=200, body=b"x" * 1000, length=2000)
    with faulty.storage.open("key") as file, pytest.raises(ConnectionError):
        read(file)


def test_a_body_that_stops_coming_is_a_timeout(faulty):
    def stall_midway(request):
        _answer(request, 200, b"x" * 1000, length=2000)
        request.wfile.flush()
        _stall(request)

    faulty.behave = stall_midway
    with faulty.storage.open("key") as file, pytest.raises(TimeoutError):
        file.read()


@pytest.mark.django_db
def test_a_body_that_comes_slowly_has_more_time_than_a_call_and_is_an_outage_in_the_end(
    faulty, make_document, settings, monkeypatch
):
    content = b"x" * 4 * BLOCK

    def trickle(request):
        _answer(request, 200, b"", length=len(content))
        for _ in range(4):
            request.wfile.write(content[:BLOCK])
            request.wfile.flush()
            time.sleep(0.3)

    faulty.behave = trickle
    settings.S3_TIMEOUT = 0.5
    document = make_document(content=content)
    monkeypatch.setattr(pipeline, "default_storage", S3Storage(**faulty.options))
    moved = []
    with tempfile.TemporaryFile() as copy:
        pipeline.fetch(document, copy, lambda: moved.append("one"))
        assert copy.tell() == len(content)
        assert len(moved) >= 4
        settings.TIME_LIMIT = settings.STALL + timedelta(seconds=0.5)
        with pytest.raises(ServiceUnavailable, match="no answer in time"):
            pipeline.fetch(document, copy)


def test_a_tls_error_in_a_body_is_a_connection_error(storage, monkeypatch):
    def fail(*args):
        raise SSLError("bad record mac")  # botocore lets it through

    storage.save("key", ContentFile(b"x"))
    with storage.open("key") as file:
        monkeypatch.setattr("urllib3.response.HTTPResponse.readinto", fail)
        with pytest.raises(ConnectionError):
            file.read()


def test_objects_are_opened_for_reading_bytes_only(storage):
    for mode in ("wb", "r", "ab"):
        with pytest.raises(ValueError, match="reading"):
            storage.open("key", mode)


def test_an_upload_limit_above_what_one_request_may_carry_is_refused_at_the_start(settings):
    settings.S3_BUCKET = "bucket"
    settings.UPLOAD_MAX_BYTES = 5 * 1024**3
    assert checks.upload_limit() == []
    settings.UPLOAD_MAX_BYTES += 1
    assert [error.id for error in checks.upload_limit()] == ["lumikb.E030"]
    settings.S3_BUCKET = ""
    assert checks.upload_limit() == []


def test_a_process_grows_by_little_over_200_mib_each_way(options, request):
    """The memory of the whole process, botocore's and the allocator's too, not only Python's."""
    if not request.config.getoption("--full"):
        pytest.skip("--full")
    program = f"""
import re, tempfile
from django.conf import settings
settings.configure()
from django.core.files.base import ContentFile, File
from lumikb.storage import S3Storage
def peak():
    kilobytes = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    open("/proc/self/clear_refs", "w").write("5")  # from here on anew
    return kilobytes / 1024
storage = S3Storage(**{options!r})
storage.save("warm", ContentFile(bytes(1024)))
storage.open("warm").read()
peak()
before = peak()
with tempfile.TemporaryFile() as source:
    source.truncate(200 * 2**20)
    storage.save("big", File(source, "big"))
sent = peak()
with storage.open("big") as file:
    assert sum(map(len, file.chunks())) == 200 * 2**20
print(sent - before, peak() - sent)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    sent, received = map(float, done.stdout.split())
    print(f"\n200 MiB: +{sent:.1f} MiB to send, +{received:.1f} MiB to receive")
    assert max(sent, received) < 16


# --- A directory ------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    return FileStorage(tmp_path / "objects")


def test_a_file_is_never_overwritten_nor_the_new_one_renamed(files, tmp_path):
    files.save("1/a/original", ContentFile(b"first"))
    with pytest.raises(FileExistsError):
        files.save("1/a/original", ContentFile(b"second"))
    assert files.open("1/a/original").read() == b"first"
    assert files.listdir("1/a") == ([], ["original"])


def test_of_two_writers_of_one_file_the_later_is_refused(files, monkeypatch):
    files.save("1/a/original", ContentFile(b"winner"))
    there = iter([False, True])  # it came between the question and the writing
    monkeypatch.setattr(files, "exists", lambda name: next(there))
    with pytest.raises(FileExistsError):
        files.save("1/a/original", ContentFile(b"loser"))
    assert files.open("1/a/original").read() == b"winner"


@pytest.mark.parametrize("uploaded", [False, True])
def test_a_file_is_on_the_disk_with_all_its_folders_when_it_is_saved(
    files, tmp_path, monkeypatch, uploaded
):
    """What a power cut would take cannot be seen from here; that everything is synced can."""
    synced = []
    content = ContentFile(b"x" * 100)
    if uploaded:
        content = TemporaryUploadedFile("x", "text/plain", 100, None)
        content.write(b"x" * 100)
        content.seek(0)

    def fsync(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        synced.append((os.path.relpath(path, tmp_path), os.path.getsize(path)))

    monkeypatch.setattr(os, "fsync", fsync)
    files.save("1/a/original", content)
    assert synced[0] == ("objects/1/a/original", 100)
    assert [path for path, _ in synced[1:]] == ["objects/1/a", "objects/1", "objects"]
    content.close()


def test_a_disk_that_cannot_sync_refuses_the_upload(upload, monkeypatch, db):
    monkeypatch.setattr(os, "fsync", _raise(OSError("Input/output error")))
    assert upload().status_code == 503
    assert not Document.objects.exists()


def test_a_documents_folder_goes_with_its_last_file_and_no_other_does(files, tmp_path):
    files.save("1/a/original", ContentFile(b"x"))
    files.save("1/a/text-1", ContentFile(b"x"))
    files.delete("1/a/original")
    assert files.listdir("1/a") == ([], ["text-1"])
    files.delete("1/a/text-1")
    files.delete("1/a/text-1")
    assert files.listdir("1") == ([], [])
    files.delete("1/a")
    assert files.listdir("") == (["1"], [])


def test_a_scan_passes_over_what_is_deleted_meanwhile(files):
    for key in ("1/a/original", "1/b/original", "1/c/original", "1/c/text-1"):
        files.save(key, ContentFile(b"x"))
    scan = files.scan()
    assert next(scan)[0] == "1/a/original"
    files.delete("1/b/original")
    assert next(scan)[0] == "1/c/original"
    files.delete("1/c/text-1")
    assert list(scan) == []


def test_a_folder_that_cannot_be_read_is_an_error_and_not_empty(files, monkeypatch):
    files.save("1/a/original", ContentFile(b"x"))
    monkeypatch.setattr(os, "scandir", _raise(PermissionError("Permission denied")))
    with pytest.raises(PermissionError):
        list(files.scan())


# --- The product on S3 ------------------------------------------------------------------------


@pytest.fixture
def use(settings, transactional_db):
    """Makes an S3Storage with these options the default storage."""

    def use(options):
        backend = {"BACKEND": "lumikb.storage.S3Storage", "OPTIONS": options}
        settings.STORAGES = settings.STORAGES | {"default": backend}

    return use


@pytest.fixture
def on_s3(use, options):
    use(options)


@pytest.fixture
def break_s3(use, faulty):
    def break_s3(fault):
        faulty.behave = BEHAVIOURS.get(fault)
        use(_refusing() if fault == "refused" else faulty.options)

    return break_s3


@pytest.fixture
def upload(page, knowledge_base):
    def post(content=b"# Herons\n\nThe heron nests in April.\n"):
        file = SimpleUploadedFile("herons.md", content, content_type="text/html")
        return page.post(f"/api/v1/knowledge-bases/{knowledge_base.slug}/documents", {"file": file})

    return post


def test_an_upload_is_stored_and_its_content_comes_back(on_s3, upload, page, boto, options):
    content = b"# Title\n\n" + b"Text that is long enough for several blocks. " * 30_000
    response = upload(content)

    assert response.status_code == 201, response.content
    document = Document.objects.get(pk=response.json()["id"])
    stored = boto.get_object(Bucket=options["bucket_name"], Key=document.storage_key)
    assert stored["ContentType"] == "text/markdown"
    assert stored["Body"].read() == content

    response = page.get(f"/api/v1/documents/{document.pk}/content")
    assert response.status_code == 200
    assert b"".join(response.streaming_content) == content


def test_a_document_whose_object_is_gone_answers_410(on_s3, make_document, page):
    document = make_document()
    default_storage.delete(document.storage_key)

    response = page.get(f"/api/v1/documents/{document.pk}/content")
    assert response.status_code == 410
    assert response.json()["error"]["code"] == "file_missing"


def test_a_document_becomes_ready_and_is_purged(on_s3, make_ready):
    document = make_ready()
    names = default_storage.listdir(document.storage_prefix)[1]
    assert sorted(names) == ["original", "text-1"]
    with default_storage.open(document.text_key(1)) as text:
        assert b"nests in April" in text.read()

    pipeline.purge(document)
    pipeline.purge(document)  # may be run again
    assert list(default_storage.scan()) == []


def test_files_of_page_and_api_are_found_and_leave_nothing_when_they_are_deleted(
    on_s3, upload, page, editor, knowledge_base, broker
):
    """All the way: request, relay, Redis, worker, search, delete, relay, worker."""
    assert upload().status_code == 201
    file = SimpleUploadedFile("storks.md", b"# Storks\n\nThe stork nests on the roof.\n")
    assert page.post(f"/kb/{knowledge_base.slug}/upload", {"file": file}).status_code in (201, 302)
    assert _relayed(broker, actors.process) == 2
    assert set(Document.objects.values_list("status", flat=True)) == {Status.READY}
    assert {hit.document.filename for hit in search(editor, "nests")} == {"herons.md", "storks.md"}

    for document in Document.objects.all():
        assert page.delete(f"/api/v1/documents/{document.pk}").status_code == 204
    assert search(editor, "nests") == []
    Document.objects.update(deleted_at=timezone.now() - timedelta(days=2))
    OutboxMessage.objects.update(due_at=timezone.now())
    assert _relayed(broker, actors.purge) == 2
    assert list(default_storage.scan()) == []
    assert [vectors.count(document.pk) for document in Document.objects.all()] == [0, 0]


@pytest.mark.parametrize("flaw", ["key", "secret", "rights", "bucket"])
def test_with_wrong_credentials_or_a_missing_bucket_nothing_is_kept_and_everything_waits(
    flaw, use, guarded, make_document, upload, page, caplog
):
    use(guarded["right"])
    document = make_document()

    use(guarded[flaw])
    assert upload().status_code == 503
    assert page.get(f"/api/v1/documents/{document.pk}/content").status_code == 503
    process(document)
    assert (document.status, document.attempts, document.failure_code) == ("pending", 0, "")
    why = "an error that is logged" if flaw == "bucket" else "access is refused"
    assert document.waiting_for == f"the file storage is not available ({why})."
    assert {"bucket": "NoSuchBucket", "rights": "AccessDenied"}.get(flaw, "") in caplog.text
    with pytest.raises(ServiceUnavailable):
        pipeline.purge(document)
    assert list(Document.objects.all()) == [document]

    use(guarded["right"])
    let_outages_pass()
    assert process(document).status == Status.READY


@pytest.fixture
def guarded(s3, options):
    """The server checks signatures and rights, as production's do: storages by what is wrong."""
    usual = {"endpoint_url": s3, "region_name": "us-east-1"}
    iam = boto3.client("iam", **usual, aws_access_key_id="key", aws_secret_access_key="secret")
    bucket = options["bucket_name"]
    keys = {}
    for name in ("right", "rights"):
        iam.create_user(UserName=f"{name}-{bucket}")
        key = iam.create_access_key(UserName=f"{name}-{bucket}")["AccessKey"]
        keys[name] = {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_user_policy(UserName=f"right-{bucket}", PolicyName="all", PolicyDocument=policy)
    _check_signatures(s3, after="0")
    yield {
        "right": options | keys["right"],
        "rights": options | keys["rights"],
        "key": options | keys["right"] | {"access_key": "AKIANOBODY"},
        "secret": options | keys["right"] | {"secret_key": "wrong"},
        "bucket": options | keys["right"] | {"bucket_name": "no-such-bucket"},
    }
    _check_signatures(s3, after="inf")


@every_fault
def test_when_s3_fails_an_upload_answers_503_and_leaves_nothing(fault, break_s3, upload):
    break_s3(fault)
    response = upload()

    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert response.json()["error"]["code"] == "storage_unavailable"
    assert not Document.objects.exists()
    assert not OutboxMessage.objects.exists()


@every_fault
def test_when_s3_fails_the_content_answers_503_and_the_pipeline_postpones(
    fault, on_s3, break_s3, make_document, page
):
    document = make_document()
    break_s3(fault)
    response = page.get(f"/api/v1/documents/{document.pk}/content")

    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    process(document)
    assert document.status == Status.PENDING
    assert document.waiting_for.startswith("the file storage is not available")
    assert document.attempts == 0
    with pytest.raises(ServiceUnavailable):
        pipeline.purge(document)


def test_an_object_that_s3_does_not_have_fails_the_document_for_good(on_s3, make_document):
    document = make_document()
    default_storage.delete(document.storage_key)

    assert process(document).failure_code == "file_missing"


def test_the_reconciler_deletes_old_objects_that_nobody_owns(on_s3, make_document, monkeypatch):
    document = make_document()
    orphan = Document(knowledge_base_id=document.knowledge_base_id)
    default_storage.save(orphan.storage_key, ContentFile(b"its row was never written"))

    assert _found("objects without a document") == (0, 0, "")  # it is not a day old yet
    monkeypatch.setattr(reconcile.objects, "ORPHAN_AGE", timedelta(seconds=-60))
    assert _found("objects without a document") == (1, 1, "")
    assert not default_storage.exists(orphan.storage_key)
    assert default_storage.exists(document.storage_key)


def test_the_reconciler_requeues_a_document_whose_object_is_missing(on_s3, make_ready):
    document = make_ready()
    assert _found("stored file missing") == (0, 0, "")

    default_storage.delete(document.storage_key)
    assert _found("stored file missing") == (1, 1, "")


@every_fault
def test_to_the_reconciler_a_failing_s3_is_not_a_missing_object(fault, on_s3, break_s3, make_ready):
    document = make_ready()
    break_s3(fault)
    for check in ("stored file missing", "objects without a document"):
        found, mended, skipped = _found(check)
        assert (found, mended) == (0, 0)
        assert skipped.startswith("cannot tell")
    document.refresh_from_db()
    assert document.status == Status.READY


# --- What the tests are made with -------------------------------------------------------------


def _refusing():
    [port] = free_ports(1)
    return BROKEN | {"endpoint_url": f"http://127.0.0.1:{port}"}


def _check_signatures(s3, after):
    """Moto does, after so many requests from now."""
    httpx.post(f"{s3}/moto-api/reset-auth", content=after, trust_env=False).raise_for_status()


def _relayed(broker, actor):
    """Relay what is due and do it, as a worker does; returns how many messages there were."""
    embeddings.warm_up()  # takes seconds of a lease, which nobody renews here
    count = relay.post_due()
    consumer = broker.consume(actors.QUEUE, timeout=1000)
    for message in itertools.islice(filter(None, consumer), count):  # None: nothing just now
        assert message.actor_name == actor.actor_name
        actor.fn(*message.args)
        consumer.ack(message)
    return count


def _found(check):
    report = reconcile.run()
    [finding] = [finding for finding in report.findings if finding["check"] == check]
    return finding["found"], finding["mended"], finding["skipped"]


@contextmanager
def _memory_below(limit):
    """Python's own allocations, which all the buffers are: their peak above the start."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak / MiB:.1f} MiB"


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class FaultyServer(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), FaultyHandler)
        self.requests = []
        self.stopped = threading.Event()
        self.options = BROKEN | {"endpoint_url": f"http://127.0.0.1:{self.server_address[1]}"}
        self.storage = S3Storage(**self.options)


class FaultyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline(65537)
        readable = self.raw_requestline and self.parse_request()
        self.close_connection = True
        if readable:
            self.server.requests.append(f"{self.command} {self.path}")
            self.server.behave(self)

    def log_message(self, *args):
        pass


def _raise(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def _page(keys, more=None):
    """A page of a list of objects; `more` is the token of the next, empty for one without it."""
    contents = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2025-01-01T00:00:00Z</LastModified>"
        "<Size>1</Size></Contents>"
        for key in keys
    )
    token = f"<NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    truncated = str(more is not None).lower()
    xml = f"<IsTruncated>{truncated}</IsTruncated>{token}{contents}"
    return partial(_answer, status=200, body=f"<ListBucketResult>{xml}</ListBucketResult>".encode())


def _stall(request):
    request.server.stopped.wait(30)


def _hang_up(request):
    pass


def _error(status, code):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return partial(_answer, status=status, body=body)


def _answer(request, status, body=b"", length=None):
    request.send_response(status)
    request.send_header("Content-Length", str(length or len(body)))
    request.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
    request.send_header("Connection", "close")
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


BEHAVIOURS = {
    "stalled": _stall,
    "hangs up": _hang_up,
    "500": _error(500, "InternalError"),
    "403": _error(403, "AccessDenied"),
    "no bucket": _error(404, "NoSuchBucket"),
}
