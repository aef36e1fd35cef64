"""The infra container's program: a static binary of a few hundred bytes that holds a pod's namespaces.

Every pod has one container that does nothing: it owns the network, IPC and (when shared) PID namespace, so that the
other containers can come and go. As PID 1 it must leave when asked to and reap what is orphaned to it:

    block SIGINT, SIGTERM and SIGCHLD
    forever: take the next of them (rt_sigtimedwait)
        SIGCHLD: wait4(-1, WNOHANG) until there is nothing to reap
        SIGINT, SIGTERM: exit(0)

The signals are blocked, not handled: a blocked signal is queued even for PID 1, so no handler is needed and the whole
program is six system calls. The machine code below is that loop, wrapped into an ELF executable with one segment, so no
compiler is needed on the user's machine. Guarantee: the same bytes, hence the same image digest, everywhere.
"""

from __future__ import annotations

import struct

_X86_64 = bytes.fromhex(
    "6802400100"  # push 0x14002: the signal set {SIGINT, SIGTERM, SIGCHLD}
    "4889e3"  # mov rbx, rsp
    "31ff4889de31d26a08415a6a0e580f05"  # rt_sigprocmask(SIG_BLOCK, rbx, NULL, 8)
    "4889df31f631d26a08415ab8800000000f05"  # wait: rt_sigtimedwait(rbx, NULL, NULL, 8)
    "83f811740b"  # SIGCHLD: reap
    "85c078e5"  # interrupted: wait
    "31ff6a3c580f05"  # exit(0)
    "4883cfff31f66a015a4531d26a3d580f05"  # reap: wait4(-1, NULL, WNOHANG, NULL)
    "85c07feb"  # a child was reaped: reap
    "ebc7"  # wait
)

_AARCH64 = bytes.fromhex(
    "530088d23300a0f2f30f1ff8f4030091"  # the signal set on the stack, its address in x20
    "000080d2e10314aa020080d2030180d2e81080d2010000d4"  # rt_sigprocmask(SIG_BLOCK, x20, NULL, 8)
    "e00314aa010080d2020080d2030180d2281180d2010000d4"  # wait: rt_sigtimedwait(x20, NULL, NULL, 8)
    "1f4400f1c0000054"  # SIGCHLD: reap
    "1f0000f1ebfeff54"  # interrupted: wait
    "000080d2a80b80d2010000d4"  # exit(0)
    "00008092010080d2220080d2030080d2882080d2010000d4"  # reap: wait4(-1, NULL, WNOHANG, NULL)
    "1f0000f12cffff54"  # a child was reaped: reap
    "ebffff17"  # wait
)

_MACHINES = {"x86_64": (62, _X86_64), "aarch64": (183, _AARCH64)}
"""ELF e_machine and code, by `platform.machine()`."""

_BASE = 0x400000
_ELF_HEADER_SIZE_BYTES = 64
_PROGRAM_HEADER_SIZE_BYTES = 56


def binary(machine: str) -> bytes:
    """The pause program as an ELF executable for `machine` (x86_64 or aarch64). Raises KeyError for others."""
    e_machine, code = _MACHINES[machine]
    offset = _ELF_HEADER_SIZE_BYTES + _PROGRAM_HEADER_SIZE_BYTES
    size = offset + len(code)
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", 2, e_machine, 1, _BASE + offset, _ELF_HEADER_SIZE_BYTES, 0, 0,
        _ELF_HEADER_SIZE_BYTES, _PROGRAM_HEADER_SIZE_BYTES, 1, 0, 0, 0,
    )
    readable_executable, loadable = 5, 1
    segment = struct.pack("<IIQQQQQQ", loadable, readable_executable, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + code
