"""Filters, evaluated by the server, against pyarrow.compute and plain Python on the same data."""

import datetime
import decimal
import json
import math
import os
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from conftest import create, put, read, refused

UTC = datetime.timezone.utc
SEED = int(os.environ.get("QUIVER_SEED") or random.randrange(2**32))

# What compares with what. Values are drawn from few, so that equality happens, and from the edges of each type.
NUMBERS = {
    "i8": (pa.int8(), [-128, -1, 0, 1, 2, 127]),
    "i16": (pa.int16(), [-2**15, -1, 0, 1, 2, 2**15 - 1]),
    "i32": (pa.int32(), [-2**31, -1, 0, 1, 2, 2**31 - 1]),
    "i64": (pa.int64(), [-2**63, -1, 0, 1, 2, 2**53, 2**53 + 1, 2**63 - 1]),
    "u8": (pa.uint8(), [0, 1, 2, 255]),
    "u16": (pa.uint16(), [0, 1, 2, 2**16 - 1]),
    "u32": (pa.uint32(), [0, 1, 2, 2**32 - 1]),
    "u64": (pa.uint64(), [0, 1, 2, 2**53 + 1, 2**63, 2**64 - 1]),
    "f16": (pa.float16(), [-1.5, -0.0, 0.0, 0.5, 1.0, 65504.0, math.nan, math.inf, -math.inf]),
    "f32": (pa.float32(), [-1.5, -0.0, 0.0, 0.5, 1.0, 2.0**24, math.nan, math.inf, -math.inf]),
    "f64": (pa.float64(), [-1.5, -0.0, 0.1, 1.0, 2.0**53, 1e300, 5e-324, math.nan, math.inf, -math.inf]),
    "d2": (pa.decimal128(10, 2), [decimal.Decimal(t) for t in ("-1.50", "0.00", "0.10", "1.00", "2.25", "99999999.99")]),
    "d38": (pa.decimal128(38, 0), [decimal.Decimal(t) for t in ("-1", "0", "1", "9007199254740993", "9" * 38)]),
    "d76": (pa.decimal256(76, 20), [decimal.Decimal(t) for t in ("-1.5", "0", "0.1", "1", "1" * 50)]),
}
TEXTS = ["", "a", "ab", "aä", "b%", "b_", "it's", "日本", "Z", "ab\ncd"]
DAYS = [datetime.date(1969, 12, 31), datetime.date(1970, 1, 1), datetime.date(2026, 11, 22), datetime.date(2026, 11, 23)]
MOMENTS = [datetime.datetime(1969, 12, 31, 23, 59, 59), datetime.datetime(1970, 1, 1), datetime.datetime(2026, 11, 22),
           datetime.datetime(2026, 11, 22, 10, 30), datetime.datetime(2026, 11, 23)]
CLOCKS = [datetime.time(0), datetime.time(10, 30), datetime.time(23, 59, 59)]
SPANS = [datetime.timedelta(seconds=s) for s in (-5400, 0, 1, 5400)]


def zoned(moments):
    return [m.replace(tzinfo=UTC) for m in moments]


COLUMNS = {
    **{name: ("number", *rest) for name, rest in NUMBERS.items()},
    "ok": ("bool", pa.bool_(), [True, False]),
    "s": ("text", pa.string(), TEXTS),
    "ls": ("text", pa.large_string(), TEXTS),
    "b": ("bytes", pa.binary(), [b"", b"\x00", b"a\xff", b"b"]),
    "lb": ("bytes", pa.large_binary(), [b"", b"\x00", b"a\xff", b"b"]),
    "fb": ("bytes", pa.binary(2), [b"\x00\x00", b"a\xff", b"bb"]),
    "day": ("date", pa.date32(), DAYS),
    "day64": ("date", pa.date64(), DAYS),
    "reading": ("reading", pa.timestamp("us"), MOMENTS),
    "seconds": ("reading", pa.timestamp("s"), MOMENTS),
    "instant": ("instant", pa.timestamp("ms", "UTC"), zoned(MOMENTS)),
    "berlin": ("instant", pa.timestamp("us", "Europe/Berlin"), zoned(MOMENTS)),
    "at": ("time", pa.time32("s"), CLOCKS),
    "at64": ("time", pa.time64("us"), CLOCKS),
    "took": ("duration", pa.duration("ms"), SPANS),
    "none": ("null", pa.null(), [None]),
    "Unit price": ("number", pa.int32(), [1, 2, 3]),
}
OTHERS = {
    "tags": (pa.list_(pa.int32()), [[], [1, None]]),
    "props": (pa.map_(pa.string(), pa.int8()), [[], [("k", 1)]]),
    "months": (pa.month_day_nano_interval(), [pa.MonthDayNano([1, 2, 3])]),
}
OPS = ["=", "!=", "<", "<=", ">", ">="]


def quoted(name):
    return f'"{name}"' if " " in name else name


def sample(rng, rows):
    """A random table of all types, and its rows as Python sees them, keyed as filters write the columns."""
    columns, cells = {}, {}
    for name, (kind, dtype, values) in {**COLUMNS, **{n: ("other", *rest) for n, rest in OTHERS.items()}}.items():
        nulls = rng.choice([0, 0.2, 0.9])
        cells[quoted(name)] = [None if rng.random() < nulls else rng.choice(values) for _ in range(rows)]
        data = cells[quoted(name)]
        if dtype == pa.float16():
            data = [None if v is None else np.float16(v) for v in data]
        columns[name] = pa.array(data, dtype)
    points = [None if rng.random() < 0.2 else {"x": rng.choice([None, 1, 2]), "in": {"t": rng.choice([None, "a", "b"])}}
              for _ in range(rows)]
    columns["p"] = pa.array(points, pa.struct({"x": pa.int32(), "in": pa.struct({"t": pa.string()})}))
    cells["p"] = points
    cells["p.x"] = [p and p["x"] for p in points]
    cells['p."in".t'] = [p and p["in"]["t"] for p in points]
    return pa.table(columns), cells


KINDS = {**{quoted(name): column[0] for name, column in COLUMNS.items()}, **{name: "other" for name in OTHERS},
         "p": "other", "p.x": "number", 'p."in".t': "text"}
VALUES = {**{quoted(name): column[2] for name, column in COLUMNS.items()}, "p.x": [1, 2], 'p."in".t': ["a", "b"]}


def number_text(rng, value):
    """A number as a literal, and what it is beside exact numbers."""
    if isinstance(value, float):
        text = repr(value) if math.isfinite(value) else "0.5"
    else:
        text = format(value, "f") if isinstance(value, decimal.Decimal) else str(value)
    if rng.random() < 0.2 and "." not in text and "e" not in text:
        text += rng.choice([".5", ".0", "e0"])
    return text


def literal(rng, name):
    """A literal that compares with a column, and its value."""
    if rng.random() < 0.05 or KINDS[name] == "null":
        return "null", None
    value = rng.choice(VALUES[name])
    match KINDS[name]:
        case "number":
            text = number_text(rng, value)
            if COLUMNS.get(name, ("", None))[1] in (pa.float16(), pa.float32(), pa.float64()) and re.search(r"[.e]", text):
                return text, float(text)
            return text, decimal.Decimal(text)
        case "bool":
            return str(value).lower(), value
        case "text":
            return "'" + value.replace("'", "''") + "'", value
        case "bytes":
            return f"x'{value.hex()}'", value
        case "duration":
            return f"'{int(value.total_seconds() * 1000)}ms'", value
        case "instant":
            text = value.isoformat(sep=rng.choice("T "))
            return rng.choice(["", "timestamp "]) + f"'{text}'", value
        case "reading":
            return rng.choice(["", "timestamp "]) + f"'{value.isoformat()}'", value
        case kind:
            return rng.choice(["", kind + " "]) + f"'{value.isoformat()}'", value


def plain(value):
    """A value in a form in which all that compares is compared by Python exactly: dates are their midnight."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day)
    return value


def compare(op, a, b):
    if a is None or b is None:
        return None
    a, b = plain(a), plain(b)
    if any(isinstance(v, float) and math.isnan(v) for v in (a, b)):
        return op == "!="
    return {"=": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]


def negated(value):
    return None if value is None else not value


def both(a, b):
    return False if a is False or b is False else None if a is None or b is None else True


def either(a, b):
    return negated(both(negated(a), negated(b)))


def partners(name):
    kinds = {KINDS[name]}
    if "date" in kinds:
        kinds |= {"instant", "reading"}
    elif kinds & {"instant", "reading"}:
        kinds |= {"date"}
    return [n for n, kind in KINDS.items() if kind in kinds]


def like(value, pattern):
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    regex = "".join(".*" if p == "%" else "." if p == "_" else re.escape(p[-1]) for p in parts)
    return re.fullmatch(regex, value, re.DOTALL) is not None


def predicate(rng, cells):
    """A random test: its text, and its answer for a row (True, False, None)."""
    name = rng.choice(list(KINDS))
    column = cells[name]
    choice = rng.randrange(8)
    no, turn = rng.choice([("", lambda v: v), ("not ", negated)])
    if choice == 0 or KINDS[name] == "other":
        return f"{name} is {no}null", lambda row: turn(column[row] is None)
    if choice == 1:
        texts, values = zip(*[literal(rng, name) for _ in range(rng.randrange(1, 6))])

        def found(row):
            answer = False
            for value in values:
                answer = either(answer, compare("=", column[row], value))
            return turn(answer)
        return f"{name} {no}in ({', '.join(texts)})", found
    if choice == 2:
        (low, least), (high, most) = literal(rng, name), literal(rng, name)
        return f"{name} {no}between {low} and {high}", lambda row: turn(
            both(compare(">=", column[row], least), compare("<=", column[row], most)))
    if choice == 3 and KINDS[name] == "text":
        pattern = "".join(rng.choice(["a", "b", "ä", "%", "_", "\\%", "\\_", "\n"]) for _ in range(rng.randrange(4)))
        return f"{name} {no}like '{pattern}'", lambda row: turn(None if column[row] is None else like(column[row], pattern))
    if choice == 4 and KINDS[name] == "bool":
        return no + name, lambda row: turn(column[row])
    op = rng.choice(OPS)
    if choice <= 5:
        other = rng.choice(partners(name))
        return f"{name} {op} {other}", lambda row: compare(op, column[row], cells[other][row])
    text, value = literal(rng, name)
    return f"{name} {op} {text}", lambda row: compare(op, column[row], value)


def condition(rng, cells, depth):
    if depth == 0 or rng.random() < 0.2:
        return predicate(rng, cells)
    text, holds = condition(rng, cells, depth - 1)
    if rng.random() < 0.25:
        return f"not ({text})", lambda row: negated(holds(row))
    text2, holds2 = condition(rng, cells, depth - 1)
    word, join = rng.choice([("and", both), ("or", either)])
    return f"({text}) {word} ({text2})", lambda row: join(holds(row), holds2(row))


def test_random_conditions(client, table):
    """Rows of all types, in several batches, so that statistics have something to rule out."""
    print(f"QUIVER_SEED={SEED}")
    rng = random.Random(SEED)
    parts, cells = [], {}
    for _ in range(6):
        part, rows = sample(rng, 40)
        parts.append(part)
        for name, values in rows.items():
            cells.setdefault(name, []).extend(values)
    whole = pa.concat_tables(parts)
    number = whole.append_column("n", pa.array(range(whole.num_rows), pa.int64()))
    create(client, table, number.schema)
    for at in range(0, number.num_rows, 40):
        put(client, table, number.slice(at, 40))
    for _ in range(150):
        text, holds = condition(rng, cells, rng.randrange(4))
        got = read(client, table, columns=["n"], filter=text).column("n").to_pylist()
        want = [row for row in range(whole.num_rows) if holds(row) is True]
        assert got == want, f"QUIVER_SEED={SEED}: {text}: " + str(
            [(row, {name: cells[name][row] for name in cells if name in text}) for row in set(got) ^ set(want)][:3])


def test_against_arrow_compute(client, table):
    """Where Arrow compares two values of one type, so do we: nulls, NaN, infinities, the edges of each type."""
    rng = random.Random(SEED)
    data, _ = sample(rng, 300)
    keep = [n for n in COLUMNS if n != "none" and COLUMNS[n][1] not in (pa.float16(),)]
    pairs = pa.table({**{n: data[n] for n in keep}, **{n + "2": sample(rng, 300)[0][n] for n in keep},
                      "n": pa.array(range(300), pa.int64())})
    create(client, table, pairs.schema)
    put(client, table, pairs)
    functions = dict(zip(OPS, [pc.equal, pc.not_equal, pc.less, pc.less_equal, pc.greater, pc.greater_equal]))
    for name in keep:
        for op, function in functions.items():
            if pa.types.is_fixed_size_binary(COLUMNS[name][1]) and op not in ("=", "!="):
                continue
            want = pairs.filter(function(pairs[name], pairs[name + "2"]))["n"]
            got = read(client, table, columns=["n"], filter=f"{quoted(name)} {op} {quoted(name + '2')}")["n"]
            assert got.to_pylist() == want.to_pylist(), f"QUIVER_SEED={SEED}: {name} {op}"
    for pattern in ["a%", "%b", "_", "a_%", "%", "it's", "b\\%", "%\n%"]:
        text = pattern.replace("'", "''")
        want = pairs.filter(pc.match_like(pairs["s"], pattern))["n"]
        got = read(client, table, columns=["n"], filter=f"s like '{text}'")["n"]
        assert got.to_pylist() == want.to_pylist(), pattern
    for expression, mask in [
        ("not f64 > 1 or ok", pc.or_kleene(pc.invert(pc.greater(pairs["f64"], 1)), pairs["ok"])),
        ("ok and i32 > 0", pc.and_kleene(pairs["ok"], pc.greater(pairs["i32"], 0))),
        ("f64 != f64", pc.is_nan(pairs["f64"])),
        ("f32 > 0.1", pc.greater(pairs["f32"], 0.1)),
        ("f64 = 0.1", pc.equal(pairs["f64"], 0.1)),
        ("day < reading", pc.less(pairs["day"], pairs["reading"])),
        ("instant >= day", pc.greater_equal(pairs["instant"], pairs["day"])),
        ("berlin = instant2", pc.equal(pairs["berlin"].cast(pa.timestamp("us", "UTC")), pairs["instant2"])),
    ]:
        got = read(client, table, columns=["n"], filter=expression)["n"]
        assert got.to_pylist() == pairs.filter(mask)["n"].to_pylist(), expression


def test_system_columns(client, table):
    create(client, table, {"id": pa.int64()}, buckets=2)
    for start in range(0, 100, 10):
        put(client, table, pa.table({"id": pa.array(range(start, start + 10), pa.int64())}))
    everything = read(client, table, system_columns=["__offset", "__bucket", "__timestamp"])
    for text, mask in [
        ("__offset >= 17", pc.greater_equal(everything["__offset"], 17)),
        ("__offset in (0, 3, 99999) and id < 50", pc.and_(pc.is_in(everything["__offset"], pa.array([0, 3])), pc.less(everything["id"], 50))),
        ("__bucket = 1", pc.equal(everything["__bucket"], 1)),
        ("__partition = ''", pc.is_valid(everything["id"])),
        ("__timestamp > '2020-01-01'", pc.is_valid(everything["id"])),
        ("__timestamp > '2200-01-01'", pc.is_null(everything["id"])),
        ("__offset = id", pc.equal(everything["__offset"], everything["id"])),
    ]:
        got = read(client, table, columns=["id"], filter=text)["id"].to_pylist()
        assert sorted(got) == sorted(everything.filter(mask)["id"].to_pylist()), text


def test_limit_and_ranges(client, table):
    """limit counts what is left by the filter; a range that the filter emptied is reported."""
    create(client, table, {"id": pa.int64()})
    for start in range(0, 1000, 100):
        put(client, table, pa.table({"id": pa.array(range(start, start + 100), pa.int64())}))
    assert read(client, table, filter="id >= 500", limit=7)["id"].to_pylist() == list(range(500, 507))
    from conftest import ticket
    covered = 0
    for chunk in client.do_get(ticket(table, filter="id = 555")):
        note = json.loads(chunk.app_metadata.to_pybytes())
        assert note["from"] <= covered <= note["until"]
        covered = note["until"]
    assert covered == 1000


def skipped(server):
    """How many stored batches the server did not read since statistics ruled them out."""
    found = re.search(rb"^quiver_scan_batches_skipped_total (\S+)", server.get("/metrics")[1], re.MULTILINE)
    return float(found.group(1))


def test_statistics_skip_batches(server, client, table):
    """Batches of neighbouring values, one with nulls only, one with NaN, long texts that are alike at first."""
    rows, batches = 4000, 12
    ids = np.arange(rows * batches)
    data = pa.table({
        "n": pa.array(ids),
        "f": pa.array(np.where(ids // rows == 3, np.nan, ids / 2.0)),
        "d": pa.array([decimal.Decimal(int(i)) / 4 for i in ids], pa.decimal128(20, 2)),
        "s": pa.array([f"a text that begins alike {i:09}" for i in ids]),
        "t": pa.array(ids * 1_000_000, pa.timestamp("us", "UTC")),
        "x": pa.array([None if i // rows == 5 else int(i) % 100 for i in ids], pa.int16()),
    })
    create(client, table, data.schema)
    for at in range(0, data.num_rows, rows):
        put(client, table, data.slice(at, rows))
    for text, mask in [
        ("n = 20000", pc.equal(data["n"], 20000)),
        ("n between 3999 and 4000", pc.and_(pc.greater_equal(data["n"], 3999), pc.less_equal(data["n"], 4000))),
        ("n in (1, 47999, 99999999)", pc.is_in(data["n"], pa.array([1, 47999]))),
        ("f > 23000", pc.greater(data["f"], 23000)),
        ("not f > 100", pc.invert(pc.greater(data["f"], 100))),
        ("f != f", pc.is_nan(data["f"])),
        ("d < 10.25", pc.less(data["d"], decimal.Decimal("10.25"))),
        ("s >= 'a text that begins alike 000047990'", pc.greater_equal(data["s"], "a text that begins alike 000047990")),
        ("s like 'b%'", pc.starts_with(data["s"], "b")),
        ("t < '1970-01-01T00:00:05Z'", pc.less(data["n"], 5)),
        ("x is null and n > 0", pc.is_null(data["x"])),
        ("x >= 99", pc.greater_equal(data["x"], 99)),
        ("__offset >= 44000 and x = 5", pc.and_(pc.greater_equal(data["n"], 44000), pc.equal(data["x"], 5))),
    ]:
        before = skipped(server)
        got = read(client, table, columns=["n"], filter=text)["n"]
        assert got.to_pylist() == data.filter(mask)["n"].to_pylist(), text
        assert skipped(server) > before or text.startswith("s >="), text


def test_faults_are_named(client, table):
    create(client, table, {"price": pa.float64(), "region": pa.string(), "ts": pa.timestamp("us", "UTC")})
    for text, words in [
        ("pirce > 1 and regoin = 'x'", ['"pirce"', 'did you mean "price"', 'did you mean "region"']),
        ("price >", ["position 7"]),
        ("price == 1", ["position 6", 'write "="']),
        ("price > 'x'", ["leave out the quotes"]),
        ('region = "eu"', ["text stands in single quotes"]),
        ("ts > 'yesterday'", ["2026-11-22T10:30:00Z"]),
        ("(" * 100 + "price > 1" + ")" * 100, ["nested deeper than 64"]),
        (" " * 70000 + "true", ["65536"]),
        ("", ["is expected"]),
    ]:
        with refused("BAD_FILTER", *words):
            read(client, table, filter=text)


@pytest.mark.parametrize("text", ["true", "false", "null", "1 = 1", "1 > 2", "'a' in ('a', 'b')"])
def test_constant_conditions(client, table, text):
    name = re.sub(r"\W", "_", table)
    create(client, name, {"id": pa.int64()})
    put(client, name, pa.table({"id": pa.array([1, 2], pa.int64())}))
    want = [1, 2] if text in ("true", "1 = 1", "'a' in ('a', 'b')") else []
    assert read(client, name, filter=text)["id"].to_pylist() == want
