package main

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver/flight"
)

// follower reads a log table on and on, and goes on where it was. What it was shown it never is shown again. One with a
// choice is shown what that leaves of it.
type follower struct {
	*client
	shape  shape
	choice *choice          // nil: all columns of all rows
	at     map[int32]int64  // by place
	chain  map[int32]uint64 // over all rows before that
	least  map[int32]int64  // where the cursor was moved to, as the answer said
	until  map[int32]int64  // set before it is to end: it ends there
}

func newFollower(c *client, s shape) *follower {
	f := &follower{client: c, shape: s, at: map[int32]int64{}, chain: map[int32]uint64{}, least: map[int32]int64{}}
	for _, b := range s.places() {
		f.at[b], f.chain[b] = 0, 0
	}
	return f
}

func (f *follower) offsets() flight.Offsets { return f.shape.offsets(f.at) }

// complete tells that it has come to where it is to end.
func (f *follower) complete() bool {
	if !f.ends() {
		return false
	}
	for b, until := range f.until {
		if f.at[b] < until {
			return false
		}
	}
	return true
}

// take checks and notes what it was shown.
func (f *follower) take(s *flight.Scanner) error {
	info, batch := s.Info(), s.Batch()
	rows := batch.NumRows()
	if info.Bucket < 0 {
		return nil
	}
	place := placeOf(info.Partition, info.Bucket)
	span := int64(info.Until - info.From)
	whole := span == rows || f.choice != nil && span > rows
	if at := f.at[place]; int64(info.From) != at || !whole || info.HighWatermark < info.Until {
		return broken("skipped: a reader is at offset %d of bucket %d, and a batch of %d rows says [%d, %d) below %d",
			at, place, rows, info.From, info.Until, info.HighWatermark)
	}
	if span == 0 {
		return nil
	}
	hash, err := f.shown(f.chain[place], batch)
	if err != nil {
		return broken("%v, at [%d, %d) of bucket %d", err, info.From, info.Until, place)
	}
	f.at[place], f.chain[place] = int64(info.Until), hash
	f.write(note{Is: isSaw, Bucket: &place, Offset: new(int64(info.Until)), Hash: hash})
	if f.choice != nil {
		f.count("rows read by choice", rows)
		return nil
	}
	f.count("rows read", rows)
	return nil
}

// shown goes on with the hash over what was shown.
func (f *follower) shown(hash uint64, batch arrow.RecordBatch) (uint64, error) {
	if f.choice != nil {
		return f.choice.chainShown(hash, batch)
	}
	err := eachRow(batch, func(r logRow) error { hash = chain(hash, r); return nil })
	return hash, err
}

// command asks for what it wants, from where it is.
func (f *follower) command() flight.ScanCommand {
	c := flight.ScanCommand{Table: flight.Named(f.table), From: flight.AtOffsetsOf(f.offsets())}
	if f.choice != nil {
		c.Columns = f.choice.columns
		if f.choice.filter != "" {
			c.Filter = &f.choice.filter
		}
	}
	return c
}

// follow is a session of one that follows.
func (f *follower) follow(ctx context.Context, c *conn) (done bool, err error) {
	command := f.command()
	command.Follow = true
	s, err := c.Scan(ctx, command)
	if err != nil {
		return false, err
	}
	defer s.Close()
	for !f.complete() && s.Next() {
		if err := f.take(s); err != nil {
			return false, err
		}
	}
	return f.complete(), s.Err()
}

// poll is a session of one that reads up to now under a cursor, and moves that.
func (f *follower) poll(ctx context.Context, c *conn) (done bool, err error) {
	cursor := f.name
	for !f.complete() {
		if err := f.stands(ctx, c, cursor); err != nil {
			return false, err
		}
		s, err := c.Scan(ctx, f.command())
		if err != nil {
			return false, err
		}
		for s.Next() {
			if err := f.take(s); err != nil {
				s.Close()
				return false, err
			}
		}
		s.Close()
		if err := s.Err(); err != nil {
			return false, err
		}
		if len(f.offsets().Buckets)+len(f.offsets().Partitions) == 0 {
			f.pause(retryAfter) // there is no partition yet
			continue
		}
		row, err := c.CommitCursor(ctx, flight.CursorCommit{Cursor: cursor, Table: flight.Named(f.table), Offsets: f.offsets()})
		if err != nil {
			return false, err
		}
		f.count("cursor commits", 1)
		for b, at := range f.at {
			if stands := f.shape.at(row.Offsets, b); stands != at {
				return false, broken("cursor: it was moved to %d in bucket %d and stands at %d", at, b, stands)
			}
			f.least[b] = at
		}
		if _, err := c.Wait(ctx, flight.LogWait{Table: flight.Named(f.table), Offsets: f.offsets(), TimeoutMS: new(int64(200))}); err != nil {
			return false, err
		}
	}
	return true, nil
}

// stands compares a cursor with where its owner is: it is there, or where it was before an answer was lost, but never
// beyond, and never before where it was told to be.
func (f *follower) stands(ctx context.Context, c *conn, cursor string) error {
	rows, err := c.Cursors(ctx, f.table)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.Cursor != cursor {
			continue
		}
		for b, at := range f.at {
			if stands := f.shape.at(row.Offsets, b); stands > at || stands < f.least[b] {
				return broken("cursor: its owner is at %d in bucket %d and moved it to %d, and it stands at %d", at, b, f.least[b], stands)
			}
		}
	}
	return nil
}

// readAll reads a table from its start to now, each batch as it comes.
func readAll(ctx context.Context, c *conn, command flight.ScanCommand, see func(*flight.Scanner) error) error {
	s, err := c.Scan(ctx, command)
	if err != nil {
		return err
	}
	defer s.Close()
	for s.Next() {
		if err := see(s); err != nil {
			return err
		}
	}
	return s.Err()
}
