// Package flight holds the words of the wire: commands, tickets, positions, metadata, answers, actions and errors, as
// Go values and as the bytes that clients send and get. The service that acts on them is package flight/server.
//
//	descriptor.go  what a FlightDescriptor says: a path, a scan, a put        ParseDescriptor, AsScan, AsPut
//	scan.go        the scan command, which is also the ticket                 ParseTicket, ScanCommand.Encode
//	position.go    places in a table and offset vectors                       Position, Offsets
//	put.go         the put command, metadata of batches, the order of a stream PutCommand, PutStream, ParseFlush
//	answer.go      what a put is told                                         PutAnswer
//	read.go        what a reader is told                                      BatchInfo, SchemaInfo, PlanInfo
//	action*.go     bodies and results of actions                              ParseAction, EncodeResult
//	schema.go      frames around IPC schemas                                  FrameSchema, UnframeSchema
//	status.go      errors as gRPC statuses, the only place that knows codes   ToStatus, FromStatus
//	json.go        strict JSON                                                DecodeStrict
//
// And it holds the Go client, which any program may use as it may any other Flight client:
//
//	client.go             a connection; any action                            Dial, ClientOptions, Do
//	client_actions.go     an action each, and plans                           Client.CreateTable, …, Plan
//	client_scan.go        reading, over outages                               Client.Scan, Scanner
//	client_place.go       where a scan stands in each bucket
//	client_append.go      appending, exactly once                             Client.Append, Appender
//	client_append_stream.go  one put stream after the other
//	client_rows.go        appending Go structs                                RowsOf, Rows, Appender.AppendRow
//	client_struct.go      what columns a struct has
//	client_bind.go        from Go values into builders, by a plan made once
//	client_unacked.go     batches that wait for their acknowledgement
//	client_error.go       what calls end with, and when to try again
//
// Laws: a word is served or refused, never ignored. What was parsed and is written again means the same, byte by byte
// where it is canonical (tickets). Nothing that a client sends is believed before it is bounded. No word touches
// storage.
//
// The rest of this page is the contract, version 1. It is added to and not changed. Everything a client does goes over
// Arrow Flight on one port, so that `pyarrow.flight`, arrow-go, Java, Rust, C++ and ADBC clients work with no library
// of ours. Control is JSON (readable, writable by hand), data is Arrow. The tests in conformance run the contract with
// real clients, pyarrow first.
//
// # What this version serves
//
// Log tables, from creation to deletion: with buckets and partitions, changing columns, filters, cursors. Primary-key
// tables: upserts, deletes, merge engines, lookups, reads of current rows and of changelogs. The words of remote
// storage, replication, authentication and Flight SQL are part of the contract already; a server that does not serve
// them refuses them by name: BAD_COMMAND, BAD_OPTION, and for parts of the protocol gRPC's Unimplemented.
//
// Ports: 8815 Flight (clients) · 8816 HTTP (metrics, health, console, Iceberg REST) · 8817 internal (server to server,
// its own listener and identity).
//
// # Building and starting
//
// `make build` leaves one static binary, `bin/quiver`. `quiver dev --data DIR --flight-addr 127.0.0.1:8815 --http-addr
// 127.0.0.1:8816` (each also as `QUIVER_DATA`, `QUIVER_FLIGHT_ADDR`, `QUIVER_HTTP_ADDR`, or in the configuration file;
// `--memory` instead of `--data`; port 0 picks one and prints it) is ready when `GET /readyz` answers 200. SIGTERM
// drains and exits 0; kill -9 loses nothing acknowledged. A second process on the same data directory is refused.
//
// # Names
//
//   - `FlightDescriptor.for_path(database, table)`, `(database, table, partition)`, `for_path("shop.orders")` and
//     `for_path("table")` (database `default`). `for_command(b'{...}')` takes a scan, put or lookup command. A command
//     that unpacks as a protobuf `Any` of `arrow.flight.protocol.sql.*` goes to Flight SQL.
//   - JSON: unknown keys are refused by name, with the nearest known one; duplicate keys are refused; integers beyond
//     2^53 may be strings.
//   - Databases and tables: letters, digits, `_`, `-`, at most 255 bytes. Columns: any UTF-8 without control
//     characters, at most 255 bytes (`Unit price`, `Größe`); in filters such names stand in double quotes.
//     Case-sensitive.
//   - System columns `__bucket` int32, `__offset` int64, `__timestamp` timestamp[ms, UTC] (when appended),
//     `__partition` utf8, `__change_type` dictionary<int8, utf8>, none null (`__partition` is the empty string on
//     unpartitioned tables). One named twice appears once, in its `system_columns` place. These, `__key_index` and
//     `__expected_offset` are reserved, other names with `__` are not (pandas sends `__index_level_0__`).
//   - Partitions are written `dt=2026-11-22/region=eu` (hive form, values percent-encoded).
//
// # Write: DoPut
//
// Descriptor = table path, or a command with the stream's options, so that plain `write_table` has them too (pyarrow's
// `write_table` carries no metadata):
//
//	for_command(b'{"put":"shop.orders","op":"upsert","columns":["id","price"],
//	              "writer_id":17,"writer_epoch":1,"sequence":0,"acks":"all"}')
//
// What a stream holds, and what its keys mean:
//
//   - First message: schema; columns are matched by name; a missing column takes its default, else null if nullable,
//     else the put is refused; the widenings under Types are cast; a nullable field is taken for a required column, a
//     null in it is `SCHEMA_MISMATCH`; anything else is refused before a byte is stored, naming the column. Every
//     following message with a header, dictionaries aside, is one batch, also one without rows: it counts, takes the
//     next sequence and reaches no bucket. A put stream maps names to column ids once, at its first message: later
//     renames and widenings are followed, values of a column dropped since are discarded.
//   - `op`: log tables `append`; primary-key tables `upsert` (default) or `delete` (key columns suffice); a column
//     `__change_type` sets it per row (`+I`, `+U` upsert, `-U` is skipped, `-D` delete). `columns` = partial update;
//     without it an upsert writes whole rows, with an empty list it inserts keys that are absent. Of a delete, `columns`
//     are those whose values go, sent or not; the row goes with the last of them. `bucket` sends all to one bucket, only on tables with neither bucket nor
//     primary key, else `BAD_COMMAND`; a retry repeats it. `acks`: `all` (default) or `leader`. `partition` in the
//     command does what a path of three parts does.
//   - `sequence` and `expect_offset` are the first batch's; the server counts on from them. On one batch,
//     `app_metadata` may carry `op`, `columns`, `sequence`, `bucket`, `expect_offset`, for that batch only. A stream is
//     sequenced throughout or not at all (`BAD_COMMAND`). `app_metadata` on the schema message is ignored (arrow-go
//     copies the first batch's there). `expect_offset` needs batches that fall into one bucket; it is compared with the
//     log end.
//   - Rows of one stream keep their order in each bucket. A stream is not a transaction: batches before a refused one
//     stay. Within one bucket a batch is all or nothing.
//   - Answers come as soon as rows are durable, coalesced: one may stand for many batches, so count `batches`, not
//     answers (below). `batches` and `rows` count the stream's leading batches that are durable in all their buckets
//     (rows as put); `sequence` is the highest with every earlier one of this stream durable in all its buckets (absent
//     if unsequenced); `ranges` (log or changelog offsets, adjacent ones joined, at most 1,000, then
//     `"ranges_cut":true`) and `duplicates` (batches) are since the answer before.
//   - A message without a header whose `app_metadata` is `{"flush": ANY}` (pyarrow `writer.write_metadata`) is answered
//     exactly once, echoing `flush`, when everything before it is durable: the way to wait from one thread.
//   - A client that never reads answers cannot stall the server, nor be stalled. `writer.close()` returns only when
//     everything is durable, and raises if anything is not. This sentence is the product's first promise. An error of a
//     put tells the same totals in its text, since pyarrow drops unread answers when a stream fails.
//   - A table may be created by the first batch where the server allows it (`quiver dev`; its database must exist); a
//     first batch whose column has type `null` is refused (`SCHEMA_MISMATCH`: give it a type).
//
// An answer:
//
//	{"batches":12,"rows":786432,"sequence":42,
//	 "ranges":[{"partition":null,"bucket":0,"from":1200,"until":1456}],"duplicates":0,"flush":null}
//
// Exactly once, by `writer_id` and `sequence`, across retries, failover, restart and tiering:
//
//   - Per bucket: a sequence above the bucket's last one of that writer is appended; one at or below it is a repeat and
//     is acknowledged with its first offsets (no range if it is older than what is remembered, at least 5 batches). On
//     log tables one inside the remembered window but absent from it is `OUT_OF_ORDER_SEQUENCE`, never a repeat; one
//     that is remembered with another row count is `SEQUENCE_REUSED` (log tables only).
//   - Within a stream sequences rise by one, else `OUT_OF_ORDER_SEQUENCE`. Each batch reaches a bucket with the
//     sequence its stream sent to that bucket before it, and is refused unless that one was taken or already
//     acknowledged to this stream: a refused or lost batch stops its stream in that bucket, and pipelining stays safe.
//   - On primary-key tables a batch that leaves no row counts as taken while the leader that judged it leads;
//     afterwards, if nothing later was taken, it is judged anew. There `writer.describe` gives the highest sequence
//     that left a row: never resume below your own last acknowledgement.
//   - Routing of a sequenced batch is a function of its content, writer and sequence alone (no bucket key: bucket
//     `(writer_id + sequence) mod buckets`), so that a retry goes where it went before. A client retries from its first
//     unacknowledged batch, in order, with the same batch boundaries.
//   - `writer.init {"name":"loader-7"}` → `{"writer_id":17,"writer_epoch":3}`: the same id for the same name and
//     principal for ever, a new epoch each time, answered once no leader takes an older one (`FENCED_WRITER`). Without
//     a name: a new id, epoch 0; with `{"writer_id":17}`: that one, next epoch. Epochs do not restart sequences.
//     Sequences start at 0 and count the writer's batches to one table. `writer.describe {"table":…,"writer_id":17}` →
//     per bucket `{"partition","bucket","sequence"}`. An id neither issued, raised nor used in that table within its
//     `writer.expiry` is `UNKNOWN_WRITER`.
//
// # Read: DoGet
//
// Ticket = the same JSON as the scan command, so anyone can write one by hand. It carries no authority: the caller's
// identity is checked when it is redeemed. Any node serves any ticket (it forwards); tickets may be used again.
//
//	{"table": "shop.orders", "partition": "dt=2026-11-22", "bucket": 0,
//	 "columns": ["id", "price"], "system_columns": ["__offset"], "filter": "price > 100 and region in ('eu','us')",
//	 "from": "earliest", "until": "now", "follow": false, "limit": 1000,
//	 "read": "log", "batch_rows": 65536, "max_bytes": 3145728}
//
// What the keys mean:
//
//   - `from` (default `earliest`, inclusive), `until` (default `now`, exclusive; with `follow`: none). `earliest`;
//     `now` = the high watermark when the ticket is redeemed (`latest` is the same word); `{"offset": n}` only where
//     one bucket is read, else `BAD_COMMAND`; `{"offsets": {"0": n, "1": m}}`, on a partitioned table `{"offsets":
//     {"dt=2026-11-22": {"0": n}}}`; a bucket or partition not named starts at `earliest` (in `until`: ends where it
//     starts); `{"timestamp": "2026-11-22T10:00:00Z"}` or `{"timestamp": 1763800000000}` (ms): the first row not older,
//     per bucket, or its end; `{"cursor": "job1"}`. `from`, `until`, `to` take such a position; `offsets`, `expect`,
//     `min_offsets` take the inner map or a position that holds one. `latest` = the high watermark, one past the last
//     readable row. An `until` beyond `now` ends at `now`, or is waited for with `follow`. Vectors written by the
//     server carry the partition's id (`{"dt=…":{"id":12,"0":n}}`): partitions that are gone are skipped, and if
//     another one bears the name it is read from `earliest`.
//   - `partition`, `bucket` missing: all, in one stream, in offset order within each bucket, in no defined order
//     across.
//   - `columns` (default: all): user and system columns in the order wanted; `system_columns` adds them behind.
//     `columns: []` gives batches with a row count and no column.
//   - `filter` is an SQL condition: `= != <> < <= > >=`, `[not] in (…)`, `[not] between`, `is [not] null`, `[not] like
//     'abc%'`, `and or not`, parentheses; keywords in any case; names plain or in double quotes, nested fields by dots;
//     literals `1`, `-1`, `1.5`, `1e3`, `'it'` (a quote inside is doubled), `x'00ff'`, `true`, `date '…'`, `timestamp
//     '…Z'`; column against column too. Numbers compare by value across types, a string against date or timestamp is
//     read as one; SQL's three-valued nulls, Arrow's NaN. System columns are legal.
//   - `limit`: rows after `filter`, of the whole ticket. `follow: true`: new rows are pushed as the high watermark
//     passes them, until `until` or `limit` if given, else for ever; new buckets and partitions join from their first
//     row. Within 1 s of silence, then every 5 s, a zero-row batch with `"idle":true` for one bucket in turn (`bucket`
//     is null while there is none). Never a message without a header from the server: arrow-go fails on it and
//     pyarrow's `read_all` silently stops there.
//   - Each batch's `app_metadata`:
//     `{"bucket":0,"partition":null,"from":1200,"until":1456,"timestamp":1763800000000,"high_watermark":5000}`; `until`
//     is where to resume. A range that a filter emptied is still reported. The schema's metadata has, under `quiver`,
//     `{"table_id","schema_id","from":{"offsets":…},"until":{"offsets":…}}` of a bounded read:
//     `json.loads(r.read_all().schema.metadata[b"quiver"])["until"]` is the next run's `from`, also through
//     `to_reader()` (with `limit`: take it from the batches).
//   - `table_id` in any command guards a stored position: another table of that name is `TABLE_RECREATED`. A stream
//     keeps the schema it began with, by column id: later columns are left out, dropped ones read null; a changed type
//     ends it with `SCHEMA_CHANGED` at a known offset.
//   - `read`: `log` (a log table's rows; a primary-key table's changelog), `table` (current rows of a primary-key
//     table, consistent at one offset vector; with `"key_range":{"from":[…],"until":[…]}` (exclusive end, prefixes of
//     the key are legal) and `"order":"key"`), `table+log` (current rows as `+I` with `"phase":"table"`, one zero-row
//     batch `"phase":"log"` with the vector under `"offsets"`, then the changelog from exactly there). Default: `log`
//     for log tables, `table` for primary-key tables. Changelogs carry `__change_type` as last column unless `columns`
//     says otherwise. A filter on a changelog is applied to each row: `-U` may come without its `+U`.
//
// `GetFlightInfo(path or command)` plans it: one endpoint per bucket and contiguous range, no locations (= the
// connection you have); `{"locations":"leaders"}` gives the leader's address, then `arrow-flight-reuse-connection://?`
// (never first: pyarrow cannot connect to it); `{"locations":"files"}` adds direct (file or presigned) URIs of the
// Parquet files that cover cold ranges. Tickets of a plan carry the offsets planned, `until` included. `total_records`,
// `total_bytes`: exact without `filter`, `limit`, `key_range` or `follow`, else −1. With `limit`: one endpoint.
// `ordered` for one bucket. `app_metadata`: `{"table_id","schema_id","ranges":[…],"tier":"local"}`, of each endpoint
// too.
//
// `GetSchema` is cheap. `ListFlights`
// lists tables the caller may see; criteria: prefix text or JSON. `PollFlightInfo` long-polls for newly available
// ranges; pyarrow has no call for it: the action `log.wait` (`{"table":…,"offsets":…,"timeout_ms":30000}`) does the
// same.
//
// # Lookup: DoExchange
//
// Descriptor command `{"lookup": "shop.orders", "columns": [...], "prefix": false}`. The server sends the schema at
// once; the client writes batches of keys (columns named as the key columns; for prefix lookups the leading ones); for
// each the server answers one or more batches in order, with `app_metadata` `{"request":0,"last":true}` (several where
// the answer is above `max_bytes`; nothing found: one zero-row batch), first column `__key_index` (int64, the row's
// place in the key batch; a missing key has no row), then `columns` (default: all; `__offset` = the row's last change,
// its version). About 64 key batches or 16 MiB of answers may be unread, then the server stops reading: one thread
// writes and reads in turn. A single shot: DoGet with `{"lookup": "shop.orders", "keys": [[1],[2]]}`, the same columns.
// Keys in JSON: numbers, booleans, strings; decimals, dates and times as strings; binary as base64. On partitioned
// tables the key includes the partition columns. `{"insert_missing": true}` inserts absent keys, and their partitions, and returns them.
// `min_offsets` gives read-your-writes. GetSchema and GetFlightInfo take a lookup too; with keys it is one endpoint.
// Conditional put: a column `__expected_offset` (int64, null = no condition, −1 =
// must be absent) in an upsert or delete batch; if any row's condition fails, nothing of the batch is applied in that
// bucket: `CONDITION_FAILED`, with the first failing key and its current offset.
//
// # Actions: DoAction
//
// JSON bodies (no bytes stand for {}), one JSON object per result; ListActions describes each with an example body.
//
// `database.create/drop/alter/list/describe` · `table.create/drop/alter/list/describe/stats` ·
// `partition.create/drop/list` · `log.offsets/wait/delete-before` · `writer.init/describe` · `snapshot.trigger/list` ·
// `tier.status/run/pause/compact/expire/verify` · `cluster.describe/health` · `server.drain/undrain/decommission` ·
// `rebalance.start/status/cancel` · `bucket.elect/move` · `acl.grant/revoke/list` · `token.create/revoke` ·
// `config.describe/set/reset` · `cursor.commit/list/reset`, and the protocol's own `CancelFlightInfo`,
// `RenewFlightEndpoint`, `SetSessionOptions`, `GetSessionOptions`, `CloseSession`. Every action that names a thing
// takes `{"table":"shop.orders", …}` or `{"database":"shop", …}`.
//
//   - `table.create`: all keys are shown below; `schema` is an IPC schema in base64 (framed as `schema.serialize()`
//     gives it, or bare), or a list of columns. Types are written as pyarrow prints them: `int64`, `string`,
//     `timestamp[us, tz=UTC]`, `decimal128(12, 2)`, `list<item: int32>`, `fixed_size_list<item: float>[3]`, `struct<a:
//     int64, b: string>`, `map<string, int64>`. Defaults: 1 bucket, no key, every column nullable except key columns;
//     `bucket_key` of a primary-key table: the primary key less partition columns, else a subset of that. The primary
//     key contains the partition columns. Defaults of columns are written as keys in JSON and shown by
//     `table.describe`. User metadata of schema and fields is kept, but for `pandas` and `quiver`.
//   - `table.describe` answers one object as below; `created` is in milliseconds, a column without a default has null.
//   - `table.alter`: changes as below, all or nothing, one thing each. Nested columns by dotted path (list elements and
//     map values as `l.item`, `m.value`); a name that itself holds a dot in double quotes. Old rows read an added
//     column's default. `add` and `move` take `after` or `"first":true`, `widen` also `"nullable":true`; `{"comment":"…"}`
//     changes the comment. Columns of keys can be renamed, moved and widened to key types, not dropped.
//   - `database.create` `{"database","comment","properties":{…},"if_not_exists"}`, `database.alter`
//     `{"database","comment","set":{…},"reset":[…]}` (of properties), `database.describe` → all three
//     `{"database","comment","properties","tables","created"}`. The database `default` always exists.
//   - `table.drop`, `database.drop` (`"cascade":true`), both with `if_exists`.
//   - `table.stats` → per bucket `{"partition","bucket","rows","bytes","earliest","latest","segments"}` and a last row
//     with `"total":true` (its bucket, earliest and latest are null); `rows` of a primary-key table counts its current
//     rows, exactly.
//   - `log.offsets`: `{"table":…, "at":"earliest"|"latest"|{"timestamp":…}}` → `{"partition","bucket","offset"}` per
//     bucket. `latest` = the high watermark, exclusive. At a timestamp: the first row not older than it, or `latest`.
//   - `partition.create/drop`: `{"table":…, "partition":"dt=2026-11-22/region=eu"}`. A row's partition comes from its
//     columns; unknown partitions are created by writing unless `partition.create-on-write` is false.
//     Creating takes `if_not_exists` and answers as `partition.list`, dropping takes `if_exists`. Names are compared
//     decoded, with the columns in any order.
//   - `log.wait` → per bucket with news `{"partition","bucket","from","until"}`, nothing at the timeout.
//     `table.create/alter` → as `table.describe`. `table.list` → `{"table","table_id"}`, `database.list` →
//     `{"database","comment"}`, `partition.list` → `{"partition","partition_id","created"}`; drops →
//     `{"dropped":true|false}`. ListFlights descriptors are paths (database, table).
//   - `log.delete-before`: `{"table":…, "offsets":…}` or `{"timestamp":…}` → as `log.offsets`, with what is the
//     earliest offset then. Buckets that `offsets` does not name keep their rows.
//   - `cursor.commit` `{"cursor":"job1","table":…,"offsets":…,"expect":…}` (`expect`: only if it stands there still,
//     else `CONDITION_FAILED`), `cursor.list` → `{"cursor","table","offsets","lag_rows","lag_seconds","committed"}`,
//     `cursor.reset` `{"cursor","table","to":…}`. Made by its first commit; reading from an unknown one is
//     `CURSOR_NOT_FOUND`. A commit moves the buckets it names, a reset all; `expect` names places in the same way, and
//     where it names none the cursor must stand nowhere yet (that is: at the earliest row). Both answer as `cursor.list`,
//     without lag. Lag is that of the rows readable now: how many, and how old the oldest of them is. A cursor goes with
//     its table, its place in a partition with the partition.
//
// The long bodies:
//
//	table.create    {"table":"shop.orders","schema":[{"name":"id","type":"int64","nullable":false,"default":0},...],
//	                 "primary_key":["id"],"bucket_key":["id"],"buckets":4,"partition_by":["dt"],
//	                 "options":{...},"comment":"…","if_not_exists":true}
//	table.describe  {"table","table_id","schema_id","columns":[{"id","name","type","nullable","default"}],
//	                 "primary_key","bucket_key","buckets","partition_by","options","comment","created"}
//	table.alter     {"table":…,"changes":[{"add":{"name":"x","type":"int32","default":0,"after":"id"}},{"drop":"y"},
//	                 {"rename":{"from":"a","to":"b"}},{"widen":{"name":"a","type":"int64"}},
//	                 {"move":{"name":"a","after":"b"}},{"set":{"retention.time":"7d"}},{"reset":["retention.time"]}]}
//
// # Table options
//
// Unknown options are refused with the nearest known one; durations as `90s`, `12h`, `7d`, sizes as `64MiB`. All can be
// given at creation and, where it makes sense, altered.
//
//	option (default)
//	    meaning
//	replication-factor, min-isr  (1 on one node, else 3 and 2)
//	    per table
//	retention.time, retention.bytes  (7d, none)
//	    total, local and remote together
//	retention.local.time, retention.local.bytes  (as total)
//	    what stays on the servers once it is tiered
//	segment.bytes, segment.age  (256MiB, 1h)
//	    roll
//	writer.expiry  (7d)
//	    how long a silent writer is remembered
//	compression  (as-sent)
//	    none, lz4, zstd: what stored bodies are, when the server writes them anew (merged batches, changelogs)
//	statistics  (all)
//	    columns with min, max, null count in the batch header
//	bucket.assignment  (sticky)
//	    round-robin: for tables without bucket key
//	partition.auto  (none)
//	    hour, day, month, quarter, year; with partition.time-zone, partition.precreate (2), partition.retain (7)
//	merge-engine  (last-row)
//	    first-row, versioned (+ merge-engine.version-column), aggregation (+ aggregate.<column> = function,
//	    aggregate.<column>.delimiter)
//	delete-behavior  (allow)
//	    ignore, disable
//	changelog-image  (full)
//	    wal (no update-before)
//	changelog.no-op  (skip)
//	    emit: an upsert that changes nothing
//	auto-increment  (none)
//	    column name
//	tier, tier.freshness, tier.iceberg  (on where a remote store is configured, 3m, true)
//	    remote storage
//
// Bucket of a row = Iceberg's `bucket(N)` of its bucket key (null: bucket 0); several columns: murmur3 x86 32 over
// their Iceberg hashes, each as 4 bytes little endian, in key order (null: four zero bytes), then as Iceberg does.
// Types that Iceberg lacks: integers as long (uint64 by its bits), bool as 0/1, times and timestamps as microseconds,
// rounded down, `large_*` as their small form. Partition columns have key types; their values are written as Iceberg's
// identity transform prints them, UTF-8 percent-encoded except `A-Za-z0-9._~-`, null = `__HIVE_DEFAULT_PARTITION__`,
// and compared decoded.
//
// # Errors
//
// gRPC status + `google.rpc.ErrorInfo` (reason; domain `quiver`; metadata `outcome` ("not done", "unknown", "done"),
// `durable_batches`, `durable_sequence`, `retry_after_ms`, …) + a text `REASON: what happened to which table,
// partition, bucket; what to do`; on puts it ends with `; durable: 2 batches, 131072 rows, sequence 1; rest: not
// appended` (only if no row of any later batch is stored) or `rest: unknown` (retry only with the same writer and
// sequence); everything staged is settled before an error is sent. pyarrow shows the text only, inside its own words:
// `re.search(r"message: ([A-Z_]+): ", str(e))` finds the reason. `Unavailable`, and nothing else, means "the same again
// may work"; without a reason the connection broke and a put's outcome is unknown. Not-leader is never seen by a
// client: the node forwards, and retries an unsequenced batch only if surely nothing was appended. The server never
// ends a call with `Cancelled` (pyarrow turns it into `KeyboardInterrupt`).
//
//	gRPC (in pyarrow)
//	    reasons
//	InvalidArgument  (ArrowInvalid (a ValueError, no FlightError))
//	    SCHEMA_MISMATCH, MALFORMED_BATCH, BATCH_TOO_LARGE, BAD_COMMAND, BAD_NAME, BAD_FILTER, BAD_OPTION
//	NotFound / AlreadyExists  (ArrowKeyError / ArrowException)
//	    TABLE_NOT_FOUND, DATABASE_NOT_FOUND, PARTITION_NOT_FOUND, BUCKET_NOT_FOUND, CURSOR_NOT_FOUND /
//	    TABLE_EXISTS, DATABASE_EXISTS
//	OutOfRange  (ArrowInvalid)
//	    OFFSET_OUT_OF_RANGE (below earliest or above the high watermark), OFFSET_TRUNCATED (rows that you may
//	    have seen were lost by an unclean election); earliest and latest in text and metadata
//	FailedPrecondition  (ArrowInvalid)
//	    OUT_OF_ORDER_SEQUENCE, SEQUENCE_REUSED, FENCED_WRITER, UNKNOWN_WRITER, EXPECTED_OFFSET_MISMATCH,
//	    CONDITION_FAILED, TABLE_RECREATED, SCHEMA_CHANGED, DELETE_DISABLED
//	ResourceExhausted  (ArrowInvalid)
//	    DISK_FULL, QUOTA_EXCEEDED
//	Unavailable  (FlightUnavailableError)
//	    LEADER_NOT_AVAILABLE, NOT_ENOUGH_REPLICAS, OVERLOADED, REMOTE_STORAGE_UNAVAILABLE, SERVER_DRAINING
//	Unauthenticated / PermissionDenied  (FlightUnauthenticatedError / FlightUnauthorizedError)
//	    one text for unknown user and bad password; a denial does not reveal existence
//	DataLoss  (FlightInternalError)
//	    CORRUPT_RANGE (with the range)
//
// # Authentication
//
// `quiver dev` needs none. `Handshake` with Basic (pyarrow `authenticate_basic_token`) answers a bearer token, valid 15
// minutes; every call carries `authorization: Bearer …` (that, a static token or a JWT) or a client certificate. An
// open stream outlives its token, not its grant: revocation ends it with `PermissionDenied` within 5 s.
//
// # Limits
//
// 256 MiB a received message (option `flight.max-message`): `write_table(t)` sends each chunk of a table as one
// message, and frames from pandas and polars have one chunk. Larger: `BATCH_TOO_LARGE`, naming the limit and
// `write_table(t, max_chunksize=65536)`; gRPC's own limit stands at twice that (its status cannot be replaced by a
// handler). Memory for messages in flight has a budget; over it, streams wait. Outgoing batches at most about 3 MiB
// unless `max_bytes` says more (arrow-go clients default to 4 MiB, ADBC to 16 MiB). Tickets, commands and action bodies
// ≤ 1 MiB, columns ≤ 2,000, nesting ≤ 32, the text and binary values of
// a primary key ≤ 64 KiB together. gRPC health and reflection work without a token. LZ4 and ZSTD bodies are
// taken and stored as they come.
//
// # Types
//
// All Arrow types whose values survive Parquet and Iceberg: bool, (u)int8–64, float16–64, decimal128/256, utf8, binary,
// large variants, fixed-size binary, date, time, timestamp with unit and zone (kept!), duration, interval, list, large
// list, fixed-size list (vectors), struct, map, null; extension types pass as metadata. Dictionary, view and run-end
// layouts are taken on put and stored plain. Key columns: integers, bool, utf8, binary, decimal, date, time, timestamp.
// Widenings taken on put: smaller to larger integers, float32 to float64, int32 or less to float64, larger decimal
// precision, `null` to any nullable type, timestamps between units where no digit is lost (never between zoned and
// not), and every layout of the same values both ways: `string`/`large_string`/`string_view`, the same for binary and
// list, dictionaries (pandas 3 and polars send `large_string`, polars also `large_list` and dictionary<uint32>).
// `__change_type` is stored as int8 and served as dictionary<int8, utf8> (`+A`,`+I`,`-U`,`+U`,`-D`): the stored bytes
// are the indices, the dictionary is sent once after the schema. It is taken as any string layout.
package flight
