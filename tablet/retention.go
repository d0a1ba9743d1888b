package tablet

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/internal/planted"
	"github.com/quiverlog/quiver/tablet/scan"
)

// Retention: what may go by retention.time and retention.bytes goes, a bounded number of buckets a round.
//
//	buckets that are open      looked at in memory, when something was put into them, and when they may be due
//	buckets that are not       a sweep over those that have files, a bounded number of them a round. It looks at files
//	                           only, and opens the logs that seem to be due for as long as it takes. What is not open
//	                           does not change, so when all were seen the next sweep waits for the first that may be due
//
// A bucket without files costs nothing, one that is not open a look in a long while, and a server without due buckets
// nothing at all.

// Bounds of one round.
const (
	expiriesPerRound = 64  // logs that lose something, or are opened to find out
	looksPerRound    = 512 // directories and files that a sweep looks at, and buckets that are open
	looksAtEase      = 128 // that a sweep looks at while there is time: a look takes some 40 us
)

// Sweeps follow each other at a distance of a part of the shortest retention time, within these bounds.
const (
	sweepPart  = 32
	sweepLeast = time.Second
	sweepMost  = time.Hour
)

// retention is how far the server has come with it. But for restart it belongs to Maintain.
type retention struct {
	restart atomic.Bool // what is retained may have changed

	left    []quiver.PartitionRef // partitions that the sweep has still to see; the last one is next
	buckets []int32               // of the last one of left, those still to be seen
	listed  bool                  // buckets holds them
	next    int64                 // when the next sweep begins, Unix milliseconds
	soonest int64                 // the first time at which a bucket seen by the sweep may be due, 0 if none
	least   time.Duration         // the shortest retention time of the tables swept, 0 if none
	looks   int                   // of a round of this sweep
}

// again has all buckets that are not open looked at anew.
func (r *retention) again() { r.restart.Store(true) }

// rule is what a table's buckets may lose now; ok is false if they keep everything.
func rule(meta *quiver.Table, now time.Time) (r arrowlog.Retention, ok bool) {
	o := &meta.Options
	if o.RetentionTime > 0 {
		r.OlderThan = now.Add(-o.RetentionTime).UnixMilli()
	}
	r.Bytes = o.RetentionBytes
	return r, o.RetentionTime > 0 || o.RetentionBytes > 0
}

// expire is one round of retention.
func (s *Server) expire(ctx context.Context, now time.Time) {
	orders := s.dueOpen(now)
	orders = append(orders, s.sweep(ctx, now, expiriesPerRound-len(orders))...)
	if len(orders) == 0 || ctx.Err() != nil {
		return
	}
	expiries := make([]arrowlog.Expiry, len(orders))
	for i, o := range orders {
		expiries[i] = o.expiry
	}
	defer s.rows.saves.endLook()
	done := s.disk.Expire(expiries, now)
	s.expireHeld(ctx, orders, done, now)
	for i, e := range done {
		s.expired(orders[i], e, now)
	}
}

// expireHeld goes on with primary-key buckets that retention let go less of than it may, because the checkpoint of their
// rows is too old: with a new one. It adds to what was done. Rows of a bucket that is not open may lack changes of its
// log, so it is opened; they are in the next checkpoint.
func (s *Server) expireHeld(ctx context.Context, orders []order, done []arrowlog.Expired, now time.Time) {
	var again []arrowlog.Expiry
	var places []int
	for i := range done {
		if done[i].Held {
			again, places = append(again, orders[i].expiry), append(places, i)
		}
	}
	if len(again) == 0 || !s.rows.checkpointAt(now) {
		return
	}
	for i := range again {
		again[i].Rule.Limit = s.needed(orders[places[i]].meta, again[i].Bucket)
	}
	for i, e := range s.disk.Expire(again, now) {
		o := orders[places[i]]
		e.Rows += done[places[i]].Rows
		e.Bytes += done[places[i]].Bytes
		done[places[i]] = e
		if e.Held && o.tablet == nil {
			s.bringUp(ctx, o.expiry.Bucket)
		}
	}
}

// bringUp opens a bucket whose rows may lack changes of its log.
func (s *Server) bringUp(ctx context.Context, id quiver.BucketID) {
	tablet, err := s.Tablet(id)
	if err == nil {
		_, err = tablet.leader(ctx)
	}
	if err != nil {
		s.options.Logger.Warn("retention keeps the log of a primary-key bucket: its rows cannot be brought up to it", "bucket", id.String(), "err", err)
	}
}

// order is a bucket that may lose something.
type order struct {
	expiry arrowlog.Expiry
	meta   *quiver.Table
	tablet *Tablet // nil: it is not open
}

// expired notes what became of an order.
func (s *Server) expired(o order, e arrowlog.Expired, now time.Time) {
	due := int64(0)
	switch {
	case e.Err != nil:
		s.metrics.retained.Inc()
		s.options.Logger.Warn("retention could not be carried out, to be tried again", "bucket", o.expiry.Bucket.String(), "err", e.Err)
		due = now.Add(time.Minute).UnixMilli()
	case e.Held:
		due = now.Add(checkpointEvery).UnixMilli()
	case e.Oldest != 0 && o.meta.Options.RetentionTime > 0:
		due = e.Oldest + o.meta.Options.RetentionTime.Milliseconds() + 1
	}
	if e.Rows > 0 {
		s.options.Logger.Debug("rows expired", "bucket", o.expiry.Bucket.String(), "rows", e.Rows, "bytes", e.Bytes)
	}
	if o.tablet != nil {
		if o.tablet.due.Store(due); due != 0 {
			s.due.Add(o.tablet, due)
		}
		return
	}
	s.retention.seen(due)
}

// seen notes when a bucket may be due; 0 is never.
func (r *retention) seen(due int64) {
	if due != 0 && (r.soonest == 0 || due < r.soonest) {
		r.soonest = due
	}
}

// dueOpen are the open buckets that may be due. A log that got no row since it was looked at and whose oldest rows are
// still young is not.
func (s *Server) dueOpen(now time.Time) (orders []order) {
	ms := now.UnixMilli()
	for _, t := range s.due.Take(ms, looksPerRound) {
		s.metrics.visits.Inc()
		if len(orders) == expiriesPerRound {
			s.due.Add(t, ms)
			continue
		}
		meta := t.Table()
		r, ok := rule(meta, now)
		l := t.leading.Load()
		if !ok || l == nil || t.gone() != nil {
			continue
		}
		end := int64(l.log.Durable())
		known := t.retained.Load()
		grown := known == nil || known.meta != meta || r.Bytes > 0 && known.end != end
		if due := t.due.Load(); !grown && (due == 0 && known.end == end || ms < due) {
			if due != 0 {
				s.due.Add(t, due)
			}
			continue
		}
		t.retained.Store(&retained{meta, end})
		r.Limit = s.needed(meta, t.id)
		orders = append(orders, order{arrowlog.Expiry{Bucket: t.id, Config: logConfig(meta), Rule: r}, meta, t})
	}
	return orders
}

// retained is what an open bucket was like when retention looked at it last.
type retained struct {
	meta *quiver.Table
	end  int64
}

// sweep goes on with looking at buckets that are not open, and gives at most so many that seem to be due.
func (s *Server) sweep(ctx context.Context, now time.Time, most int) (orders []order) {
	r := &s.retention
	if r.restart.Swap(false) || len(r.left) == 0 && r.next <= now.UnixMilli() {
		s.beginSweep()
	}
	if len(r.left) == 0 {
		return nil
	}
	for looks := 0; looks < r.looks && len(orders) < most && ctx.Err() == nil; looks++ {
		if !r.listed {
			s.listBuckets()
			continue
		}
		if len(r.buckets) == 0 {
			if r.left, r.listed = r.left[:len(r.left)-1], false; len(r.left) == 0 {
				r.endSweep(now)
				break
			}
			continue
		}
		ref := r.left[len(r.left)-1]
		id := quiver.BucketID{Table: ref.Table, Partition: ref.Partition, Bucket: r.buckets[0]}
		r.buckets = r.buckets[1:]
		if o, ok := s.glance(id, now); ok {
			orders = append(orders, o)
		}
	}
	return orders
}

// beginSweep lists the partitions of tables that do not keep everything.
func (s *Server) beginSweep() {
	r := &s.retention
	r.left, r.buckets, r.listed, r.soonest, r.least = nil, nil, false, 0, 0
	buckets := int64(0)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id, t := range s.tables {
		o := &t.meta.Load().Options
		if o.RetentionTime == 0 && o.RetentionBytes == 0 {
			continue
		}
		if o.RetentionTime > 0 && (r.least == 0 || o.RetentionTime < r.least) {
			r.least = o.RetentionTime
		}
		for p := range t.partitions {
			r.left = append(r.left, quiver.PartitionRef{Table: id, Partition: p})
			buckets += int64(t.meta.Load().Buckets)
		}
	}
	r.looks = looksFor(buckets, r.pause())
	r.next = s.options.Now().Add(sweepMost).UnixMilli()
}

// endSweep says when the next one begins: when a bucket may be due, but not much more often than that matters.
func (r *retention) endSweep(now time.Time) {
	r.left = nil // its memory
	r.next = now.Add(sweepMost).UnixMilli()
	if r.soonest != 0 {
		r.next = max(now.Add(r.pause()).UnixMilli(), min(r.next, r.soonest))
	}
}

// pause is the least distance of two sweeps: so much later than it may a row go.
func (r *retention) pause() time.Duration {
	if r.least == 0 {
		return sweepMost
	}
	return min(max(r.least/sweepPart, sweepLeast), sweepMost)
}

// looksFor spreads a sweep over so many buckets, most of which may have no files, as far as there is time: right after a start,
// when all of them are to be looked at, a server with many would be busy with nothing else.
func looksFor(buckets int64, within time.Duration) int {
	rounds := max(1, int64(within/time.Second)) // one a second
	return int(min(max(buckets/rounds+1, looksAtEase), looksPerRound))
}

// listBuckets finds the buckets of the sweep's next partition that have files.
func (s *Server) listBuckets() {
	r := &s.retention
	ref := r.left[len(r.left)-1]
	buckets, err := s.disk.Buckets(ref.Table, ref.Partition)
	if err != nil {
		s.options.Logger.Warn("retention looks at a partition later", "table", ref.Table, "partition", ref.Partition, "err", err)
		r.seen(s.options.Now().Add(time.Minute).UnixMilli())
	}
	r.buckets, r.listed = buckets, true
}

// glance looks at the files of a bucket that is not open; ok is true if it may be due.
func (s *Server) glance(id quiver.BucketID, now time.Time) (order, bool) {
	s.mu.RLock()
	t, p, tablet := s.findLocked(id)
	s.mu.RUnlock()
	if p == nil || tablet != nil && tablet.leading.Load() != nil {
		return order{}, false
	}
	meta := t.meta.Load()
	rule, ok := rule(meta, now)
	if !ok {
		return order{}, false
	}
	rule.Limit = s.needed(meta, id)
	o := order{expiry: arrowlog.Expiry{Bucket: id, Config: logConfig(meta), Rule: rule}, meta: meta}
	g, err := s.disk.Glance(id)
	switch {
	case err != nil, g.Rows && g.Oldest == 0:
		return o, true // to be told by opening it
	case !g.Rows:
		return order{}, false
	case rule.Bytes > 0 && g.Bytes > rule.Bytes, rule.OlderThan > 0 && g.Oldest < rule.OlderThan:
		return o, true
	}
	if rule.OlderThan > 0 {
		s.retention.seen(g.Oldest + meta.Options.RetentionTime.Milliseconds() + 1)
	}
	return order{}, false
}

// needed is the offset from which on the rows of a primary-key bucket need the log should they be lost; nil for a log
// table.
func (s *Server) needed(meta *quiver.Table, id quiver.BucketID) *quiver.Offset {
	if !meta.Keyed() || planted.Is(planted.RetentionPassesRows) {
		return nil
	}
	at, err := s.rows.saved(id)
	if err != nil {
		s.options.Logger.Warn("the checkpoint of the rows cannot be used; retention waits for a new one", "bucket", id.String(), "err", err)
	}
	return &at
}

// readTime is how long a reader keeps retention from the rows that it is on its way to.
const readTime = time.Hour

// Pin keeps the rows from an offset on from expiring while a reader is on its way to them, for an hour at most: then
// they go, and the reader is told that they are out of range. A bucket that was never read has none to keep.
func (t *Tablet) Pin(from quiver.Offset) scan.Pin {
	l := t.leading.Load()
	if l == nil {
		return nil
	}
	return l.log.Pin(from, t.server.options.Now().Add(readTime))
}

var _ scan.Pinner = (*Tablet)(nil)
