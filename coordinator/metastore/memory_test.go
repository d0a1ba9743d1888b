package metastore

import "testing"

func TestMemory(t *testing.T) {
	testStore(t, func(*testing.T) (Store, func() Store) { return NewMemory(), nil })
}
