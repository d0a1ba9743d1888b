package record

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quiverlog/quiver/internal/buf"
)

// TestInputOfPyarrow: streams in every layout that pyarrow has, through the gate, merged, split, and read by pyarrow.
func TestInputOfPyarrow(t *testing.T) {
	python := os.Getenv("QUIVER_PYTHON")
	if python == "" {
		t.Skip("QUIVER_PYTHON names no interpreter with pyarrow; make test does")
	}
	folder := t.TempDir()
	run := func(verb string) {
		t.Helper()
		out, err := exec.Command(python, filepath.Join("testdata", "layouts.py"), verb, folder).CombinedOutput()
		if err != nil {
			t.Fatalf("layouts.py %s: %v\n%s", verb, err, out)
		}
		t.Logf("%s", out)
	}
	run("write")
	sent, err := filepath.Glob(filepath.Join(folder, "*.sent.arrows"))
	must(t, err)
	if len(sent) == 0 {
		t.Fatal("no streams were written")
	}
	live := buf.Live()
	for _, path := range sent {
		putPyarrow(t, strings.TrimSuffix(path, ".sent.arrows"))
	}
	if now := buf.Live(); now != live {
		t.Errorf("%d buffers are still held", now-live)
	}
	run("check")
}

// putPyarrow puts one stream and writes what came of it in three ways.
func putPyarrow(t *testing.T, name string) {
	t.Helper()
	read := func(kind string) []rawMessage {
		data, err := os.ReadFile(name + kind)
		must(t, err)
		return splitStream(t, data)
	}
	schema, _, err := ParseSchema(read(".table.arrows")[0].meta)
	must(t, err)
	table := tableOf(t, schema, nil)
	bs, err := put(t, table, read(".sent.arrows"))
	if err != nil {
		t.Errorf("%s: %v", filepath.Base(name), err)
		return
	}
	merged, err := Merge(bs[0].Layout(), bs)
	must(t, err)
	pieces, err := merged.Split(merged.metadataSize() + 2<<10)
	must(t, err)
	for variant, batches := range map[string][]*Batch{"put": bs, "merged": {merged}, "split": pieces} {
		must(t, os.WriteFile(fmt.Sprintf("%s.%s.got.arrows", name, variant), streamBytes(t, batches), 0o600))
		for _, b := range batches {
			b.Release()
		}
	}
}

// streamBytes is a stream of batches as readers get them.
func streamBytes(t testing.TB, bs []*Batch) []byte {
	t.Helper()
	schema, err := ServedSchema(bs[0].Layout().Schema())
	must(t, err)
	var out []byte
	message := func(meta []byte, body [][]byte) {
		start := len(out)
		out = append(append(out, make([]byte, prefixSize)...), meta...)
		out = append(out, make([]byte, -len(out)&7)...)
		putPrefix(out[start:])
		for _, p := range body {
			out = append(out, p...)
		}
	}
	message(schema, nil)
	for _, b := range bs {
		message(b.Served())
	}
	return out
}
