package node

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/quiverlog/quiver/flight"
)

// TestClientExactlyOnceOverKills kills the server with SIGKILL, at any moment and at the points of a group commit, under
// an appender: every row is there once, in order.
func TestClientExactlyOnceOverKills(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	m := live(t, seed, commitPoints, nil)
	c := dialTo(t, m.addr, flight.ClientOptions{RetryFor: 5 * time.Minute})
	awaitServer(t, c)
	makeTable(t, c, "events", 2)
	a, err := c.Append(t.Context(), "events", flight.AppendOptions{MaxUnacked: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	const until = 4000
	for n := int64(0); n < until; {
		batch := rows(n, min(n+1+rng.Int64N(40), until))
		n += batch.NumRows()
		if err := a.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		batch.Release()
		switch rng.IntN(30) {
		case 0:
			m.kill()
		case 1:
			if _, err := a.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.kill()
		}
	}
	totals, err := a.Close(t.Context())
	if err != nil || totals.Rows != until {
		t.Fatalf("%+v, %v", totals, err)
	}
	lives := m.count()
	t.Logf("%d lives, %d batches that were there already", lives, totals.Duplicates)
	if lives < 2 {
		t.Error("nothing was killed")
	}
	awaitServer(t, c) // it may have been killed when all was durable
	wantUpTo(t, numbersOf(t, c, "events"), until)
}

// awaitServer asks until there is a server that answers.
func awaitServer(t testing.TB, c *flight.Client) {
	t.Helper()
	for _, err := c.Tables(t.Context(), ""); err != nil; _, err = c.Tables(t.Context(), "") {
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}
