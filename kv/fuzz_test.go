package kv

import (
	"bytes"
	"testing"

	"github.com/quiverlog/quiver"
)

// FuzzNames reads what stands around rows: marks, keys of buckets, names of checkpoints.
func FuzzNames(f *testing.F) {
	id := quiver.BucketID{Table: 1, Partition: 2, Bucket: 3}
	f.Add(Mark{Applied: 5, Epoch: 2, Rows: 3}.encode())
	f.Add(markKey(id))
	f.Add(rowsKey(id))
	f.Add([]byte("00000000000000000017"))
	f.Add([]byte{familyBucket})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMark(b); err == nil && !bytes.Equal(m.encode(), b) {
			t.Fatalf("%x is read as %+v", b, m)
		}
		if id, part, ok := parseBucket(b); ok && !bytes.HasPrefix(append(rowsKey(id)[:bucketPrefix:bucketPrefix], part), b[:rowPrefix]) {
			t.Fatalf("%x is read as %s, %d", b, id, part)
		}
		if n, ok := parseNumber(string(b)); ok && n <= 0 {
			t.Fatalf("%q is read as %d", b, n)
		}
	})
}
