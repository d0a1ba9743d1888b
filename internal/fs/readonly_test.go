package fs

import (
	"errors"
	"syscall"
	"testing"
)

func TestReadOnlyRefusesChanges(t *testing.T) {
	mem := NewMem()
	if err := WriteFile(mem, "there", []byte("x")); err != nil {
		t.Fatal(err)
	}
	ro := ReadOnly(mem)
	if data, err := ReadFile(ro, "there"); err != nil || string(data) != "x" {
		t.Errorf("it reads %q, %v", data, err)
	}
	f, err := ro.OpenReadWrite("there", Unspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, written := f.WriteAt([]byte("y"), 0)
	_, locked := ro.Lock("LOCK")
	for what, err := range map[string]error{
		"write": written, "lock": locked, "remove": ro.Remove("there"), "make a directory": ro.MkdirAll("dir", 0o755), "make a file": WriteFile(ro, "new", nil),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
