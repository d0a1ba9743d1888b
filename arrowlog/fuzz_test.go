package arrowlog

import (
	"io"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// FuzzFiles puts any bytes in the place of one file of a log, and opens and reads it: whatever is read is what was
// written, and what cannot be read is told.
func FuzzFiles(f *testing.F) {
	d := newDamaged(f)
	for i, path := range d.files {
		f.Add(uint8(i), content(f, d.mem, path))
	}
	f.Add(uint8(0), []byte{})
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		mem := d.mem.Clone()
		replace(t, mem, d.files[int(which)%len(d.files)], text)
		w := *d.world
		w.t, w.fsys = t, mem
		l, err := w.tryOpen()
		if w.disk != nil {
			defer func() { _ = w.disk.Close() }()
		}
		if err != nil {
			return
		}
		rows, _, err := readable(l, l.Start(), l.Durable(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for offset, n := range rows {
			if offset >= quiver.Offset(len(d.rows)) || d.rows[offset] != n {
				t.Fatalf("offset %d reads as %d", offset, n)
			}
		}
	})
}

// content is what a file holds.
func content(t testing.TB, fsys fs.FS, path string) []byte {
	t.Helper()
	file, err := fsys.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// replace gives a file another content, on disk.
func replace(t testing.TB, fsys fs.FS, path string, text []byte) {
	t.Helper()
	file, err := fsys.Create(path, fs.Unspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
}
