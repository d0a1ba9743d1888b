"""The first promise: what close() returned from is durable, readable and survives kill -9."""

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import action, path, put, read, reason, schema_note, ticket


def sample(rows=1000, start=0):
    return pa.table({
        "id": pa.array(range(start, start + rows), pa.int64()),
        "price": pa.array([i / 8 for i in range(start, start + rows)], pa.float64()),
        "name": pa.array([None if i % 7 == 0 else f"row {i}" for i in range(start, start + rows)]),
        "even": pa.array([i % 2 == 0 for i in range(start, start + rows)]),
    })


def test_put_and_get(client, table):
    data = sample()
    put(client, table, data)
    assert read(client, table).equals(data)


def test_put_kill_get(new_server):
    server = new_server()
    data = sample(5000)
    with server.client() as client:
        put(client, "events", data)
    server.kill()
    server.start()
    with server.client() as client:
        assert read(client, "events").equals(data)
        put(client, "events", sample(10, 5000))
        assert read(client, "events").num_rows == 5010


def test_projection(client, table):
    data = sample()
    put(client, table, data)
    assert read(client, table, columns=["name", "id"]).equals(data.select(["name", "id"]))
    empty = read(client, table, columns=[])
    assert (empty.num_rows, empty.num_columns) == (1000, 0)


def test_system_columns(client, table):
    put(client, table, sample(10))
    got = read(client, table, columns=["id"], system_columns=["__offset", "__bucket", "__timestamp", "__partition"])
    assert got.column_names == ["id", "__offset", "__bucket", "__timestamp", "__partition"]
    assert got["__offset"].to_pylist() == list(range(10))
    assert got["__bucket"].to_pylist() == [0] * 10
    assert got["__partition"].to_pylist() == [""] * 10
    assert got.schema.field("__timestamp").type == pa.timestamp("ms", "UTC")
    assert not any(got.schema.field(name).nullable for name in got.column_names[1:])


def test_from_until_limit(client, table):
    put(client, table, sample(100))
    got = read(client, table, **{"from": {"offset": 10}, "until": {"offset": 20}})
    assert got["id"].to_pylist() == list(range(10, 20))
    assert schema_note(got)["from"] == {"offsets": {"0": 10}}
    assert schema_note(got)["until"] == {"offsets": {"0": 20}}
    assert read(client, table, limit=7).num_rows == 7


def test_table_actions(client, table):
    created = action(client, "table.create", {"table": table, "schema": [
        {"name": "id", "type": "int64", "nullable": False}, {"name": "price", "type": "decimal128(12, 2)"}]})
    assert created[0]["table"] == f"default.{table}"
    assert action(client, "table.describe", {"table": table}) == created
    assert f"default.{table}" in [row["table"] for row in action(client, "table.list")]
    assert action(client, "table.drop", {"table": table}) == [{"dropped": True}]
    with pytest.raises(KeyError) as error:
        action(client, "table.describe", {"table": table})
    assert reason(error.value) == "TABLE_NOT_FOUND"


def test_plan(client, table):
    put(client, table, sample(100))
    info = client.get_flight_info(path(table))
    assert info.total_records == 100
    assert len(info.endpoints) == 1
    assert client.do_get(info.endpoints[0].ticket).read_all().num_rows == 100
    assert [i.descriptor.path for i in client.list_flights()].count([b"default", table.encode()]) == 1


def test_wrong_schema(client, table):
    put(client, table, sample(10))
    wrong = pa.table({"id": ["x"], "price": [1.0], "name": ["y"], "even": [True]})
    with pytest.raises(pa.ArrowInvalid) as error:
        put(client, table, wrong)
    assert reason(error.value) == "SCHEMA_MISMATCH"
    assert "id" in str(error.value)


def test_missing_table(client):
    with pytest.raises(KeyError) as error:
        client.do_get(ticket("no_such_table")).read_all()
    assert reason(error.value) == "TABLE_NOT_FOUND"


def test_follow(client, table):
    put(client, table, sample(10))
    reader = client.do_get(ticket(table, follow=True))
    seen = 0
    for chunk in reader:
        seen += chunk.data.num_rows
        if seen == 10:
            put(client, table, sample(10, 10))
        if seen == 20:
            break
    reader.cancel()
    assert seen == 20
