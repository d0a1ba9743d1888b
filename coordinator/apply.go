package coordinator

import (
	"fmt"
	"math"
	"slices"

	"github.com/quiverlog/quiver"
)

func (c StartServer) apply(s *State) (*change, error) {
	ch := s.newChange()
	if s.version == 0 {
		ch.head = head{NextTable: 1, NextWriter: 1, NextPartition: 1}
		ch.create(databasePrefix+quiver.DefaultDatabase, databaseRecord{Created: c.Now})
	}
	epoch, err := ch.nextEpoch()
	if err != nil {
		return nil, err
	}
	ch.head.Format = format
	ch.head.Incarnation++
	ch.head.Base = epoch
	ch.result.Epoch = epoch
	return ch, nil
}

func (c Elect) apply(s *State) (*change, error) {
	t := s.tableByID(c.Bucket.Table)
	switch {
	case t == nil:
		return nil, quiver.Errorf(quiver.TableNotFound, "it does not exist").On(fmt.Sprintf("table %d", c.Bucket.Table))
	case !hasPartition(t, c.Bucket.Partition):
		return nil, quiver.Errorf(quiver.PartitionNotFound, "it does not exist").
			On(fmt.Sprintf("table %s, partition %d", t.Path(), c.Bucket.Partition))
	case c.Bucket.Bucket < 0 || c.Bucket.Bucket >= t.Buckets:
		return nil, quiver.Errorf(quiver.BucketNotFound, "it does not exist; the table has buckets 0 to %d", t.Buckets-1).
			On(fmt.Sprintf("table %s, partition %d, bucket %d", t.Path(), c.Bucket.Partition, c.Bucket.Bucket))
	}
	ch := s.newChange()
	epoch, err := ch.nextEpoch()
	if err != nil {
		return nil, err
	}
	ch.put(electKey(c.Bucket), electRecord{Epoch: epoch})
	ch.result.Epoch = epoch
	return ch, nil
}

// hasPartition says whether a table has a partition: an unpartitioned one has 0.
func hasPartition(t *quiver.Table, id quiver.PartitionID) bool {
	if !t.Partitioned() {
		return id == 0
	}
	return slices.ContainsFunc(t.Partitions, func(p quiver.Partition) bool { return p.ID == id })
}

// nextEpoch takes an epoch that no leader ever had.
func (c *change) nextEpoch() (quiver.Epoch, error) {
	if c.head.Epoch == math.MaxInt32 {
		return 0, quiver.Errorf(quiver.Internal, "leader epochs are used up: %d were given", c.head.Epoch).WithOutcome(quiver.NotDone)
	}
	c.head.Epoch++
	return c.head.Epoch, nil
}
