//go:build fault

package tablet

import (
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/kv"
)

// TestRowsOfFailedGroupCommits fails group commits of upserts and deletes, each at a random one of its steps: a change
// that was surely not done leaves nothing behind, neither in the rows nor for the next change to build upon, and one
// that is in doubt is there whole or not at all.
func TestRowsOfFailedGroupCommits(t *testing.T) {
	r := seeded(t)
	e := newKeyedEnv(t, 2, nil)
	want := emptyRows(2)
	points := map[string]quiver.Outcome{
		"arrowlog.commit.before-write":  quiver.NotDone,
		"arrowlog.commit.before-prefix": quiver.NotDone,
		"arrowlog.commit.before-sync":   quiver.Unknown,
		"arrowlog.commit.after-sync":    quiver.Unknown,
	}
	for point, outcome := range points {
		for range 8 {
			e.churn(r, want, 1+r.IntN(4))
			bucket := int32(r.IntN(2))
			before := maps.Clone(want[bucket])
			if !e.failUpsert(r, point, outcome, bucket, want[bucket]) {
				continue // it left no row, and so waited for nothing
			}
			e.churnOne(r, bucket, want, before, outcome)
			e.check("after "+point, want)
		}
	}
	e.stop()
	e.start()
	e.check("after a restart", want)
}

// failUpsert changes rows in a bucket whose group commit fails, and does the same to a map. It says whether there was
// a commit.
func (e *env) failUpsert(r *rand.Rand, point string, outcome quiver.Outcome, bucket int32, rows map[int64]int64) bool {
	e.t.Helper()
	kvs := []int64{r.Int64N(8), r.Int64N(1000), r.Int64N(8), r.Int64N(1000)}
	op := kv.Op(r.IntN(2))
	disarm := fault.Arm(point, func() error { return errors.New("injected") })
	_, err := e.tryUpsert(bucket, op, anonymous(2), kvs...)
	disarm()
	if err == nil {
		return false
	}
	reason(e.t, err, quiver.LeaderNotAvailable, outcome)
	for i := 0; i < len(kvs); i += 2 {
		if op == kv.Delete {
			delete(rows, kvs[i])
		} else {
			rows[kvs[i]] = kvs[i+1]
		}
	}
	return true
}

// churnOne settles what became of a change in doubt, by the rows of the next leadership, and changes one row more. The
// rows are those before it or behind it, and nothing else.
func (e *env) churnOne(r *rand.Rand, bucket int32, want map[int32]map[int64]int64, before map[int64]int64, outcome quiver.Outcome) {
	e.t.Helper()
	now := e.current(bucket)
	switch {
	case maps.Equal(now, before):
		want[bucket] = before
	case outcome == quiver.Unknown && maps.Equal(now, want[bucket]):
	default:
		e.t.Fatalf("bucket %d has %v; before the change it was %v, behind it %v", bucket, now, before, want[bucket])
	}
	k, v := r.Int64N(8), r.Int64N(1000)
	e.upsert(bucket, k, v)
	want[bucket][k] = v
}
