package server

import (
	"sync/atomic"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// stickyBytes is how much a stream without writer puts into one bucket before it goes to the next: enough to make
// large batches, little enough that a long stream fills all buckets alike.
const stickyBytes = 4 << 20

// router decides the bucket of each batch of a stream, on a table without bucket key. On one with partitions the batch
// goes to that bucket in each of its partitions.
//
//	"bucket" given     that one
//	sequenced          (writer id + sequence) mod buckets: a retry goes where it went before
//	round-robin        the next one
//	else               one bucket for a while, then the next
type router struct {
	table  *quiver.Table
	keyed  bool // the rows decide; what the router says does not matter
	stay   int64
	sticky int32
	filled int64 // bytes put into the sticky bucket
}

// newRouter makes the router of one stream; streams counts those of the service, which spreads them over the buckets.
func newRouter(streams *atomic.Uint32, table *quiver.Table, command *flight.PutCommand) (router, error) {
	r := router{table: table, keyed: len(table.BucketKey) > 0, stay: stickyBytes, sticky: int32(streams.Add(1) % uint32(table.Buckets))}
	if table.Options.RoundRobin {
		r.stay = 1
	}
	if command.Bucket != nil {
		return r, r.check(*command.Bucket)
	}
	return r, nil
}

// check refuses a bucket that a client names.
func (r *router) check(bucket int32) error {
	if r.keyed {
		return quiver.Errorf(quiver.BadCommand, "\"bucket\":%d names a bucket, and the table has a bucket key", bucket).
			On("table " + r.table.Path()).Advise("leave it out: each row's key decides its bucket")
	}
	return checkBucket(r.table, bucket)
}

// bucket gives the bucket of the next batch, which has so many bytes.
func (r *router) bucket(order flight.BatchOrder, bytes int64) (int32, error) {
	switch {
	case order.Bucket != nil:
		return *order.Bucket, r.check(*order.Bucket)
	case r.keyed:
		return 0, nil
	case order.Sequence != quiver.NoSequence:
		buckets := uint64(r.table.Buckets)
		return int32((uint64(order.Writer)%buckets + uint64(order.Sequence)%buckets) % buckets), nil
	case order.ExpectOffset != flight.NoExpectation && r.table.Buckets > 1:
		return 0, quiver.Errorf(quiver.BadCommand, "expect_offset needs one bucket, and the table has %d", r.table.Buckets).
			On("table " + r.table.Path()).Advise(`name the bucket: {"bucket": 0}`)
	}
	if r.filled >= r.stay {
		r.sticky, r.filled = (r.sticky+1)%r.table.Buckets, 0
	}
	r.filled += bytes
	return r.sticky, nil
}
