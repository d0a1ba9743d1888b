package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quiverlog/quiver"
)

// nemesis gives the server one life after the other, and each its end.
type nemesis struct {
	*world
	server  *server
	random  *rand.Rand
	points  []string // of the program
	faults  map[string]bool
	rotten  bool             // a table of the store of rows is damaged: who finds that while it closes the store says so and ends with 1
	tables  []quiver.TableID // that there are
	flipped flips
	settle  time.Duration // settleWithin, or less in tests
	died    func()        // is told, while no server runs, that the last one is dead; nil: nobody is
	look    func()        // reads everything that can be read and violates what is wrong in it
	put     func() error  // puts a row into a log; without an error it was acknowledged
}

// The faults that can be chosen.
const (
	faultKill  = "kill"  // kill -9 at any moment
	faultTerm  = "term"  // SIGTERM: the server drains
	faultPoint = "point" // kill -9 at a fault point
	faultError = "error" // an operation fails at a fault point
	faultPause = "pause" // SIGSTOP, and SIGCONT later
	faultFull  = "full"  // the disk is full
	faultSync  = "sync"  // a sync or write fails: the disk is fenced until the next start
	faultSlow  = "slow"  // syncs are slow
	faultTorn  = "torn"  // garbage behind the end of logs, as a torn write leaves it
	faultFlip  = "flip"  // a bit is flipped in a closed segment, for one life
	faultCache = "cache" // a bit is flipped in a file that can be made again, for good
	faultClock = "clock" // the wall clock steps
)

var allFaults = []string{faultKill, faultTerm, faultPoint, faultError, faultPause, faultFull, faultSync, faultSlow, faultTorn, faultFlip, faultCache, faultClock}

// life is how one process of the server runs.
type life struct {
	kind    string // a fault, or "" for none
	flags   []string
	env     []string
	trouble *trouble // of its disk; nil: none
	may     bool     // it may die by itself, of SIGKILL
	fails   bool     // it may exit with an error when it is told to stop
}

// plain is a life without faults.
var plain = life{}

// draw chooses the next life.
func (n *nemesis) draw() life {
	weights := []struct {
		fault  string
		weight int
	}{{"", 40}, {faultPoint, 28}, {faultError, 10}, {faultSlow, 4}, {faultFull, 6}, {faultSync, 8}, {faultClock, 7}}
	total := 0
	for _, w := range weights {
		total += w.weight
	}
	x, kind := n.random.IntN(total), ""
	for _, w := range weights {
		if x -= w.weight; x < 0 {
			kind = w.fault
			break
		}
	}
	hit := 1 + int(n.random.ExpFloat64()*10)
	if kind != "" && !n.faults[kind] {
		return plain
	}
	l := life{kind: kind}
	switch kind {
	case faultPoint:
		l.env, l.may = n.order("kill@%d", hit), true
	case faultError:
		l.env, l.fails = n.order("error@%d", hit), true
	case faultFull, faultSync, faultSlow:
		if kind != faultFull || n.random.IntN(4) > 0 {
			return n.drawTrouble(kind)
		}
		l.flags = []string{"--disk-reserve", strconv.FormatInt(1<<60, 10)}
	case faultClock:
		l.env = []string{"QUIVER_FAULT_CLOCK=" + n.steps()}
	}
	return l
}

// order arms a point that the life is to come to.
func (n *nemesis) order(verb string, hit int) []string {
	return []string{"QUIVER_FAULT=" + pick(n.random, n.points...) + "=" + fmt.Sprintf(verb, hit)}
}

// steps are offsets of the wall clock that take turns.
func (n *nemesis) steps() string {
	out := make([]string, 1+n.random.IntN(4))
	for i := range out {
		out[i] = pick(n.random, "0s", "-1h", "-26h", "3s", "90m", "26h", "-1s")
	}
	return strings.Join(out, ",")
}

// live starts a life. One that dies at its start is buried, and a plain one follows.
func (n *nemesis) live(l life) error {
	if n.died != nil && !n.server.running() {
		n.died()
	}
	err := n.server.start(n.ctx, l)
	if errors.Is(err, errDied) && l.may {
		n.count("kills", 1)
		n.count("kills at a fault point", 1)
		return n.live(plain)
	}
	if err != nil && l.fails && !n.server.running() {
		n.count("failed starts", 1) // the error came while it opened its files
		return n.live(plain)
	}
	if err == nil && l.kind != "" {
		n.count("lives with "+l.kind, 1)
	}
	return err
}

// step is one life from its start to its end, and what happens to the disk afterwards.
func (n *nemesis) step() error {
	l := n.draw()
	if err := n.live(l); err != nil {
		return err
	}
	n.pauses()
	if l.trouble != nil {
		if err := n.suffer(l.trouble); err != nil {
			return err
		}
	}
	span := time.Duration(pick(n.random, 50.0, 300, 300, 1500) * n.random.Float64() * float64(time.Millisecond))
	term := n.random.IntN(100) < 12 && n.faults[faultTerm]
	if l.kind == faultFull {
		span += 500 * time.Millisecond
	}
	t := time.NewTimer(span)
	defer t.Stop()
	select {
	case <-n.ctx.Done():
		n.server.kill()
	case <-n.server.exited:
		if !l.may || !n.server.killed() {
			n.violate("died: the server ended by itself with %v; its log is %s", n.server.cmd.ProcessState, n.server.log)
		}
		n.count("kills", 1)
		n.count("kills at a fault point", 1)
	case <-t.C:
		n.end(l, term)
	}
	if n.over() {
		return nil // the files stay as they are
	}
	if err := n.damage(); err != nil || n.over() {
		return err
	}
	return n.verifySome()
}

// end ends a life.
func (n *nemesis) end(l life, term bool) {
	if !term {
		n.server.kill()
		n.count("kills", 1)
		return
	}
	code, err := n.server.stop()
	switch {
	case err != nil:
		n.violate("%v", err)
	case code == -1 && l.may && n.server.killed():
		n.count("kills", 1)
		n.count("kills at a fault point", 1)
	case code != 0 && !l.fails && !n.rotten:
		n.violate("died: SIGTERM ended the server with %v; its log is %s", n.server.cmd.ProcessState, n.server.log)
	default:
		n.count("stops", 1)
	}
}

// pauses stops the process for a while, now and then.
func (n *nemesis) pauses() {
	if !n.faults[faultPause] || n.random.IntN(100) >= 12 {
		return
	}
	n.wait(time.Duration(n.random.IntN(100)) * time.Millisecond)
	n.server.signal(syscall.SIGSTOP)
	n.wait(time.Duration(50+n.random.IntN(1000)) * time.Millisecond)
	n.server.signal(syscall.SIGCONT)
	n.count("pauses", 1)
}

// wait lets time pass, until the run ends.
func (n *nemesis) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-n.ctx.Done():
	}
}

// rest starts a life without faults that lasts.
func (n *nemesis) rest() error { return n.live(plain) }
