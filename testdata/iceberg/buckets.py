"""Makes buckets.json: hashes and buckets of key values by pyiceberg's own bucket transform.

    pip install pyiceberg mmh3 && python buckets.py > buckets.json

Every case is a type as pyarrow prints it, a value (integers and unscaled decimals in decimal digits, times and
timestamps in their unit, binaries in hexadecimal) and what Iceberg makes of it. Types that Iceberg lacks are given to
it as the wire contract says: integers as long, uint64 by its bits, bool as 0 and 1, date64 as date, times and
timestamps in microseconds, rounded down.
"""

import decimal
import json
import struct
import sys

import mmh3
from pyiceberg.transforms import BucketTransform
from pyiceberg.types import (
    BinaryType, DateType, DecimalType, FixedType, IntegerType, LongType, StringType, TimeType, TimestampNanoType,
    TimestampType, TimestamptzType,
)

COUNTS = [1, 2, 7, 16, 1000, 100_000]
INT_MAX = 2**31 - 1


def buckets(dt, value):
    return {str(n): 0 if value is None else BucketTransform(n).transform(dt)(value) for n in COUNTS}


def hash_of(dt, value, raw):
    """The hash itself, of the bytes that Iceberg hashes. What pyiceberg makes of the value has to agree."""
    if value is None:
        return 0
    h = mmh3.hash(raw, signed=False)
    assert BucketTransform(INT_MAX).transform(dt)(value) == (h & INT_MAX) % INT_MAX, (dt, value)
    return h


def long_bytes(v):
    return struct.pack("<q", v)


def wrap(v):
    return (v + 2**63) % 2**64 - 2**63


def unscaled_bytes(v):
    n = 1
    while not -(1 << (8 * n - 1)) <= v < 1 << (8 * n - 1):
        n += 1
    return v.to_bytes(n, "big", signed=True)


cases = []


def case(name, value, dt, iceberg, raw):
    cases.append({"type": name, "value": value, "hash": hash_of(dt, iceberg, raw), "buckets": buckets(dt, iceberg)})


def integers():
    for name, low, high, dt in [
        ("int8", -(2**7), 2**7 - 1, IntegerType()), ("int16", -(2**15), 2**15 - 1, IntegerType()),
        ("int32", -(2**31), 2**31 - 1, IntegerType()), ("int64", -(2**63), 2**63 - 1, LongType()),
        ("uint8", 0, 2**8 - 1, LongType()), ("uint16", 0, 2**16 - 1, LongType()), ("uint32", 0, 2**32 - 1, LongType()),
        ("uint64", 0, 2**64 - 1, LongType()),
    ]:
        for v in [0, 1, 34, 100, -1, low, high, low // 2, high // 2, high // 2 + 1]:
            if low <= v <= high:
                case(name, str(v), dt, wrap(v), long_bytes(wrap(v)))
        cases.append({"type": name, "value": None, "hash": 0, "buckets": buckets(dt, None)})
    for v in [False, True]:
        case("bool", v, LongType(), int(v), long_bytes(int(v)))


def texts():
    for v in ["", "a", "ab", "abc", "abcd", "iceberg", "Größe", "\U0001F600 emoji", "x" * 1000, "\u0000"]:
        for name in ["string", "large_string"]:
            case(name, v, StringType(), v, v.encode())
    for v in [b"", b"\x00\x01\x02\x03", b"\xff" * 7, bytes(range(256))]:
        for name in ["binary", "large_binary"]:
            case(name, v.hex(), BinaryType(), v, v)
    for v in [bytes(5), b"\x00\x01\x02\xfe\xff"]:
        case("fixed_size_binary[5]", v.hex(), FixedType(5), v, v)
    for v in [bytes(range(16))]:
        case("fixed_size_binary[16]", v.hex(), FixedType(16), v, v)


def decimals():
    decimal.getcontext().prec = 100
    for name, precision, scale in [
        ("decimal128(9, 2)", 9, 2), ("decimal128(38, 10)", 38, 10), ("decimal128(38, 0)", 38, 0), ("decimal256(9, 2)", 9, 2),
        ("decimal256(38, 3)", 38, 3),
    ]:
        most = 10**precision - 1
        for v in [0, 1, 1420, -1, 127, 128, -128, -129, 255, 256, 32767, -32768, 32768, most, -most, most // 7]:
            value = decimal.Decimal(v).scaleb(-scale)
            case(name, str(v), DecimalType(precision, scale), value, unscaled_bytes(v))


def times():
    for v in [0, 1, 17486, -1, -719162, 2932896]:
        case("date32[day]", str(v), DateType(), v, long_bytes(v))
        case("date64[ms]", str(v * 86_400_000), DateType(), v, long_bytes(v))
    for name, per, values in [
        ("time32[s]", 10**6, [0, 81068, 86399]), ("time32[ms]", 10**3, [0, 81068123, 86399999]),
        ("time64[us]", 1, [0, 81068123456, 86399999999]), ("time64[ns]", None, [0, 999, 1000, 81068123456789, 86399999999999]),
    ]:
        for v in values:
            us = v // 1000 if per is None else v * per
            case(name, str(v), TimeType(), us, long_bytes(us))
    for zone, dt in [("", TimestampType()), (", tz=UTC", TimestamptzType()), (", tz=Europe/Stockholm", TimestamptzType())]:
        for unit, per in [("s", 10**6), ("ms", 10**3), ("us", 1)]:
            for v in [0, 1, -1, 1510871468, -1510871468, 1763800000]:
                case(f"timestamp[{unit}{zone}]", str(v), dt, v * per, long_bytes(v * per))
        for v in [0, 1, 999, 1000, -1, -999, -1000, -1001, 1510871468000000001, -1510871468000000001]:
            case(f"timestamp[ns{zone}]", str(v), dt, v // 1000, long_bytes(v // 1000))
            if not zone:  # Iceberg's own nanoseconds hash alike
                assert BucketTransform(INT_MAX).transform(TimestampNanoType())(v) == BucketTransform(INT_MAX).transform(dt)(v // 1000)


def several():
    """Iceberg has no bucket of several columns: murmur3 over the hashes of the values, 4 bytes little endian each."""
    find = {}
    for c in cases:
        find.setdefault(c["type"], []).append(c)
    types = sorted(find)
    out = []
    for i in range(60):
        n = 2 + i % 3
        picked = [find[types[(i * 7 + k * 5) % len(types)]] for k in range(n)]
        picked = [p[(i + k) % len(p)] for k, p in enumerate(picked)]
        values = [None if (i + k) % 6 == 0 else p["value"] for k, p in enumerate(picked)]
        hashes = [0 if v is None else p["hash"] for v, p in zip(values, picked)]
        h = mmh3.hash(b"".join(struct.pack("<I", x) for x in hashes), signed=False)
        out.append({"types": [p["type"] for p in picked], "values": values, "buckets": {str(n): (h & INT_MAX) % n for n in COUNTS}})
    return out


integers()
texts()
decimals()
times()
lines = ["[" + ",\n".join(json.dumps(c) for c in some) + "]" for some in (cases, several())]
sys.stdout.write('{"one": ' + lines[0] + ',\n"several": ' + lines[1] + "}\n")
