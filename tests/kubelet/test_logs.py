"""Container logs: CRI format, tails, times, limits, rotation, following."""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.meanwhile import meanwhile

from sampan.kubelet import logs
from sampan.kubelet.logs import LogOptions


def line(second: int, text: str, stream: str = "stdout", tag: str = "F") -> str:
    return f"2026-01-02T03:04:{second:02d}.5Z {stream} {tag} {text}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "0.log.20260101-000000.gz").write_bytes(gzip.compress(line(1, "one").encode()))
    (tmp_path / "0.log.20260102-000000").write_text(line(2, "two") + line(3, "three", "stderr"))
    (tmp_path / "0.log").write_text(line(4, "fo", tag="P") + line(4, "ur") + line(5, "") + line(6, "unfinished")[:-1])
    return tmp_path / "0.log"


def text(path: Path, options: LogOptions) -> str:
    async def gather() -> bytes:
        return b"".join([piece async for piece in logs.read(path, options)])

    return asyncio.run(gather()).decode()


def test_everything_in_order_across_rotated_files(path: Path) -> None:
    assert text(path, LogOptions()) == "one\ntwo\nthree\nfour\n\n"


def test_the_last_lines(path: Path) -> None:
    assert text(path, LogOptions(tail_lines=1)) == "\n"
    assert text(path, LogOptions(tail_lines=4)) == "three\nfour\n\n"
    assert text(path, LogOptions(tail_lines=0)) == ""
    assert text(path, LogOptions(tail_lines=100)) == "one\ntwo\nthree\nfour\n\n"


def test_since_limits_streams_and_timestamps(path: Path) -> None:
    since = datetime(2026, 1, 2, 3, 4, 3, tzinfo=UTC)
    assert text(path, LogOptions(since=since)) == "three\nfour\n\n"
    assert text(path, LogOptions(limit_bytes=6)) == "one\ntw"
    assert text(path, LogOptions(stream="Stderr")) == "three\n"
    assert text(path, LogOptions(tail_lines=3, timestamps=True)) == (
        "2026-01-02T03:04:04.5Z four\n2026-01-02T03:04:05.5Z \n"
    )


def test_following_goes_on_into_the_new_file_and_ends_with_the_container(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line(1, "one"))

    async def story() -> str:
        running, got = True, []

        async def is_running() -> bool:
            return running

        async def read() -> None:
            async for piece in logs.read(path, LogOptions(follow=True), is_running):
                got.extend([piece])

        async def until(count: int) -> None:
            async with asyncio.timeout(60):
                while len(b"".join(got).splitlines()) < count:
                    await asyncio.sleep(0.01)

        async with meanwhile(read()) as reading:
            await until(1)
            with path.open("a") as file:
                file.write(line(2, "two"))
            await until(2)
            path.rename(tmp_path / "0.log.20260101-000000")
            path.write_text(line(3, "three"))
            await until(3)
            running = False
            await asyncio.wait_for(reading, 60)
        return b"".join(got).decode()

    assert asyncio.run(story()) == "one\ntwo\nthree\n"


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        text(tmp_path / "0.log", LogOptions())


def test_a_log_that_is_rotated_or_removed_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    (tmp_path / "0.log.20260101-000000").write_text(line(1, "one"))
    path.write_text(line(2, "two") + line(3, "three"))

    async def story() -> str:
        pieces = logs.read(path, LogOptions())
        got = [await anext(pieces)]
        path.rename(tmp_path / "0.log.20260101-000001")
        path.write_text(line(4, "four"))
        for file in tmp_path.iterdir():
            file.unlink()
        return b"".join([*got, *[piece async for piece in pieces]]).decode()

    assert asyncio.run(story()) == "one\ntwo\nthree\n"


def test_a_file_rotated_between_opening_and_listing_is_not_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, found = tmp_path / "0.log", logs.files_of
    path.write_text(line(1, "one"))

    def rotate_first(asked: Path) -> list[Path]:
        path.rename(tmp_path / "0.log.20260101-000001")
        path.write_text(line(2, "two"))
        return found(asked)

    monkeypatch.setattr(logs, "files_of", rotate_first)
    assert text(path, LogOptions()) == "one\n"
