package arrowlog

import "testing"

// TestExpiryOfWriters: a writer is forgotten when the log's newest row is more than the expiry past the writer's own.
func TestExpiryOfWriters(t *testing.T) {
	w := newWriterTable()
	w.take(5, 1, taken{sequence: 9, from: 0, rows: 1}, 1000, 100)
	for _, test := range []struct {
		time, expiry int64
		known        bool
	}{{1000, 100, true}, {1100, 100, true}, {1101, 100, false}, {9000, 0, true}} {
		if known := w.get(5, test.time, test.expiry) != nil; known != test.known {
			t.Errorf("at %d with an expiry of %d a writer of time 1000 is known: %t", test.time, test.expiry, known)
		}
	}
	w.take(5, 1, taken{sequence: 3, from: 1, rows: 1}, 1101, 100)
	if known := w.get(5, 1101, 100); known == nil || known.last != 3 || known.forgot {
		t.Errorf("a writer that was forgotten begins anew: %+v", known)
	}
}
