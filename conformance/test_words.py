"""What is said: bodies that list_actions shows work as they stand, and an error names the table and what is known."""

import json

import pyarrow as pa
import pytest

from conftest import action, command, put, ticket


def test_bodies_of_list_actions_work(new_server):
    with new_server().client() as client:
        examples = {}
        for listed in client.list_actions():
            examples[listed.type] = json.loads(listed.description.partition("body: ")[2])
        action(client, "table.create", examples.pop("table.create"))
        action(client, "table.create", {"table": "events", "partition_by": ["dt", "region"], "schema": [
            {"name": "dt", "type": "date32"}, {"name": "region", "type": "string"}]})
        last = examples.pop("table.drop")
        for name, body in examples.items():
            if "timeout_ms" in body:
                body["timeout_ms"] = 1
            action(client, name, body)
        assert action(client, "table.drop", last) == [{"dropped": True}]


@pytest.mark.parametrize("database", ["def", "shop"])
def test_tables_of_a_database_that_is_not_there(client, database):
    with pytest.raises(KeyError, match=f"DATABASE_NOT_FOUND: database {database}: "):
        action(client, "table.list", {"database": database})


def test_errors_name_the_table(client, table):
    action(client, "table.create", {"table": table, "schema": [{"name": "id", "type": "int64", "nullable": False}]})
    with pytest.raises(pa.ArrowInvalid, match=f'table default.{table}: there is no column "ID"; did you mean "id"'):
        client.do_get(ticket(table=table, columns=["ID"]))
    with pytest.raises(pa.ArrowInvalid, match=f'table default.{table}: there is no column "ID"; did you mean "id"'):
        client.get_schema(command(table=table, columns=["ID"]))
    with pytest.raises(pa.ArrowInvalid, match=f'table default.{table}, column "id": 1 nulls in a required column'):
        put(client, table, pa.table({"id": pa.array([1, None])}))
    with pytest.raises(KeyError, match=f"table default.{table}: from names bucket 1, the table has 1; buckets are counted from 0"):
        client.do_get(ticket(table=table, **{"from": {"offsets": {"1": 0}}}))
    with pytest.raises(pa.ArrowInvalid, match='key acks: "none" is none of "all", "leader"'):
        writer, _ = client.do_put(command(put=table, acks="none"), pa.schema({"id": pa.int64()}))
        writer.close()
