package server

import (
	"context"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/tablet"
)

// pointNextBucket stands before every bucket of a batch but its first: what comes before it is staged.
var pointNextBucket = fault.New("flight.put.before-next-bucket")

// part is what one bucket has of a batch.
type part struct {
	tablet    *tablet.Tablet
	partition string
	bucket    int32
	place     tablet.Staged // where the rows lie
}

// load is what is to become a part: the rows of a batch that fall into one bucket.
type load struct {
	part
	unit   []*record.Batch
	rows   *tablet.Rows // of a primary-key table, in the place of unit
	origin tablet.Origin
}

func release(unit []*record.Batch) {
	for _, piece := range unit {
		piece.Release()
	}
}

func releaseLoads(loads []load) {
	for i := range loads {
		release(loads[i].unit)
		if loads[i].rows != nil {
			loads[i].rows.Batch.Release()
		}
	}
}

// stagePart stages a load, which it takes over.
func (r *receiver) stagePart(l *load) (tablet.Staged, error) {
	if l.rows == nil {
		return l.tablet.Put(r.ctx, l.unit, l.origin)
	}
	defer l.rows.Batch.Release()
	return l.tablet.Upsert(r.ctx, l.rows, l.origin)
}

// sealFrom is the size from which a batch is stored as it is. Its checksums are computed here, while the bucket's disk
// is busy with what came before; smaller ones are merged first.
const sealFrom = 64 << 10

// stage gives a batch with rows to its buckets. Whatever can refuse the batch before its buckets do, does so before
// anything of it is staged.
func (r *receiver) stage(batch *record.Batch, order flight.BatchOrder) error {
	loads, err := r.loads(batch, order)
	if err != nil {
		return err
	}
	item := staged{rows: int64(batch.Rows()), sequence: order.Sequence, bytes: r.charged, came: r.came}
	ran, err := r.queue.push(func() (staged, error) {
		item.failure = r.stageAll(&item, loads)
		return item, item.failure
	})
	if !ran {
		releaseLoads(loads)
		return nil
	}
	if len(item.parts()) > 0 {
		r.charged = 0 // the settler gives it back
	}
	if err != nil {
		return err
	}
	if r.grant.large {
		for _, p := range item.parts() {
			_ = p.tablet.Wait(r.ctx, p.place) // until its memory is free; the settler asks what became of it
		}
	}
	return nil
}

// stageAll stages the loads one by one. After one that is refused nothing more is staged: the stream has failed, and a
// retry with the same sequences gives every bucket what it lacks.
func (r *receiver) stageAll(item *staged, loads []load) error {
	for i := range loads {
		l := &loads[i]
		if i > 0 {
			if err := pointNextBucket.Hit(); err != nil {
				releaseLoads(loads[i:])
				return err
			}
		}
		place, err := r.stagePart(l)
		if err != nil {
			releaseLoads(loads[i+1:])
			return err
		}
		l.place = place
		item.add(l.part, len(loads))
		if item.sequence != quiver.NoSequence {
			r.previous[l.tablet] = item.sequence
		}
	}
	return nil
}

// loads divides a batch among its buckets, all of which are there when it returns.
func (r *receiver) loads(batch *record.Batch, order flight.BatchOrder) (loads []load, err error) {
	bucket, err := r.route.bucket(order, int64(batch.Size()))
	if err != nil {
		return nil, err
	}
	if r.divider == nil {
		l, err := r.load(batch, quiver.BucketID{Table: r.table.ID, Bucket: bucket}, order, r.single[0].unit[:0])
		if err != nil {
			return nil, err
		}
		r.single[0] = l
		return r.single[:], nil
	}
	shares, err := r.divide(batch, order)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, s := range shares {
			s.Batch.Release()
		}
		if err != nil {
			releaseLoads(loads)
		}
	}()
	partitions, err := r.partitions(shares)
	if err != nil {
		return nil, err
	}
	loads = make([]load, 0, len(shares))
	for _, s := range shares {
		id := quiver.BucketID{Table: r.table.ID, Partition: partitions[s.Partition], Bucket: s.Bucket}
		if s.Bucket == record.NoBucket {
			id.Bucket = bucket
		}
		l, err := r.load(s.Batch, id, order, nil)
		if err != nil {
			return loads, err
		}
		loads = append(loads, l)
	}
	return loads, nil
}

// divide gives the shares of a batch, and refuses one that asks for less than it has.
func (r *receiver) divide(batch *record.Batch, order flight.BatchOrder) ([]record.Share, error) {
	shares, err := r.divider.Divide(batch)
	if err != nil {
		return nil, err
	}
	if err = r.checkShares(shares, order); err != nil {
		for _, s := range shares {
			s.Batch.Release()
		}
		return nil, err
	}
	return shares, nil
}

func (r *receiver) checkShares(shares []record.Share, order flight.BatchOrder) error {
	if r.within != "" {
		for _, s := range shares {
			if s.Partition != r.within {
				return quiver.Errorf(quiver.SchemaMismatch, "a row belongs to partition %s, and the put is to partition %s", s.Partition, r.within).
					Advise("put to the table, and each row finds its partition")
			}
		}
	}
	if order.ExpectOffset != flight.NoExpectation && len(shares) > 1 {
		return quiver.Errorf(quiver.BadCommand, "expect_offset needs a batch that falls into one bucket, and this one falls into %d", len(shares)).
			Advise("divide the rows by bucket first, or leave expect_offset out")
	}
	return nil
}

// load makes the unit of one bucket, in memory for it that may be nil.
func (r *receiver) load(batch *record.Batch, id quiver.BucketID, order flight.BatchOrder, unit []*record.Batch) (load, error) {
	t, err := r.service.tablets.Tablet(id)
	if err != nil {
		return load{}, err
	}
	made := load{
		part:   part{tablet: t, partition: t.PartitionName(), bucket: id.Bucket},
		origin: r.origin(batch, order, t),
	}
	if r.table.Keyed() {
		made.rows = r.keyedRows(batch, order)
		return made, nil
	}
	unit, err = batch.AppendSplit(unit, storedBytes)
	if err != nil {
		return load{}, err
	}
	for _, piece := range unit {
		if piece.Size() >= sealFrom {
			piece.Seal()
		}
	}
	made.unit = unit
	return made, nil
}

// origin says where a batch comes from, for the rules of repeats and order.
func (r *receiver) origin(batch *record.Batch, order flight.BatchOrder, t *tablet.Tablet) tablet.Origin {
	origin := tablet.Origin{
		Writer: order.Writer, WriterEpoch: order.Epoch, Sequence: order.Sequence, Previous: quiver.NoSequence,
		ExpectOffset: order.ExpectOffset, Rows: int64(batch.Rows()),
	}
	if previous, known := r.previous[t]; known {
		origin.Previous = previous
		origin.PreviousAcked = r.isAcked(t, previous)
	}
	return origin
}

// partitions gives the ids of the shares' partitions by name, and makes those that are missing.
func (r *receiver) partitions(shares []record.Share) (map[string]quiver.PartitionID, error) {
	if !r.table.Partitioned() {
		return nil, nil
	}
	table, err := r.service.coordinator.TableByID(r.table.ID)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]quiver.PartitionID, 1)
	var missing []string
	for _, s := range shares {
		if _, done := ids[s.Partition]; done {
			continue
		}
		p, ok := table.Partition(s.Partition)
		ids[s.Partition] = p.ID
		if !ok {
			missing = append(missing, s.Partition)
		}
	}
	if len(missing) == 0 {
		return ids, nil
	}
	made, err := r.service.makePartitions(r.ctx, table, missing)
	if err != nil {
		return nil, err
	}
	for i, name := range missing {
		ids[name] = made[i].ID
	}
	return ids, nil
}

// makePartitions makes the partitions of rows that are written, if the table has that.
func (s *Service) makePartitions(ctx context.Context, table *quiver.Table, names []string) ([]quiver.Partition, error) {
	if !table.Options.CreateOnWrite {
		return nil, quiver.Errorf(quiver.PartitionNotFound, "there is no partition %s, and partition.create-on-write is false", names[0]).
			On("table " + table.Path()).Advise("create it with partition.create")
	}
	made, _, err := s.coordinator.CreatePartitions(ctx, table.ID, names, true)
	if err != nil {
		return nil, err
	}
	s.metrics.partitions.Add(float64(len(names)))
	return made, nil
}
