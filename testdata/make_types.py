"""Writes types.txt, types as the real pyarrow prints them, and types.arrows, the same as columns of one schema.

A line is "type", then the text, in the order of the columns; "alias", the text, a tab, and the type it stands for; or "refused" and the text of
a type that pyarrow has and Quiver's tables have not.
"""
import itertools
import pyarrow as pa

flat = [
    pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
    pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.string_view(),
    pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(1), pa.binary(16), pa.date32(), pa.date64(),
    pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.month_day_nano_interval(),
    pa.decimal32(9, 0), pa.decimal64(18, 4), pa.decimal128(1, 0), pa.decimal128(12, 2), pa.decimal128(38, 38),
    pa.decimal128(12, -2), pa.decimal128(5, 7), pa.decimal256(76, 10),
]
flat += [pa.duration(u) for u in ("s", "ms", "us", "ns")]
zones = [None, "UTC", "+02:00", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+8"]
flat += [pa.timestamp(u, tz) for u, tz in itertools.product(("s", "ms", "us", "ns"), zones)]

required = lambda name, t: pa.field(name, t, nullable=False)


def around(t):
    return [
        pa.list_(t), pa.list_(required("item", t)), pa.list_(pa.field("element", t)), pa.large_list(t),
        pa.large_list(required("x y", t)), pa.list_view(t), pa.large_list_view(required("v", t)),
        pa.list_(t, 3), pa.list_(required("item", t), 1),
        pa.struct([pa.field("a", t)]), pa.struct([required("a", t), pa.field("b c", pa.int64())]),
        pa.struct([("Größe, in m²", t), ("a<b>", t), ("x:y", t), ("", t), ("not null", t), ("int64", t)]),
        pa.map_(pa.string(), t), pa.map_(pa.string(), t, keys_sorted=True), pa.map_(pa.int32(), required("value", t)),
        pa.map_(required("k", pa.string()), pa.field("v v", t)),
        pa.dictionary(pa.int8(), t), pa.dictionary(pa.uint32(), t, ordered=True),
        pa.run_end_encoded(pa.int16(), t), pa.run_end_encoded(pa.int64(), t),
    ]


types = list(flat)
types += [around(t)[i % 20] for i, t in enumerate(flat[1:])]
for t in (pa.int64(), pa.timestamp("us", "UTC"), pa.list_(required("item", pa.decimal128(12, 2)), 8)):
    types += around(t)
types += [
    m
    for i, n in enumerate(around(pa.int64()))
    for j, m in enumerate(around(n))
    if (i + j) % 3 == 0 and not (pa.types.is_dictionary(n) and pa.types.is_dictionary(m))  # IPC has no such type
]
types.append(pa.list_(pa.null()))
deep = pa.int32()
for _ in range(31):
    deep = pa.list_(deep)
types += [deep, pa.struct([])]

aliases = """null bool boolean i1 int8 i2 int16 i4 int32 i8 int64 u1 uint8 u2 uint16 u4 uint32 u8 uint64 f2 halffloat float16
f4 float float32 f8 double float64 string str utf8 binary large_string large_str large_utf8 large_binary
binary_view string_view date32 date64 date32[day] date64[ms] time32[s] time32[ms] time64[us] time64[ns] timestamp[s]
timestamp[ms] timestamp[us] timestamp[ns] duration[s] duration[ms] duration[us] duration[ns]
month_day_nano_interval""".split()

refused = [
    pa.sparse_union([pa.field("a", pa.int8())]), pa.dense_union([pa.field("a", pa.int8()), required("b", pa.string())]),
    pa.list_(pa.dense_union([pa.field("a", pa.int8())])), pa.uuid(), pa.json_(), pa.list_(pa.bool8()),
    pa.list_(deep),
]

by_text = {str(t): t for t in types}
with open("types.arrows", "wb") as out:
    out.write(pa.schema([pa.field(str(i), t) for i, t in enumerate(by_text.values())]).serialize())

with open("types.txt", "w", encoding="utf-8") as out:
    print(f"# pyarrow {pa.__version__}; made by types.py", file=out)
    for text in by_text:
        print("type", text, file=out)
    for a in aliases:
        print(f"alias {a}\t{pa.type_for_alias(a)}", file=out)
    for t in refused:
        print("refused", t, file=out)
