package main

import (
	"context"

	"github.com/quiverlog/quiver/flight"
)

// view keeps the rows of a primary-key table: it reads them as of one moment and follows the changelog from there, through
// our own client, which gets over outages once it has the rows.
type view struct {
	*client
	key    string
	rows   map[string]string
	halves map[int32]string // by bucket: the key of an update of which the second half is to come
	at     map[int32]int64  // by bucket: where the changelog goes on; nil: the rows are not all there yet
	until  map[int32]int64  // set before it is to end: it ends there
}

func (v *view) session(ctx context.Context, _ *conn) (done bool, err error) {
	c, err := flight.Dial(v.addr, flight.ClientOptions{RetryFor: patience})
	if err != nil {
		return false, err
	}
	defer c.Close() //nolint:errcheck // it was read from only
	v.rows, v.halves, v.at = map[string]string{}, map[int32]string{}, nil
	s, err := c.Scan(ctx, flight.ScanCommand{Table: flight.Named(v.table), Read: flight.ReadTableLog, Follow: true})
	if err != nil {
		return false, err
	}
	defer s.Close()
	for !v.complete() && s.Next() {
		if err := v.take(s); err != nil {
			return false, err
		}
	}
	return v.complete(), s.Err()
}

// complete tells that it has come to where it is to end.
func (v *view) complete() bool {
	if !v.ends() || v.at == nil {
		return false
	}
	for b, until := range v.until {
		if v.at[b] < until {
			return false
		}
	}
	return true
}

// take folds a batch.
func (v *view) take(s *flight.Scanner) error {
	info, batch := s.Info(), s.Batch()
	switch {
	case info.Phase == flight.PhaseLog:
		v.at = map[int32]int64{}
		for b, offset := range info.Offsets.Buckets {
			v.at[b] = int64(offset)
		}
		v.count("views", 1)
		return nil
	case v.at != nil && batch.NumRows() > 0:
		if at := v.at[info.Bucket]; int64(info.From) != at {
			return broken("view: it is at offset %d of bucket %d, and a batch begins at %d", at, info.Bucket, info.From)
		}
		v.at[info.Bucket] = int64(info.Until)
	}
	for i := range int(batch.NumRows()) {
		ch := change{bucket: info.Bucket, what: textAt(column(batch, "__change_type"), i), key: keyAt(batch, v.key, i), row: textOfRow(batch, i)}
		if err := foldChange(v.rows, v.halves, ch); err != nil {
			return broken("view: bucket %d, offsets [%d, %d) of %s: %v", info.Bucket, info.From, info.Until, v.table, err)
		}
	}
	return nil
}
