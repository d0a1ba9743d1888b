"""Damaged files and full disks: what is read is right or refused, never wrong, and what is whole stays readable."""

import os
import random
import re
import shutil
import subprocess

import pytest

from conftest import action, latest, ticket
from course import BUCKETS, TABLE, Course, last_batches
from history import Rows
from workload import PutStream, Refused, check_segments, read_logs, told

SEED = int(os.environ.get("QUIVER_SEED") or random.SystemRandom().randrange(1 << 32))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A stopped server with several segments in each bucket, their indexes written; and its logs as they are."""
    course = Course(tmp_path_factory.mktemp("whole") / "course")
    course.server.start()
    course.prepare()
    data = course.server.data
    while len(list(data.glob("log/1/0/*/*.index"))) < len(list(data.glob("log/1/0/*/*.arrows"))) - BUCKETS:
        with course.server.client() as client:  # a call that takes a second: the server writes indexes once a second
            action(client, "log.wait", {"table": TABLE, "offsets": {str(b): n for b, n in latest(client, TABLE).items()}, "timeout_ms": 200})
    logs = course.check()
    assert course.server.stop() == 0
    yield course, logs
    course.close()


@pytest.fixture
def course(whole, tmp_path):
    course = whole[0].copy(tmp_path / "course")
    yield course
    course.close()


@pytest.fixture
def dice(request):
    print(f"QUIVER_SEED={SEED}")
    return random.Random(f"{SEED}/{request.node.name}")


def flip(path, dice, start=0, stop=None):
    """Inverts one bit of [start, stop)."""
    with path.open("r+b") as file:
        at = dice.randrange(start, stop or path.stat().st_size)
        file.seek(at)
        old = file.read(1)[0]
        file.seek(at)
        file.write(bytes([old ^ 1 << dice.randrange(8)]))
    print(f"flipped a bit of byte {at} of {path}")


def cut(path, dice):
    """Cuts off a random part."""
    size = dice.randrange(path.stat().st_size)
    os.truncate(path, size)
    print(f"cut {path} to {size}")


def empty(path, dice):
    os.truncate(path, 0)


def remove(path, dice):
    path.unlink()


def zero(path, dice):
    """Zeros over 512 random bytes: a sector that was never written."""
    size = path.stat().st_size
    at = dice.randrange(size)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(min(512, size - at)))


def survivors(client, bucket, log):
    """Reads a bucket past all that is reported as damaged. The ranges that are lost; all others are as in the log."""
    at, lost = log.start, []
    while at < log.stop:
        try:
            with told():
                reader = client.do_get(ticket(TABLE, bucket=bucket, **{"from": {"offset": at}, "until": {"offset": log.stop}}))
                for chunk in reader:
                    rows = Rows(chunk.data)
                    start = at - log.start
                    assert rows.digest() == log.rows.digest(start, start + len(rows)), f"wrong rows at {at} of bucket {bucket}"
                    at += len(rows)
            assert at == log.stop, f"bucket {bucket} ends at {at}, it held rows until {log.stop}"
        except Refused as refused:
            assert refused.reason == "CORRUPT_RANGE", refused
            found = re.search(r"rows \[(\d+), (\d+)\) are", str(refused))
            assert found, refused
            start, stop = int(found[1]), int(found[2])
            assert start <= at < stop <= log.stop, f"at {at}: {refused}"
            lost.append((at, stop))
            at = stop
    return lost


def go_on(course, logs):
    """Both buckets take new rows, behind all that there ever was; repeats are still known as such."""
    with course.server.client() as client:
        mine = course.sequenced
        again = list(mine.recent)
        stream = PutStream(client, TABLE, writer_id=mine.writer, writer_epoch=mine.epoch, sequence=again[0][0])
        mine.send(stream, again)
        stream.close()
        assert stream.duplicates == len(again), "a repeat was taken for new"
        for bucket in range(BUCKETS):
            course.put(client, 5, 20, bucket=bucket)
        for bucket, offset in latest(client, TABLE).items():
            assert offset == logs[bucket].stop + 5
            got = client.do_get(ticket(TABLE, bucket=bucket, **{"from": {"offset": logs[bucket].stop}})).read_all()
            assert len(got) == 5


CACHES = ["*.index", "*.state", "checkpoint"]


@pytest.mark.parametrize("damage", [flip, flip, flip, cut, zero, empty, remove], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("kind", CACHES)
def test_caches(course, whole, dice, kind, damage):
    """Every index, state or checkpoint file damaged at once: all rows are there, and writers are remembered."""
    logs = whole[1]
    paths = list(course.server.data.glob(f"log/**/{kind}"))
    assert paths
    for path in paths:
        damage(path, dice)
    course.server.start()
    with course.server.client() as client:
        for bucket, log in logs.items():
            assert survivors(client, bucket, log) == []
    go_on(course, logs)
    course.check()
    course.server.kill()
    course.server.start()
    course.check()


def head_bit(path, dice):
    """A bit of the Schema message."""
    flip(path, dice, 0, last_batches(path)[1])


def header_bit(path, dice):
    """A bit of a batch's metadata."""
    ends = last_batches(path)
    i = dice.randrange(1, len(ends) - 1)
    flip(path, dice, ends[i], ends[i] + 512)


def body_bit(path, dice):
    """A bit of what is not the Schema message: bodies for the most part."""
    ends = last_batches(path)
    flip(path, dice, ends[1], ends[-1])


@pytest.mark.parametrize("damage", [head_bit, header_bit, header_bit, body_bit, body_bit, body_bit, cut, zero, empty, remove],
                         ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("which", [0, 2, -1], ids=["first", "middle", "last"])
def test_segments(course, whole, dice, which, damage):
    """One segment of each bucket damaged: its rows are read right or reported, all others are there, offsets stay."""
    logs = whole[1]
    bounds = {}
    for bucket in range(BUCKETS):
        paths = sorted(course.server.data.glob(f"log/1/0/{bucket}/*.arrows"))
        path = paths[which]
        bounds[bucket] = int(path.stem), int(paths[which + 1].stem) if which >= 0 else logs[bucket].stop
        if dice.random() < 0.5:
            path.with_suffix(".index").unlink(missing_ok=True)
        damage(path, dice)
    course.server.start()
    with course.server.client() as client:
        for bucket, log in logs.items():
            start, stop = bounds[bucket]
            if damage is remove and which == 0:
                # Without its first segment a log begins later; nothing tells that from a deletion.
                first, = (row["offset"] for row in action(client, "log.offsets", {"table": TABLE, "at": "earliest"})
                          if row["bucket"] == bucket)
                assert first == stop
                log.start, log.rows, kept = stop, RowsFrom(log.rows, stop - log.start), (log.start, log.rows)
                assert survivors(client, bucket, log) == []
                log.start, log.rows = kept
                continue
            lost = survivors(client, bucket, log)
            assert all(start <= a < b <= stop for a, b in lost), f"{lost} is not all in [{start}, {stop})"
            if damage is head_bit:
                assert lost == [], "the state file has a copy of the head"
            elif damage in (header_bit, body_bit):
                assert len(lost) <= 1
    if damage is not remove or which:
        go_on(course, logs)


class RowsFrom:
    """Rows without their first ones."""

    def __init__(self, rows, skip):
        self.rows, self.skip = rows, skip

    def __len__(self):
        return len(self.rows) - self.skip

    def digest(self, start, stop):
        return self.rows.digest(start + self.skip, stop + self.skip)


@pytest.mark.parametrize("damage", [flip, flip, flip, cut, zero], ids=lambda damage: damage.__name__)
def test_metadata(course, whole, dice, damage):
    """A damaged file of the metadata store: the server says so and does not start, or has everything."""
    logs = whole[1]
    meta = course.server.data / "meta"
    shutil.copytree(meta, course.folder / "backup")
    damage(dice.choice([path for path in sorted(meta.iterdir()) if path.stat().st_size]), dice)
    try:
        course.server.start()
    except RuntimeError as error:
        assert course.server.process.poll() == 1
        assert str(course.server.data) in str(error)
        shutil.rmtree(meta)
        shutil.move(course.folder / "backup", meta)  # as the text advises
        course.server.start()
    with course.server.client() as client:
        for bucket, log in logs.items():
            assert survivors(client, bucket, log) == []
    go_on(course, logs)


def refused_as_full(course, client, **size):
    """Puts until the disk is full; the one that is refused says that nothing of it is stored."""
    for _ in range(200):
        try:
            course.put(client, size.get("rows", 2000), size.get("width", 1000), bucket=0)
        except Refused as refused:
            assert (refused.reason, refused.rest) == ("DISK_FULL", "not appended"), refused
            return
    raise AssertionError("200 puts did not fill the disk")


def test_reserve(course):
    """With less room than the reserve puts are refused, also those that would fit; reads and deletes go on."""
    free = shutil.disk_usage(course.folder).free
    course.server.flags = ("--disk-reserve", str(2 * free))
    course.server.start()
    with course.server.client() as client:
        refused_as_full(course, client, rows=1, width=8)
        with pytest.raises(Refused) as refused:
            course.sequence(client, 3, 20, 2)
        assert (refused.value.reason, refused.value.rest) == ("DISK_FULL", "not appended")
        assert course.server.get("/livez")[0] == 200
        course.check()
        course.delete(client)
    course.check()
    assert course.server.stop() == 0
    course.server.flags = ()
    course.recover()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MiB; only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "quiver", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small file system could be mounted (test_reserve shows the refusal): {mounted.stderr}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("reserve", [0, -1], ids=["reserve", "to-the-last-byte"])
def test_disk_full(small_disk, reserve):
    """A disk that fills up: puts are refused, reads go on, nothing is lost; with room it goes on by itself."""
    course = Course(small_disk / "course", "--disk-reserve", str(reserve))
    ballast = [small_disk / "ballast-1", small_disk / "ballast-2"]
    for part in ballast:
        part.write_bytes(bytes(10 << 20))
    course.server.start()
    course.prepare()
    with course.server.client() as client:
        for part in ballast:
            refused_as_full(course, client)
            refused_as_full(course, client, rows=2000, width=1000)
            assert course.server.get("/readyz")[0] == 200
            read_logs(client, TABLE, BUCKETS)
            with pytest.raises(Refused) as refused:
                course.sequence(client, 3000, 1000, 2)
            assert refused.value.reason == "DISK_FULL"
            part.unlink()
            course.patient = True
            course.call(lambda: course.resume(client))
            course.check()
        course.delete(client)
    course.server.kill()
    check_segments(course.server.data)
    course.server.start()
    course.check()
    course.close()
