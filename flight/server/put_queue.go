package server

import (
	"sync"
	"time"

	"github.com/quiverlog/quiver"
)

// staged is one batch of a put that was staged, or one flush, on its way to its acknowledgement.
type staged struct {
	rows     int64           // as put
	sequence quiver.Sequence // NoSequence if the stream is not sequenced
	first    [1]part         // of the buckets that took it, where there is one
	many     []part          // or all of them, where there are more
	taken    int             // how many buckets took it; 0: a batch without rows, a flush
	failure  error           // a bucket refused its part; nothing behind it was staged
	bytes    int64           // taken from the memory budget until this is settled
	flush    []byte          // the JSON value to echo; nil: this is a batch
	came     time.Time       // when it had come; zero: it is not timed
}

// add notes what a bucket took; there are at most so many of them.
func (s *staged) add(p part, most int) {
	switch {
	case most == 1:
		s.first[0] = p
	case s.many == nil:
		s.many = make([]part, 0, most)
		fallthrough
	default:
		s.many = append(s.many, p)
	}
	s.taken++
}

// parts are what the buckets took.
func (s *staged) parts() []part {
	if s.many != nil {
		return s.many
	}
	return s.first[:s.taken]
}

// duplicate tells that every bucket had its part already.
func (s *staged) duplicate() bool {
	for i := range s.parts() {
		if !s.parts()[i].place.Duplicate {
			return false
		}
	}
	return s.taken > 0
}

// putQueue hands staged batches from the goroutine that receives to the one that settles, in order.
//
// Staging happens under its lock, so that once close has returned nothing is staged any more: what an error text
// says of everything that is not durable is then final.
type putQueue struct {
	mu     sync.Mutex
	news   sync.Cond
	items  []staged
	taken  []staged // by the last next
	closed bool     // nothing more will be pushed
	why    error    // what closed it; nil: the client's end of the stream
}

func newPutQueue() *putQueue {
	q := &putQueue{}
	q.news.L = &q.mu
	return q
}

// push runs stage, unless the queue is closed, and queues what it staged, be it in part. It tells whether it was run.
func (q *putQueue) push(stage func() (staged, error)) (ran bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, nil
	}
	item, err := stage()
	if err == nil || item.taken > 0 {
		q.items = append(q.items, item)
		q.news.Signal()
	}
	return true, err
}

// close refuses everything from now on. The first call's reason stays.
func (q *putQueue) close(why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed, q.why = true, why
		q.news.Signal()
	}
}

// cause is what closed the queue, nil if it was the client's end of the stream.
func (q *putQueue) cause() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.why
}

// next waits for items and takes all there are; there are none once the queue is closed and empty. The items of the call
// before are over: the queue goes on in their memory.
func (q *putQueue) next() []staged {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.taken)
	spare := q.taken[:0]
	if q.taken = nil; len(q.items) == 0 {
		q.items, spare = upTo(idleItems, q.items), upTo(idleItems, spare)
	}
	for len(q.items) == 0 && !q.closed {
		q.news.Wait()
	}
	q.taken, q.items = q.items, upTo(spareItems, spare)
	return q.taken
}

// For how many items a queue keeps memory, twice.
const (
	spareItems = 1 << 10 // at most
	idleItems  = 8       // while there are none: the stream may be silent for long
)

// upTo gives memory back that is for more than n items.
func upTo(n int, memory []staged) []staged {
	if cap(memory) > n {
		return nil
	}
	return memory
}
