"""Named network namespaces, as `ip netns` keeps them: a bind mount below /run/netns holds each alive.

`create` makes the namespace in a thread of its own, because unshare(2) and setns(2) change only the calling thread; the
process stays where it was. `call_in` uses the same trick to run a function inside a namespace: sockets that it opens
stay there, files and cgroups look as they do outside (unlike `ip netns exec`, which mounts another /sys).
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sampan.machines.layout import NETNS_DIR

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 1 << 20
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def path_of(name: str) -> Path:
    return NETNS_DIR / name


def exists(name: str) -> bool:
    """True when the name holds a namespace; a plain file left by a crash does not count."""
    return is_namespace(path_of(name))


def is_namespace(path: Path) -> bool:
    """True when the file is a mounted namespace."""
    try:
        return path.stat().st_dev == os.stat("/proc/self/ns/net").st_dev
    except FileNotFoundError:
        return False


def create(name: str) -> bool:
    """Make the namespace, its loopback still down. False when it is there already."""
    if exists(name):
        return False
    _share_directory()
    target = path_of(name)
    target.touch(mode=0o444)

    def make() -> None:
        _call(_libc.unshare, CLONE_NEWNET)
        mount("/proc/thread-self/ns/net", target, MS_BIND)

    _in_thread(make)
    return True


def delete(name: str) -> None:
    """Drop the name; the kernel ends the namespace, its links and its tables, with the last process in it."""
    release(path_of(name))


def release(path: Path) -> None:
    """Unmount and unlink a namespace's file wherever it is; nothing to do is fine."""
    while is_namespace(path):
        unmount(path)
    path.unlink(missing_ok=True)


def enter(name: str) -> None:
    """Move the calling thread into the namespace; meant for just before exec, or for a single-threaded process."""
    descriptor = os.open(path_of(name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call(_libc.setns, descriptor, CLONE_NEWNET)
    finally:
        os.close(descriptor)


def call_in(name: str, function: Callable[[], T]) -> T:
    """What `function` returns when run inside the namespace, in a thread that ends with it."""

    def inside() -> T:
        enter(name)
        return function()

    return _in_thread(inside)


def exec_in(name: str, argv: Sequence[str], hostname: str = "") -> list[str]:
    """The command line that runs `argv` inside the namespace, with the machine's own /sys.

    With a `hostname`, under that name: in a UTS namespace of its own, which its children inherit.
    """
    entered = ["nsenter", f"--net={path_of(name)}"]
    if hostname:
        named = 'printf %s "$0" >/proc/sys/kernel/hostname && exec "$@"'
        entered += ["unshare", "--uts", "sh", "-c", named, hostname]
    return [*entered, *argv]


def inode(path: str | Path) -> int:
    """What identifies a namespace: equal for two paths exactly when they are the same one."""
    return os.stat(path).st_ino


def mount(source: str | Path, target: Path, flags: int) -> None:
    """mount(2) without a file system type. Raises OSError."""
    _call(_libc.mount, os.fsencode(source), os.fsencode(target), b"none", flags, None)


def unmount(target: str | Path) -> None:
    """Detach the mount at once, though it be busy. A path that is no mount is left as it is."""
    try:
        _call(_libc.umount2, os.fsencode(target), MNT_DETACH)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def _share_directory() -> None:
    """As iproute2 does: /run/netns is a shared mount, so a name dropped here disappears in other mount namespaces."""
    NETNS_DIR.mkdir(parents=True, exist_ok=True)
    try:
        mount("", NETNS_DIR, MS_SHARED | MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        mount(NETNS_DIR, NETNS_DIR, MS_BIND | MS_REC)
        mount("", NETNS_DIR, MS_SHARED | MS_REC)


def _in_thread(function: Callable[[], T]) -> T:
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(function())
        except BaseException as error:  # carried over to the thread that waits, with its traceback
            failure.append(error)

    thread = threading.Thread(target=run, name="in-namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def _call(function: Any, *arguments: Any) -> None:
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
