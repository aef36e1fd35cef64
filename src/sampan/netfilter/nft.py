"""Hands transactions to the kernel: libnftables in this process, over one netlink socket that stays open.

A context belongs to the network namespace in which it was made, and to one thread at a time. The library is Debian's
libnftables.so.1, called through ctypes; starting `nft` for each change would cost more than the change.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

import orjson

from sampan.netfilter.ruleset import Existing, Family

LIBRARY = "libnftables.so.1"
OUTPUT_JSON, OUTPUT_TERSE = 1 << 4, 1 << 11


class NFTError(Exception):
    """The kernel or the parser refused; nothing of the transaction was done. The message is libnftables' own."""


class NFT:
    """One libnftables context, of the calling thread's network namespace."""

    def __init__(self) -> None:
        library = ctypes.CDLL(LIBRARY)
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
            getattr(library, name).restype = ctypes.c_char_p
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        library.nft_ctx_free.argtypes = [ctypes.c_void_p]
        self._library = library
        self._context = library.nft_ctx_new(0)
        if not self._context:
            raise NFTError("no netlink socket for nftables")
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_output_set_flags(self._context, OUTPUT_JSON | OUTPUT_TERSE)

    def close(self) -> None:
        self._library.nft_ctx_free(self._context)
        self._context = None

    def run(self, commands: Iterable[str]) -> str:
        """All commands in one transaction; what they print, as JSON. Raises NFTError, and then none was done."""
        text = "\n".join(commands)
        failed = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
        output = self._library.nft_ctx_get_output_buffer(self._context) or b""
        message = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            raise NFTError(message.decode(errors="replace").strip()[:2000])
        return str(output.decode())

    def existing(self, family: Family, table: str) -> Existing | None:
        """The names in the table, None when there is no such table."""
        if not self.has_table(family, table):
            return None
        document = orjson.loads(self.run([f"list table {family} {table}"]))
        names: dict[str, list[str]] = {"chain": [], "map": [], "set": []}
        for entry in document["nftables"]:
            for kind, found in names.items():
                if kind in entry:
                    found.append(entry[kind]["name"])
        return Existing(tuple(names["chain"]), tuple(names["map"]), tuple(names["set"]))

    def has_table(self, family: Family, table: str) -> bool:
        document = orjson.loads(self.run([f"list tables {family}"]))
        return any(entry.get("table", {}).get("name") == table for entry in document["nftables"])
