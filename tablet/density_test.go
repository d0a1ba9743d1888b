package tablet

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestIdleRoundsLookAtNothing counts the buckets that rounds of maintenance look at while nothing happens, with and
// without a retention time, and when one bucket of many is used.
func TestIdleRoundsLookAtNothing(t *testing.T) {
	const buckets = 300
	e := newEnv(t, buckets)
	e.retain(map[string]string{"retention.time": "600s"})
	for b := range int32(buckets) {
		e.mustPut(e.tablet(b), int64(b))
	}
	e.pass(20 * time.Second) // all was seen, at a bounded number a round
	visits := func() int { return int(testutil.ToFloat64(e.server.metrics.visits)) }
	before := visits()
	e.pass(400 * time.Second)
	if n := visits() - before; n != 0 {
		t.Errorf("400 idle rounds looked at %d buckets", n)
	}
	e.mustPut(e.tablet(7), 1)
	before = visits()
	e.pass(10 * time.Second)
	if n := visits() - before; n == 0 || n > 4 {
		t.Errorf("after one put, 10 rounds looked at %d buckets", n)
	}
	e.pass(800 * time.Second) // all of it expires
	for b := range int32(buckets) {
		if l := e.tablet(b).leading.Load().log; l.Start() == 0 {
			t.Fatalf("bucket %d: %d rows did not expire", b, l.End())
		}
	}
}

// TestDroppedBucketsAreForgotten: retention keeps nothing of buckets that are gone.
func TestDroppedBucketsAreForgotten(t *testing.T) {
	const buckets = 20
	e := newEnv(t, buckets)
	e.retain(map[string]string{"retention.time": "86400s"})
	for b := range int32(buckets) {
		e.mustPut(e.tablet(b), int64(b))
	}
	e.pass(5 * time.Second)
	if n := e.server.due.Len(); n != buckets {
		t.Fatalf("retention has %d buckets before it: the test shows nothing", n)
	}
	e.drop(7)
	if n := e.server.due.Len(); n != 0 {
		t.Errorf("retention keeps %d dropped buckets", n)
	}
}
