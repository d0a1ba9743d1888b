package quiver

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

var update = flag.Bool("update", false, "write the answers of the scripts in testdata anew")

// runScript runs every case of a script: lines of input, "----", the recorded answer, an empty line. Lines at the
// head that begin with "#" are comments.
func runScript(t *testing.T, file string, run func(input string) string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		if i > 0 {
			out.WriteString("\n\n")
		}
		input, want, isCase := strings.Cut(block, "\n----")
		if !isCase {
			out.WriteString(block)
			continue
		}
		got := strings.TrimSpace(run(input))
		out.WriteString(input + "\n----\n" + got)
		if want = strings.TrimSpace(want); got != want && !*update {
			t.Errorf("%s:\n%s\n got:\n%s\nwant:\n%s", file, input, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(out.String()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// schemaOf reads "struct<a: int64, b: string not null>" as columns.
func schemaOf(t testing.TB, text string) *arrow.Schema {
	t.Helper()
	dt, err := ParseType(text)
	if err != nil {
		t.Fatal(err)
	}
	return arrow.NewSchema(dt.(*arrow.StructType).Fields(), nil)
}

// tableOf makes a table's schema of the same.
func tableOf(t testing.TB, text string, defaults map[string]any) *Schema {
	t.Helper()
	s, err := NewSchema(1, schemaOf(t, text), defaults)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
