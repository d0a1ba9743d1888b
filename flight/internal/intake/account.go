package intake

import (
	"slices"
	"time"
)

// account is what streams hold of one kind. Who does not fit stands in line; what was given back goes to those in front,
// whose goroutines are woken for it: nobody is woken to find nothing. Small wishes have a line of their own, and so have
// those that are larger than all there is, which nobody else is to wait behind.
//
// It is no buf.Budget, which has one line: here who waits looks for others that keep memory for nothing, and what was read
// already is charged whether it fits or not.
//
// What is said here of its fields and methods needs the intake's mutex.
type account struct {
	used, limit, peak int64
	alone             bool             // what is larger than the limit goes when nothing else is held
	looked            [lines]time.Time // when somebody to give up was looked for last, for those of a line
	lines             [lines][]*waiter
}

// The lines, in the order in which they are served.
const (
	smallLine = iota
	largeLine
	giantLine
	lines
)

// waiter is who waits for memory of an account.
type waiter struct {
	stream *Stream
	bytes  int64
	line   int
	since  time.Time
	has    bool          // the bytes are its own, and it has left the line
	news   chan struct{} // it has them, or came to the front of its line
}

// lineOf is where somebody waits who holds so much and wishes for more.
func (a *account) lineOf(held, bytes int64) int {
	switch {
	case held+bytes <= a.limit/smallShare:
		return smallLine
	case bytes <= a.limit:
		return largeLine
	default:
		return giantLine
	}
}

// missing is how much of a wish does not fit: 0 or less if it does.
func (a *account) missing(bytes int64, line int) int64 {
	limit := a.limit
	if line == smallLine {
		limit += a.limit / reserveShare
	}
	if a.alone && a.used == 0 {
		return 0
	}
	return a.used + bytes - limit
}

// tell wakes a waiter.
func (w *waiter) tell() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// acquire takes bytes of an account for a stream, and waits until they fit. Meanwhile streams that keep memory for
// nothing are given up. It gives false if the stream or its connection is at an end. i.mu must be held; it is not held
// while the stream waits.
func (i *Intake) acquire(s *Stream, a *account, n int64) bool {
	line := a.lineOf(s.held(a), n)
	switch {
	case s.over():
		return false
	case !a.alone && line == giantLine: // never
		i.abandon(s, a)
		return false
	case len(a.lines[line]) == 0 && a.missing(n, line) <= 0:
		i.take(s, a, n)
		return true
	}
	i.counts.Waits++
	w := &waiter{stream: s, bytes: n, line: line, since: time.Now(), news: make(chan struct{}, 1)}
	a.lines[line] = append(a.lines[line], w)
	if s.conn == nil || a != &i.received {
		return i.wait(w, a)
	}
	s.conn.stopped = true
	defer func() {
		s.conn.stopped = false
		s.conn.resumes(time.Since(w.since))
	}()
	return i.wait(w, a)
}

// wait stands in line until the bytes are there. It gives false if the stream came to its end meanwhile. i.mu must be
// held; it is not held while the stream waits.
func (i *Intake) wait(w *waiter, a *account) bool {
	look := time.NewTimer(grace)
	defer look.Stop()
	for !w.has && !w.stream.over() {
		front := a.lines[w.line][0] == w
		if waited := time.Since(w.since); a == &i.received && waited > grace && w.stream.holdsUp() {
			i.abandon(w.stream, a)
			break
		} else if front {
			if victim := i.slowest(a, w.line, waited, a.missing(w.bytes, w.line)); victim != nil {
				i.abandon(victim, a)
				continue
			}
		}
		every := grace
		if front {
			every = lookAgain // for all of its line
		}
		look.Reset(every)
		i.sleep(w, look)
	}
	if w.has {
		return true // also if the stream has ended: it gives back what it holds
	}
	a.leave(w)
	i.grant(a)
	return false
}

// sleep waits until something happened that a waiter wants to know, without i.mu, which is held before and after.
func (i *Intake) sleep(w *waiter, look *time.Timer) {
	var closed <-chan struct{}
	if w.stream.conn != nil {
		closed = w.stream.conn.closed
	}
	i.unlock()
	select {
	case <-w.news:
	case <-look.C:
	case <-closed:
	case <-w.stream.ctx.Done():
	}
	i.lock()
}

// leave takes a waiter out of its line, if it stands there.
func (a *account) leave(w *waiter) {
	line := &a.lines[w.line]
	if at := slices.Index(*line, w); at >= 0 {
		*line = slices.Delete(*line, at, at+1)
	}
}

// grant gives what there is to those in front of the lines, and tells who comes to the front; i.mu must be held.
func (i *Intake) grant(a *account) {
	for n := range a.lines {
		i.grantLine(a, &a.lines[n])
	}
}

func (i *Intake) grantLine(a *account, line *[]*waiter) {
	for moved := false; len(*line) > 0; moved = true {
		w := (*line)[0]
		over := w.stream.over()
		if !over && a.missing(w.bytes, w.line) > 0 {
			if moved {
				w.tell()
			}
			return
		}
		if !over {
			i.take(w.stream, a, w.bytes)
			w.has = true
		}
		*line = slices.Delete(*line, 0, 1)
		w.tell()
	}
}

// take charges a stream, whether it fits or not; i.mu must be held.
func (i *Intake) take(s *Stream, a *account, n int64) {
	s.add(a, n)
	a.used += n
	a.peak = max(a.peak, a.used)
}

// release gives bytes back; i.mu must be held.
func (i *Intake) release(a *account, n int64) {
	a.used -= n
	i.grant(a)
}
