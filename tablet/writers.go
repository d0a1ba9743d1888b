package tablet

import (
	"sync"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/planted"
)

// writers is what the coordinator has granted to producers, for all buckets of the server.
//
// A raised epoch must fence: once writer.init is answered, no batch of an older epoch may be appended anywhere. What
// would go wrong without the lock around Stage:
//
//	put (epoch 3)                          Reconcile (epoch 4)
//	reads the grant: epoch 3, admitted
//	                                       stores the grant: epoch 4
//	                                       returns; writer.init is answered; the new producer reads
//	                                       writer.describe, and resumes behind sequence 41
//	stages sequence 42 of epoch 3          -> two producers' rows under one sequence
//
// So a put checks the grant and stages under the read lock, and Reconcile stores grants under the write lock: when it
// has the lock, every put that saw the old grant is staged, hence visible to whoever asks the log, and every later
// one sees the new grant. The lock is per server and not per writer: it is held for the microseconds of a Stage,
// which does no I/O, and puts share it.
type writers struct {
	mu     sync.RWMutex
	grants map[quiver.WriterID]quiver.WriterGrant
	next   quiver.WriterID // ids below it were issued
}

// replace takes over all grants. Epochs never fall: a grant that would lower one is a bug of the coordinator.
func (w *writers) replace(grants []quiver.WriterGrant, next quiver.WriterID) {
	byID := make(map[quiver.WriterID]quiver.WriterGrant, len(grants))
	for _, g := range grants {
		byID[g.ID] = g
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, old := range w.grants {
		if g, ok := byID[id]; ok && g.Epoch < old.Epoch {
			byID[id] = old
		}
	}
	w.grants, w.next = byID, max(w.next, next)
}

// checkLocked refuses a batch of an epoch that is not the writer's. Whoever stages holds mu, for reading, from here
// until the batch is staged.
func (w *writers) checkLocked(id quiver.WriterID, epoch quiver.Epoch) *quiver.Error {
	g, ok := w.grants[id]
	switch {
	case !ok || epoch == g.Epoch || planted.Is(planted.EpochUnfenced):
		return nil
	case epoch < g.Epoch:
		return quiver.Errorf(quiver.FencedWriter, "writer %d has epoch %d now, the batch is of epoch %d", id, g.Epoch, epoch).
			Advise("another producer has taken over this writer; if that is not meant to be, call writer.init and resume")
	default:
		return quiver.Errorf(quiver.UnknownWriter, "epoch %d of writer %d was never given, its newest is %d", epoch, id, g.Epoch).
			Advise("use the epoch that writer.init answered")
	}
}

// recent says that the writer was issued or raised within its expiry. Otherwise only use in the table makes it known.
func (w *writers) recent(id quiver.WriterID, now time.Time, expiry time.Duration) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	g, ok := w.grants[id]
	return ok && (expiry <= 0 || now.UnixMilli()-g.Raised <= expiry.Milliseconds())
}

// issued says that the id was ever handed out.
func (w *writers) issued(id quiver.WriterID) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return id < w.next
}

// unknownWriter is the refusal of a writer that is neither granted nor used.
func (w *writers) unknownWriter(id quiver.WriterID) *quiver.Error {
	what := "writer %d was silent in this table for longer than writer.expiry"
	if !w.issued(id) {
		what = "writer %d was never issued"
	}
	return quiver.Errorf(quiver.UnknownWriter, what, id).Advise("call writer.init, and start at the sequence that writer.describe tells")
}
