"""Where a read begins and ends: every form of from and until, limits, following, and what tells where to go on."""

import datetime
import json

import pyarrow as pa
import pytest

from conftest import action, put, read, reason, schema_note, ticket


def rows(start, count):
    return pa.table({"n": pa.array(range(start, start + count), pa.int64())})


@pytest.fixture
def buckets(client, table):
    """A table of two buckets: 0..9 in bucket 0, 100..104 in bucket 1."""
    action(client, "table.create", {"table": table, "buckets": 2, "schema": [{"name": "n", "type": "int64"}]})
    put(client, table, rows(0, 10), bucket=0)
    put(client, table, rows(100, 5), bucket=1)
    return table


def numbers(client, table, **keys):
    return sorted(read(client, table, **keys)["n"].to_pylist())


def span(start, stop):
    return {"from": start, "until": stop}


def test_words(client, buckets):
    everything = [*range(10), *range(100, 105)]
    assert numbers(client, buckets, **span("earliest", "now")) == everything
    assert numbers(client, buckets, **span("earliest", "latest")) == everything
    assert numbers(client, buckets, **span("now", "now")) == []
    assert numbers(client, buckets, **span("earliest", "earliest")) == []


def test_one_offset_needs_one_bucket(client, buckets):
    assert numbers(client, buckets, bucket=0, **span({"offset": 3}, {"offset": 6})) == [3, 4, 5]
    with pytest.raises(pa.ArrowInvalid) as error:
        read(client, buckets, **{"from": {"offset": 3}})
    assert reason(error.value) == "BAD_COMMAND"


def test_vectors(client, buckets):
    vector = {"offsets": {"0": 8, "1": 4}}
    assert numbers(client, buckets, **{"from": vector}) == [8, 9, 104]
    assert numbers(client, buckets, until=vector) == [*range(8), *range(100, 104)]
    assert numbers(client, buckets, **{"from": {"offsets": {"0": 8}}}) == [8, 9, *range(100, 105)]
    # A bucket that "until" does not name ends where it starts.
    assert numbers(client, buckets, until={"offsets": {"1": 2}}) == [100, 101]
    with pytest.raises(KeyError) as error:
        read(client, buckets, **{"from": {"offsets": {"2": 0}}})
    assert reason(error.value) == "BUCKET_NOT_FOUND"


def test_an_end_beyond_now_is_now(client, buckets):
    assert numbers(client, buckets, bucket=1, until={"offset": 1000}) == list(range(100, 105))


@pytest.mark.parametrize("offset", [-0, 11, 2**62])
def test_out_of_range(client, buckets, offset):
    action(client, "log.delete-before", {"table": buckets, "offsets": {"0": 2}})
    with pytest.raises(pa.ArrowInvalid) as error:
        read(client, buckets, bucket=0, **{"from": {"offset": offset}})
    assert reason(error.value) == "OFFSET_OUT_OF_RANGE"
    assert "earliest 2, latest 10" in str(error.value)


def test_timestamps(client, table):
    for i in range(3):
        put(client, table, rows(i, 1))
    stamps = read(client, table, columns=["__timestamp"])["__timestamp"]
    millis = stamps.cast(pa.int64()).to_pylist()
    assert numbers(client, table, **{"from": {"timestamp": millis[0]}}) == [0, 1, 2]
    first_not_older = next(i for i, m in enumerate(millis) if m >= millis[2])
    assert numbers(client, table, **{"from": {"timestamp": millis[2]}}) == list(range(first_not_older, 3))
    text = stamps[2].as_py().astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    assert numbers(client, table, **{"from": {"timestamp": text}}) == list(range(first_not_older, 3))
    assert numbers(client, table, until={"timestamp": millis[0]}) == []
    assert numbers(client, table, **{"from": {"timestamp": "2100-01-01T00:00:00Z"}}) == []
    offsets = action(client, "log.offsets", {"table": table, "at": {"timestamp": millis[2]}})
    assert offsets == [{"partition": None, "bucket": 0, "offset": first_not_older}]


def test_resume_by_the_schemas_metadata(client, buckets):
    first = read(client, buckets)
    note = schema_note(first)
    assert note["from"] == {"offsets": {"0": 0, "1": 0}} and note["until"] == {"offsets": {"0": 10, "1": 5}}
    assert note["table_id"] > 0 and note["schema_id"] == 1
    put(client, buckets, rows(10, 3), bucket=0)
    second = read(client, buckets, **{"from": note["until"]})
    assert sorted(second["n"].to_pylist()) == [10, 11, 12]
    assert schema_note(second)["until"] == {"offsets": {"0": 13, "1": 5}}
    by_reader = client.do_get(ticket(buckets)).to_reader()
    assert json.loads(by_reader.schema.metadata[b"quiver"])["until"] == {"offsets": {"0": 13, "1": 5}}


def test_a_position_of_another_table(client, buckets):
    note = schema_note(read(client, buckets))
    action(client, "table.drop", {"table": buckets})
    put(client, buckets, rows(0, 1))
    with pytest.raises(pa.ArrowInvalid) as error:
        read(client, buckets, table_id=note["table_id"], **{"from": note["until"]})
    assert reason(error.value) == "TABLE_RECREATED"


def test_each_batch_tells_its_offsets(client, buckets):
    ends = {0: 0, 1: 0}
    for chunk in client.do_get(ticket(buckets, batch_rows=3)):
        told = json.loads(chunk.app_metadata.to_pybytes())
        assert list(told) == ["bucket", "partition", "from", "until", "timestamp", "high_watermark"]
        assert told["partition"] is None and told["until"] - told["from"] == chunk.data.num_rows <= 3
        assert told["from"] == ends[told["bucket"]]
        ends[told["bucket"]] = told["until"]
    assert ends == {0: 10, 1: 5}


def test_limits(client, buckets):
    assert read(client, buckets, limit=0).num_rows == 0
    assert read(client, buckets, limit=12).num_rows == 12
    assert read(client, buckets, limit=1000).num_rows == 15
    assert read(client, buckets, limit=12, columns=[]).num_rows == 12


def test_following_to_an_end(client, buckets):
    reader = client.do_get(ticket(buckets, bucket=0, follow=True, until={"offset": 12}))
    assert reader.read_chunk().data.num_rows == 10
    put(client, buckets, rows(10, 5), bucket=0)
    assert reader.read_all()["n"].to_pylist() == [10, 11]
    limited = client.do_get(ticket(buckets, follow=True, limit=15)).read_all()
    assert limited.num_rows == 15


def test_a_silent_follower_is_told_that_the_stream_lives(client, buckets):
    reader = client.do_get(ticket(buckets, follow=True, **{"from": "now"}))
    chunk = reader.read_chunk()
    told = json.loads(chunk.app_metadata.to_pybytes())
    assert chunk.data.num_rows == 0 and told["idle"] is True and told["bucket"] in (0, 1)
    assert told["from"] == told["until"] == told["high_watermark"]
    put(client, buckets, rows(10, 1), bucket=0)
    while chunk.data.num_rows == 0:
        chunk = reader.read_chunk()
    assert chunk.data["n"].to_pylist() == [10]
    reader.cancel()


def test_new_rows_wake_every_follower(client, buckets, server):
    readers = [server.client().do_get(ticket(buckets, follow=True, **{"from": "now"}, limit=1)) for _ in range(10)]
    put(client, buckets, rows(10, 1), bucket=1)
    for reader in readers:
        assert reader.read_all()["n"].to_pylist() == [10]


def test_waiting_by_action(client, buckets):
    assert action(client, "log.wait", {"table": buckets, "offsets": {"0": 10, "1": 5}, "timeout_ms": 1}) == []
    assert action(client, "log.wait", {"table": buckets, "offsets": {"0": 7, "1": 5}}) == [
        {"partition": None, "bucket": 0, "from": 7, "until": 10}]


def test_deleting_before(client, buckets):
    assert action(client, "log.delete-before", {"table": buckets, "offsets": {"0": 4}}) == [
        {"partition": None, "bucket": 0, "offset": 4}, {"partition": None, "bucket": 1, "offset": 0}]
    assert numbers(client, buckets) == [*range(4, 10), *range(100, 105)]
    assert action(client, "log.offsets", {"table": buckets, "at": "earliest"})[0]["offset"] == 4
    assert action(client, "table.stats", {"table": buckets})[-1]["rows"] == 11
    put(client, buckets, rows(10, 1), bucket=0)
    assert numbers(client, buckets, bucket=0) == list(range(4, 11))


def test_a_cursor_is_a_position(client, buckets):
    note = schema_note(read(client, buckets))
    with pytest.raises(KeyError) as error:
        read(client, buckets, **{"from": {"cursor": "job1"}})
    assert reason(error.value) == "CURSOR_NOT_FOUND"
    action(client, "cursor.commit", {"cursor": "job1", "table": buckets, "offsets": {"0": 4}})
    # A bucket that was never committed is read from its earliest row.
    assert numbers(client, buckets, **{"from": {"cursor": "job1"}}) == [*range(4, 10), *range(100, 105)]
    assert numbers(client, buckets, until={"cursor": "job1"}) == list(range(4))
    action(client, "cursor.commit", {"cursor": "job1", "table": buckets, "offsets": note["until"]})
    put(client, buckets, rows(10, 2), bucket=0)
    assert numbers(client, buckets, **{"from": {"cursor": "job1"}}) == [10, 11]
    reader = client.do_get(ticket(buckets, follow=True, limit=2, **{"from": {"cursor": "job1"}}))
    assert reader.read_all()["n"].to_pylist() == [10, 11]


def test_ranges_that_a_filter_emptied_are_told(client, buckets):
    told = []
    for chunk in client.do_get(ticket(buckets, filter="n >= 108 or n = 3", batch_rows=2)):
        told.append(json.loads(chunk.app_metadata.to_pybytes()) | {"rows": chunk.data.num_rows})
    ends = {0: 0, 1: 0}
    for note in told:
        assert note["from"] == ends[note["bucket"]]
        ends[note["bucket"]] = note["until"]
    assert ends == {0: 10, 1: 5} and sum(note["rows"] for note in told) == 1
    # A follower resumes behind rows that did not match, too.
    reader = client.do_get(ticket(buckets, follow=True, bucket=1, filter="n > 1000"))
    note = json.loads(reader.read_chunk().app_metadata.to_pybytes())
    assert (note["from"], note["until"]) == (0, 5)
    reader.cancel()
