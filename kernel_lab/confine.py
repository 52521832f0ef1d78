"""Confinement: what the candidate's process gives up before it runs any of the candidate's code.

Loaded by path into that process, so it imports nothing but the standard library. Linux namespaces (user, pid, mount, network, IPC), a
read-only file system with the workspace and the dataset hidden, resource limits, and a system-call filter without exec, fork and sockets.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from pathlib import Path

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_REC, _PRIVATE, _NOSUID, _NODEV = 0x4000, 0x40000, 2, 4
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_SETATTR = -100, 0x8000, 442
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 4, 38, 22
_NOBODY = 65534

# System calls that no kernel needs, by machine: [numbers], clone, clone3, AUDIT_ARCH.
_CALLS = {
    "x86_64": (
        [57, 58, 59, 322, 101, 310, 311, 41, 42, 49, 53, 165, 166, 155, 161, 272, 308, 321, 298, 323, 425, 428, 429, 430, 432,
         442, 434, 438, 424, 159, 164, 227, 305, 175, 313, 176, 169, 246, 320, 167, 168, 248, 249, 250, 303, 304, 434, 240],
        56, 435, 0xC000003E,
    ),
    "aarch64": (
        [221, 281, 117, 270, 271, 198, 203, 200, 40, 39, 41, 51, 97, 268, 280, 241, 282, 425, 428, 429, 430, 432, 442, 434,
         438, 424, 171, 170, 112, 266, 105, 273, 106, 142, 104, 294, 224, 225, 217, 218, 219, 264, 265, 180],
        220, 435, 0xC00000B7,
    ),
}  # fmt: skip


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def enter_namespaces(hide: list[str], keep: list[str], scratch_mib: int, network: bool) -> str:
    """Move this (single-threaded) process into namespaces of its own and return how well that went.

    "namespaces" (all of it), "user" (only another user id: root without namespaces) or "none". Forks: only the inner process returns.
    """
    user, group = os.getuid(), os.getgid()
    flags = _NEWUSER | _NEWPID | _NEWNS | _NEWIPC | (0 if network else _NEWNET)
    if _libc().unshare(flags):
        return _drop_user()
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    _become_inner()
    return "namespaces" if _mounts(hide, keep, scratch_mib) else "namespaces without a private file system"


def _drop_user() -> str:
    if os.getuid():
        return "none"
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    die_with_parent()
    return "user"


def _become_inner() -> None:
    """Fork into the new pid namespace; the outer process waits and passes the inner one's end on."""
    inner = os.fork()
    if inner:
        os.closerange(3, 4096)  # not by /proc/self/fd: the inner process mounts its own /proc over this one
        _, status = os.waitpid(inner, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    die_with_parent()


def _mounts(hide: list[str], keep: list[str], scratch_mib: int) -> bool:
    libc = _libc()
    if libc.mount(b"none", b"/", None, _REC | _PRIVATE, None) or _set_read_only(libc, b"/", True, True):
        return False
    kept = [(path, os.open(path, os.O_PATH)) for path in keep if Path(path).exists()]
    for path in [*hide, "/tmp", "/dev/shm"]:
        if not Path(path).is_dir():
            continue
        size = f"size={scratch_mib if path == '/tmp' else 1}m,mode=0777"
        if libc.mount(b"tmpfs", path.encode(), b"tmpfs", _NOSUID | _NODEV, size.encode()):
            return False
    ok = True
    for path, number in kept:
        if not Path(path).exists():
            Path(path).mkdir(parents=True, exist_ok=True)
            ok = not libc.mount(f"/proc/self/fd/{number}".encode(), path.encode(), None, 0x1000 | _REC, None) and ok
            ok = not _set_read_only(libc, path.encode(), True, True) and ok
        os.close(number)
    libc.mount(b"proc", b"/proc", b"proc", 0, None)
    return ok


def _set_read_only(libc: ctypes.CDLL, path: bytes, value: bool, recursive: bool) -> int:
    attributes = struct.pack("QQQQ", 1 if value else 0, 0 if value else 1, 0, 0)
    return int(libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE if recursive else 0, attributes, len(attributes)))


def limit(memory_gib: float, cpu_s: int) -> None:
    """Address space, CPU time, file size, open files; no core dumps."""
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: 1 << 30,
        resource.RLIMIT_NOFILE: 256,
    }
    if memory_gib:
        wanted[resource.RLIMIT_AS] = int(memory_gib * (1 << 30))
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))


def filter_calls() -> bool:
    """Install the system-call filter in every thread of this process; False where the machine is unknown."""
    calls = _CALLS.get(platform.machine())
    if calls is None:
        return False
    numbers, clone, clone3, arch = calls
    load, jump, ret = 0x20, 0x15, 0x06
    deny, allow, missing = 0x00050001, 0x7FFF0000, 0x00050026  # EPERM, ALLOW, ENOSYS
    code = [(load, 0, 0, 4), (jump, 1, 0, arch), (ret, 0, 0, deny), (load, 0, 0, 0)]
    if platform.machine() == "x86_64":
        code += [(0x35, 0, 1, 0x40000000), (ret, 0, 0, deny)]  # the x32 numbers are the same calls again
    code += [(jump, 0, 1, clone3), (ret, 0, 0, missing)]
    # clone without CLONE_THREAD is a fork: test the flag of its first argument.
    code += [(jump, 0, 4, clone), (load, 0, 0, 16), (0x45, 1, 0, 0x10000), (ret, 0, 0, deny), (ret, 0, 0, allow)]
    for number in dict.fromkeys(numbers):
        code += [(jump, 0, 1, number), (ret, 0, 0, deny)]
    code.append((ret, 0, 0, allow))
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in code))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(program)))
    libc = _libc()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    seccomp = 317 if platform.machine() == "x86_64" else 277
    every_thread = 1
    return not libc.syscall(seccomp, 1, every_thread, ctypes.c_void_p(ctypes.addressof(header)))
