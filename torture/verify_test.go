package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/quiverlog/quiver"
)

// TestFlips tells what flipped bits explain of what verify finds.
func TestFlips(t *testing.T) {
	data := t.TempDir()
	store, aside := filepath.Join(data, "kv", "db"), filepath.Join(data, "kv", "damaged-1")
	for _, dir := range []string{store, aside} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	table, index := filepath.Join(store, "000004.sst"), filepath.Join(data, "0.index")
	if err := os.WriteFile(table, []byte("rows"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := flips{paths: map[string]bool{}}
	explains := func(what string, found quiver.Finding, want bool) {
		t.Helper()
		if got := f.explain(found, data); got != want {
			t.Errorf("%s: explained: %v, want %v", what, got, want)
		}
	}
	rows := quiver.Finding{Kind: quiver.FindingRows, File: store}
	explains("rows that nothing happened to", rows, false)
	for _, path := range []string{table, index} {
		if err := f.add(path); err != nil {
			t.Fatal(err)
		}
	}
	explains("the index", quiver.Finding{Kind: quiver.FindingIndex, File: index}, true)
	explains("another index", quiver.Finding{Kind: quiver.FindingIndex, File: index + "2"}, false)
	explains("rows in a damaged table", rows, true)
	explains("a segment beside damaged rows", quiver.Finding{Kind: quiver.FindingSegment, File: filepath.Join(data, "0.arrows")}, false)
	if err := os.Rename(table, filepath.Join(aside, "000004.sst")); err != nil {
		t.Fatal(err)
	}
	explains("rows in a store that was moved aside", rows, true)
	if err := os.RemoveAll(aside); err != nil {
		t.Fatal(err)
	}
	explains("rows after the damaged table is gone", rows, false)
}
