package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
)

// FuzzConfig reads any text as a configuration file: known keys, each once, or an error of usage.
func FuzzConfig(f *testing.F) {
	manual, err := os.ReadFile("../../docs/quiver.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(manual)
	for _, text := range []string{"", "data: x\n", "data: x\ndata: y", "a", "- 1", "data: {a: 1}", "data: &x [*x]", "data: !!binary AA==", "%YAML 9"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		values, err := parseConfig("quiver.yaml", text)
		var usage usageError
		if err != nil && !errors.As(err, &usage) {
			t.Fatal(err)
		}
		for name := range values {
			if err == nil && name == "" {
				t.Fatalf("%q gives the key %q", text, name)
			}
		}
	})
}

// FuzzArguments reads any text as what stands behind a flag: nothing panics, and what becomes of it is JSON.
func FuzzArguments(f *testing.F) {
	for _, text := range []string{
		"17", "17,eu", `[17,"eu"]`, `"a""b",1`, "17..42", `{"from":[1]}`, "..", "earliest", "-1h", "cursor:job", "2026-11-22T10:00:00Z",
		`{"0": 17}`, `{"dt=2026-11-22": {"0": 17}}`, "100k/s", "a=b", "x int64 not null after id", "x first", "x null", "retention.time=7d",
	} {
		f.Add(text)
	}
	table := flight.TableDescription{Table: "t", PrimaryKey: []string{"id", "region"}, Buckets: 1,
		Columns: []flight.ColumnDescription{{Name: "id", Type: "int64"}, {Name: "region", Type: "string"}}}
	f.Fuzz(func(t *testing.T, text string) {
		keys := keyReader{table}
		for _, read := range []func() (json.RawMessage, error){
			func() (json.RawMessage, error) { return keys.read(text, false) },
			func() (json.RawMessage, error) { return keys.read(text, true) },
			func() (json.RawMessage, error) { return keys.readRange(text) },
		} {
			if value, err := read(); err == nil && !json.Valid(value) {
				t.Fatalf("%q becomes %q", text, value)
			}
		}
		_, _ = parsePosition("--from", text)
		_, _ = parseMinOffsets(text, table)
		_, _ = parseOptions([]string{text})
		if rate, err := parseRate(text); err == nil && (rate < 1 || rate > 1e8) {
			t.Fatalf("%q is a rate of %d", text, rate)
		}
		for _, parse := range []func(string) (flight.TableChange, error){parseAdd, parseRename, parseWiden, parseMove, parseSet} {
			_, _ = parse(text)
		}
	})
}

// FuzzSegmentFile walks through any bytes as dump-segment does: to an end or an error, without taking more memory than
// the file is long.
func FuzzSegmentFile(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xf8, 0xff, 0xff, 0x7f})
	f.Add(append([]byte{0xff, 0xff, 0xff, 0xff, 8, 0, 0, 0}, make([]byte, 8)...))
	f.Fuzz(func(t *testing.T, file []byte) {
		in := bufio.NewReader(bytes.NewReader(file))
		for {
			message, err := nextMessage(in)
			if err != nil {
				return
			}
			if _, _, err := record.ParseSegmentSchema(message); err == nil {
				continue
			}
			meta, err := record.ParseHeader(message, 0)
			if err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, in, meta.BodyLen); err != nil {
				return
			}
		}
	})
}
