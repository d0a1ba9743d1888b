package node

import (
	"strings"
	"testing"

	"github.com/quiverlog/quiver/internal/fs"
)

func TestMetadataOlderThanTheLogsIsRefused(t *testing.T) {
	fsys := fs.NewMem()
	r, err := tryStart(fsys) // the damage is for a look at the end to find
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.put(t.Context(), map[string]any{"put": "events"}, rows(0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := fsys.RemoveAll("/data/meta"); err != nil {
		t.Fatal(err)
	}
	if _, err := tryStart(fsys); err == nil || !strings.Contains(err.Error(), "there are logs of table 1 in /data/log/1") {
		t.Fatal(err)
	}
	if err := fsys.Rename("/data/log/1", "/data/moved-away"); err != nil {
		t.Fatal(err)
	}
	if r, err = tryStart(fsys); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}
