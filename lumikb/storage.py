"""Where objects are kept, behind Django's storage API: a directory, or S3.

Both write a key once and never overwrite it, and both can list all their objects in one order, that
of the keys' bytes, a page at a time: `scan` is what the reconciler reads.
Of django-storages' S3 the costs are taken out: the stock one keeps a client per thread (16 threads:
292 MB), holds a whole object in memory when it reads it, and overwrites. Its errors are botocore's;
ours are those of Django's file storage.
"""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import Any, NamedTuple

from botocore import exceptions as boto
from botocore.config import Config
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage
from storages.backends.s3 import S3Storage as StockS3Storage
from storages.utils import ReadBytesWrapper, clean_name
from urllib3.exceptions import HTTPError  # a TLS error in the midst of a body comes as it is

from documents.deadlines import seconds_left, within

BLOCK = 256 * 1024  # bytes read from the network at a time

# A fork waits until no thread is making a client: in the child this lock is always free.
_making = threading.Lock()
os.register_at_fork(
    before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release
)


class Stored(NamedTuple):
    """An object as a listing names it: size in bytes."""

    key: str
    modified_at: datetime
    size: int


class FileStorage(FileSystemStorage):
    """A directory of this machine; what was saved is on the disk, also after a power cut.

    Raises FileExistsError when the key is there already, and OSError as files do.
    """

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        if self.exists(name):
            raise FileExistsError(f"{name} is stored already")
        return name

    def delete(self, name: str) -> None:
        """Deleting what is not there is no error; a document's folder goes with its last object."""
        super().delete(name)
        if name.count("/") == 2:  # higher up, somebody may be making the folder of a new document
            with suppress(OSError):
                os.rmdir(os.path.dirname(self.path(name)))

    def check(self) -> None:
        """Raise OSError unless a file can be written now."""
        os.makedirs(self.location, exist_ok=True)
        with TemporaryFile(dir=self.location, buffering=0) as file:  # it has no name
            file.write(b"is there room?")

    def scan(self, after: str = "") -> Iterator[Stored]:
        """All objects in the order of their keys' bytes, or those after a key.

        Holds the names of one folder in memory: 0.1 KB for each document of a knowledge base.
        """
        return self._scan("", after)

    def _scan(self, folder: str, after: str) -> Iterator[Stored]:
        try:
            with os.scandir(os.path.join(self.location, folder)) as entries:
                # With its slash, a folder sorts as the keys in it do.
                names = sorted(f"{e.name}/" if e.is_dir() else e.name for e in entries)
        except FileNotFoundError:  # removed meanwhile; the root is made with the first object
            return
        for name in names:
            key = folder + name
            if key <= after and not after.startswith(key):
                continue  # with all that is in it
            if name.endswith("/"):
                yield from self._scan(key, after)
            elif key > after:
                with suppress(FileNotFoundError):
                    stat = os.stat(os.path.join(self.location, key))
                    yield Stored(key, datetime.fromtimestamp(stat.st_mtime, UTC), stat.st_size)

    def _save(self, name: str, content: File) -> str:
        try:
            name = super()._save(name, content)  # type: ignore[misc] # the stubs lack it
            path = self.path(name)
            _sync(path)
            while path != self.location:  # the entry in each folder, which may be new too
                path = os.path.dirname(path)
                _sync(path)
        except FileExistsError:  # another's
            raise
        except OSError:  # a full disk has taken some of it
            with suppress(OSError):
                self.delete(name)
            raise
        return name


class S3Storage(StockS3Storage):
    """A bucket; keys are written once, in one PUT (S3's limit: 5 GiB), and never overwritten.

    Raises FileNotFoundError when S3 says that it has no such key, FileExistsError when it has one
    already, PermissionError, TimeoutError, ConnectionError, and OSError for all else: a missing
    bucket too. A save that raises may have stored the object all the same: replies get lost.

    A key that ends with a slash is no object of ours: tools and some servers keep empty folders so.

    OPTIONS are the stock ones and four more: `connect_timeout` (30 s, also for a block that is
    being sent), `read_timeout` (60 s, also for each block of a body), `tries` (3 in all) and
    `timeout` (180 s for all the tries of a call; a page of a listing is one, and so is a PUT with
    its body). Only botocore tries again, and not when the time for that is over.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._owner = 0
        self.client_config = Config(
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            retries={"mode": "standard", "total_max_attempts": self.tries},
            max_pool_connections=64,  # idle ones that are kept; more threads may use it
            proxies=self.proxies,
            signature_version="s3v4",
            s3={"addressing_style": self.addressing_style or "path"},
            # Other makers' servers refuse the newer checksums; SHA-256 is compared by the pipeline.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )

    def get_default_settings(self) -> dict[str, Any]:
        deadlines = {"connect_timeout": 30, "read_timeout": 60, "tries": 3, "timeout": 180}
        return super().get_default_settings() | deadlines

    @property
    def connection(self) -> Any:
        """One for all threads, made when first used; a forked child cannot share its sockets."""
        with _making:
            if self._owner != os.getpid():
                self._connections = SimpleNamespace()  # where the stock one has a threading.local
                events = super().connection.meta.client.meta.events
                events.register_first("needs-retry.s3", self._is_too_late)
                self._owner = os.getpid()
            return super().connection

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return clean_name(name)  # what is taken is refused by the PUT, not renamed

    def exists(self, name: str) -> bool:
        try:
            self._head(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        return self._head(name)["ContentLength"]

    def get_modified_time(self, name: str) -> datetime:
        return self._head(name)["LastModified"]

    def delete(self, name: str) -> None:
        """Deleting what is not there is no error."""
        with self._call(name):
            self._client.delete_object(**self._at(name))

    def check(self) -> None:
        """Raise OSError unless S3 has the bucket and lets us in."""
        with self._call(self.bucket_name):
            self._client.head_bucket(Bucket=self.bucket_name)

    def scan(self, after: str = "") -> Iterator[Stored]:
        """All objects in the order of their keys' bytes, or those after a key; 1,000 a call."""
        prefix = self._folder("")
        begin = {"StartAfter": prefix + after} if after else {}
        for page in self._pages("scan", Prefix=prefix, **begin):
            for each in page.get("Contents", ()):
                if not each["Key"].endswith("/"):
                    yield Stored(each["Key"][len(prefix) :], each["LastModified"], each["Size"])
            # The paginator takes the lack of a token for the end, whatever the page says.
            if page.get("IsTruncated") and not page.get("NextContinuationToken"):
                raise OSError("the list of objects is cut off")

    def listdir(self, name: str) -> tuple[list[str], list[str]]:
        """The folders and the files directly in `name`; of a folder without any, none."""
        prefix = self._folder(name)
        folders: list[str] = []
        files: list[str] = []
        for page in self._pages(name, Prefix=prefix, Delimiter="/"):
            folders += [each["Prefix"] for each in page.get("CommonPrefixes", ())]
            keys = (each["Key"] for each in page.get("Contents", ()))
            files += [key for key in keys if not key.endswith("/")]
        start = len(prefix)
        return [folder[start:-1] for folder in folders], [file[start:] for file in files]

    def _save(self, name: str, content: File) -> str:
        if not isinstance(content.read(0), bytes):
            raise TypeError("Only bytes can be stored.")
        if content.seekable():
            content.seek(0)
        at = self._at(name)
        parameters = self._get_write_parameters(at["Key"], content)
        body = ReadBytesWrapper(content)  # botocore takes a File without a name for no body at all
        with self._call(name):
            self._client.put_object(**at, Body=body, IfNoneMatch="*", **parameters)
        return name

    def _open(self, name: str, mode: str = "rb") -> File:
        """Opens for one reading from the first byte to the last, as the bytes come."""
        if mode != "rb":
            raise ValueError("Objects can be opened for reading bytes only.")
        with self._call(name):
            response = self._client.get_object(**self._at(name))
        body = _Body(name, response["Body"], self.read_timeout)
        file = File(io.BufferedReader(body, BLOCK), name)
        file.size = response["ContentLength"]
        return file

    def _head(self, name: str) -> dict[str, Any]:
        with self._call(name):
            try:
                return self._client.head_object(**self._at(name))
            except boto.ClientError as error:
                if error.response["Error"]["Code"] != "404":
                    raise
            # HEAD's answer has no body: the bucket may be missing, or a proxy may know no S3.
            response = self._client.get_object(**self._at(name))
            response["Body"].close()
            return response

    def _pages(self, name: str, **parameters: str) -> Iterator[dict[str, Any]]:
        paginator = self._client.get_paginator("list_objects_v2")
        pages = iter(paginator.paginate(Bucket=self.bucket_name, **parameters))
        while True:
            with self._call(name):
                page = next(pages, None)
            if page is None:
                return
            yield page

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        with within(self.timeout), _translated(name):
            yield

    def _is_too_late(self, **_: Any) -> bool | None:
        """Told by botocore when it may try again; False: it must not, which it does after a pause.

        The last pause is the longest, of up to this many seconds.
        """
        return False if seconds_left() < 2 ** (self.tries - 2) else None

    @property
    def _client(self) -> Any:
        return self.connection.meta.client  # thread-safe, unlike the resource around it

    def _folder(self, name: str) -> str:
        prefix = self._normalize_name(clean_name(name))
        return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket_name, "Key": self._normalize_name(clean_name(name))}


class _Body(io.RawIOBase):
    """An object's bytes while they come from S3. Too few of them are an error, not an end.

    Each block has `timeout` seconds: what the reader does between two of them is its own affair.
    """

    def __init__(self, name: str, stream: Any, timeout: float) -> None:
        self._name = name
        self._stream = stream
        self._timeout = timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with within(self._timeout), _translated(self._name):
            return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _sync(path: str) -> None:
    """Make a file, or the entries of a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (boto.BotoCoreError, boto.ClientError, HTTPError) as error:
        # To some of botocore's parts, a time that is over is a connection that was closed.
        kind = TimeoutError if seconds_left() <= 0 else _kind(error)
        raise kind(f"{name}: {_words(error)}") from error


def _words(error: Exception) -> str:
    """Without the server's own sentence: some quote the keys that they were sent."""
    if isinstance(error, boto.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return f"{error.operation_name}: {error.response['Error'].get('Code')} (HTTP {status})"
    return str(error)


def _kind(error: Exception) -> type[OSError]:
    if isinstance(error, boto.ClientError):
        # Of all that S3 or a proxy answers with 404, this alone says that the key is missing.
        if error.response["Error"].get("Code") == "NoSuchKey":
            return FileNotFoundError
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        kinds = {401: PermissionError, 403: PermissionError, 412: FileExistsError}
        return kinds.get(status, OSError)
    if isinstance(error, boto.ConnectTimeoutError | boto.ReadTimeoutError):
        return TimeoutError
    broken = boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, HTTPError
    return ConnectionError if isinstance(error, broken) else OSError
