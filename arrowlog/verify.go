package arrowlog

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// Verifying. A data directory that no server has open is read whole: every segment with every header and body, state
// and index files, the checkpoint. Nothing is written, not even what a start would mend.
//
// What a crash may leave is sound: a torn group beyond what was durable, a unit without its end, zeros, files being
// written, missing and older indexes, files before the log's start. What a start cuts off of that is a note. Everything
// else is a finding. Where recovery.go
// decides what to keep, this decides what to tell; both go by the same rule: below safe nothing may be missing.

// Verifier checks the logs of one data directory. Different buckets may be checked side by side.
type Verifier struct {
	disk     *Disk
	findings []quiver.Finding // of the checkpoint
	marked   bool             // its marks can be relied on
}

// NewVerifier reads the checkpoint below the data directory dir. The error is one of reading.
func NewVerifier(fsys fs.FS, dir string) (*Verifier, error) {
	o := Options{Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	d := newDisk(fsys, dir, o)
	v := &Verifier{disk: d}
	path := fsys.PathJoin(d.dir, checkpointName)
	data, err := fs.ReadFile(fsys, path)
	if isNotExist(err) {
		return v, nil
	}
	if err != nil {
		return nil, fmt.Errorf("arrowlog: read the checkpoint: %w", err)
	}
	v.checkpoint(path, data)
	return v, nil
}

// checkpoint checks both copies of the marks.
func (v *Verifier) checkpoint(path string, data []byte) {
	half := int64(len(data) / 2)
	copies := [2][]byte{data, data[half:]} // of the first one, what follows is not looked at
	bad := [2]error{}
	for i, c := range copies {
		m, err := decodeMarksOnce(c)
		if bad[i] = err; err == nil && !v.marked {
			v.disk.marks, v.marked = m, true
		}
	}
	effect := "no rows are lost: the other copy is used"
	if !v.marked {
		effect = "the server cannot tell any more how far logs were durable: rows lost at the end of one go unnoticed"
	}
	for i, err := range bad {
		if err != nil {
			from := int64(i) * half
			until := half + int64(i)*(int64(len(data))-half)
			v.findings = append(v.findings, quiver.Finding{
				Kind: quiver.FindingCheckpoint, File: path, Bytes: quiver.ByteRange{From: from, Until: until},
				Problem: fmt.Sprintf("copy %d of the checkpoint: %s", i+1, err), Effect: effect,
			})
		}
	}
	if !v.marked {
		v.disk.marks = newMarks()
	}
}

// Findings are those about the checkpoint.
func (v *Verifier) Findings() []quiver.Finding { return v.findings }

// Buckets lists the buckets that have a directory or a mark, in order.
func (v *Verifier) Buckets() ([]quiver.BucketID, error) {
	d := v.disk
	found := map[quiver.BucketID]struct{}{}
	for id := range d.marks.byID {
		found[id] = struct{}{}
	}
	tables, err := d.Tables()
	if err != nil && !isNotExist(err) {
		return nil, err
	}
	for _, table := range tables {
		names, err := d.fsys.List(d.fsys.PathJoin(d.dir, strconv.FormatUint(uint64(table), 10)))
		if err != nil {
			return nil, fmt.Errorf("arrowlog: list the partitions of table %d: %w", table, err)
		}
		for _, name := range names {
			partition, err := strconv.ParseUint(name, 10, 64)
			if err != nil {
				continue // not ours
			}
			buckets, err := d.Buckets(table, quiver.PartitionID(partition))
			if err != nil {
				return nil, err
			}
			for _, b := range buckets {
				found[quiver.BucketID{Table: table, Partition: quiver.PartitionID(partition), Bucket: b}] = struct{}{}
			}
		}
	}
	ids := make([]quiver.BucketID, 0, len(found))
	for id := range found {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareBuckets)
	return ids, nil
}

// Bytes adds up the files of a bucket's log.
func (v *Verifier) Bytes(id quiver.BucketID) int64 {
	d := v.disk
	dir := d.bucketDir(id)
	names, _ := d.fsys.List(dir)
	var n int64
	for _, name := range names {
		if info, err := d.fsys.Stat(d.fsys.PathJoin(dir, name)); err == nil {
			n += info.Size()
		}
	}
	return n
}

// Close gives back the files that are open.
func (v *Verifier) Close() error { return v.disk.files.close() }

// LogReport is what a log was found to hold.
type LogReport struct {
	Bucket     quiver.BucketID
	Start, End quiver.Offset // what a start would find: durable and whole, but for the rows in Findings
	Unit       quiver.Offset // where a unit begins that has no end; End if there is none
	High       quiver.Offset // the highest high watermark that the files tell of
	Segments   int
	Batches    int64
	Rows       int64 // that can be read
	Bytes      int64 // that were read
	Epochs     []EpochStart
	Writers    []WriterInfo // also those that a server has forgotten
	Schemas    []StoredSchema
	Findings   []quiver.Finding
	Notes      []quiver.Note // what the next start cuts off, and what an earlier one put aside

	lost bool // rows are missing
}

// Whole says that no row is missing.
func (r *LogReport) Whole() bool { return !r.lost }

// StoredSchema is a schema under which a segment holds rows.
type StoredSchema struct {
	File   string // the segment
	Schema *quiver.Schema
}
