package metastore

import (
	"bytes"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/quiverlog/quiver/internal/fs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openEmbedded opens a store that the test closes.
func openEmbedded(t testing.TB, fsys fs.FS, dir string) *Embedded {
	t.Helper()
	s, err := OpenEmbedded(fsys, dir, EmbeddedOptions{memtable: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestEmbedded(t *testing.T) {
	testStore(t, func(t *testing.T) (Store, func() Store) {
		fsys := fs.NewMem()
		s := openEmbedded(t, fsys, "/a/b/meta")
		return s, func() Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openEmbedded(t, fsys, "/a/b/meta")
			return s
		}
	})
}

// bulky gives the transactions of a workload that rotates Pebble's log and flushes a few times.
func bulky() []Txn {
	var txns []Txn
	for i := range 7 {
		txn := put(fmt.Sprintf("k%d", i%5), fmt.Sprintf("only-%d", i))
		txn.Puts = append(txn.Puts, Put{"bulk", bytes.Repeat([]byte{byte(i)}, 30<<10)})
		if i > 3 {
			txn.Deletes = []string{fmt.Sprintf("only-%d", i-3)}
		}
		txns = append(txns, txn)
	}
	return txns
}
