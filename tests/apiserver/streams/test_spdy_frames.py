"""SPDY frames on the wire."""

from __future__ import annotations

import zlib

import pytest

from sampan.apiserver.streams.spdy_frames import (
    DICTIONARY,
    SYN_REPLY,
    SYN_STREAM,
    Data,
    Frame,
    FrameCodec,
    GoAway,
    Opened,
    Ping,
    Reset,
    SPDYError,
)


def test_the_dictionary_is_the_protocols() -> None:
    """Its Adler-32 is in the header of every compressed block, so a single wrong byte breaks every peer."""
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


FRAMES: list[Frame] = [
    Opened(SYN_STREAM, 1, {"streamtype": "error"}),
    Opened(SYN_STREAM, 3, {"streamtype": "data", "port": "80", "requestid": "0"}, fin=True),
    Opened(SYN_REPLY, 1, {}),
    Data(1, b"hello"),
    Data(3, b"", fin=True),
    Data(3, b"x" * 70_000, fin=True),
    Reset(5, 5),
    Ping(7),
    GoAway(3, 0),
]


@pytest.mark.parametrize("step", [1, 3, 8, 1000, 1_000_000])
def test_what_one_side_sends_the_other_reads_however_it_is_cut(step: int) -> None:
    sender, receiver = FrameCodec(), FrameCodec()
    wire = b"".join(sender.encode(frame) for frame in FRAMES)
    found = [frame for at in range(0, len(wire), step) for frame in receiver.feed(wire[at:at + step])]
    assert found == FRAMES


def test_settings_and_window_updates_are_passed_over() -> None:
    settings = bytes.fromhex("8003000400000004") + bytes(4)
    window = bytes.fromhex("8003000900000008") + bytes(8)
    assert list(FrameCodec().feed(settings + window)) == []


@pytest.mark.parametrize("wire", [
    bytes.fromhex("8002000600000004") + bytes(4),
    bytes.fromhex("8003006300000000"),
    bytes.fromhex("8003000100000002") + bytes(2),
    bytes.fromhex("8003000100000010") + b"\xff" * 16,
])
def test_a_peer_that_breaks_the_protocol_is_told_apart(wire: bytes) -> None:
    with pytest.raises(SPDYError):
        list(FrameCodec().feed(wire))
