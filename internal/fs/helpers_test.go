package fs

import (
	"errors"
	"strings"
	"testing"
)

func TestWriteFileIsOneStep(t *testing.T) {
	rng := newRand(t)
	old, next := strings.Repeat("old", 500), strings.Repeat("new", 700)
	m := NewMem()
	must(t, MakeDirs(m, "/d"))
	must(t, WriteFile(m, "/d/f", []byte(old)))
	steps := 0
	look := func(op Op, name string) {
		if !op.Changes() {
			return
		}
		steps++
		for range 50 {
			c := m.CrashClone(CrashConfig{Rand: rng, KeepUnsynced: 50, TearSectors: true, TearEntries: true})
			if got := content(t, c, "/d/f"); got != old && got != next {
				t.Fatalf("after %s of %s: neither the old nor the new content", op, name)
			}
		}
	}
	must(t, WriteFile(Record(m, look), "/d/f", []byte(next)))
	if steps != 5 { // create, write, sync, rename, sync of the directory
		t.Errorf("%d steps were seen", steps)
	}
	if got := content(t, m.CrashClone(total), "/d/f"); got != next {
		t.Error("the new content is not durable")
	}
}

func TestWriteFileCleansUpAfterItself(t *testing.T) {
	boom := errors.New("boom")
	for _, at := range []Op{OpCreate, OpWrite, OpSync, OpRename, OpSyncDir} {
		m := NewMem()
		must(t, WriteFile(m, "/f", []byte("old")))
		fsys := WithErrors(m, func(op Op, _ string) error {
			if op == at {
				return boom
			}
			return nil
		})
		if err := WriteFile(fsys, "/f", []byte("new")); !errors.Is(err, boom) {
			t.Errorf("with a failing %s: %v", at, err)
		}
		if open := m.OpenFiles(); len(open) > 0 {
			t.Errorf("with a failing %s: left open %v", at, open)
		}
		want := "old"
		if at == OpSyncDir { // unknown to the caller, there to readers
			want = "new"
		}
		if got := content(t, m, "/f"); got != want {
			t.Errorf("with a failing %s: %q", at, got)
		}
	}
}
