"""Tables that change while old and new producers put into them and old and new readers read: compared with a model.

The seed of each run is printed; QUIVER_SEED runs one again."""

import json
import os
import random

import pyarrow as pa
import pytest

from conftest import Put, action, chunks, create, path, put, read, reason, refused, schema_note, ticket

CHAINS = [["int16", "int32", "int64"], ["uint8", "uint32", "uint64"], ["float", "double"], ["int32", "double"], ["string"], ["bool"]]
ARROW = {"float": pa.float32(), "double": pa.float64(), "bool": pa.bool_(), "string": pa.string()}


def arrow_type(name):
    return ARROW.get(name) or getattr(pa, name)()


class Column:
    def __init__(self, id, name, chain, nullable=True, default=None):
        self.id, self.name, self.chain, self.nullable, self.default = id, name, chain, nullable, default

    def copy(self):
        return Column(self.id, self.name, self.chain, self.nullable, self.default)

    @property
    def type(self):
        return arrow_type(self.chain[0])

    def value(self, rng):
        if self.nullable and rng.random() < 0.2:
            return None
        if self.chain[-1] == "string":
            return f"s{rng.randrange(50)}"
        if self.chain[-1] == "bool":
            return rng.random() < 0.5
        return rng.randrange(100) / 2 if self.chain[0] == "float" else rng.randrange(100)


class Model:
    """A table of one bucket: its columns now, and its rows by column id with the version they were stored in."""

    def __init__(self, rng, client, table):
        self.rng, self.client, self.table = rng, client, table
        create(client, table, {"k": "int64", "v": "int16"})
        self.columns = [Column(1, "k", ["int64"]), Column(2, "v", CHAINS[0])]
        self.versions = [[c.copy() for c in self.columns]]
        self.rows = []  # (version, {id: value})
        self.names = 0

    @property
    def version(self):
        return len(self.versions) - 1

    def alter(self):
        """One random change, by table.alter; the answer is compared with what the model says."""
        change = self.change()
        (told,) = action(self.client, "table.alter", {"table": self.table, "changes": [change]})
        for c in self.columns:
            if c.id is None:
                c.id = next(t["id"] for t in told["columns"] if t["name"] == c.name)
        assert [(t["id"], t["name"]) for t in told["columns"]] == [(c.id, c.name) for c in self.columns]
        self.versions.append([c.copy() for c in self.columns])

    def change(self):
        rng, columns = self.rng, self.columns
        i = rng.randrange(1, len(columns)) if len(columns) > 1 else 0
        column = columns[i]
        kind = rng.randrange(5)
        if kind == 0 and i > 0:
            del columns[i]
            return {"drop": column.name}
        if kind == 1:
            old, column.name = column.name, self.name()
            return {"rename": {"from": old, "to": column.name}}
        if kind == 2 and i > 1:
            columns.insert(1, columns.pop(i))
            return {"move": {"name": column.name, "after": columns[0].name}}
        if kind == 3 and len(column.chain) > 1:
            column.chain = column.chain[1:]
            return {"widen": {"name": column.name, "type": column.chain[0]}}
        # Names that were dropped come back at times, as other columns.
        added = Column(None, self.name(), rng.choice(CHAINS))
        spec = {"name": added.name, "type": added.chain[0]}
        if rng.random() < 0.5 or not (nullable := rng.random() < 0.7):
            added.default = {"string": "dflt", "bool": True}.get(added.chain[-1], 7)
            spec["default"] = added.default
            if rng.random() < 0.5:
                added.nullable = spec["nullable"] = False
        at = rng.randrange(len(columns) + 1)
        if at == 0:
            spec["first"] = True
        else:
            spec["after"] = columns[at - 1].name
        columns.insert(at, added)
        return {"add": spec}

    def name(self):
        taken = {c.name for c in self.columns}
        while True:
            name = f"c{self.rng.randrange(12)}"
            if name not in taken:
                return name

    def seen(self, row, version):
        """What a reader of a version sees of a row: its cells by id, or None if it cannot read it."""
        stored_in, cells = self.rows[row]
        stored = {c.id: c for c in self.versions[stored_in]}
        out = {}
        for c in self.versions[version]:
            if c.id in stored:
                if stored_in > version and stored[c.id].chain[0] != c.chain[0]:
                    return None
                out[c.id] = cells[c.id]
            elif stored_in > version:  # dropped since
                if not c.nullable:
                    return None
                out[c.id] = None
            else:
                out[c.id] = c.default
        return out


def settle(stream, token):
    """Waits until everything that was written is durable."""
    stream.flush(token)
    while not stream.answers or stream.answers[-1]["flush"] != token:
        stream.thread.join(0.001)
        assert stream.thread.is_alive() or stream.answers and stream.answers[-1]["flush"] == token, "the stream has ended"


class Producer:
    """A put stream that goes on with the schema it began with."""

    def __init__(self, model, client):
        self.model = model
        names = [c.copy() for c in model.columns]
        if model.rng.random() < 0.5:  # it leaves some out
            names = [c for c in names if c.default is None and not c.nullable or model.rng.random() < 0.7] or names
        model.rng.shuffle(names)
        self.columns = names
        self.schema = pa.schema([pa.field(c.name, c.type) for c in names])
        self.stream = Put(client, path(model.table), self.schema)
        self.began = False
        self.flushes = 0

    def put(self, count):
        m = self.model
        rows = [{c.id: c.value(m.rng) for c in self.columns} for _ in range(count)]
        arrays = [pa.array([r[c.id] for r in rows], c.type) for c in self.columns]
        self.stream.write(pa.record_batch(arrays, schema=self.schema))
        self.flushes += 1
        settle(self.stream, self.flushes)
        for r in rows:
            m.rows.append((m.version, {c.id: r[c.id] if c.id in r else c.default for c in m.columns}))


class Follower:
    """A reader that goes on with the schema it began with, from the first row."""

    def __init__(self, model, client):
        self.model, self.version = model, model.version
        self.stream = chunks(client.do_get(ticket(model.table, follow=True)))
        self.next = 0
        data, _ = next(self.stream)  # it has begun
        self.ended = False
        self.compare(data)

    def compare(self, data):
        columns = self.model.versions[self.version]
        assert data.schema.names == [c.name for c in columns]
        assert data.schema.types == [c.type for c in columns]
        for cells in data.to_pylist():
            want = self.model.seen(self.next, self.version)
            assert want is not None, f"row {self.next} cannot be read and was"
            assert list(cells.values()) == [want[c.id] for c in columns], f"row {self.next}"
            self.next += 1

    def catch_up(self):
        """Reads up to the model's end, or to the row where the follower's version has to end."""
        while not self.ended and self.next < len(self.model.rows):
            try:
                data, note = next(self.stream)
            except pa.ArrowInvalid as error:
                assert reason(error) == "SCHEMA_CHANGED", error
                assert f"from offset {self.next} on" in str(error)
                assert self.model.seen(self.next, self.version) is None, f"row {self.next} can be read: {error}"
                self.ended = True
                return
            assert data.num_rows == 0 or note["from"] == self.next
            self.compare(data)


def bounded(model, client):
    """A read in the newest version of some columns, with a filter at times."""
    rng, columns = model.rng, model.columns
    chosen = rng.sample(columns, rng.randrange(len(columns) + 1))
    keys = {"columns": [c.name for c in chosen] + ["__offset"]}
    limit = rng.randrange(200)
    tested = rng.choice(columns)
    holds = lambda value: True
    if rng.random() < 0.6:
        keys["filter"], holds = {
            "string": (f"{tested.name} >= 's{limit % 50}'", lambda v: v is not None and v >= f"s{limit % 50}"),
            "bool": (f"{tested.name} is not null", lambda v: v is not None),
        }.get(tested.chain[-1], (f"{tested.name} < {limit}", lambda v: v is not None and v < limit))
    got = read(client, model.table, **keys)
    assert got.schema.types == [c.type for c in chosen] + [pa.int64()]
    want = []
    for row in range(len(model.rows)):
        cells = model.seen(row, model.version)
        if holds(cells[tested.id]):
            want.append([cells[c.id] for c in chosen] + [row])
    assert [list(r.values()) for r in got.to_pylist()] == want, keys
    assert schema_note(got)["schema_id"] == len(model.versions)


@pytest.mark.parametrize("run", range(4))
def test_random_changes_between_puts_and_reads(server, client, table, run):
    seed = int(os.environ.get("QUIVER_SEED") or random.randrange(2**32))
    print("QUIVER_SEED", seed)
    rng = random.Random(seed)
    model = Model(rng, client, table)
    clients, producers, followers = [client], [], []

    def connection():
        clients.append(server.client())
        return clients[-1]

    try:
        for _ in range(40):
            what = rng.randrange(10)
            if what < 3:
                model.alter()
            elif what < 5 and len(producers) < 5:
                producers.append(Producer(model, connection()))
            elif what == 5 and len(followers) < 5:
                followers.append(Follower(model, connection()))
            elif what == 6:
                bounded(model, client)
            elif producers:
                rng.choice(producers).put(rng.choice([1, 3, 200]))
            if rng.random() < 0.3:
                for follower in followers:
                    follower.catch_up()
        bounded(model, client)
        for follower in followers:
            follower.catch_up()
    finally:
        for producer in producers:
            producer.stream.close()
        for c in clients[1:]:
            c.close()


def test_a_dropped_column_does_not_come_back_under_its_name(client, table):
    create(client, table, {"a": "int64", "b": "string"})
    put(client, table, pa.table({"a": pa.array([1], pa.int64()), "b": ["old"]}))
    action(client, "table.alter", {"table": table, "changes": [{"drop": "b"}]})
    action(client, "table.alter", {"table": table, "changes": [{"add": {"name": "b", "type": "int32", "default": 5}}]})
    put(client, table, pa.table({"a": pa.array([2], pa.int64()), "b": pa.array([6], pa.int32())}))
    assert read(client, table).to_pydict() == {"a": [1, 2], "b": [5, 6]}
    assert read(client, table, filter="b = 5").to_pydict() == {"a": [1], "b": [5]}


def test_nested_fields_go_by_their_ids(client, table):
    create(client, table, pa.schema([("s", pa.struct([("x", pa.int32()), ("y", pa.string())]))]))
    put(client, table, pa.table({"s": [{"x": 1, "y": "one"}]}, schema=pa.schema([("s", pa.struct([("x", pa.int32()), ("y", pa.string())]))])))
    action(client, "table.alter", {"table": table, "changes": [
        {"rename": {"from": "s.x", "to": "z"}}, {"widen": {"name": "s.z", "type": "int64"}},
        {"add": {"name": "s.n", "type": "bool"}}, {"drop": "s.y"}]})
    got = read(client, table)
    assert got.to_pydict() == {"s": [{"z": 1, "n": None}]}
    assert got.schema.field("s").type == pa.struct([("z", pa.int64()), ("n", pa.bool_())])
    assert read(client, table, filter="s.z = 1").num_rows == 1
    with refused("BAD_FILTER", "x"):
        read(client, table, filter="s.x = 1")


def test_plans_tell_the_schema_of_today(client, table):
    create(client, table, {"a": "int32"})
    put(client, table, pa.table({"a": pa.array([1], pa.int32())}))
    action(client, "table.alter", {"table": table, "changes": [{"widen": {"name": "a", "type": "int64"}}, {"add": {"name": "b", "type": "date32"}}]})
    info = client.get_flight_info(path(table))
    assert info.schema == client.get_schema(path(table)).schema
    assert info.schema.names == ["a", "b"] and info.schema.types == [pa.int64(), pa.date32()]
    assert json.loads(info.app_metadata)["schema_id"] == 2
    assert client.do_get(info.endpoints[0].ticket).read_all().to_pydict() == {"a": [1], "b": [None]}


def test_mixed_producers_do_not_flap(server, client, table):
    """An old and a new producer in turns: everything is stored in the new schema, in one more segment at most."""
    create(client, table, {"a": "int32"})
    old = Put(client, path(table), pa.schema([("a", pa.int32())]))
    with server.client() as other:
        settle(old.write(pa.record_batch({"a": pa.array([0], pa.int32())})), 0)
        action(client, "table.alter", {"table": table, "changes": [{"add": {"name": "b", "type": "string", "default": "d"}}]})
        new = Put(other, path(table), pa.schema([("a", pa.int32()), ("b", pa.string())]))
        for i in range(1, 21):
            stream, batch = (old, {"a": pa.array([i], pa.int32())}) if i % 2 else (new, {"a": pa.array([i], pa.int32()), "b": ["n"]})
            settle(stream.write(pa.record_batch(batch)), i)
        old.close()
        new.close()
    assert read(client, table).to_pydict() == {"a": list(range(21)), "b": ["d"] + ["d" if i % 2 else "n" for i in range(1, 21)]}
    assert action(client, "table.stats", {"table": table})[-1]["segments"] == 2
