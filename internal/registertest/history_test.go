package registertest

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// event is one call of a history in which calls follow each other.
type event func(h *History)

func tell(c Call, a Answer) event { return func(h *History) { h.Begin(c).Done(a) } }

func upsert(value, version int64) event {
	return tell(Call{Kind: Upsert, Value: value}, Answer{Version: version, Effect: Changed})
}

func look(value, version int64) event {
	return tell(Call{Kind: Lookup}, Answer{Found: version != Absent, Value: value, Version: version})
}

func refuse(c Call, version int64) event { return func(h *History) { h.Begin(c).Refused(version) } }

func lose(c Call) event { return func(h *History) { h.Begin(c).Lost() } }

func died(h *History) { h.Died() }

func given(version int64, c Call) Call {
	c.Conditional, c.Expected = true, version
	return c
}

// TestSerialHistories has a history of one caller for every rule, and for every way to break it.
func TestSerialHistories(t *testing.T) {
	put, remove, insert := Call{Kind: Upsert, Value: 2}, Call{Kind: Delete}, Call{Kind: InsertMissing}
	silent := Answer{Version: Untold}
	unchanged := Answer{Version: Untold, Effect: Unchanged}
	for name, c := range map[string]struct {
		good   bool
		events []event
	}{
		"nothing is there at first":            {true, []event{look(0, Absent)}},
		"something is there at first":          {false, []event{look(1, 0)}},
		"a put is seen":                        {true, []event{upsert(1, 0), look(1, 0)}},
		"a lost update":                        {false, []event{upsert(1, 0), look(0, Absent)}},
		"a stale read":                         {false, []event{upsert(1, 0), upsert(2, 2), look(1, 0)}},
		"a wrong value":                        {false, []event{upsert(1, 0), look(2, 0)}},
		"a wrong version":                      {false, []event{upsert(1, 0), look(1, 1)}},
		"a version that is told later":         {true, []event{upsert(1, 5), tell(put, silent), look(2, 7), look(2, 7)}},
		"a version that is told twice":         {false, []event{upsert(1, 5), tell(put, silent), look(2, 7), look(2, 8)}},
		"a version that goes back":             {false, []event{upsert(1, 5), tell(put, silent), look(2, 5)}},
		"a put whose version goes back":        {false, []event{upsert(1, 5), upsert(2, 4)}},
		"no change, and told so":               {true, []event{upsert(2, 5), tell(put, unchanged), look(2, 5)}},
		"no change, but said to be one":        {false, []event{upsert(2, 5), tell(put, Answer{Version: 7, Effect: Changed})}},
		"a change, but said to be none":        {false, []event{upsert(1, 5), tell(put, unchanged)}},
		"no change that gives a version":       {false, []event{upsert(2, 5), tell(put, silent), look(2, 7)}},
		"a delete is seen":                     {true, []event{upsert(1, 0), tell(remove, Answer{Version: 1, Effect: Changed}), look(0, Absent)}},
		"a delete is not seen":                 {false, []event{upsert(1, 0), tell(remove, silent), look(1, 0)}},
		"a delete of nothing":                  {true, []event{tell(remove, unchanged), look(0, Absent)}},
		"a delete of nothing that changes":     {false, []event{tell(remove, Answer{Version: 0, Effect: Changed})}},
		"a version of before a delete":         {false, []event{upsert(1, 5), tell(remove, Answer{Version: 6, Effect: Changed}), upsert(1, 6)}},
		"a row that comes back":                {false, []event{upsert(1, 5), tell(remove, silent), look(0, Absent), look(1, 5)}},
		"a condition that holds":               {true, []event{upsert(1, 5), tell(given(5, put), Answer{Version: 7, Effect: Changed}), look(2, 7)}},
		"a condition that does not":            {false, []event{upsert(1, 5), upsert(3, 7), tell(given(5, put), silent)}},
		"a refusal":                            {true, []event{upsert(1, 5), upsert(3, 7), refuse(given(5, put), 7), look(3, 7)}},
		"a refusal that changes":               {false, []event{upsert(1, 5), upsert(3, 7), refuse(given(5, put), 7), look(2, 9)}},
		"a refusal without a reason":           {false, []event{upsert(1, 5), refuse(given(5, put), Untold)}},
		"a refusal that tells its own version": {false, []event{upsert(1, 5), refuse(given(5, put), 5)}},
		"a refusal that tells a wrong version": {false, []event{upsert(1, 5), upsert(3, 7), refuse(given(5, put), 6)}},
		"a refusal that tells the version":     {true, []event{upsert(1, 5), tell(put, silent), refuse(given(5, put), 7), look(2, 7)}},
		"a refusal that told another version":  {false, []event{upsert(1, 5), tell(put, silent), refuse(given(5, put), 7), look(2, 8)}},
		"an insert where there is none":        {true, []event{tell(given(Absent, put), Answer{Version: 0, Effect: Changed}), refuse(given(Absent, put), 0)}},
		"an insert where there is one":         {false, []event{upsert(1, 5), tell(given(Absent, put), silent)}},
		"a conditional delete":                 {true, []event{upsert(1, 5), tell(given(5, remove), silent), refuse(given(5, remove), Absent)}},
		"a conditional delete, done twice":     {false, []event{upsert(1, 5), tell(given(5, remove), silent), tell(given(5, remove), silent)}},
		"insert missing":                       {true, []event{tell(insert, Answer{Found: true, Version: 3}), tell(insert, Answer{Found: true, Version: 3}), look(0, 3)}},
		"insert missing inserts twice":         {false, []event{tell(insert, Answer{Found: true, Version: 3}), tell(insert, Answer{Found: true, Version: 5})}},
		"insert missing replaces":              {false, []event{upsert(1, 5), tell(insert, Answer{Found: true, Version: 7})}},
		"insert missing finds":                 {true, []event{upsert(1, 5), tell(insert, Answer{Found: true, Value: 1, Version: 5})}},
		"insert missing finds nothing":         {false, []event{tell(insert, Answer{Version: Untold})}},
		"lost, but done":                       {true, []event{upsert(1, 5), lose(put), look(2, 7), died, look(2, 7)}},
		"lost, done late":                      {true, []event{upsert(1, 5), lose(put), look(1, 5), look(2, 7), died}},
		"lost, not done":                       {true, []event{upsert(1, 5), lose(put), look(1, 5), died, look(1, 5)}},
		"lost, done as the server died":        {true, []event{upsert(1, 5), lose(put), look(1, 5), died, look(2, 7)}},
		"lost, done after the server died":     {false, []event{upsert(1, 5), lose(put), died, look(1, 5), look(2, 7)}},
		"lost, done twice":                     {false, []event{upsert(1, 5), lose(put), look(2, 7), upsert(3, 9), look(2, 11), died}},
		"lost, undone":                         {false, []event{upsert(1, 5), lose(put), look(2, 7), died, look(1, 5)}},
		"lost, its condition held":             {true, []event{upsert(1, 5), lose(given(5, put)), died, look(2, 7)}},
		"lost, its condition did not hold":     {false, []event{upsert(1, 5), upsert(3, 7), lose(given(5, put)), died, look(2, 9)}},
		"lost inserts of what was missing":     {true, []event{lose(insert), died, look(0, 3)}},
		"lost lookups":                         {true, []event{lose(Call{Kind: Lookup}), died, look(0, Absent)}},
		"never":                                {false, []event{upsert(1, 5), func(h *History) { h.Begin(put).Never() }, look(2, 7)}},
	} {
		h := New()
		for _, e := range c.events {
			e(h)
		}
		if err := h.Check(); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhereTheSearchGotStuckIsTold(t *testing.T) {
	h := New()
	for _, e := range []event{upsert(1, 0), upsert(2, 2), look(1, 0)} {
		e(h)
	}
	err := h.Check()
	for _, part := range []string{"key 0: its 3 calls are not linearizable", "[3, 4] upsert 2 -> done, changed, at 2", "then the row is [2 at 2, above 0]", "[5, 6] lookup -> 1 at 0"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not tell %q", err, part)
		}
	}
	if h.Len() != 3 {
		t.Error(h.Len())
	}
}

// registers is the obvious server: a map under a lock. Between its lives it knows which calls it was given.
type registers struct {
	mu   sync.Mutex
	rows map[int64]state
	next int64 // version
}

func (r *registers) do(c Call) (ending, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.rows[c.Key]
	if !ok {
		s = initial
	}
	if _, meets, _ := s.meets(c); !meets {
		return ending{refused, Answer{Version: s.version}}, true
	}
	next, changed := s.carryOut(c)
	a := Answer{Version: Untold, Effect: Unchanged}
	if changed {
		a.Version, a.Effect = r.next, Changed
		if next.present {
			next.version = r.next
		} else {
			next.floor = r.next
		}
		r.next += 2
	}
	r.rows[c.Key] = next
	if c.Kind == Lookup || c.Kind == InsertMissing {
		a = Answer{Found: next.present, Value: next.value, Version: next.version}
	}
	return ending{done, a}, changed
}

// stale answers one lookup with the row as it was before the last change.
type stale struct {
	registers
	armed  atomic.Bool
	before atomic.Pointer[state] // what a key showed before its last change, if there was a row
}

func (s *stale) do(c Call) (ending, bool) {
	row := s.rows[c.Key] // alone while it is armed
	e, changed := s.registers.do(c)
	if changed && row.present {
		s.before.Store(&row)
	}
	if c.Kind == Lookup && s.armed.Swap(false) {
		old := s.before.Load()
		e.answer = Answer{Found: true, Value: old.value, Version: old.version}
	}
	return e, changed
}

// callers makes random calls of many callers, some of which are lost, through several lives of a server.
func callers(h *History, s *registers, seed uint64) {
	for life := range uint64(4) {
		var wait sync.WaitGroup
		for caller := range uint64(6) {
			wait.Go(func() {
				rng := rand.New(rand.NewPCG(seed, life*6+caller))
				seen := map[int64]int64{}
				for n := range int64(40) {
					c := Call{Key: rng.Int64N(3), Kind: Kind(rng.IntN(4)), Value: int64(life*6+caller)*1000 + n/2}
					if version, ok := seen[c.Key]; ok && (c.Kind == Upsert || c.Kind == Delete) && rng.IntN(2) == 0 {
						c.Conditional, c.Expected = true, version
					}
					p := h.Begin(c)
					if rng.IntN(40) == 0 {
						p.Lost() // on its way there
						continue
					}
					e, _ := s.do(c)
					switch {
					case rng.IntN(40) == 0:
						p.Lost() // on its way back
					case e.outcome == refused:
						p.Refused(e.answer.Version)
						seen[c.Key] = e.answer.Version
					default:
						p.Done(e.answer)
						if e.answer.Version != Untold {
							seen[c.Key] = e.answer.Version
						}
					}
				}
			})
		}
		wait.Wait()
		h.Died()
	}
}

// TestCallersOfTheObviousServer finds no fault in what callers at the same time are told by a map under a lock.
func TestCallersOfTheObviousServer(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for run := range uint64(5) {
		h := New()
		callers(h, &registers{rows: map[int64]state{}}, seed+run)
		if err := h.Check(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAStaleReadIsFound plants one stale answer amid the history of many callers.
func TestAStaleReadIsFound(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for run := range uint64(5) {
		h := New()
		s := &stale{registers: registers{rows: map[int64]state{}}}
		callers(h, &s.registers, seed+2*run)
		for _, c := range []Call{{Key: 1, Kind: Upsert, Value: -1}, {Key: 1, Kind: Upsert, Value: -2}, {Key: 1, Kind: Lookup}} {
			s.armed.Store(c.Kind == Lookup)
			p := h.Begin(c)
			e, _ := s.do(c)
			p.Done(e.answer)
		}
		if s.armed.Load() {
			t.Fatal("nothing was planted")
		}
		callers(h, &s.registers, seed+2*run+1)
		if err := h.Check(); err == nil || !strings.HasPrefix(err.Error(), "key 1: ") {
			t.Fatal(err)
		}
	}
}
