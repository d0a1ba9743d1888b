package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/registertest"
)

// numbered is a name and the number that the server gave it.
type (
	numberedKey struct {
		Name string `arrow:"name"`
	}
	numbered struct {
		Name string `arrow:"name"`
		ID   *int64 `arrow:"id"`
	}
)

// numbering is which number each name got.
type numbering struct {
	mu    sync.Mutex
	given map[string]int64
}

// got notes a name's number, which is to be the same for everybody.
func (n *numbering) got(row numbered, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if row.Name != name || row.ID == nil {
		return fmt.Errorf("%q got %+v", name, row)
	}
	if before, ok := n.given[name]; ok && before != *row.ID {
		return fmt.Errorf("%q got the numbers %d and %d", name, before, *row.ID)
	}
	n.given[name] = *row.ID
	return nil
}

// increment adds one to a counter: it looks it up, and puts what comes next if nobody else did meanwhile.
func (c *clerk) increment(ctx context.Context, key int64) error {
	for {
		row, found, err := c.find.Get(ctx, registerKey{key})
		if err != nil {
			return err
		}
		expected := registertest.Absent
		if found {
			expected = row.Version
		}
		if err := c.openWriter(ctx); err != nil {
			return err
		}
		err = c.write(ctx, registerPut{Key: key, Value: row.Value + 1, Expected: &expected}, false)
		if err == nil || quiver.ReasonOf(err) != quiver.ConditionFailed {
			return err
		}
	}
}

// TestClientCountsOverKills kills the server with SIGKILL under callers that increment counters by conditional puts and
// ask for numbers of names, which are inserted if they are missing: no increment is lost or done twice, and each name
// has one number of its own.
func TestClientCountsOverKills(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	const callers, each, counters = 4, 60, 3
	m := live(t, seed, commitPoints, nil)
	patient := dialTo(t, m.addr, flight.ClientOptions{RetryFor: 5 * time.Minute})
	awaitServer(t, patient)
	makeRegisters(t, patient, 2)
	awaitServer(t, patient)
	if _, err := patient.CreateTable(t.Context(), flight.TableCreate{Table: flight.Named("ids"), PrimaryKey: []string{"name"},
		Options: map[string]string{"auto-increment": "id"}, Schema: flight.SchemaWord{Columns: []quiver.ColumnSpec{
			{Name: "name", Type: "string", Nullable: new(bool)}, {Name: "id", Type: "int64"}}}}); err != nil {
		t.Fatal(err)
	}
	lookups := patient.Lookup(registers, flight.LookupOptions{Columns: registerColumns})
	defer lookups.Close()
	inserts := patient.Lookup("ids", flight.LookupOptions{InsertMissing: true})
	defer inserts.Close()
	ids, err := flight.LookupsOf[numberedKey, numbered](t.Context(), inserts)
	if err != nil {
		t.Fatal(err)
	}
	find, err := flight.LookupsOf[registerKey, registerRow](t.Context(), lookups)
	if err != nil {
		t.Fatal(err)
	}
	all := &clerks{addr: m.addr, patient: patient, lookups: lookups, ended: make(chan struct{})}
	names := numbering{given: map[string]int64{}}
	ctx, giveUp := context.WithCancelCause(t.Context())
	defer giveUp(nil)
	var wait sync.WaitGroup
	for id := range uint64(callers) {
		c := &clerk{clerks: all, rng: rand.New(rand.NewPCG(seed, 2+id)), find: find}
		wait.Go(func() {
			defer c.closeWriter(ctx)
			for n := range int64(each) {
				err := c.increment(ctx, n%counters)
				if err == nil {
					var row numbered
					name := fmt.Sprint("name ", c.rng.IntN(50))
					if row, _, err = ids.Get(ctx, numberedKey{name}); err == nil {
						err = names.got(row, name)
					}
				}
				if err != nil {
					giveUp(err)
					return
				}
				select {
				case all.ended <- struct{}{}:
				case <-ctx.Done():
				}
			}
		})
	}
	for left := callers * each; left > 0; {
		n := min(left, 1+rng.IntN(80))
		all.await(ctx, n)
		if left -= n; left > 0 {
			m.kill()
		}
	}
	wait.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Fatal(err)
	}
	for key := range int64(counters) {
		if row, _, err := find.Get(t.Context(), registerKey{key}); err != nil || row.Value != callers*each/counters {
			t.Errorf("counter %d: %+v, %v, want %d", key, row, err, callers*each/counters)
		}
	}
	whose := map[int64]string{}
	for name, id := range names.given {
		if other, twice := whose[id]; twice {
			t.Errorf("%q and %q have the number %d", name, other, id)
		}
		whose[id] = name
	}
	t.Logf("%d lives", m.count())
}
