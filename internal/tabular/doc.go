// Package tabular reads and writes tables in the formats that people have them in: Arrow streams and files, Parquet,
// CSV, NDJSON, JSON, and a table for a terminal.
//
//	format.go      what a file is: by its extension, else by how it begins          FormatOf
//	reader.go      batches out of a file or a stream                                Open, NewReader
//	source.go      bytes, decompressed, and whether more are there                  gzip, zstd
//	ipc.go         Arrow streams and files, both ways
//	ipc_message.go what is checked before the Arrow library believes it
//	parquet.go     Parquet, both ways
//	csv*.go        CSV: rows, types, batches; and writing it
//	json*.go       JSON: values of a stream, types, batches; and writing it
//	infer.go       the type that the texts of a column have in common
//	moment.go      texts of dates, times and offsets
//	value.go       the text of one value becomes one value of a column
//	format_*.go    one value of a column becomes JSON, a field of CSV, a cell of a table
//	writer.go      batches into a stream                                            NewWriter
//	terminal.go    an aligned table
//
// # Laws
//
//   - Memory is bounded: by the batch at hand, by the largest row (MaxRow), and by the beginning from which types are
//     inferred (InferBytes). Counts and lengths that stand in a file are compared with the bytes it has.
//   - What was written reads back as the same values, types given (tests do so with random tables of all types).
//   - A row that does not fit ends the reading with an error that names file, line and column.
//   - The batches of a file depend on its bytes and the options alone, never on time, unless the options allow it
//     (Live), so that a second reading cuts where the first one did.
//
// # Inference
//
// Types are those that users of pyarrow and pandas get, for a stream: what the first InferBytes hold decides, and a
// value behind them that does not fit is an error that says so.
//
//	CSV     int64, uint64 if need be, double; bool (true, True, TRUE); date32; time64[us]; timestamp[us], [ns] if there
//	        are more digits, tz=UTC if every value tells its offset; else string
//	JSON    the same by JSON's own types, of strings date32 and timestamps only; objects are structs of all their keys,
//	        arrays lists
//	both    a column without any value is a string; integers and floats together are double
//
// Null is, in CSV, an empty field without quotes, for columns other than strings also with quotes and the words of
// pandas (NA, null, NULL, None, …); `""` is the empty string. NaN is a value of a float column.
package tabular
