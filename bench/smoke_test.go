package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// TestMain serves, where the benchmarks start this test's own program as one of their servers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childWord {
		if err := serve(os.Args[2:]); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run"))
}

// TestQuick runs every job once with tiny sizes, with pyarrow where there is one.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	out := t.TempDir()
	var progress bytes.Buffer
	args := []string{"-quick", "-out", out, "-docs", "", "-binary", "../bin/quiver"}
	if _, err := os.Stat("/dev/shm"); err != nil {
		args = append(args, "-tmpfs", "")
	}
	err := run(t.Context(), args, &progress)
	t.Logf("%s", progress.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	results, err := loadResults(filepath.Join(out, "quick"))
	if err != nil || len(results) == 0 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for _, r := range results {
		if len(r.Arms) == 0 || len(r.Notes) == 0 {
			t.Errorf("%s has %d arms and %d notes", r.Job, len(r.Arms), len(r.Notes))
		}
	}
	left, err := filepath.Glob(filepath.Join(out, "quick", "run-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("scratch files were left behind: %v, %v", left, err)
	}
}
