package server

import (
	"sync"

	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/tablet"

	"github.com/quiverlog/quiver"
)

// staged is one batch of a put that was staged, or one flush, on its way to its acknowledgement.
type staged struct {
	rows     int64           // as put
	sequence quiver.Sequence // NoSequence if the stream is not sequenced
	tablet   *tablet.Tablet  // nil: no row reached a bucket (a batch without rows, a flush)
	bucket   quiver.BucketID
	place    arrowlog.Staged // where the rows lie
	bytes    int64           // taken from the memory budget until this is settled
	flush    []byte          // the JSON value to echo; nil: this is a batch
}

// putQueue hands staged batches from the goroutine that receives to the one that settles, in order.
//
// Staging happens under its lock, so that once stop has returned nothing is staged any more: what an error text says
// of "everything that is not durable" is then final.
type putQueue struct {
	mu      sync.Mutex
	news    sync.Cond
	items   []staged
	stopped bool // nothing may be staged any more
	closed  bool // nothing more will be pushed
}

func newPutQueue() *putQueue {
	q := &putQueue{}
	q.news.L = &q.mu
	return q
}

// push runs stage, unless the queue was stopped, and queues what it staged. It tells whether it may be called again.
func (q *putQueue) push(stage func() (staged, error)) (ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return false, nil
	}
	item, err := stage()
	if err != nil {
		return false, err
	}
	q.items = append(q.items, item)
	q.news.Signal()
	return true, nil
}

// stop refuses everything from now on.
func (q *putQueue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.closed = true
	q.news.Signal()
}

// next waits for the next item; ok is false at the end.
func (q *putQueue) next() (item staged, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.news.Wait()
	}
	if len(q.items) == 0 {
		return staged{}, false
	}
	item = q.items[0]
	q.items[0] = staged{}
	q.items = q.items[1:]
	return item, true
}
