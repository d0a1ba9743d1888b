//go:build fault

package fault

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Enabled tells whether the program was built with the tag "fault".
const Enabled = true

// ErrInjected is the cause of every failure that an "error@n" of the environment makes.
var ErrInjected = errors.New("injected fault")

// Point is one named place.
type Point struct {
	name  string
	state *state
}

// state is what a point has beyond its name; Points are copied, this is not.
type state struct {
	hits  atomic.Int64
	armed atomic.Pointer[func() error]
}

func newPoint(name string) Point { return Point{name: name, state: new(state)} }

// Hit marks that the place was reached. It does what the point is armed with and returns its error.
func (p Point) Hit() error {
	p.state.hits.Add(1)
	if act := p.state.armed.Load(); act != nil {
		return (*act)()
	}
	return nil
}

// Hits returns how often the point of that name was reached since the program started.
func Hits(name string) int64 { return mustFind(name).state.hits.Load() }

// Arm makes every hit of the point call act, from whatever goroutine gets there, and return its error. A point is
// armed once at a time; disarm ends it.
func Arm(name string, act func() error) (disarm func()) {
	s := mustFind(name).state
	if !s.armed.CompareAndSwap(nil, &act) {
		panic(fmt.Sprintf("fault: point %q is armed already", name))
	}
	return func() { s.armed.CompareAndSwap(&act, nil) }
}

// At returns a function that acts at its n-th call, counted from 1, and returns nil at every other.
func At(n int64, act func() error) func() error {
	var calls atomic.Int64
	return func() error {
		if calls.Add(1) == n {
			return act()
		}
		return nil
	}
}

func mustFind(name string) Point {
	p, err := find(name)
	if err != nil {
		panic("fault: " + err.Error())
	}
	return p
}

// setup arms all of the orders, or none if one is wrong.
func setup(orders string) error {
	armed := map[string]func() error{}
	for order := range strings.SplitSeq(orders, ",") {
		name, act, err := parseOrder(order)
		if err != nil {
			return err
		}
		if armed[name] != nil {
			return fmt.Errorf("point %q is named twice", name)
		}
		armed[name] = act
	}
	for name, act := range armed {
		Arm(name, act)
	}
	return nil
}

// parseOrder reads "<point>=<kill|error>@<n>".
func parseOrder(order string) (name string, act func() error, err error) {
	name, action, _ := strings.Cut(strings.TrimSpace(order), "=")
	verb, count, _ := strings.Cut(action, "@")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		return "", nil, fmt.Errorf("%q is not <point>=kill@<n> or <point>=error@<n> with n from 1", order)
	}
	if _, err := find(name); err != nil {
		return "", nil, err
	}
	switch verb {
	case "kill":
		act = kill
	case "error":
		act = func() error { return fmt.Errorf("%w at %s", ErrInjected, name) }
	default:
		return "", nil, fmt.Errorf("%q: a point can kill or error, not %q", order, verb)
	}
	return name, At(n, act), nil
}

// kill ends the process as kill -9 does: no deferred call runs, nothing is flushed.
func kill() error {
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGKILL); err != nil {
		panic(err)
	}
	select {} // the signal may arrive a moment later; nothing else may happen before
}

// ClockVariable is the environment variable that has the wall clock of a real server step: offsets, separated by commas,
// that take turns, each for a while. "0s,-26h,3s".
const ClockVariable = "QUIVER_FAULT_CLOCK"

// clockTurn is how long one offset lasts.
const clockTurn = 300 * time.Millisecond

// Clock gives the clock that the environment asks for; nil: none, the system's will do. It panics if that says nonsense:
// a test that steps no clock must not pass.
func Clock() func() time.Time {
	text := os.Getenv(ClockVariable)
	if text == "" {
		return nil
	}
	var offsets []time.Duration
	for offset := range strings.SplitSeq(text, ",") {
		d, err := time.ParseDuration(offset)
		if err != nil {
			panic(fmt.Sprintf("fault: %s=%q: %v", ClockVariable, text, err))
		}
		offsets = append(offsets, d)
	}
	began := time.Now()
	return func() time.Time {
		now := time.Now()
		turn := int(now.Sub(began) / clockTurn)
		// The monotonic reading is dropped: what measures by two looks at this clock is to see the steps.
		return now.Add(offsets[turn%len(offsets)]).Round(0)
	}
}
