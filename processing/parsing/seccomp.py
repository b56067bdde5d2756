"""Takes from the process, for good, every system call that reading a document in memory does not
need: no file opened, no socket, no new process or program, no signal to anybody else.

A list of what is allowed, because the list of what may hurt grows with each kernel. Anything else
answers EPERM, so that a library that tries can go on without. On PyPI: pyseccomp needs libseccomp
from the system, sandlock wants to supervise the whole process; the filter itself is 70 lines.
See seccomp(2) and Documentation/userspace-api/seccomp_filter.rst of the kernel.
"""

import ctypes
import errno
import os
import platform
import struct

# name: number on (x86_64, aarch64); aarch64 has no number for what it replaced from the start.
_ALLOWED = {
    # memory
    "brk": (12, 214),
    "madvise": (28, 233),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    # the files that are open already
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "read": (0, 63),
    "readv": (19, 65),
    "stat": (4, None),
    "statx": (332, 291),
    "write": (1, 64),
    "writev": (20, 66),
    # time, chance, and who we are
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "getcwd": (79, 17),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "nanosleep": (35, 101),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "uname": (63, 160),
    # locks and signals inside of the process, and its end
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "membarrier": (324, 283),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
}
_TO_ITSELF = {"kill": (62, 129), "tgkill": (234, 131)}  # abort() ends the process by them
_GETS_LIMITS = {"prlimit64": (302, 261)}  # as long as it sets none: the third argument is NULL

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_*

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
# Offsets in struct seccomp_data; the arguments have eight bytes each, the low half first.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K


def available() -> bool:
    """Whether this kernel and machine can do it (the probe that prctl(2) gives: NULL is EFAULT)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, None, 0, 0)
    return ctypes.get_errno() == errno.EFAULT and platform.machine() in _MACHINES


def install() -> None:
    """Bind this process (its only thread). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program()
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a short count, padding, a pointer
    filter = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _MODE_FILTER, filter, 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp")


def _program() -> bytes:
    """The filter: instructions of (code, jump if true, jump if false, value)."""
    column, architecture = _MACHINES[platform.machine()]
    own = os.getpid()
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),  # calls by the numbers of another architecture
        (_LOAD, 0, 0, _NUMBER),
    ]
    for numbers in _ALLOWED.values():
        if (number := numbers[column]) is not None:
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for numbers in _TO_ITSELF.values():
        steps += _allow_if(numbers[column], argument=0, low=own)
    for numbers in _GETS_LIMITS.values():
        steps += _allow_if(numbers[column], argument=2, low=0)
    steps.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _allow_if(number: int, argument: int, low: int) -> list[tuple[int, int, int, int]]:
    """Allow this call when the argument is `low`, its upper half 0; else refuse."""
    at = _ARGUMENTS + 8 * argument
    return [
        (_EQUAL, 0, 6, number),
        (_LOAD, 0, 0, at),
        (_EQUAL, 0, 3, low),
        (_LOAD, 0, 0, at + 4),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
