package metastore

import (
	"bytes"
	"testing"
)

// FuzzRows reads damaged rows of the database: an error, or what is written as it was read.
func FuzzRows(f *testing.F) {
	f.Add(requestRow(7), requestValue(RequestID{1, 2, 3}, digest{keys: 4, sum: 5}))
	f.Add(keyRow("table/1"), append(make([]byte, 8), "{}"...))
	f.Add([]byte{requestRows}, []byte{})
	f.Add([]byte{}, make([]byte, 7))
	f.Fuzz(func(t *testing.T, row, value []byte) {
		if version, id, d, err := parseRequest(row, value); err == nil {
			if !bytes.Equal(requestValue(id, d), value) || !bytes.Equal(requestRow(version)[1:], row[1:]) {
				t.Fatalf("%x, %x is read as version %d, %x, %+v", row, value, version, id, d)
			}
		}
		version, rest, err := splitValue("key", value)
		if err != nil {
			return
		}
		var d digest
		d.add("key", version, rest)
		d.remove("key", version, rest)
		if len(rest) != len(value)-8 || d != (digest{}) {
			t.Fatalf("%x: %x, %+v", value, rest, d)
		}
	})
}
