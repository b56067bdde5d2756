"""Takes from the process, for good, every system call that reading a document in memory does not
need: no file opened or asked for by its name, no socket, no new process or program, nothing of
another process or of the machine.

A list of what is allowed, because the list of what may hurt grows with each kernel. Anything else
is not done and answers EPERM, so that a library that tries can go on without, and the error output
names it once: `refused: openat`. A reader that cannot do without gets the name of the call added
here; what it wants from files is better loaded before, in `server.preload`.

The filter sees numbers, not the strings that they point to. So a call that can name a file is
refused even where it asks for an open one, as fstat() does in glibc 2.33 to 2.38; Python's open()
and the readers go on without.

On PyPI: pyseccomp needs libseccomp from the system, sandlock wants to supervise the whole process;
the filter itself is 70 lines. Landlock would add nothing: it does not keep from stat(), and what it
does keep from is refused here. See seccomp(2) and Documentation/userspace-api/seccomp_filter.rst of
the kernel.
"""

import ctypes
import errno
import os
import platform
import signal
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from system_calls import syscalls

# Measured with strace over good files of every format and 260 hostile ones (glibc 2.36, x86-64):
# brk, mmap, mremap, munmap, write, close, futex, exit_group; and getpid, gettid, rt_sigprocmask,
# tgkill of abort(). The others are what other releases and libraries of C use for the same.
ALLOWED = (
    # memory
    *("brk", "mmap", "mprotect", "mremap", "munmap"),
    # the files that are open already
    *("close", "fstat", "read", "write", "writev"),
    # time, chance, and who we are
    *("getpid", "getrandom", "gettid", "gettimeofday", "nanosleep"),
    # locks and signals inside of the process, and its end
    *("futex", "restart_syscall", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn"),
    *("sched_yield", "exit", "exit_group"),
)


def _allowed_with(own: int) -> dict[str, tuple[int, Sequence[int]]]:
    """Calls that are allowed when an argument, by its index, has one of these values."""
    clocks = range(12)  # the other numbers are the clocks of processes: how busy each one is
    # MADV_DONTNEED, FREE, HUGEPAGE; others share pages with other processes, or poison them.
    advice = (4, 8, 14)
    return {
        "clock_getres": (0, clocks),
        "clock_gettime": (0, clocks),
        "clock_nanosleep": (0, clocks),
        "kill": (0, (own,)),  # abort() ends the process by them
        "tgkill": (0, (own,)),
        "madvise": (2, advice),
        "sched_getaffinity": (0, (0, own)),  # glibc's malloc, when memory is short
    }


REFUSED = "refused: "  # before the name of a call, on the error output
# Called while signals are blocked, so that nothing but the answer can tell.
_SILENT = ("clone", "clone3", "fork", "vfork")

# uname: system_calls' name, AUDIT_ARCH_*, and where the result of a call is in struct ucontext
_MACHINES = {
    "x86_64": ("x86_64", 0xC000003E, 144),
    "aarch64": ("arm64", 0xC00000B7, 184),
}
_MACHINE, _AUDIT, _RESULT = _MACHINES.get(platform.machine(), ("", 0, 0))
# aarch64 has none for what was replaced before its time.
_NUMBERS: dict[str, int] = syscalls().load_arch_table(_MACHINE) if _MACHINE else {}
_NAMES = {number: name for name, number in _NUMBERS.items()}

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_ALLOW, _REFUSE, _TRAP, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00030000, 0x80000000
# Offsets in struct seccomp_data; the arguments have eight bytes each, the low half first.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K

_Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, value


def missing() -> str:
    """Why a process cannot be bound on this system; empty when one was, and was refused what it
    tried. Forks: only for a process without threads.
    """
    if not _MACHINE:
        return f"the filter has no numbers for {platform.machine()}"
    pid = os.fork()
    if pid == 0:
        os._exit(_try())
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code in (0, _NOT_REFUSED):
        return "the kernel does not do what the filter says" if code else ""
    return f"the kernel refuses the filter: {os.strerror(code)}"


def install() -> None:
    """Bind this process (its only thread). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program()
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a short count, padding, a pointer
    filter = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    _tell_what_is_refused()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _MODE_FILTER, filter, 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp")


def _try() -> int:
    """In a process of its own: 0, an error number, or _NOT_REFUSED."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        install()
    except OSError as error:
        return error.errno or errno.EINVAL
    for forbidden in (lambda: os.stat("/"), socket.socket, os.fork):
        with suppress(PermissionError):
            forbidden()
            return _NOT_REFUSED
    return 0


class _Action(ctypes.Structure):
    """struct sigaction, the same in glibc and musl."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_SA_SIGINFO = 4
_SIGINFO_CALL = 24  # the offset of si_syscall


def _tell_what_is_refused() -> None:
    """Handle the signal that the kernel sends instead of doing a call: it comes in the midst of the
    call, never in Python's own work, and the call then returns what we say.
    """
    told: set[int] = set()

    def refused(_: int, info: int, context: int) -> None:
        ctypes.c_long.from_address(context + _RESULT).value = -errno.EPERM
        number = ctypes.c_int.from_address(info + _SIGINFO_CALL).value
        if number not in told:
            told.add(number)
            name = _NAMES.get(number, f"system call {number}")
            os.write(2, f"{REFUSED}{name}\n".encode())

    prototype = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    handler = prototype(refused)
    _kept.append(handler)
    action = _Action(ctypes.cast(handler, ctypes.c_void_p), flags=_SA_SIGINFO)
    ctypes.CDLL(None).sigaction(signal.SIGSYS, ctypes.byref(action), None)


_NOT_REFUSED = 255
_kept: list[object] = []  # what the kernel calls must not be collected


def _program() -> bytes:
    """The filter."""
    steps: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _AUDIT),
        (_RETURN, 0, 0, _KILL),  # calls by the numbers of another architecture
        (_LOAD, 0, 0, _NUMBER),
    ]
    for names, answer in ((ALLOWED, _ALLOW), (_SILENT, _REFUSE)):
        for name in _NUMBERS.keys() & names:
            steps += [(_EQUAL, 0, 1, _NUMBERS[name]), (_RETURN, 0, 0, answer)]
    conditions = _allowed_with(os.getpid())
    for name in _NUMBERS.keys() & conditions.keys():
        steps += _allow_if(_NUMBERS[name], *conditions[name])
    steps.append((_RETURN, 0, 0, _TRAP))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _allow_if(number: int, argument: int, values: Sequence[int]) -> list[_Instruction]:
    """Allow this call when the argument is one of `values`, its upper half 0; else refuse."""
    at, count = _ARGUMENTS + 8 * argument, len(values)
    return [
        (_EQUAL, 0, count + 5, number),
        (_LOAD, 0, 0, at + 4),
        (_EQUAL, 0, count + 1, 0),
        (_LOAD, 0, 0, at),
        *((_EQUAL, count - index, 0, value) for index, value in enumerate(values)),
        (_RETURN, 0, 0, _TRAP),
        (_RETURN, 0, 0, _ALLOW),
    ]


if __name__ == "__main__":
    print(missing(), end="")
