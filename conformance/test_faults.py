"""Every fault point of the server: kill -9 there, and an error there, each on the way through one fixed course.

And disks that really fail, under strace.
"""

import shutil
import subprocess

import pytest

from conftest import FAULT_BINARY
from course import BUCKETS, TABLE, Course, cut_units, damage_rows, lose_rows, lose_seal, tear
from workload import Broken, Refused, check_segments, read_logs


def points():
    """The names of all fault points; none where the program is not built, which a test of its own tells."""
    if not FAULT_BINARY.exists():
        return []
    out = subprocess.run([FAULT_BINARY], env={"QUIVER_FAULT": "list"}, check=True, capture_output=True, text=True)
    return [name for name in out.stdout.split() if not name.startswith("quiver.append.")]  # those are of a client


POINTS = points()

# Where a point is reached only on what a special crash left. All others are walked into on the directory of a server
# that was killed in the middle of its work.
LEFT = {
    "arrowlog.recover.before-zero": "torn",
    "arrowlog.lead.before-cut": "cut",
    "arrowlog.lead.before-sync": "cut",
    "kv.move.before-rename": "damaged",
    "kv.rescue.before-copy": "unsealed",
    "kv.rescue.before-mark": "unsealed",
    "kv.restore.before-link": "lost",
    "kv.restore.before-rename": "lost",
}

# The later hit at which the server is killed as well: deep in the work where there is much of it.
LATER = dict.fromkeys(POINTS, 2) | {
    "arrowlog.commit.before-write": 17, "arrowlog.commit.before-prefix": 9, "arrowlog.commit.before-sync": 13,
    "arrowlog.commit.after-sync": 11, "arrowlog.roll.before-segment": 4, "arrowlog.roll.after": 3, "arrowlog.read.before-segment": 8,
    "metastore.commit.before-write": 4, "metastore.commit.after-sync": 5, "arrowlog.retention.before-remove": 5,
}

# Points that a process reaches once at most.
ONCE = {
    "kv.move.before-rename": "the store that cannot be opened is moved once",
    "kv.open.before": "the store is opened once, and again only after it failed",
    "kv.rescue.before-copy": "one bucket is rescued",
    "kv.rescue.before-mark": "one bucket is rescued",
    "kv.restore.before-link": "a store that is lost is restored once",
    "kv.restore.before-rename": "a store that is lost is restored once",
    "metastore.open.before": "the store is opened once, and again only after it failed",
}

# What an error at the point looks like to clients: the refusals there may be. An empty set: nobody notices; None:
# the server refuses to start. None of these errors comes from the disk, so none fences it.
NOT_APPENDED = {("LEADER_NOT_AVAILABLE", "not appended")}
UNKNOWN = {("LEADER_NOT_AVAILABLE", "unknown")}
PARTLY = NOT_APPENDED | UNKNOWN  # the batch that meets it may be one of several buckets, of which the others have their rows
AWAY = {("LEADER_NOT_AVAILABLE", None), ("LEADER_NOT_AVAILABLE", "not appended")}
ERRORS = {
    "arrowlog.checkpoint.after-write": AWAY,  # it is known to be written, or not: log.delete-before cannot tell
    "arrowlog.checkpoint.write": AWAY,
    "arrowlog.commit.before-write": PARTLY,
    "arrowlog.commit.before-prefix": PARTLY,
    "arrowlog.commit.before-sync": UNKNOWN,
    "arrowlog.commit.after-sync": UNKNOWN,
    "arrowlog.expire.before-files": set(),
    "arrowlog.expire.before-start": set(),
    "arrowlog.index.before-read": set(),
    "arrowlog.index.before-write": set(),
    "arrowlog.lead.before-cut": AWAY,
    "arrowlog.lead.before-sync": AWAY,
    "arrowlog.read.before-segment": {("INTERNAL", None)},
    "arrowlog.recover.before-rewrite": AWAY,
    "arrowlog.recover.before-zero": AWAY,
    "arrowlog.recover.before-sync": AWAY,
    "arrowlog.recover.after-sync": AWAY,
    "arrowlog.remove.before-files": set(),
    "arrowlog.remove.before-marks": set(),
    "arrowlog.remove.before-partition": set(),
    "arrowlog.retention.before-remove": set(),
    "arrowlog.roll.before-dirs": PARTLY,
    "arrowlog.roll.before-state": PARTLY,
    "arrowlog.roll.before-segment": PARTLY,
    "arrowlog.roll.before-segment-sync": PARTLY,
    "arrowlog.roll.before-rename": PARTLY,
    "arrowlog.roll.before-rename-sync": PARTLY,
    "arrowlog.roll.after": PARTLY,
    "arrowlog.roll.before-trim": set(),
    "flight.put.before-next-bucket": {("INTERNAL", "unknown")},
    "kv.advance.after-apply": AWAY,
    "kv.advance.before-apply": AWAY,
    "kv.checkpoint.before-flush": AWAY,
    "kv.checkpoint.before-link": AWAY,
    "kv.checkpoint.before-remove": set(),
    "kv.checkpoint.before-rename": AWAY,
    "kv.checkpoint.before-seal": AWAY,
    "kv.drop.before-excise": set(),
    "kv.move.before-rename": AWAY,
    "kv.open.before": AWAY,
    "kv.rescue.before-copy": AWAY,
    "kv.rescue.before-mark": AWAY,
    "kv.restore.before-link": AWAY,
    "kv.restore.before-rename": AWAY,
    "metastore.commit.after-sync": set(),
    "metastore.commit.before-write": None,
    "metastore.open.before": None,
}
UNNOTICED = {"arrowlog.checkpoint.write", "arrowlog.checkpoint.after-write"}  # where no client may have been waiting


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Directories as crashes leave them, by what is special about them."""
    made = {}

    def of(kind):
        if kind not in made:
            course = Course(tmp_path_factory.mktemp(kind) / "course")
            course.server.start()
            course.prepare()
            course.server.kill()
            if kind == "torn":
                tear(course.server.data)
            elif kind == "cut":
                cut_units(course)
            elif kind == "damaged":
                damage_rows(course)
            elif kind == "lost":
                lose_rows(course)
            elif kind == "unsealed":
                lose_seal(course)
            made[kind] = course
        return made[kind]

    yield of
    for course in made.values():
        course.close()


@pytest.fixture
def course(prepared, request, tmp_path):
    """A course on a server that was killed in the middle of its work; what comes of it is judged at the end."""
    point = getattr(request.node, "callspec", None) and request.node.callspec.params.get("point")
    course = prepared(LEFT.get(point, "unclean")).copy(tmp_path / "course")
    yield course
    course.close()


def test_points_are_known():
    assert POINTS, f"{FAULT_BINARY} is missing: make build-fault"
    assert set(ERRORS) == set(POINTS), "each fault point needs a line in ERRORS"


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_kill(course, point, first):
    """kill -9 at the point; a hit that the course never comes to fails."""
    hit = 1 if first else LATER[point]
    try:
        course.server.start(env={"QUIVER_FAULT": f"{point}=kill@{hit}"})
        course.walk()
    except (RuntimeError, Broken):
        pass  # RuntimeError: it died before it was ready
    if point in ONCE and not first:
        assert course.server.process.poll() is None
    else:
        assert course.server.died(5), f"{point} was not hit {hit} times"  # some come once a second
    course.server.kill()
    check_segments(course.server.data)
    course.recover()


@pytest.mark.parametrize("point", POINTS)
def test_error(course, point):
    """One error at the point: the client is told what became of its call, and may go on at once."""
    try:
        course.server.start(env={"QUIVER_FAULT": f"{point}=error@1"})
    except RuntimeError as error:
        assert ERRORS[point] is None and course.server.process.poll() == 1
        assert "injected fault" in str(error) and str(course.server.data) in str(error)
    else:
        assert ERRORS[point] is not None
        course.patient = True
        course.walk()
        assert course.refusals <= ERRORS[point]
        assert course.refusals or not ERRORS[point] or point in UNNOTICED
        assert course.server.get("/readyz")[0] == 200
        course.check()
    course.server.kill()
    course.recover()


@pytest.fixture
def failing(course):
    """A function that makes a system call of the server fail from now on, and gives one that ends this."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    tracers = []

    def fail(call, error):
        tracer = subprocess.Popen(["strace", "-f", "-p", str(course.server.process.pid), "-e", f"trace={call}",
                                   "-e", f"inject={call}:error={error}"], stderr=subprocess.PIPE, text=True)
        tracers.append(tracer)
        said = tracer.stderr.readline()
        if "attached" not in said:
            pytest.skip(f"strace may not trace: {said}")

        def end():
            tracer.terminate()
            tracer.wait()
        return end

    yield fail
    course.server.kill()
    for tracer in tracers:
        tracer.kill()
        tracer.communicate()  # what it said, and its end


@pytest.mark.parametrize(("call", "rest"), [("fdatasync", "unknown"), ("pwrite64", "unknown"), ("pwritev", "not appended")])
def test_a_failed_disk_is_fenced(course, failing, call, rest):
    """After one failed write or sync nothing is written any more, also when the disk seems well again; reads go on."""
    course.server.start()
    with course.server.client() as client:
        read_logs(client, TABLE, BUCKETS)
        course.put(client, 10, 20, bucket=0)
        mend = failing(call, "EIO")
        with pytest.raises(Refused) as refused:
            course.put(client, 10, 20, bucket=0)
        assert (refused.value.reason, refused.value.rest) == ("LEADER_NOT_AVAILABLE", rest)
        mend()
        status, body = course.server.get("/readyz")
        assert status == 503 and b"fenced" in body
        for bucket in range(BUCKETS):
            with pytest.raises(Refused) as refused:
                course.put(client, 10, 20, bucket=bucket)
            assert (refused.value.reason, refused.value.rest) == ("LEADER_NOT_AVAILABLE", "not appended")
        assert read_logs(client, TABLE, BUCKETS)
    course.server.kill()
    check_segments(course.server.data)
    course.recover()


def test_no_room_for_a_write(course, failing):
    """A write that the disk has no room for is refused, and nothing is fenced: it goes on when there is some."""
    course.server.start()
    with course.server.client() as client:
        course.put(client, 10, 20, bucket=0)
        free = failing("pwritev", "ENOSPC")
        with pytest.raises(Refused) as refused:
            course.put(client, 10, 20, bucket=0)
        assert (refused.value.reason, refused.value.rest) == ("DISK_FULL", "not appended")
        assert course.server.get("/readyz")[0] == 200
        free()
        course.patient = True  # the bucket's next leader starts
        course.call(lambda: course.put(client, 10, 20, bucket=0))
    course.check()
    course.server.kill()
    course.recover()
