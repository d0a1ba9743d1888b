"""Plans, schemas, lists, actions and their examples."""

import base64
import json

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from conftest import action, command, path, put, read, reason, ticket


def rows(start, count):
    return pa.table({"n": pa.array(range(start, start + count), pa.int64()), "t": [f"row {i}" for i in range(start, start + count)]})


@pytest.fixture
def buckets(client, table):
    action(client, "table.create", {"table": table, "buckets": 3, "schema": [
        {"name": "n", "type": "int64"}, {"name": "t", "type": "string"}]})
    put(client, table, rows(0, 10), bucket=0)
    put(client, table, rows(10, 5), bucket=1)
    return table


def test_one_endpoint_for_each_bucket(client, buckets):
    info = client.get_flight_info(path(buckets))
    assert (info.total_records, info.ordered) == (15, False) and info.total_bytes > 0
    assert info.schema.names == ["n", "t"]
    assert [len(e.locations) for e in info.endpoints] == [0, 0, 0]
    got = pa.concat_tables(client.do_get(e.ticket).read_all() for e in info.endpoints)
    assert sorted(got["n"].to_pylist()) == list(range(15))
    plan = json.loads(info.app_metadata)
    assert plan["schema_id"] == 1 and {r["bucket"] for r in plan["ranges"]} == {0, 1, 2}


def test_tickets_of_a_plan_carry_what_was_planned(client, buckets):
    info = client.get_flight_info(command(table=buckets, columns=["n"]))
    put(client, buckets, rows(15, 5), bucket=0)
    assert sum(client.do_get(e.ticket).read_all().num_rows for e in info.endpoints) == 15
    parsed = json.loads(info.endpoints[0].ticket.ticket)
    assert parsed["columns"] == ["n"] and parsed["until"] == {"offsets": {"0": 10}}


def test_counts_that_cannot_be_known(client, buckets):
    limited = client.get_flight_info(command(table=buckets, limit=7))
    assert limited.total_records == -1 and len(limited.endpoints) == 1
    assert client.do_get(limited.endpoints[0].ticket).read_all().num_rows == 7
    assert client.get_flight_info(command(table=buckets, follow=True)).total_records == -1
    assert client.get_flight_info(command(table=buckets, bucket=0)).ordered


def test_locations_of_leaders(client, server, buckets):
    info = client.get_flight_info(command(table=buckets, locations="leaders"))
    assert [str(l.uri, "utf8") if isinstance(l.uri, bytes) else l.uri for l in info.endpoints[0].locations] == [
        f"grpc://{server.address}", "arrow-flight-reuse-connection://?"]


def test_schema(client, buckets):
    assert client.get_schema(path(buckets)).schema.names == ["n", "t"]
    projected = client.get_schema(command(table=buckets, columns=["t"], system_columns=["__offset"])).schema
    assert projected.names == ["t", "__offset"]
    assert client.get_schema(fl.FlightDescriptor.for_path(f"default.{buckets}")).schema.names == ["n", "t"]
    assert client.get_schema(fl.FlightDescriptor.for_path(buckets)).schema.names == ["n", "t"]


def test_lists(client, buckets):
    def names(criteria=b""):
        return [b".".join(info.descriptor.path).decode() for info in client.list_flights(criteria)]

    mine = f"default.{buckets}"
    assert mine in names() and mine in names(mine[:-2].encode())
    assert mine in names(json.dumps({"prefix": mine}).encode()) and names(b"default.no_such") == []
    assert {"table": mine, "table_id": action(client, "table.describe", {"table": buckets})[0]["table_id"]} in action(client, "table.list")
    assert [row["database"] for row in action(client, "database.list")] == ["default"]


def test_every_action_has_an_example_that_works(client, table):
    """The examples speak of orders; here they are told of a table that is there."""
    put(client, table, pa.table({"id": [1]}))
    parted = table + "_parted"
    action(client, "table.create", {"table": parted, "partition_by": ["dt", "region"], "schema": [
        {"name": "dt", "type": "date32[day]"}, {"name": "region", "type": "string"}]})
    for described in client.list_actions():
        example = json.loads(described.description.split("body: ", 1)[1])
        if example.get("table") == "orders":
            example["table"] = table
        if example.get("table") == "events":
            example["table"] = parted
        if "offsets" in example:
            example["offsets"] = {"0": 0}
        if described.type in ("table.drop", "table.create"):
            example["table"] = "of_examples"
        if "writer_id" in example:
            example["writer_id"] = action(client, "writer.init")[0]["writer_id"]
        assert isinstance(action(client, described.type, example), list), described.type


def test_tables_by_either_form_of_schema(client, table):
    columns = [{"name": "id", "type": "int64", "nullable": False}, {"name": "price", "type": "decimal128(12, 2)", "default": "1.50"},
               {"name": "tags", "type": "list<item: string>"}, {"name": "Größe", "type": "fixed_size_list<item: float>[3]"}]
    by_columns = action(client, "table.create", {"table": table, "schema": columns, "comment": "priced", "options": {"segment.bytes": "64MiB"}})[0]
    assert by_columns["comment"] == "priced" and by_columns["options"]["segment.bytes"] == "64MiB"
    assert [(c["id"], c["name"], c["type"], c["nullable"], c["default"]) for c in by_columns["columns"]] == [
        (1, "id", "int64", False, None), (2, "price", "decimal128(12, 2)", True, "1.50"),
        (3, "tags", "list<item: string>", True, None), (5, "Größe", "fixed_size_list<item: float>[3]", True, None)]
    schema = client.get_schema(path(table)).schema
    other = table + "_ipc"
    by_ipc = action(client, "table.create", {"table": other, "schema": base64.b64encode(schema.serialize().to_pybytes()).decode()})[0]
    assert [c["type"] for c in by_ipc["columns"]] == [c["type"] for c in by_columns["columns"]]
    put(client, table, pa.table({"id": [1, 2]}))
    got = read(client, table)
    assert [str(v) for v in got["price"].to_pylist()] == ["1.50", "1.50"] and got["tags"].to_pylist() == [None, None]


@pytest.mark.parametrize("body, name, word", [
    ({"table": "t", "schema": [{"name": "a", "type": "int65"}]}, "BAD_COMMAND", "int64"),
    ({"table": "t", "schema": [{"name": "__offset", "type": "int64"}]}, "BAD_NAME", "__offset"),
    ({"table": "t", "schema": [{"name": "a", "type": "int64"}, {"name": "a", "type": "int64"}]}, "BAD_NAME", "two columns"),
    ({"table": "t/../x", "schema": [{"name": "a", "type": "int64"}]}, "BAD_NAME", "/"),
    ({"table": "t", "schem": []}, "BAD_COMMAND", "schema"),
    ({"table": "t", "schema": [{"name": "a", "type": "int64"}], "options": {"segment.byte": "1MiB"}}, "BAD_OPTION", "segment.bytes"),
    ({"table": "t", "schema": [{"name": "a", "type": "int64"}], "options": {"segment.bytes": "many", "segment.age": "x"}}, "BAD_OPTION", "segment.age"),
    ({"table": "t", "schema": [{"name": "a", "type": "int64"}], "buckets": 0}, "BAD_COMMAND", "bucket"),
    ({"table": "nowhere.t", "schema": [{"name": "a", "type": "int64"}]}, "DATABASE_NOT_FOUND", "nowhere"),
])
def test_wrong_tables(client, body, name, word):
    with pytest.raises((pa.ArrowInvalid, KeyError)) as error:
        action(client, "table.create", body)
    assert reason(error.value) == name and word in str(error.value)


def test_tables_that_are_there_already(client, table):
    body = {"table": table, "schema": [{"name": "a", "type": "int64"}]}
    first = action(client, "table.create", body)
    with pytest.raises(pa.ArrowException) as error:
        action(client, "table.create", body)
    assert reason(error.value) == "TABLE_EXISTS"
    assert action(client, "table.create", {**body, "if_not_exists": True}) == first
    assert action(client, "table.drop", {"table": table}) == [{"dropped": True}]
    assert action(client, "table.drop", {"table": table, "if_exists": True}) == [{"dropped": False}]
    with pytest.raises(KeyError) as error:
        action(client, "table.drop", {"table": table})
    assert reason(error.value) == "TABLE_NOT_FOUND"
    assert action(client, "table.create", body)[0]["table_id"] > first[0]["table_id"]
    assert read(client, table).num_rows == 0


@pytest.mark.parametrize("keys, name, word", [
    ({"colums": ["n"]}, "BAD_COMMAND", "columns"),
    ({"columns": ["m"]}, "BAD_COMMAND", "n"),
    ({"columns": ["n", "n"]}, "BAD_COMMAND", "twice"),
    ({"bucket": 3}, "BUCKET_NOT_FOUND", "3"),
    ({"filter": "n >"}, "BAD_FILTER", "filter"),
    ({"from": "yesterday"}, "BAD_COMMAND", "earliest"),
    ({"from": {"cursor": "job1"}}, "CURSOR_NOT_FOUND", "job1"),
    ({"read": "table"}, "BAD_COMMAND", "primary-key"),
    ({"limit": -1}, "BAD_COMMAND", "-1"),
    ({"limit": "7x"}, "BAD_COMMAND", "limit"),
    ({"partition": "dt=2026-11-22"}, "PARTITION_NOT_FOUND", "dt="),
])
def test_wrong_tickets(client, buckets, keys, name, word):
    with pytest.raises((pa.ArrowInvalid, KeyError)) as error:
        read(client, buckets, **keys)
    assert reason(error.value) == name and word in str(error.value)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"table":"t","table":"u"}', b'{"table":"t"} x', b"\xff\xfe", b'{"table":7}', b"null",
                                 b'{"table":"t","a":' + b"[" * 5000 + b"]" * 5000 + b"}"])
def test_malformed_tickets(client, raw):
    with pytest.raises(pa.ArrowInvalid) as error:
        client.do_get(fl.Ticket(raw)).read_all()
    assert reason(error.value) in ("BAD_COMMAND", "BAD_NAME")


def test_big_numbers_as_strings(client, buckets):
    got = client.do_get(fl.Ticket(json.dumps({"table": buckets, "bucket": 0, "from": {"offset": "3"}, "limit": "2"}).encode())).read_all()
    assert got["n"].to_pylist() == [3, 4]


def test_stats(client, buckets):
    rows_of = action(client, "table.stats", {"table": buckets})
    assert [(r["bucket"], r["rows"], r["earliest"], r["latest"]) for r in rows_of[:-1]] == [(0, 10, 0, 10), (1, 5, 0, 5), (2, 0, 0, 0)]
    assert rows_of[-1]["total"] is True and rows_of[-1]["rows"] == 15
    assert rows_of[-1]["bytes"] == sum(r["bytes"] for r in rows_of[:-1]) > 0


def test_lookups_need_a_primary_key(client, buckets):
    writer, reader = client.do_exchange(command(lookup=buckets))
    with pytest.raises(pa.ArrowInvalid) as error:
        reader.read_chunk()
    assert reason(error.value) == "BAD_COMMAND" and "primary-key" in str(error.value)
    with pytest.raises(pa.ArrowInvalid):
        writer.close()


def test_an_unknown_action(client):
    with pytest.raises(pa.ArrowInvalid) as error:
        action(client, "table.creat")
    assert reason(error.value) == "BAD_COMMAND" and '"table.create"' in str(error.value)


def test_a_plan_with_a_filter(client, buckets):
    info = client.get_flight_info(command(table=buckets, filter="n < 3", columns=["t"]))
    assert info.total_records == -1 and info.total_bytes == -1
    got = []
    for endpoint in info.endpoints:
        assert json.loads(endpoint.ticket.ticket)["filter"] == "n < 3"
        got += client.do_get(endpoint.ticket).read_all()["t"].to_pylist()
    assert sorted(got) == ["row 0", "row 1", "row 2"]
    limited = client.get_flight_info(command(table=buckets, filter="n >= 2", limit=3))
    assert len(limited.endpoints) == 1
    assert client.do_get(limited.endpoints[0].ticket).read_all().num_rows == 3
    for wrong in ("n <", "m = 1", "n like 'x%'"):
        for ask in (client.get_flight_info, client.get_schema, lambda d: client.do_get(fl.Ticket(d.command))):
            with pytest.raises(pa.ArrowInvalid) as error:
                ask(command(table=buckets, filter=wrong))
            assert reason(error.value) == "BAD_FILTER"
