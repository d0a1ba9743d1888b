package registertest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// History is the calls of many callers. Its methods may be called from many goroutines.
type History struct {
	mu    sync.Mutex // guards what follows, and every Pending
	clock int64      // ticks at every event, so that no two are at the same time
	keys  map[int64][]*Pending
	lost  []*Pending // whose server may live
	calls int
	all   int // that were lost
}

// New gives an empty history.
func New() *History { return &History{keys: make(map[int64][]*Pending)} }

// Pending is a call that was begun. One of its methods ends it; one that is never ended counts as lost.
type Pending struct {
	history *History
	call    Call
	begun   int64
	ended   int64 // math.MaxInt64: not known to have ended
	ending  ending
}

// Begin notes a call right before it is made.
func (h *History) Begin(c Call) *Pending {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	p := &Pending{history: h, call: c, begun: h.clock, ended: math.MaxInt64, ending: ending{outcome: lost}}
	h.keys[c.Key] = append(h.keys[c.Key], p)
	h.calls++
	return p
}

// Done notes right after a call returned what it gave.
func (p *Pending) Done(a Answer) { p.end(ending{done, a}) }

// Refused notes that the condition did not hold: the key had another version, which is Untold if that was not told.
func (p *Pending) Refused(version int64) { p.end(ending{refused, Answer{Version: version}}) }

func (p *Pending) end(e ending) {
	p.history.mu.Lock()
	defer p.history.mu.Unlock()
	p.history.clock++
	p.ended, p.ending = p.history.clock, e
}

// Lost notes that nobody knows what became of the call. It may still be under way, until Died.
func (p *Pending) Lost() {
	p.history.mu.Lock()
	defer p.history.mu.Unlock()
	p.history.lost = append(p.history.lost, p)
	p.history.all++
}

// Never notes that the call surely had no effect, and takes it out.
func (p *Pending) Never() {
	h := p.history
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.keys[p.call.Key]
	h.keys[p.call.Key] = slices.Delete(all, slices.Index(all, p), slices.Index(all, p)+1)
	h.calls--
}

// Died notes that the server is dead, before it is started again: no call that was lost before takes effect any more.
func (h *History) Died() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	for _, p := range h.lost {
		p.ended = h.clock
	}
	h.lost = nil
}

// Len is how many calls there are.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls
}

// Lost is how many of them were lost.
func (h *History) Lost() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all
}

// checkTime is how long the search may take for one key: no answer is no good one.
const checkTime = 2 * time.Minute

// Check says which keys have no order that explains all answers, and where the search got stuck. All calls have ended. Each
// call that was lost may double what has to be searched.
func (h *History) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var faults []error
	for key, calls := range h.keys {
		if err := check(calls); err != nil {
			faults = append(faults, fmt.Errorf("key %d: %w", key, err))
		}
	}
	return errors.Join(faults...)
}

func check(calls []*Pending) error {
	var history []porcupine.Operation
	for _, p := range calls {
		if p.ending.outcome == lost && p.call.Kind == Lookup {
			continue // tells nothing
		}
		history = append(history, porcupine.Operation{Input: p.call, Call: p.begun, Output: p.ending, Return: p.ended})
	}
	switch result, info := porcupine.CheckOperationsVerbose(model, history, checkTime); result {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return fmt.Errorf("its %d calls are not linearizable: %s", len(history), stuck(history, info))
	}
	return fmt.Errorf("no order of its %d calls was found within %v, nor that there is none", len(history), checkTime)
}

var model = nondeterministic.ToModel()

var nondeterministic = &porcupine.NondeterministicModel{
	Init: func() []any { return []any{initial} },
	Step: func(s, call, end any) (may []any) {
		for _, next := range step(s.(state), call.(Call), end.(ending)) {
			may = append(may, next)
		}
		return may
	},
	Hash: func(s any) uint64 {
		h := s.(state)
		return uint64(h.value)*0x9e3779b97f4a7c15 ^ uint64(h.version)<<20 ^ uint64(h.floor)
	},
}

// around is how many calls are told of on each side of where the search got stuck.
const around = 12

// stuck tells the end of the longest order that was found, and the first calls that it has no place for.
func stuck(history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []int
	for _, orders := range info.PartialLinearizations() {
		for _, order := range orders {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	var b strings.Builder
	placed := make(map[int]bool, len(longest))
	fmt.Fprintf(&b, "%d of them are in order, at last", len(longest))
	states := model.Init()
	for i, n := range longest {
		placed[n] = true
		_, states = model.Step(states, history[n].Input, history[n].Output)
		if i >= len(longest)-around {
			fmt.Fprintf(&b, "\n  %s", line(history[n]))
		}
	}
	fmt.Fprintf(&b, "\nthen the row is %v, which does not explain", states)
	left := 0
	for n := range history {
		if placed[n] {
			continue
		}
		if left++; left <= around {
			fmt.Fprintf(&b, "\n  %s", line(history[n]))
		}
	}
	return b.String()
}

func line(op porcupine.Operation) string {
	until := fmt.Sprint(op.Return)
	if op.Return == math.MaxInt64 {
		until = "…"
	}
	return fmt.Sprintf("[%d, %s] %s", op.Call, until, describe(op.Input.(Call), op.Output.(ending)))
}
