package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newRand returns a generator whose seed the test prints.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustCreate(t *testing.T, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.Create(name, Unspecified)
	must(t, err)
	return f
}

func mustWriteAt(t *testing.T, f File, data string, off int64) {
	t.Helper()
	if n, err := f.WriteAt([]byte(data), off); err != nil || n != len(data) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(data), err)
	}
}

// content returns the content of a file, or "-" if there is none.
func content(t *testing.T, fsys FS, name string) string {
	t.Helper()
	data, err := ReadFile(fsys, name)
	if errors.Is(err, os.ErrNotExist) {
		return "-"
	}
	must(t, err)
	return string(data)
}

// everyFS runs a test on each kind of file system, in an empty directory of it.
func everyFS(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	t.Run("disk", func(t *testing.T) { test(t, Disk(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		must(t, m.MkdirAll("/a/b", 0o755))
		test(t, m, "/a/b")
		if open := m.OpenFiles(); len(open) > 0 {
			t.Errorf("left open: %v", open)
		}
	})
	t.Run("hooked", func(t *testing.T) {
		none := func(Op, string) error { return nil }
		test(t, WithErrors(Record(NewMem(), func(Op, string) {}), none), "/")
	})
}

func TestFiles(t *testing.T) {
	everyFS(t, func(t *testing.T, fsys FS, dir string) {
		name := fsys.PathJoin(dir, "f")
		f := mustCreate(t, fsys, name)
		if n, err := f.Write([]byte("hello ")); n != 6 || err != nil {
			t.Fatalf("wrote %d: %v", n, err)
		}
		if n, err := f.Write([]byte("world")); n != 5 || err != nil {
			t.Fatalf("wrote %d: %v", n, err)
		}
		mustWriteAt(t, f, "W", 6)
		mustWriteAt(t, f, "!", 13)
		must(t, f.SyncData())
		must(t, f.Sync())
		must(t, f.Preallocate(0, 1<<16))
		must(t, f.Close())
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("the second close gave %v", err)
		}
		if _, err := f.Write([]byte("x")); err == nil {
			t.Error("a closed file was written")
		}
		if got := content(t, fsys, name); got != "hello World\x00\x00!" {
			t.Errorf("the file holds %q", got)
		}

		r, err := fsys.Open(name)
		must(t, err)
		all, err := io.ReadAll(r)
		if err != nil || len(all) != 14 {
			t.Errorf("read %d bytes to the end: %v", len(all), err)
		}
		part := make([]byte, 10)
		if n, err := r.ReadAt(part, 6); n != 8 || !errors.Is(err, io.EOF) {
			t.Errorf("reading across the end gave %d, %v", n, err)
		}
		if n, err := r.ReadAt(part, 100); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("reading beyond the end gave %d, %v", n, err)
		}
		if _, err := r.WriteAt([]byte("x"), 0); err == nil {
			t.Error("a file opened for reading was written")
		}
		if info, err := r.Stat(); err != nil || info.Size() != 14 || info.Name() != "f" || info.IsDir() {
			t.Errorf("the open file is described as %+v, %v", info, err)
		}
		must(t, r.Close())

		must(t, fsys.Truncate(name, 5))
		must(t, fsys.Truncate(name, 7))
		if got := content(t, fsys, name); got != "hello\x00\x00" {
			t.Errorf("cut and extended, the file holds %q", got)
		}
		w, err := fsys.OpenReadWrite(name, Unspecified)
		must(t, err)
		mustWriteAt(t, w, "J", 0)
		must(t, w.Close())
		if got := content(t, fsys, name); got != "Jello\x00\x00" {
			t.Errorf("the file holds %q", got)
		}
	})
}

func TestRemovedFileStaysReadable(t *testing.T) {
	everyFS(t, func(t *testing.T, fsys FS, dir string) {
		name := fsys.PathJoin(dir, "f")
		must(t, WriteFile(fsys, name, []byte("first")))
		r, err := fsys.Open(name)
		must(t, err)
		must(t, WriteFile(fsys, name, []byte("second")))
		got := make([]byte, 5)
		if _, err := r.ReadAt(got, 0); err != nil || string(got) != "first" {
			t.Errorf("the open file reads %q, %v", got, err)
		}
		must(t, r.Close())
		f := mustCreate(t, fsys, name) // a new file, not the old one cut
		must(t, f.Close())
		if got := content(t, fsys, name); got != "" {
			t.Errorf("a created file holds %q", got)
		}
	})
}

func TestLock(t *testing.T) {
	everyFS(t, func(t *testing.T, fsys FS, dir string) {
		name := fsys.PathJoin(dir, "LOCK")
		l, err := fsys.Lock(name)
		must(t, err)
		if _, err := fsys.Lock(name); err == nil {
			t.Error("locked twice")
		}
		must(t, l.Close())
		l, err = fsys.Lock(name)
		must(t, err)
		must(t, l.Close())
	})
}

func TestWriteVectorWritesEveryPart(t *testing.T) {
	everyFS(t, func(t *testing.T, fsys FS, dir string) {
		rng := newRand(t)
		for _, count := range []int{0, 1, 2, 1023, 1024, 1025, 5000} {
			parts := make([][]byte, count)
			for i := range parts {
				parts[i] = bytes.Repeat([]byte{byte(i)}, rng.IntN(300)/2*rng.IntN(2))
			}
			name := fsys.PathJoin(dir, "v")
			f := mustCreate(t, fsys, name)
			mustWriteAt(t, f, "head", 0)
			must(t, WriteVector(f, parts, 4))
			must(t, f.Close())
			if want := "head" + string(slices.Concat(parts...)); content(t, fsys, name) != want {
				t.Errorf("%d parts came out wrong", count)
			}
		}
	})
}

func TestAllocateExtendsWithZeros(t *testing.T) {
	everyFS(t, func(t *testing.T, fsys FS, dir string) {
		name := fsys.PathJoin(dir, "f")
		f := mustCreate(t, fsys, name)
		mustWriteAt(t, f, "abc", 0)
		must(t, Allocate(f, 0, 8))
		must(t, Allocate(f, 0, 2)) // never shrinks
		must(t, extend(f, 6))
		must(t, f.Close())
		if got := content(t, fsys, name); got != "abc\x00\x00\x00\x00\x00" {
			t.Errorf("the file holds %q", got)
		}
	})
}

func TestFreeSpaceIsKnown(t *testing.T) {
	everyFS(t, func(t *testing.T, fsys FS, dir string) {
		if free, err := Free(fsys, dir); err != nil || free <= 0 {
			t.Errorf("%d bytes are free: %v", free, err)
		}
		if _, err := Free(fsys, fsys.PathJoin(dir, "none")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("of a path that is not there: %v", err)
		}
	})
}

func TestMakeDirs(t *testing.T) {
	everyFS(t, func(t *testing.T, fsys FS, dir string) {
		deep := fsys.PathJoin(dir, "x", "y", "z")
		for range 2 {
			must(t, MakeDirs(fsys, deep))
		}
		if info, err := fsys.Stat(deep); err != nil || !info.IsDir() {
			t.Errorf("%v, %v", info, err)
		}
		must(t, WriteFile(fsys, fsys.PathJoin(deep, "f"), nil))
		if err := MakeDirs(fsys, fsys.PathJoin(deep, "f", "g")); err == nil {
			t.Error("made a directory in a file")
		}
	})
}

// TestMemBehavesLikeTheDisk does the same random operations on both and compares every answer and every trace.
func TestMemBehavesLikeTheDisk(t *testing.T) {
	rng := newRand(t)
	root := t.TempDir()
	mem, disk := NewMem(), Disk()
	names := []string{"a", "b", "c", "a/x", "a/y", "b/x", "a/x/p", "none/x"}
	pick := func() string { return names[rng.IntN(len(names))] }
	for step := range 3000 {
		one, two := pick(), pick()
		n, m := rng.Int64N(2000), rng.Int64N(2000)
		ops := []struct {
			name string
			do   func(fsys FS, at func(string) string) (string, error)
		}{
			{"create", func(fsys FS, at func(string) string) (string, error) {
				if info, err := fsys.Stat(at(one)); err == nil && info.IsDir() {
					return "", nil // the disk's replaces an empty directory, Mem refuses
				}
				f, err := fsys.Create(at(one), Unspecified)
				return writeAndClose(f, err, n, m)
			}},
			{"openReadWrite", func(fsys FS, at func(string) string) (string, error) {
				f, err := fsys.OpenReadWrite(at(one), Unspecified)
				return writeAndClose(f, err, n, m)
			}},
			{"reuse", func(fsys FS, at func(string) string) (string, error) {
				if info, err := fsys.Stat(at(one)); err == nil && info.IsDir() {
					return "", nil // never done to directories
				}
				f, err := fsys.ReuseForWrite(at(one), at(two), Unspecified)
				return writeAndClose(f, err, n, m)
			}},
			{"mkdir", func(fsys FS, at func(string) string) (string, error) { return "", fsys.MkdirAll(at(one), 0o755) }},
			{"link", func(fsys FS, at func(string) string) (string, error) { return "", fsys.Link(at(one), at(two)) }},
			{"rename", func(fsys FS, at func(string) string) (string, error) { return "", fsys.Rename(at(one), at(two)) }},
			{"remove", func(fsys FS, at func(string) string) (string, error) { return "", fsys.Remove(at(one)) }},
			{"removeAll", func(fsys FS, at func(string) string) (string, error) { return "", fsys.RemoveAll(at(one)) }},
			{"truncate", func(fsys FS, at func(string) string) (string, error) { return "", fsys.Truncate(at(one), n) }},
			{"list", func(fsys FS, at func(string) string) (string, error) {
				list, err := fsys.List(at(one))
				slices.Sort(list)
				return strings.Join(list, " "), err
			}},
			{"stat", func(fsys FS, at func(string) string) (string, error) {
				info, err := fsys.Stat(at(one))
				if err != nil {
					return "", err
				}
				if info.IsDir() {
					return info.Name() + "/", nil
				}
				return fmt.Sprint(info.Name(), info.Size(), info.Mode().IsRegular()), nil
			}},
			{"read", func(fsys FS, at func(string) string) (string, error) {
				if info, err := fsys.Stat(at(one)); err == nil && info.IsDir() {
					return "", nil
				}
				data, err := ReadFile(fsys, at(one))
				return string(data), err
			}},
		}
		op := ops[rng.IntN(len(ops))]
		onDisk, diskErr := op.do(disk, func(name string) string { return disk.PathJoin(root, name) })
		inMem, memErr := op.do(mem, func(name string) string { return "/" + name })
		if onDisk != inMem || errnoOf(diskErr) != errnoOf(memErr) {
			t.Fatalf("step %d: %s %s %s %d:\non disk   %.100q, %v\nin memory %.100q, %v", step, op.name, one, two, n, onDisk, diskErr, inMem, memErr)
		}
	}
	checkUsed(t, mem)
}

// writeAndClose writes n bytes at m, if the file was opened.
func writeAndClose(f File, err error, n, m int64) (string, error) {
	if err != nil {
		return "", err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return "dir", f.Close()
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{byte(n)}, int(n)), m)
	return "", errors.Join(err, f.Close())
}

// errnoOf returns what callers can tell errors by.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		return ^syscall.Errno(0)
	}
	return errno
}

// checkUsed compares the space that Mem keeps count of with a fresh count.
func checkUsed(t *testing.T, m *Mem) {
	t.Helper()
	if fresh := m.Clone(); fresh.used != m.used {
		t.Errorf("%d bytes are counted as used, %d are", m.used, fresh.used)
	}
}

func BenchmarkWriteVector(b *testing.B) {
	for name, fsys := range map[string]FS{"disk": Disk(), "mem": NewMem()} {
		b.Run(name, func(b *testing.B) {
			dir := "/"
			if name == "disk" {
				dir = b.TempDir()
			}
			f, err := fsys.Create(fsys.PathJoin(dir, "f"), Unspecified)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			parts := slices.Repeat([][]byte{make([]byte, 4096)}, 256)
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				if err := WriteVector(f, parts, 0); err != nil {
					b.Fatal(err)
				}
				if err := f.SyncData(); err != nil && name == "mem" {
					b.Fatal(err)
				}
			}
		})
	}
}
