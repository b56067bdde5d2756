"""What the parser's process may ask of the kernel: all is tried from inside of a real one."""

import json
import os
import platform

import pytest
from system_calls import syscalls

from processing.errors import PermanentError
from processing.parsing import client, parse, seccomp
from tests.processing import files
from tests.processing.test_parsing_sandbox import HAS_SECCOMP, document, hostile, obedient, servers

__all__ = ["document", "hostile", "obedient", "servers"]  # fixtures

pytestmark = pytest.mark.skipif(not HAS_SECCOMP, reason="no seccomp on this system")

MACHINE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
NUMBERS = syscalls().load_arch_table(MACHINE)

# In the child: call(number, ...) says "" or the name of the error.
CALL = """
import errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    given = [a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
    done = libc.syscall(ctypes.c_long(number), *given)
    return errno.errorcode.get(ctypes.get_errno(), 'error') if done == -1 else ''
"""

# name, then its arguments: numbers, P (a path that is there), N (one that is not), W (the worker's
# process), I (this one), B (a buffer), C (the clock of its processor time). What would hurt
# the machine, were the filter broken, has arguments that the kernel would refuse, too.
PROBES = """
stat P B; stat N B; lstat P B; newfstatat -100 P B 0; newfstatat -100 N B 0
newfstatat -100 P B 4096; newfstatat 3 E B 4096; newfstatat 3 P B 4096; statx -100 P 0 4095 B
statx -100 N 0 4095 B; statx 3 E 4096 4095 B; access P 0; access N 0; faccessat -100 P 0
faccessat2 -100 P 0 0; readlink P B 99; readlinkat -100 P B 99; open P 0; openat -100 P 0
openat -100 N 65; openat2 -100 P B 24; creat N 384; open_tree -100 P 0
name_to_handle_at -100 P B B 0; open_by_handle_at -100 B 0; statfs P B; fstatfs 3 B
statmount B B 99 0; getcwd B 99; chdir P; fchdir 3; chroot P; getdents64 3 B 99; getxattr P N B 99
listxattr P B 99; fgetxattr 3 N B 99; inotify_init1 0; inotify_add_watch 3 P 4095
fanotify_init 0 0; file_getattr -100 P B 24 0; cachestat 3 B B 0; unlink N; unlinkat -100 N 0
rmdir N; mkdir N 448; mkdirat -100 N 448; rename N N; renameat2 -100 N -100 N 0; link P N
linkat -100 P -100 N 0; symlink P N; symlinkat P -100 N; mknod N 4480 0; mknodat -100 N 4480 0
truncate N 0; ftruncate 3 0; fallocate 3 0 0 1; chmod N 0; fchmod 3 0; fchmodat -100 N 0
chown N -1 -1; fchown 3 -1 -1; utimensat -100 N 0 0; setxattr N N B 1 0; umask 0; sync; fsync 3
syncfs 3; flock 3 1; prlimit64 W 7 0 B; prlimit64 W 7 B 0; prlimit64 0 7 0 B; prlimit64 0 0 B 0
getrlimit 7 B; setrlimit 0 B; sched_getaffinity W 128 B; sched_getaffinity 1 128 B
sched_setaffinity 0 128 B; sched_setaffinity W 128 B; sched_getscheduler W; sched_getparam W B
sched_getattr W B 56 0; sched_setscheduler 0 0 B; sched_rr_get_interval W B; getpriority 0 W
setpriority 9 0 19; ioprio_get 1 W; ioprio_set 1 0 0; getpgid W; getsid W; getpgrp; setpgid 0 0
setsid; kill W 0; kill 1 0; kill 0 0; kill -1 0; kill -W 0; tgkill W W 0; tkill W 0; tkill I 0
rt_sigqueueinfo W 0 B; rt_tgsigqueueinfo W W 0 B; pidfd_open W 0; pidfd_send_signal 3 0 0 0
pidfd_getfd 3 0 0; process_madvise 3 B 1 4 0; process_vm_readv W B 1 B 1 0
process_vm_writev W B 1 B 1 0; ptrace 1 W 0 0; kcmp I W 0 0 0; move_pages W 0 0 0 0 0
migrate_pages W 0 B B; get_robust_list W B B; process_mrelease 3 0; wait4 -1 0 1 0; waitid 0 0 B 5
clock_gettime C B; clock_getres C B; clock_nanosleep C 0 B 0; clock_gettime 4294967290 B
clock_settime 0 0; clock_adjtime 0 B; times B; getrusage 0 B; getrusage -1 B; getcpu B B 0
sysinfo B; uname B; syslog 10 0 0; getitimer 0 B; setitimer 0 B 0; timer_create 0 0 B
timerfd_create 0 0; alarm 0; adjtimex B; settimeofday 1 0; sethostname B -1; setdomainname B -1
getuid; geteuid; getgid; getegid; getppid; getgroups 0 0; getresuid B B B; setuid 65534
setgid 65534; setgroups 0 0; setresuid -1 -1 -1; setfsuid 0; capget B B; capset B B
personality -1; prctl 1 0 0 0 0; prctl 2 B 0 0 0; prctl 3 0 0 0 0; prctl 4 1 0 0 0
prctl 15 P 0 0 0; prctl 21 0 0 0 0; prctl 22 2 B 0 0; seccomp 1 0 B; seccomp 2 0 B
arch_prctl 4100 B; unshare 0; setns 3 0; landlock_create_ruleset 0 0 1; mount P P 0 0 0
umount2 N 0; pivot_root N N; fsopen P 0; socket 2 1 0; socket 2 2 0; socket 10 1 0; socket 1 1 0
socket 16 3 0; socket 17 3 0; socket 40 1 0; socket 38 5 0; socketpair 1 1 0 B; connect 3 B 16
bind 3 B 16; listen 3 1; accept 3 0 0; accept4 3 0 0 0; sendto 3 B 1 0 0 0; recvfrom 3 B 1 0 0 0
sendmsg 3 B 0; recvmsg 3 B 0; getsockname 3 B B; getpeername 3 B B; shutdown 3 2; dup 3; dup2 3 9
dup3 3 9 0; fcntl 3 1 0; fcntl 3 4 0; ioctl 3 21505 B; ioctl 1 21522 B; pipe B; pipe2 B 0
eventfd2 0 0; epoll_create1 0; signalfd4 -1 B 8 0; io_uring_setup 1 B; io_setup 1 B; poll B 1 0
select 0 0 0 0 0; pread64 3 B 1 0; pwrite64 3 B 1 0; preadv 3 B 1 0; sendfile 1 3 0 1
splice 1 0 3 0 1 0; copy_file_range 1 0 3 0 1 0; close_range 50 60 0; memfd_create N 0
memfd_secret 0; mincore 0 1 B; mlock B 1; mlockall 1; munlockall; userfaultfd 0; madvise B 1 12
madvise B 1 100; madvise B 1 101; madvise B 1 18; madvise B 1 9; mbind 0 0 0 0 0 0
set_mempolicy 0 0 0; shmget 0 4096 950; shmat 0 0 0; shmctl 0 14 B; msgget 0 950; msgctl 0 12 B
semget 0 1 950; semctl 0 0 19 B; mq_open N 65 0 0; pkey_alloc 0 0; remap_file_pages B 0 0 0 0
membarrier 1 0 0; rseq B 32 0 0; set_robust_list B 24; modify_ldt 0 B 1; fork; vfork
clone 17 0 0 0 0; clone3 B 88; execve P 0 0; execveat -100 P 0 0 0; perf_event_open B 0 -1 -1 0
bpf 0 B 0; add_key N N B 1 -3; request_key N N 0 0; keyctl 0 -3 0; lookup_dcookie 0 B 1
init_module B 0 B; finit_module 3 B 0; delete_module N 0; kexec_load 0 0 0 0; reboot 0 0 0 0
iopl 0; ioperm 0 1 0; swapon N 0; swapoff N; acct N; quotactl 0 0 0 0; sched_setattr 0 B 0
ustat 0 B; sysfs 3 0 0
"""


def probes() -> list[str]:
    """Those that this machine has a call for."""
    lines = [each.strip() for each in PROBES.replace("\n", ";").split(";")]
    return [line for line in lines if line and line.split()[0] in NUMBERS]


def test_every_probe_is_refused_and_the_log_names_the_calls(hostile, caplog, capsys):
    code = (
        f"{CALL}\n"
        f"numbers, probes, worker = {NUMBERS!r}, {probes()!r}, {os.getpid()}\n"
        "B = ctypes.addressof(buffer := ctypes.create_string_buffer(4096))\n"
        "words = {'P': b'/etc/passwd', 'N': b'/tmp/lumikb-nothing', 'E': b'', 'B': B}\n"
        "words |= {'W': worker, '-W': -worker, 'I': os.getpid(), 'C': ~worker << 3 | 2}\n"
        "done = {}\n"
        "for probe in probes:\n"
        "    name, *given = probe.split()\n"
        "    given = [words[word] if word in words else int(word) for word in given]\n"
        "    done[probe] = call(numbers[name], *given)\n"
        "draft.add(json.dumps(done))"
    )
    caplog.set_level("INFO")
    answers = json.loads(hostile(code, timeout=30).text)
    refused = [probe for probe, answer in answers.items() if answer == "EPERM"]
    with capsys.disabled():
        print(f"\n{len(refused)} of {len(answers)} probes are refused")
    assert {probe: answers[probe] for probe in answers if probe not in refused} == {}
    assert len(answers) > 130
    for name in ("newfstatat", "prlimit64", "socket", "sched_setaffinity"):
        assert f"refused: {name}\n" in caplog.text


@pytest.fixture(autouse=True)
def a_filter_that_is_there():
    """Else what is tried here would be done."""
    assert not client.unfiltered()


def test_no_other_number_does_anything(hostile):
    """Those of the table and those beyond it, and on x86-64 the numbers of its 32-bit variant."""
    numbers = set(NUMBERS.values()) | set(range(1024)) | {2**30 + n for n in range(600)} | {-1}
    allowed = {*seccomp.ALLOWED, *seccomp._allowed_with(0), *("fork", "vfork", "clone", "clone3")}
    numbers -= {335, 336}  # uretprobe, uprobe: no filter is asked, and whoever calls gets SIGILL
    numbers -= {NUMBERS[name] for name in allowed & NUMBERS.keys()}
    code = (
        f"{CALL}\nwrong = {{}}\n"
        f"for number in {sorted(numbers)!r}:\n"
        "    answer = call(number, -1, -1, -1, -1, -1, -1)\n"
        "    if answer != 'EPERM': wrong[number] = answer\n"
        "draft.add(f'wrong: {wrong}')"
    )
    assert hostile(code, timeout=30).text == "wrong: {}"


def test_what_a_parser_needs_is_allowed(hostile):
    """Each name is a call of this machine (a misspelt one would be refused), and does its work."""
    assert set(seccomp.ALLOWED) | set(seccomp._allowed_with(0)) <= NUMBERS.keys()
    code = (
        "time.sleep(0.001)\n"
        "clocks = [time.clock_gettime(clock) for clock in (0, 1, 2, 3, 4, 5, 6, 7, 11)]\n"
        "assert len(os.sched_getaffinity(0)) and os.urandom(8)\n"
        "draft.add('all of it')"
    )
    assert hostile(code).text == "all of it"


def test_a_call_that_is_refused_answers_as_one_that_the_kernel_refuses(hostile):
    code = "try:\n    os.stat('/')\nexcept OSError as error:\n    draft.add(str(error))"
    assert hostile(code).text == "[Errno 1] Operation not permitted: '/'"


def test_a_reader_that_goes_on_without_is_no_cause_for_a_warning(hostile, caplog):
    caplog.set_level("INFO")
    hostile("os.path.exists('/etc/passwd')\ndraft.add('text')")
    [line] = [record for record in caplog.records if "refused: " in record.message]
    assert line.levelname == "INFO"


def test_a_call_of_another_architecture_and_a_blocked_signal_end_the_process(hostile, caplog):
    code = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGSYS])\nos.stat('/')"
    with pytest.raises(PermanentError) as caught:
        hostile(code)
    assert caught.value.code == "parser_died"
    assert "ended by SIGSYS" in caplog.text


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (("_MACHINE", ""), "the filter has no numbers for "),
        (("_PR_SET_SECCOMP", 9999), "the kernel refuses the filter: Invalid argument"),
        (("_TRAP", seccomp._ALLOW), "the kernel does not do what the filter says"),
    ],
)
def test_a_system_that_cannot_do_it_is_found_out_by_trying(broken, reason, monkeypatch):
    monkeypatch.setattr(seccomp, *broken)
    assert seccomp.missing().startswith(reason)


def test_every_format_is_read_without_a_call_that_is_refused(tmp_path, caplog):
    """A new library that wants more shows here."""
    caplog.set_level("INFO")
    for content_type, (name, data) in files.samples().items():
        path = tmp_path / name
        path.write_bytes(data)
        parse(path, content_type)
    assert "refused: " not in caplog.text
