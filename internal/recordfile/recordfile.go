// Package recordfile checks the files of a Pebble database that are sequences of records: its manifest and its
// write-ahead logs. Pebble reads them up to the first record that is not whole and takes that for the end, as after a
// crash it has to; whoever checks a database wants to know that there was more.
package recordfile

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"

	"github.com/quiverlog/quiver/internal/fs"
)

// Tail is the bytes [From, Until) of a file behind its last whole record. It is empty if there are none but zeros, or the
// file says itself that it ends there.
type Tail struct{ From, Until int64 }

// Check reads a file whole: its records have checksums. Manifests and write-ahead logs are told by their names.
func Check(fsys fs.FS, path string) (Tail, error) {
	data, err := fs.ReadFile(fsys, path)
	if err != nil {
		return Tail{}, err
	}
	r := open(record.NewReader, data, fsys.PathBase(path))
	for {
		at := r.Offset()
		next, err := r.Next()
		if err == io.EOF { //nolint:errorlint // as the reader gives it
			return Tail{}, nil
		}
		if err == nil {
			_, err = io.Copy(io.Discard, next)
		}
		if err == nil {
			continue
		}
		at = min(at, int64(len(data)))
		if len(bytes.Trim(data[at:], "\x00")) == 0 {
			return Tail{}, nil
		}
		return Tail{From: at, Until: int64(len(data))}, nil
	}
}

// open reads the records of a file; those of a write-ahead log repeat its number, and Pebble's name for the type of that
// number is its own.
func open[N ~uint64](newReader func(io.Reader, N) *record.Reader, data []byte, name string) *record.Reader {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, ".log"), 10, 64)
	if err != nil {
		n = 0 // a manifest
	}
	return newReader(bytes.NewReader(data), N(n))
}

// Files are those of a database that Check is for: the write-ahead logs, and the manifest that counts.
func Files(fsys fs.FS, dir string) (paths []string, err error) {
	about, err := pebble.Peek(dir, fsys)
	if err != nil {
		return nil, err
	}
	if about.Exists {
		paths = append(paths, about.ManifestFilename)
	}
	names, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			paths = append(paths, fsys.PathJoin(dir, name))
		}
	}
	return paths, nil
}
