"""The spool's files: what was acknowledged is there, whatever became of the process."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from router.adapters.spool import FileSpool
from router.domain.errors import StorageUnavailable

WRITER = """
import asyncio, sys
from pathlib import Path
from router.adapters.spool import FileSpool

async def main():
    spool = FileSpool(Path(sys.argv[1]))
    number = 0
    while True:
        await asyncio.gather(*(spool.append(b"%d" % (number + i)) for i in range(3)))
        number += 3
        print(number, flush=True)

asyncio.run(main())
"""


def files(folder: Path, pattern: str = "*") -> list[Path]:
    return list(folder.glob(pattern))


async def drained(spool: FileSpool, most: int = 2) -> list[bytes]:
    entries: list[bytes] = []
    while (page := await spool.oldest(most)) is not None:
        entries += page.entries
        await spool.delivered(page, len(page.entries))
    return entries


async def adopted(spool: FileSpool) -> list[bytes]:
    entries: list[bytes] = []
    while (page := await spool.adopt()) is not None:
        entries += page.entries
    return entries


async def test_entries_come_in_order_also_those_appended_meanwhile(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path)
    await asyncio.gather(*(spool.append(b"%d" % i) for i in range(5)))
    page = await spool.oldest(2)
    assert page is not None
    await spool.append(b"5")
    await spool.delivered(page, 1)
    assert spool.size_bytes
    assert await drained(spool) == [b"1", b"2", b"3", b"4", b"5"]
    assert spool.size_bytes == 0
    await spool.close()
    assert not files(tmp_path)


async def test_what_was_not_delivered_is_adopted_once_its_process_has_ended(
    tmp_path: Path,
) -> None:
    first, other = FileSpool(tmp_path), FileSpool(tmp_path)
    for number in range(4):
        await first.append(b"%d" % number)
    page = await first.oldest(3)
    assert page is not None
    await first.delivered(page, 3)
    assert await adopted(other) == []  # its process lives
    await first.close()
    await other.append(b"newer")
    assert await adopted(other) == [b"3"]
    assert await drained(other) == [b"3", b"newer"]
    await other.close()
    assert not files(tmp_path)


async def test_two_that_look_at_once_share_what_was_left(tmp_path: Path) -> None:
    left = FileSpool(tmp_path)
    await left.append(b"once")
    await left.close()
    spools = [FileSpool(tmp_path) for _ in range(4)]
    found = await asyncio.gather(*map(adopted, spools))
    assert max(found) == [b"once"]
    assert sum(map(len, found)) == 1
    for spool in spools:
        await spool.close()


@pytest.mark.parametrize("damage", ["cut", "flipped", "ack"])
async def test_a_torn_tail_hides_nothing_before_it(tmp_path: Path, damage: str) -> None:
    left = FileSpool(tmp_path)
    for number in range(3):
        await left.append(b"entry %d" % number)
    await left.close()
    (file,) = files(tmp_path, "*/*.spool")
    data = file.read_bytes()
    if damage == "cut":
        file.write_bytes(data[:-1])
    elif damage == "flipped":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        file.with_suffix(".ack").write_bytes(b"torn")
    spool = FileSpool(tmp_path)
    kept = [b"entry 0", b"entry 1"] + ([b"entry 2"] if damage == "ack" else [])
    assert await adopted(spool) == kept
    assert await drained(spool) == kept
    await spool.close()


async def test_what_a_killed_process_acknowledged_is_there(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220, S603 - ours
        assert process.stdout is not None
        told = [await asyncio.to_thread(process.stdout.readline) for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        rest = await asyncio.to_thread(process.stdout.read)
    acknowledged = int((rest.split() or told)[-1])
    spool = FileSpool(tmp_path)
    found = await adopted(spool)
    assert acknowledged >= 60
    assert found[:acknowledged] == [b"%d" % i for i in range(acknowledged)]
    await spool.close()


async def test_a_disk_that_refuses_tells_and_later_takes_again(
    tmp_path: Path,
) -> None:
    spool = FileSpool(tmp_path)
    await spool.append(b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        with pytest.raises(StorageUnavailable):
            await spool.append(os.urandom(1_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await spool.append(b"after")
    assert await drained(spool) == [b"before", b"after"]
    await spool.close()


async def test_a_full_disk_lets_what_was_delivered_go(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path)
    for number in range(3):
        await spool.append(b"%d" % number)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        assert await drained(spool, 1) == [b"0", b"1", b"2"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not files(tmp_path, "*/*.spool")
    await spool.close()


async def test_a_folder_that_is_not_ours_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "0" / "lock").mkdir(parents=True)
    left = FileSpool(tmp_path)
    await left.append(b"left")
    await left.close()
    spool = FileSpool(tmp_path)
    assert await adopted(spool) == [b"left"]
    await spool.close()


async def test_large_spools_are_many_files_and_one_order(tmp_path: Path) -> None:
    spool = FileSpool(tmp_path)
    bodies = [os.urandom(1 << 20) for _ in range(10)]
    for body in bodies:
        await spool.append(body)
    assert len(files(tmp_path, "*/*.spool")) > 1
    assert await drained(spool, 3) == bodies
    await spool.close()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        FileSpool(tmp_path / "file")
