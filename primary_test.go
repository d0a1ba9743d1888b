package quiver

import (
	"strings"
	"testing"
)

// TestAlterDecidedOptions alters options that are decided when a table is created: what would change them is refused,
// what says the same is taken.
func TestAlterDecidedOptions(t *testing.T) {
	made := func(options map[string]string) *Table {
		spec := TableSpec{Database: "d", Name: "t", Schema: schemaOf(t, "struct<k: int64, v: int64, w: int64>"), PrimaryKey: []string{"k"}, Options: options}
		table, err := spec.Table(1, 0)
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	plain, first := made(nil), made(map[string]string{"merge-engine": "first-row"})
	versioned := made(map[string]string{"merge-engine": "versioned", "merge-engine.version-column": "v"})
	counted := made(map[string]string{"auto-increment": "v"})
	set := func(name, text string) []TableChange { return []TableChange{{Set: map[string]string{name: text}}} }
	for name, c := range map[string]struct {
		table   *Table
		changes []TableChange
		refused string
	}{
		"another engine":        {plain, set("merge-engine", "first-row"), "option merge-engine: it is decided"},
		"the usual engine":      {first, set("merge-engine", "last-row"), "option merge-engine: it is decided"},
		"the engine again":      {first, set("merge-engine", "first-row"), ""},
		"the usual engine set":  {plain, set("merge-engine", "last-row"), ""},
		"engine reset":          {first, []TableChange{{Reset: []string{"merge-engine"}}}, "option merge-engine: it is decided"},
		"nothing reset":         {plain, []TableChange{{Reset: []string{"merge-engine"}}}, ""},
		"another version":       {versioned, set("merge-engine.version-column", "w"), "version-column: it is decided"},
		"a counter":             {plain, set("auto-increment", "v"), "option auto-increment: it is decided"},
		"no counter":            {counted, set("auto-increment", "none"), "option auto-increment: it is decided"},
		"two, and another kind": {plain, []TableChange{{Set: map[string]string{"auto-increment": "v", "merge-engine": "first-row", "changelog-image": "wal"}}}, "option merge-engine"},
	} {
		t.Run(name, func(t *testing.T) {
			altered, err := c.table.Alter(c.changes)
			if c.refused != "" {
				if ReasonOf(err) != BadOption || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("the error is %v", err)
				}
				return
			}
			if err != nil || altered.Options.Merging.Engine != c.table.Options.Merging.Engine {
				t.Fatalf("the options are %v, the error %v", altered, err)
			}
		})
	}
}
