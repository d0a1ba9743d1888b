package metastore

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openEmbedded opens a store that the test closes.
func openEmbedded(t testing.TB, fsys vfs.FS, dir string) *Embedded {
	t.Helper()
	s, err := OpenEmbedded(fsys, dir, EmbeddedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestEmbedded(t *testing.T) {
	testStore(t, func(t *testing.T) (Store, func() Store) {
		fsys := vfs.NewMem()
		s := openEmbedded(t, fsys, "a/b/meta")
		return s, func() Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openEmbedded(t, fsys, "a/b/meta")
			return s
		}
	})
}
