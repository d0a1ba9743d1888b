package coordinator

import (
	"context"
	"reflect"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

// entries is a store that holds what it is given, in the order of keys or not.
type entries []metastore.Entry

func (s entries) Range(_ context.Context, _ string, visit func(metastore.Entry) error) (int64, error) {
	for _, e := range s {
		if err := visit(e); err != nil {
			return 0, err
		}
	}
	return int64(len(s)), nil
}

// FuzzLoad loads a sound store in which one key has another value, or one more key is: it is refused with a reason, or
// gives a state; nothing panics. The same goes for the key that comes later, by a transaction.
func FuzzLoad(f *testing.F) {
	m := newMachine()
	parted := partitionedSpec("default", "parted")
	for _, c := range []Command{
		StartServer{}, CreateTable{TableSpec: spec("a")}, CreateTable{TableSpec: parted},
		CreatePartitions{Table: 2, Names: []string{parted.Schema.Field(0).Name + "=eu"}},
		InitWriter{Name: "w"}, CommitCursor{Table: 1, Name: "job", Offsets: Vector{0: {0: 0}}},
	} {
		if _, _, err := m.run(c); err != nil {
			f.Logf("%T: %v", c, err) // what a spec does not fit is no seed
		}
	}
	var sound entries
	if _, err := m.store.Range(context.Background(), "", func(e metastore.Entry) error {
		sound = append(sound, metastore.Entry{Key: e.Key, Value: append([]byte(nil), e.Value...), Version: e.Version})
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	for _, e := range sound {
		f.Add(e.Key, e.Value)
	}
	f.Add("unknown/1", []byte("{}"))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		state := loadWith(t, sound, metastore.Entry{Key: key, Value: value, Version: 1})
		if state != nil {
			again := loadWith(t, sound, metastore.Entry{Key: key, Value: value, Version: 1})
			if !reflect.DeepEqual(state.assignments, again.assignments) {
				t.Fatal("two loads of one store differ")
			}
		}
		state, err := Load(context.Background(), sound)
		if err != nil {
			t.Fatal(err)
		}
		if err := state.fold(&metastore.Txn{Puts: []metastore.Put{{Key: key, Value: value}}}); err == nil {
			state.settle()
		}
	})
}

// loadWith loads the entries with one put in its place among them; nil if that is refused.
func loadWith(t *testing.T, sound entries, e metastore.Entry) *State {
	t.Helper()
	changed := make(entries, 0, len(sound)+1)
	placed := false
	for _, s := range sound {
		if !placed && s.Key >= e.Key {
			changed, placed = append(changed, e), true
		}
		if s.Key != e.Key {
			changed = append(changed, s)
		}
	}
	if !placed {
		changed = append(changed, e)
	}
	state, err := Load(context.Background(), changed)
	if err == nil {
		return state
	}
	if quiver.ReasonOf(err) != quiver.Internal {
		t.Fatalf("the reason is %q: %v", quiver.ReasonOf(err), err)
	}
	return nil
}
