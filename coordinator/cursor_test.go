package coordinator

import (
	"fmt"
	"testing"

	"github.com/quiverlog/quiver"
)

// TestCursorsOfATableAreBounded: the last one that there is room for is made, the next is refused, and those that are
// there go on.
func TestCursorsOfATableAreBounded(t *testing.T) {
	m := newMachine()
	for _, c := range []Command{StartServer{}, CreateTable{TableSpec: spec("a")}, CreateTable{TableSpec: spec("b")}} {
		if _, _, err := m.run(c); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxCursors - 1 {
		m.state.cursors = append(m.state.cursors, &Cursor{Table: 1, Name: fmt.Sprintf("c%06d", i)})
	}
	commit := func(table quiver.TableID, name string) error {
		_, _, err := m.run(CommitCursor{Table: table, Name: name, Offsets: Vector{0: {0: 1}}})
		return err
	}
	if err := commit(1, "last"); err != nil {
		t.Errorf("the last cursor that there is room for: %v", err)
	}
	want(t, commit(1, "more"), quiver.QuotaExceeded, quiver.NotDone)
	for _, table := range []quiver.TableID{1, 2} {
		if err := commit(table, "last"); err != nil {
			t.Errorf("a cursor of table %d: %v", table, err)
		}
	}
}
