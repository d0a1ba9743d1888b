package server

import (
	"math"
	"sync/atomic"
	"testing"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

func route(t *testing.T, buckets int32, command flight.PutCommand) router {
	t.Helper()
	r, err := newRouter(new(atomic.Uint32), &quiver.Table{Buckets: buckets}, &command)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSequencedBatchesGoByWriterAndSequence(t *testing.T) {
	r := route(t, 3, flight.PutCommand{})
	for _, writer := range []quiver.WriterID{0, 17, math.MaxUint64 - 1} {
		for sequence := range quiver.Sequence(10) {
			order := flight.BatchOrder{Writer: writer, Sequence: sequence, ExpectOffset: flight.NoExpectation}
			got, err := r.bucket(order, 1<<20)
			want := int32((uint64(writer)%3 + uint64(sequence)) % 3)
			if err != nil || got != want {
				t.Fatalf("writer %d, sequence %d: bucket %d, %v; want %d", writer, sequence, got, err, want)
			}
		}
	}
}

func TestStreamsStickAndMoveOn(t *testing.T) {
	r := route(t, 3, flight.PutCommand{})
	order := flight.BatchOrder{Writer: quiver.NoWriter, Sequence: quiver.NoSequence, ExpectOffset: flight.NoExpectation}
	var filled [3]int64
	moves, last := 0, int32(-1)
	for range 60 {
		bucket, err := r.bucket(order, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if bucket != last {
			moves++
		}
		last = bucket
		filled[bucket]++
	}
	if moves != 15 || filled != [3]int64{20, 20, 20} {
		t.Errorf("%d moves, filled %v", moves, filled)
	}
}

func TestBucketsThatAreNotThere(t *testing.T) {
	five := int32(5)
	if _, err := newRouter(new(atomic.Uint32), &quiver.Table{Buckets: 5}, &flight.PutCommand{Bucket: &five}); quiver.ReasonOf(err) != quiver.BucketNotFound {
		t.Error(err)
	}
	r := route(t, 5, flight.PutCommand{})
	if _, err := r.bucket(flight.BatchOrder{Bucket: &five}, 1); quiver.ReasonOf(err) != quiver.BucketNotFound {
		t.Error(err)
	}
	order := flight.BatchOrder{Sequence: quiver.NoSequence, ExpectOffset: 7}
	if _, err := r.bucket(order, 1); quiver.ReasonOf(err) != quiver.BadCommand {
		t.Error(err)
	}
}
