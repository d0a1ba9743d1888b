package fs

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWriteAllGoesOnAfterShortWrites plays a kernel that writes as little as it likes.
func TestWriteAllGoesOnAfterShortWrites(t *testing.T) {
	rng := newRand(t)
	for range 300 {
		parts := make([][]byte, rng.IntN(3000))
		for i := range parts {
			parts[i] = bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(5))
		}
		want := slices.Concat(parts...)
		var got []byte
		err := writeAll(parts, 7, func(parts [][]byte, off int64) (int, error) {
			switch {
			case rng.IntN(5) == 0:
				return -1, unix.EINTR
			case len(parts) == 0 || len(parts) > maxVectors:
				t.Fatalf("one write of %d parts", len(parts))
			case off != int64(7+len(got)):
				t.Fatalf("a write at %d, want %d", off, 7+len(got))
			}
			all := slices.Concat(parts...)
			n := 1 + rng.IntN(len(all))
			got = append(got, all[:n]...)
			return n, nil
		})
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d of %d bytes were written: %v", len(got), len(want), err)
		}
	}
}

func TestWriteAllGivesUp(t *testing.T) {
	parts := [][]byte{{1, 2}, {3}}
	for _, want := range []error{unix.ENOSPC, io.ErrShortWrite} {
		calls := 0
		err := writeAll(parts, 0, func([][]byte, int64) (int, error) {
			if calls++; calls == 1 {
				return 1, nil
			}
			if errors.Is(want, io.ErrShortWrite) {
				return 0, nil
			}
			return 0, want
		})
		if !errors.Is(err, want) || calls != 2 {
			t.Errorf("after %d calls: %v, want %v", calls, err, want)
		}
	}
}
