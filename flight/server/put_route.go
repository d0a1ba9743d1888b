package server

import (
	"sync/atomic"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// stickyBytes is how much a stream without writer puts into one bucket before it goes to the next: enough to make
// large batches, little enough that a long stream fills all buckets alike.
const stickyBytes = 4 << 20

// router decides the bucket of each batch of a stream, on a table without bucket key.
//
//	"bucket" given     that one
//	sequenced          (writer id + sequence) mod buckets: a retry goes where it went before
//	else               one bucket for a while, then the next
type router struct {
	table  *quiver.Table
	sticky int32
	filled int64 // bytes put into the sticky bucket
}

// newRouter makes the router of one stream; streams counts those of the service, which spreads them over the buckets.
func newRouter(streams *atomic.Uint32, table *quiver.Table, command *flight.PutCommand) (router, error) {
	if command.Bucket != nil {
		if err := checkBucket(table, *command.Bucket); err != nil {
			return router{}, err
		}
	}
	return router{table: table, sticky: int32(streams.Add(1) % uint32(table.Buckets))}, nil
}

// bucket gives the bucket of the next batch, which has so many bytes.
func (r *router) bucket(order flight.BatchOrder, bytes int64) (int32, error) {
	switch {
	case order.Bucket != nil:
		return *order.Bucket, checkBucket(r.table, *order.Bucket)
	case order.Sequence != quiver.NoSequence:
		buckets := uint64(r.table.Buckets)
		return int32((uint64(order.Writer)%buckets + uint64(order.Sequence)%buckets) % buckets), nil
	case order.ExpectOffset != flight.NoExpectation && r.table.Buckets > 1:
		return 0, quiver.Errorf(quiver.BadCommand, "expect_offset needs one bucket, and the table has %d", r.table.Buckets).
			On("table " + r.table.Path()).Advise(`name the bucket: {"bucket": 0}`)
	}
	if r.filled >= stickyBytes {
		r.sticky, r.filled = (r.sticky+1)%r.table.Buckets, 0
	}
	r.filled += bytes
	return r.sticky, nil
}
