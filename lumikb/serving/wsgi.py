"""WSGI (PEP 3333): a request as an environ, and the application's answer as a file to send."""

import io
import logging
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

import h11
from django.conf import settings
from gunicorn.config import Config

from documents.connections import release

OURS = {b"expect", b"transfer-encoding"}  # for the server alone: the body is there, in one piece


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: IO[bytes]
    in_memory: bool = True


def plain(status: HTTPStatus) -> Answer:
    """The server's own answer, where the application has not been asked."""
    body = f"{status.phrase}\n".encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    return Answer(status, status.phrase, headers, io.BytesIO(body))


def environ_of(
    request: h11.Request, client: tuple[str, int], listener: tuple[str, int], cfg: Config
) -> dict[str, Any]:
    """All but `wsgi.input` and, where the client did not say it, CONTENT_LENGTH."""
    target, _, query = request.target.partition(b"?")
    if not target.startswith(b"/"):  # http://name/path, as to a proxy; or *
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    script, path = _below(unquote_to_bytes(target).decode("latin-1"))
    environ = {
        "REQUEST_METHOD": request.method.decode("ascii"),
        "SCRIPT_NAME": script,
        "PATH_INFO": path,
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version.decode('ascii')}",
        "SERVER_NAME": listener[0],
        "SERVER_PORT": str(listener[1]),
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    for name, value in request.headers:
        if name in OURS or b"_" in name:  # X_Forwarded_For is not X-Forwarded-For
            continue
        key = name.decode("ascii").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        separator = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{separator}{text}" if key in environ else text
    if _says_https(environ, cfg):
        environ["wsgi.url_scheme"] = "https"
    return environ


def call(application: Any, environ: dict[str, Any]) -> Answer:
    """Run the application to its end, in this thread. Whoever gets the answer closes its body."""
    try:
        return _call(application, environ)
    except Exception:
        log.exception("%s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"])
        return plain(HTTPStatus.INTERNAL_SERVER_ERROR)
    finally:
        environ["wsgi.input"].close()


def _call(application: Any, environ: dict[str, Any]) -> Answer:
    status, reason, headers = 0, "", []

    def start_response(line: str, fields: list[tuple[str, str]], exc_info: Any = None) -> None:
        nonlocal status, reason, headers
        code, _, reason = line.partition(" ")
        status, headers = int(code), fields

    parts = application(environ, start_response)
    has_body = environ["REQUEST_METHOD"] != "HEAD" and status not in (204, 304)
    if has_body and isinstance(parts, FileWrapper):
        release()  # Django does this when the file is closed, for the thread that closes it
        return Answer(status, reason, headers, parts.filelike, in_memory=False)
    try:
        body = b"".join(parts) if has_body else b""
    finally:
        if hasattr(parts, "close"):
            parts.close()
    return Answer(status, reason, headers, io.BytesIO(body))


def _below(path: str) -> tuple[str, str]:
    """SCRIPT_NAME and PATH_INFO. Who asks from within (health, metrics) may leave the first out."""
    script = settings.SCRIPT_NAME
    if script and (path == script or path.startswith(f"{script}/")):
        return script, path.removeprefix(script)
    return script, path


def _says_https(environ: dict[str, Any], cfg: Config) -> bool:
    """Whether a proxy says so that gunicorn's settings trust: by default one of this machine."""
    if not {"*", environ["REMOTE_ADDR"]} & set(cfg.forwarded_allow_ips):
        return False
    return any(
        environ.get(f"HTTP_{name.upper().replace('-', '_')}") == value
        for name, value in cfg.secure_scheme_headers.items()
    )
