package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// logJudge compares a log table with what its clients noted. It reads the table once, row by row, and keeps of each put
// where it lies.
type logJudge struct {
	*story
	shape  shape
	found  map[int32][]place // by client, then put; bucket -1: not met yet
	faults []string
}

// maxFaults is how many contradictions are told.
const maxFaults = 20

func (j *logJudge) fault(format string, args ...any) {
	if len(j.faults) < maxFaults {
		j.faults = append(j.faults, fmt.Sprintf(format, args...))
	}
}

// newLogJudge makes one of what the clients noted.
func newLogJudge(s *story, divided shape) *logJudge {
	j := &logJudge{story: s, shape: divided, found: map[int32][]place{}}
	for client, puts := range s.clients {
		at := make([]place, len(puts))
		for i := range at {
			at[i].bucket = -1
		}
		j.found[client] = at
	}
	return j
}

// judgeLog reads a table whose clients have come to their ends, and gives every contradiction.
func judgeLog(ctx context.Context, c *conn, table string, divided shape, s *story) (faults []string, err error) {
	j := newLogJudge(s, divided)
	for _, b := range divided.places() {
		if err := j.bucket(ctx, c, table, b); err != nil {
			return nil, err
		}
	}
	j.puts()
	return j.faults, nil
}

// lying is the put whose rows are being read.
type lying struct {
	client, next, of int32
	put              int64
	begin            int64 // offset
}

// bucket reads one log. A partition that nobody put anything into is not there.
func (j *logJudge) bucket(ctx context.Context, c *conn, table string, b int32) error {
	l := j.open(b)
	command := flight.ScanCommand{Table: flight.Named(table)}
	partition, bucket := j.shape.split(b)
	if command.Bucket = &bucket; partition != "" {
		command.Partition = &partition
	}
	err := readAll(ctx, c, command, func(s *flight.Scanner) error {
		if from := int64(s.Info().From); from != l.at {
			j.fault("skipped: bucket %d goes on at offset %d, not at %d", b, from, l.at)
			l.at = from
		}
		return eachRow(s.Batch(), func(row logRow) error { l.row(row); return nil })
	})
	if err != nil && quiver.ReasonOf(err) != quiver.PartitionNotFound {
		return err
	}
	l.end()
	return nil
}

// bucketLog is one log that is being read.
type bucketLog struct {
	*logJudge
	bucket int32
	at     int64
	hash   uint64
	chosen map[int32]uint64 // by reader that has a choice: the hash over what that leaves
	run    *lying
	marks  []mark          // of readers, not met yet
	last   map[int32]int64 // of each client the put met last
}

// open begins with a log.
func (j *logJudge) open(b int32) *bucketLog {
	marks := slices.Clone(j.marks[b])
	slices.SortStableFunc(marks, func(x, y mark) int { return cmp.Compare(x.offset, y.offset) })
	return &bucketLog{logJudge: j, bucket: b, chosen: map[int32]uint64{}, marks: marks, last: map[int32]int64{}}
}

// row is the next row of the log.
func (l *bucketLog) row(row logRow) {
	if r := l.run; r == nil || row.client != r.client || row.put != r.put || row.row != r.next {
		l.ended(l.bucket, r)
		l.run = l.begun(l.bucket, l.at, row, l.last)
	}
	l.run.next++
	l.hash = chain(l.hash, row)
	for reader, choice := range l.choices {
		l.chosen[reader] = choice.chain(l.chosen[reader], row)
	}
	l.at++
	for len(l.marks) > 0 && l.marks[0].offset <= l.at {
		if l.marks[0].hash != l.hashFor(l.marks[0].reader) {
			l.fault("dirty: reader %d was shown other rows before offset %d of bucket %d", l.marks[0].reader, l.at, l.bucket)
		}
		l.marks = l.marks[1:]
	}
}

// hashFor is the hash over what a reader is to have been shown.
func (l *bucketLog) hashFor(reader int32) uint64 {
	if _, ok := l.choices[reader]; ok {
		return l.chosen[reader]
	}
	return l.hash
}

// end is the log's end.
func (l *bucketLog) end() {
	l.ended(l.bucket, l.run)
	for _, m := range l.marks {
		l.fault("dirty: reader %d was shown rows up to offset %d of bucket %d, which ends at %d", m.reader, m.offset, l.bucket, l.at)
	}
}

// begun is a put whose first row was met.
func (j *logJudge) begun(b int32, at int64, row logRow, last map[int32]int64) *lying {
	r := &lying{client: row.client, put: row.put, next: row.row, of: row.of, begin: at}
	places := j.found[row.client]
	if row.put < 0 || row.put >= int64(len(places)) {
		j.fault("invented: bucket %d, offset %d holds %s, which nobody sent", b, at, name(row.client, row.put))
		return r
	}
	if row.row != 0 {
		j.fault("torn: bucket %d, offset %d holds row %d of %s, not behind the row before", b, at, row.row, name(row.client, row.put))
	}
	if p := &places[row.put]; p.bucket < 0 {
		*p = place{b, at}
	} else {
		j.fault("doubled: %s lies in bucket %d at %d and in bucket %d at %d", name(row.client, row.put), p.bucket, p.offset, b, at)
	}
	if before, ok := last[row.client]; ok && row.put < before {
		j.fault("reordered: bucket %d, offset %d holds %s behind its put %d", b, at, name(row.client, row.put), before)
	}
	last[row.client] = max(last[row.client], row.put)
	return r
}

// ended is a put of which no more rows come.
func (j *logJudge) ended(b int32, r *lying) {
	if r != nil && r.next != r.of {
		j.fault("torn: bucket %d, offset %d holds %d rows of %s, which had %d", b, r.begin, r.next, name(r.client, r.put), r.of)
	}
}

// puts compares where puts lie with what their clients were told.
func (j *logJudge) puts() {
	for _, client := range slices.Sorted(maps.Keys(j.clients)) {
		leftOut := map[int32]int64{} // of a sequenced producer, by bucket: the first put that is not there
		for put, p := range j.clients[client] {
			at := j.found[client][put]
			j.put(client, int64(put), p, at)
			if p.writer == nil {
				continue
			}
			bucket := j.shape.placeOfPut(*p.writer, int64(put))
			switch first, gap := leftOut[bucket]; {
			case at.bucket >= 0 && at.bucket != bucket:
				j.fault("routed: %s lies in bucket %d, writer %d puts it into %d", name(client, int64(put)), at.bucket, *p.writer, bucket)
			case at.bucket < 0 && !gap:
				leftOut[bucket] = int64(put)
			case at.bucket >= 0 && gap:
				j.fault("gap: bucket %d holds %s, but not its put %d", bucket, name(client, int64(put)), first)
			}
		}
	}
}

func (j *logJudge) put(client int32, put int64, p *putStory, at place) {
	if len(p.told) > 1 {
		j.fault("told twice: %s was acknowledged at %v", name(client, put), p.told)
	}
	for _, told := range p.told {
		if at.bucket >= 0 && told != at {
			j.fault("moved: %s was acknowledged at %v and lies at %v", name(client, put), told, at)
		}
	}
	switch {
	case p.done && at.bucket < 0:
		j.fault("lost: %s was acknowledged (%v)", name(client, put), p.told)
	case at.bucket >= 0 && !p.done && !p.open:
		j.fault("ghost: %s was refused as not appended, and lies at %v", name(client, put), at)
	}
}
