package measure

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	s, ok := parseStat("4217 (a (strange) name) S 17 4217 1 0 -1 4194560 9 8 7 6 150 50 20 5 20 0 1 0 77 1 2")
	want := stat{id: 4217, parent: 17, cpu: 2 * time.Second, children: 250 * time.Millisecond}
	if !ok || s != want {
		t.Errorf("%+v %v, want %+v", s, ok, want)
	}
	if _, ok := parseStat("4217"); ok {
		t.Error("half a line was taken")
	}
}

// TestUsage compares the clock of a process with what this one did.
func TestUsage(t *testing.T) {
	before, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for began := time.Now(); time.Since(began) < 20*time.Millisecond; {
		sum++
	}
	after, err := CPUTime(os.Getpid())
	if err != nil || after <= before || sum == 0 {
		t.Errorf("from %v to %v: %v", before, after, err)
	}
	m, err := ReadMemory(os.Getpid())
	if err != nil || m.Resident <= 0 || m.Peak < m.Resident {
		t.Errorf("memory %+v: %v", m, err)
	}
}
