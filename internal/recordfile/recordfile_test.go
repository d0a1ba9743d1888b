package recordfile

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"

	"github.com/quiverlog/quiver/internal/fs"
)

// manifest is a file of records, and where each of them ends.
func manifest(t *testing.T, records ...string) (data []byte, ends []int64) {
	t.Helper()
	var out bytes.Buffer
	w := record.NewWriter(&out)
	for _, r := range records {
		if _, err := w.WriteRecord([]byte(r)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, w.Size())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), ends
}

// TestCheck tells of what stands behind the last whole record, and of nothing else.
func TestCheck(t *testing.T) {
	data, ends := manifest(t, "first", "second", "third")
	flipped := bytes.Clone(data)
	flipped[ends[1]-1] ^= 1 // in the second
	for name, c := range map[string]struct {
		data []byte
		want Tail
	}{
		"whole":      {data, Tail{}},
		"empty":      {nil, Tail{}},
		"zeros":      {append(bytes.Clone(data), make([]byte, 100)...), Tail{}},
		"torn":       {data[:ends[2]-2], Tail{ends[1], ends[2] - 2}},
		"torn early": {data[:ends[1]-2], Tail{ends[0], ends[1] - 2}},
		"a flip":     {flipped, Tail{ends[0], int64(len(flipped))}},
		"garbage":    {[]byte("no records at all, but some text"), Tail{0, 32}},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := fs.NewMem()
			if err := fs.WriteFile(fsys, "MANIFEST-000001", c.data); err != nil {
				t.Fatal(err)
			}
			got, err := Check(fsys, "MANIFEST-000001")
			if err != nil || got != c.want {
				t.Errorf("%v, %v, want %v of %d bytes", got, err, c.want, len(c.data))
			}
		})
	}
	if _, err := Check(fs.NewMem(), "MANIFEST-000002"); err == nil {
		t.Error("a file that is not there has no tail")
	}
}
