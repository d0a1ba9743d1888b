package arrowlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/fs"
)

// seeded runs the body with seeds, which it prints when they fail; QUIVER_SEED runs one again, and QUIVER_RUNS sets how
// many times as many runs as usual there are.
func seeded(t *testing.T, runs int, body func(t *testing.T, r *rand.Rand)) {
	t.Helper()
	if raceDetector {
		runs = (runs + 3) / 4
	}
	if s := os.Getenv("QUIVER_RUNS"); s != "" {
		times, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		runs *= times
	}
	first := rand.Uint64() >> 1
	if s := os.Getenv("QUIVER_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, runs = seed, 1
	}
	for i := range uint64(runs) {
		seed := first + i
		held := buf.Live()
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { body(t, rand.New(rand.NewPCG(seed, 1))) }) {
			t.Fatalf("again with QUIVER_SEED=%d", seed)
		}
		if now := buf.Live(); now != held {
			t.Fatalf("seed %d: %d buffers are still held", seed, now-held)
		}
	}
}

// model is what a log must hold, as its producers know it.
type model struct {
	units []modelUnit
	acked quiver.Offset // rows before it are acknowledged
	start quiver.Offset // acknowledged start
	asked quiver.Offset // start that was asked for, perhaps in vain
}

type modelUnit struct {
	origin      Origin
	numbers     []int64
	from, until quiver.Offset
}

func (m *model) clone() model { c := *m; c.units = slices.Clone(m.units); return c }

func (m *model) end() quiver.Offset {
	if len(m.units) == 0 {
		return 0
	}
	return m.units[len(m.units)-1].until
}

// rows gives the numbers of the rows [from, until).
func (m *model) rows(from, until quiver.Offset) []int64 {
	var out []int64
	for _, u := range m.units {
		lo, hi := max(from, u.from), min(until, u.until)
		if lo < hi {
			out = append(out, u.numbers[lo-u.from:hi-u.from]...)
		}
	}
	return out
}

// cut forgets the units that are not in a log that ends there.
func (m *model) cut(end quiver.Offset) error {
	i := len(m.units)
	for i > 0 && m.units[i-1].until > end {
		i--
	}
	m.units = m.units[:i]
	if m.end() != end {
		return fmt.Errorf("the log ends at %d, which is the end of no unit", end)
	}
	return nil
}

// trace runs random operations on a log and keeps the model of what must come of them.
type trace struct {
	*world
	r       *rand.Rand
	model   model
	log     *Log
	next    int64
	writers []quiver.Sequence // last sequence staged, by writer
	broken  bool              // the log failed; its end is to be found out by opening it
	// highest is the end of what may be on the disk: no row at or behind it was written, say the outcomes.
	highest quiver.Offset
}

func newTrace(t testing.TB, fsys fs.FS, r *rand.Rand) *trace {
	tr := &trace{world: newWorld(t, fsys), r: r, writers: []quiver.Sequence{-1, -1, -1}}
	tr.config.SegmentBytes = 3000 + r.Int64N(6000)
	tr.config.SegmentAge = 10 * time.Second
	tr.opts.MergeBelow = []int{-1, 2000, 64 << 10}[r.IntN(3)]
	tr.opts.GroupBytes = []int{2000, 16 << 20}[r.IntN(2)]
	tr.opts.ReadBytes = []int{1, 3000, 1 << 20}[r.IntN(3)]
	tr.opts.OpenFiles = []int{1, 4, 100}[r.IntN(3)]
	tr.opts.IndexBytes = []int64{1, 1 << 20}[r.IntN(2)]
	tr.opts.ZeroAhead = []int{1, 8 << 10}[r.IntN(2)]
	tr.opts.ProjectFrom = []int{1, 64 << 10}[r.IntN(2)]
	tr.opts.GiveBack = []time.Duration{time.Second, 30 * time.Second}[r.IntN(2)]
	return tr
}

// begin opens the disk, checks it against the model and takes the lead.
func (tr *trace) begin() error {
	l, err := tr.tryOpen()
	if err != nil {
		return err
	}
	tr.log = l
	if err := tr.recovered(); err != nil {
		return err
	}
	return nil
}

// recovered checks a log that was just opened and leads it.
func (tr *trace) recovered() error {
	if err := tr.model.check(tr.log); err != nil {
		return err
	}
	tr.epoch++
	if err := tr.log.Lead(tr.epoch); err != nil {
		return err
	}
	end := tr.log.Durable()
	if end > tr.highest && tr.broken {
		return fmt.Errorf("the log ends at %d, but rows from %d on were reported as not done", end, tr.highest)
	}
	if err := tr.model.cut(end); err != nil {
		return err
	}
	tr.broken = false
	tr.log.SetHighWatermark(end)
	tr.model.acked = end
	tr.model.start = tr.log.Start()
	tr.resetWriters()
	return tr.model.checkWriters(tr.log)
}

// resetWriters makes the writers go on after what is in the log.
func (tr *trace) resetWriters() {
	for i := range tr.writers {
		tr.writers[i] = -1
	}
	for _, u := range tr.model.units {
		if u.origin.sequenced() {
			tr.writers[u.origin.Writer] = u.origin.Sequence
		}
	}
}

// stage stages one random unit.
func (tr *trace) stage() error {
	pieces := 1
	if tr.r.IntN(4) == 0 {
		pieces += tr.r.IntN(3)
	}
	u := modelUnit{origin: anonymous(0)}
	var batches []*record.Batch
	for range pieces {
		n := 1 + tr.r.IntN(4)
		if tr.r.IntN(10) == 0 {
			n = 50 + tr.r.IntN(300)
		}
		ns := count(tr.next, n)
		tr.next += int64(n)
		u.numbers = append(u.numbers, ns...)
		batches = append(batches, tr.batch(ns...))
	}
	if w := tr.r.IntN(4); w < len(tr.writers) {
		u.origin = from(quiver.WriterID(w), tr.writers[w]+1+quiver.Sequence(tr.r.IntN(2)), 0)
		u.origin.Previous = tr.writers[w]
	}
	u.origin.Rows = int64(len(u.numbers))
	s, err := tr.log.Stage(batches, u.origin)
	if err != nil {
		return err
	}
	u.from, u.until = s.From, s.Until
	if s.From != tr.model.end() || s.Duplicate {
		return fmt.Errorf("staged at %+v, the log ends at %d", s, tr.model.end())
	}
	tr.model.units = append(tr.model.units, u)
	if u.origin.sequenced() {
		tr.writers[u.origin.Writer] = u.origin.Sequence
	}
	return nil
}

// sync waits for all that is staged and keeps the outcome.
func (tr *trace) sync() error {
	tr.highest = tr.model.acked
	for _, u := range tr.model.units {
		if u.until <= tr.model.acked {
			continue
		}
		err := tr.log.Sync(context.Background(), u.until)
		var e *quiver.Error
		switch {
		case err == nil:
			tr.model.acked = u.until
			tr.highest = u.until
			tr.log.SetHighWatermark(u.until)
		case errors.As(err, &e) && e.Outcome == quiver.Unknown:
			tr.highest = u.until
			tr.broken = true
		case errors.As(err, &e):
			tr.broken = true
		default:
			return err
		}
	}
	if tr.broken != (tr.log.Failed() != nil) {
		return fmt.Errorf("the outcomes say broken=%v, the log %w", tr.broken, tr.log.Failed())
	}
	return nil
}

// step does one random thing. Errors of a failing disk come back as errInjected.
func (tr *trace) step() error {
	tr.clock.advance(time.Duration(tr.r.IntN(3000)) * time.Millisecond)
	switch k := tr.r.IntN(21); {
	case k < 12:
		for range 1 + tr.r.IntN(4) {
			if err := tr.stage(); err != nil {
				return err
			}
		}
		return tr.sync()
	case k < 15:
		return tr.disk.Maintain(tr.clock.Now())
	case k == 15:
		tr.log.Roll()
		return nil
	case k == 16:
		span := int64(tr.model.acked - tr.model.start)
		if span == 0 || tr.r.IntN(2) == 0 {
			return nil
		}
		tr.model.asked = tr.model.start + quiver.Offset(tr.r.Int64N(span+1))
		if err := tr.log.DeleteBefore(tr.model.asked); err != nil {
			return err
		}
		tr.model.start = tr.model.asked
		return nil
	case k == 17:
		if err := tr.disk.Close(); err != nil {
			return err
		}
		return tr.begin()
	case k == 18:
		return tr.expire()
	default:
		return tr.model.check(tr.log)
	}
}

// expire carries out a random rule, sometimes on a log that is not open. What may go at the most is what the rule says
// of rows; segments keep more.
func (tr *trace) expire() error {
	rule := Retention{Bytes: tr.r.Int64N(8000)}
	if tr.r.IntN(2) == 0 {
		rule = Retention{OlderThan: tr.clock.Now().Add(-time.Duration(tr.r.IntN(8000)) * time.Millisecond).UnixMilli()}
	}
	limit := tr.model.acked
	var pin *Pin
	if tr.r.IntN(3) == 0 && tr.model.acked > tr.model.start {
		limit = tr.model.start + quiver.Offset(tr.r.Int64N(int64(tr.model.acked-tr.model.start)+1))
		pin = tr.log.Pin(limit, time.Time{})
	}
	closed := pin == nil && tr.r.IntN(4) == 0
	if closed {
		if err := tr.disk.Close(); err != nil {
			return err
		}
		d, err := OpenDisk(tr.fsys, "data", tr.opts)
		if err != nil {
			return err
		}
		tr.disk = d
	}
	tr.model.asked = limit
	e := tr.disk.Expire([]Expiry{{Bucket: bucket, Config: tr.config, Rule: rule}}, tr.clock.Now())[0]
	if pin != nil {
		pin.Release()
	}
	if closed {
		if len(tr.disk.slots) > 0 {
			return errors.New("a log that was not open takes a slot")
		}
		l, err := tr.disk.Log(bucket, tr.config)
		if err != nil {
			return err
		}
		tr.log = l
		promised := tr.model.start
		if e.Err == nil {
			tr.model.start = tr.log.Start()
		}
		err = tr.recovered()
		if e.Err != nil {
			tr.model.start = promised // the new one may be in memory alone
		}
		return errors.Join(e.Err, err)
	}
	if e.Err != nil {
		return e.Err
	}
	start := tr.log.Start()
	if start > limit || int64(start-tr.model.start) != e.Rows {
		return fmt.Errorf("%d rows expired, the log starts at %d, before at %d, pinned at %d", e.Rows, start, tr.model.start, limit)
	}
	tr.model.start = start
	return tr.checkExpired(rule, e)
}

// checkExpired compares what is left with the rule, by an obvious way: rows of the segments that are there.
func (tr *trace) checkExpired(rule Retention, e Expired) error {
	if rule.Bytes > 0 {
		return nil
	}
	if e.Oldest != 0 && e.Oldest < rule.OlderThan && tr.log.pinnedLocked(tr.log.high, tr.clock.Now()) == tr.log.high &&
		tr.model.asked == tr.model.acked {
		return fmt.Errorf("rows of %d stay, the rule lets go what is older than %d", e.Oldest, rule.OlderThan)
	}
	for i, s := range tr.log.segments {
		x, err := s.loadIndex()
		if tr.log.open && i == len(tr.log.segments)-1 {
			x, err = &index{entries: tr.log.entries}, nil
		}
		if err != nil {
			return err
		}
		if n := len(x.entries); i == 0 && n > 0 && x.entries[n-1].time != e.Oldest {
			return fmt.Errorf("the oldest segment ends at the time %d, told is %d", x.entries[n-1].time, e.Oldest)
		}
	}
	return nil
}

// check compares the log with the model: everything acknowledged is there, and beyond it only what was staged, in
// order.
func (m *model) check(l *Log) error {
	start, end, high := l.Start(), l.Durable(), l.HighWatermark()
	if start < m.start || start > max(m.asked, m.start) {
		return fmt.Errorf("the log starts at %d, it was asked to start at %d, before at %d", start, m.asked, m.start)
	}
	if end < m.acked || end > m.end() || high > end {
		return fmt.Errorf("the log ends at %d with the high watermark %d; acknowledged %d, staged %d", end, high, m.acked, m.end())
	}
	for _, cols := range [][]int{nil, {0}} {
		got, err := numbersIn(l, start, end, cols)
		if err != nil {
			return err
		}
		if want := m.rows(start, end); !slices.Equal(got, want) {
			return fmt.Errorf("rows [%d, %d) of columns %v: %v, want %v", start, end, cols, got, want)
		}
	}
	return checkFold(l)
}

// checkWriters asks for every sequenced unit in the log as if it were repeated.
func (m *model) checkWriters(l *Log) error {
	newest := map[quiver.WriterID]int{}
	for i := len(m.units) - 1; i >= 0; i-- {
		u := m.units[i]
		if !u.origin.sequenced() {
			continue
		}
		newest[u.origin.Writer]++
		s, repeat, err := l.Seen(u.origin)
		want := Staged{From: u.from, Until: u.until, Duplicate: true, Known: true}
		if newest[u.origin.Writer] > remembered {
			want = Staged{Duplicate: true}
		}
		if err != nil || !repeat || s != want {
			return fmt.Errorf("sequence %d of writer %d: %+v %v %w, want %+v", u.origin.Sequence, u.origin.Writer, s, repeat, err, want)
		}
	}
	return nil
}

// checkFold compares the writer state and the epochs with those that the log says when it is read from its start.
func checkFold(l *Log) error {
	segments := l.segments
	if len(segments) == 0 {
		return nil
	}
	again, _, err := segments[0].readState()
	if err != nil {
		return fmt.Errorf("state of the first segment: %w", err)
	}
	for i, s := range segments {
		if s.base != again.next {
			return fmt.Errorf("segment %d begins at %d, the one before ends at %d", i, s.base, again.next)
		}
		state, _, err := s.readState()
		if err != nil {
			return fmt.Errorf("state of segment %d: %w", i, err)
		}
		if err := sameFold(state, again); err != nil {
			return fmt.Errorf("state file of segment %d: %w", i, err)
		}
		if err := s.foldInto(again); err != nil {
			return err
		}
	}
	return sameFold(l.fold, again)
}

func sameFold(got, want *fold) error {
	g, w := *got, *want
	g.writers.purge, w.writers.purge = 0, 0
	if !reflect.DeepEqual(g, w) {
		return fmt.Errorf("the fold is %+v %v, read again it is %+v %v", g, g.writers.byID, w, w.writers.byID)
	}
	return nil
}
