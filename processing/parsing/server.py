"""The fork server: `python -m processing.parsing.server`, one end of a socket pair as its standard
input.

It imports the readers once (0.7 s) and forks a child per document (2 ms). A message on the socket
is a request with four open files: the document, the answer, the complaints, and the request's own
control socket. On that the server says the child's process id, then how it ended; when the other
side closes it, the child is killed. It dies with the worker that started it: when that one's socket
closes, and by the kernel's hand.

Not multiprocessing's fork server: that one takes our environment, with its secrets, and imports the
worker's main module in each child.
"""

import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass

from formats import FORMATS
from processing.parsing import child, decoding, pdf, picture, recognition, seccomp

MAX_REQUEST_BYTES = 4096
REQUEST_FILES = 4


@dataclass(slots=True)
class _Child:
    pid: int
    exit: int  # a file descriptor that becomes readable when the process has ended
    control: socket.socket


def main() -> None:
    child.die_with(os.getppid())
    # A service manager may send these to the whole group, and the terminal does: the worker decides
    # when a document is given up, by closing its socket.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    preload()
    child.filtered = not seccomp.missing()
    with socket.socket(fileno=os.dup(0)) as requests:
        requests.setblocking(False)
        serve(requests)


def preload() -> None:
    """Import all that the children will use: they can open no file, so also none of Python's."""
    # openpyxl imports these only to accept their types; they cost 0.3 s and much address space.
    sys.modules["numpy"] = sys.modules["pandas"] = None  # type: ignore[assignment]
    import encodings

    for format in FORMATS:
        importlib.import_module(f"processing.parsing.{format.reader}")
    decoding.warm_up()
    pdf.warm_up()
    picture.warm_up()
    if os.environ.get("OCR") != "off":
        recognition.warm_up(os.environ.get("OCR_LANGUAGES", ""))
    for codec in pkgutil.iter_modules(encodings.__path__):
        with suppress(ImportError):  # those of other systems
            importlib.import_module(f"encodings.{codec.name}")
    gc.freeze()  # the children's collector leaves the shared pages alone


def serve(requests: socket.socket) -> None:
    """Until the worker closes its end."""
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not requests:
                    if selector.get_map().get(key.fd) is key:  # else it ended in this very round
                        _end(key.data, selector)
                elif not _accept(requests, selector):
                    return  # the children die with us


def _accept(requests: socket.socket, selector: selectors.BaseSelector) -> bool:
    """Start the child of one request; whether there was one."""
    message, files, _, _ = socket.recv_fds(requests, MAX_REQUEST_BYTES, REQUEST_FILES)
    if not message:
        return False
    document, answer, complaints, control_end = files
    control = socket.socket(fileno=control_end)
    limits = json.loads(message)["limits"]
    if limits["recognised_pages"]:
        recognition.warm_up(limits["languages"])  # done already, but for those of few
    server = os.getpid()  # a child that begins after our death must know that it is alone
    pid = os.fork()
    if pid == 0:
        _become_child(server, json.loads(message), document, answer, complaints)
    for descriptor in (document, answer, complaints):
        os.close(descriptor)
    started = _Child(pid, os.pidfd_open(pid), control)
    selector.register(started.exit, selectors.EVENT_READ, started)
    selector.register(control, selectors.EVENT_READ, started)
    _say(control, {"pid": pid})
    return True


def _become_child(
    server: int, request: dict[str, object], document: int, answer: int, complaints: int
) -> None:
    try:
        os.setsid()
        places = ((child.DOCUMENT, document), (1, complaints), (2, complaints))
        for number, descriptor in (*places, (child.ANSWER, answer)):
            os.dup2(descriptor, number)
        os.closerange(3, child.ANSWER)
        os.closerange(child.ANSWER + 1, os.sysconf("SC_OPEN_MAX"))
        child.main(server, **request)  # type: ignore[arg-type]
    finally:
        os._exit(1)


def _end(ended: _Child, selector: selectors.BaseSelector) -> None:
    """The child has ended, or nobody waits for it any more: kill what is left of it, reap it."""
    selector.unregister(ended.exit)
    selector.unregister(ended.control)
    # Before it is reaped: until then its id cannot belong to anybody else.
    for kill in (os.kill, os.killpg):
        with suppress(ProcessLookupError):
            kill(ended.pid, signal.SIGKILL)
    _, status, used = os.wait4(ended.pid, 0)
    os.close(ended.exit)
    report = {"status": os.waitstatus_to_exitcode(status), "memory_kib": used.ru_maxrss}
    _say(ended.control, report)
    ended.control.close()


def _say(control: socket.socket, message: dict[str, int]) -> None:
    with suppress(OSError):  # nobody listens any more
        control.send(json.dumps(message).encode())


if __name__ == "__main__":
    main()
