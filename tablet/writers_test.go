package tablet

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
)

// TestWriterRules lists which writers are taken.
func TestWriterRules(t *testing.T) {
	e := newEnv(t, 3)
	e.grant(1, 2) // issued now
	e.grant(2, 0)
	e.grant(3, 0)
	// Writer 2 was used in bucket 1, writer 3 nowhere; both grants are older than the expiry.
	if _, err := e.put(e.tablet(1), by(2, 0, 0, 1), 1); err != nil {
		t.Fatal(err)
	}
	e.advance(8 * 24 * time.Hour)
	e.grant(1, 2)
	for _, test := range []struct {
		name   string
		origin Origin
		want   quiver.Reason
	}{
		{"newest epoch", by(1, 2, 0, 1), ""},
		{"older epoch", by(1, 1, 1, 1), quiver.FencedWriter},
		{"epoch to come", by(1, 3, 1, 1), quiver.UnknownWriter},
		{"used elsewhere in the table", by(2, 0, 1, 1), ""},
		{"silent", by(3, 0, 0, 1), quiver.UnknownWriter},
		{"never issued", by(100, 0, 0, 1), quiver.UnknownWriter},
		{"anonymous", anonymous(1), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := e.put(e.tablet(0), test.origin, 5)
			if test.want == "" && err == nil {
				return
			}
			reason(t, err, test.want, quiver.NotDone)
		})
	}
}

// TestRaisedEpochFences has a producer put as fast as it can while its writer is raised. Once Reconcile has returned,
// the log has every row of the old epoch that it will ever have.
func TestRaisedEpochFences(t *testing.T) {
	e := newEnv(t, 4)
	for epoch := quiver.Epoch(0); epoch < 20; epoch++ {
		e.grant(1, epoch)
		var producers sync.WaitGroup
		last := make([]quiver.Offset, 4) // until where each bucket has rows of the epoch
		started := make(chan struct{}, 4)
		for b := range int32(4) {
			producers.Go(func() {
				tablet := e.tablet(b)
				for i := quiver.Sequence(0); ; i++ {
					s, err := tablet.Put(context.Background(), e.unit(1), by(1, epoch, i+1000*quiver.Sequence(epoch), 1))
					if err != nil {
						reason(t, err, quiver.FencedWriter, quiver.NotDone)
						return
					}
					last[b] = s.Until
					if err := tablet.Wait(context.Background(), s); err != nil {
						t.Error(err)
					}
					if i == 3 {
						started <- struct{}{}
					}
				}
			})
		}
		for range 4 {
			<-started
		}
		e.grant(1, epoch+1)
		ends := make([]quiver.Offset, 4)
		for b := range ends {
			ends[b], _ = e.tablet(int32(b)).End(context.Background())
		}
		producers.Wait()
		for b := range ends {
			if last[b] > ends[b] {
				t.Fatalf("epoch %d of the writer staged a row at %d after it was fenced at %d", epoch, last[b], ends[b])
			}
		}
	}
}

// TestFenceNeverFalls gives grants that come too late, or are missing.
func TestFenceNeverFalls(t *testing.T) {
	e := newEnv(t, 1)
	e.grant(1, 5)
	e.grant(1, 4)
	_, err := e.put(e.tablet(0), by(1, 4, 0, 1), 1)
	reason(t, err, quiver.FencedWriter, quiver.NotDone)
	if _, err := e.put(e.tablet(0), by(1, 5, 0, 1), 1); err != nil {
		t.Error(err)
	}
}
