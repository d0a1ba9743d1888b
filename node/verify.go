package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog"
	"github.com/quiverlog/quiver/coordinator"
	"github.com/quiverlog/quiver/coordinator/metastore"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/internal/recordfile"
	"github.com/quiverlog/quiver/kv"
	"github.com/quiverlog/quiver/tablet"
)

// VerifyOptions are those of Verify.
type VerifyOptions struct {
	FS   fs.FS // nil: the operating system's
	Data string
	// Progress is told how many bytes of how many were checked; nil: nobody. Several goroutines may call it at one time.
	Progress func(done, total int64)
}

// Verification is what Verify found.
type Verification struct {
	Findings []quiver.Finding // the metadata first, then logs and rows by bucket
	Notes    []quiver.Note    // in the same order: what the next start makes good, and what earlier ones put aside
	Tables   int64
	Logs     int64 // with files
	Segments int64
	Batches  int64
	Rows     int64 // in logs
	Bytes    int64 // that were read
}

// ErrNoData means that there is no data directory where one was to be verified.
var ErrNoData = errors.New("there is no data directory")

// Verify checks a whole data directory: every checksum, chain, unit, index and writer state of the logs, the files of
// current rows, rows against their changelogs, and metadata against both. It takes the lock of the directory, changes
// nothing, and is nothing but a reader. The error is that it could not be done; what is wrong is a finding.
func Verify(ctx context.Context, o VerifyOptions) (*Verification, error) {
	if o.FS == nil {
		o.FS = fs.Disk()
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	lock, err := lockToVerify(o)
	if err != nil {
		return nil, err
	}
	v := &verification{options: o, fsys: fs.ReadOnly(o.FS)}
	if err := errors.Join(v.run(ctx), lock.Close()); err != nil {
		return nil, err
	}
	return &v.Verification, nil
}

// lockToVerify sees to it that no server has the directory open, and none takes it. A directory that never had a server
// has no lock; on a medium that cannot be written to no server runs.
func lockToVerify(o VerifyOptions) (io.Closer, error) {
	none := io.NopCloser(nil)
	if info, err := o.FS.Stat(o.Data); errors.Is(err, os.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%w at %s", ErrNoData, o.Data)
	}
	_, logs := o.FS.Stat(filepath.Join(o.Data, "log"))
	_, meta := o.FS.Stat(filepath.Join(o.Data, "meta"))
	if errors.Is(logs, os.ErrNotExist) && errors.Is(meta, os.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s: it has neither log nor meta in it", ErrNoData, o.Data)
	}
	name := filepath.Join(o.Data, "LOCK")
	if _, err := o.FS.Stat(name); errors.Is(err, os.ErrNotExist) {
		return none, nil
	}
	lock, err := o.FS.Lock(name)
	var at *os.PathError
	switch {
	case err == nil:
		return lock, nil
	case errors.Is(err, syscall.EROFS):
		return none, nil
	case errors.As(err, &at) && at.Op == "open":
		return nil, fmt.Errorf("lock the data directory %s: %w; run it as the user that the server runs as", o.Data, err)
	}
	return nil, fmt.Errorf("the data directory %s is in use by another process: stop it, or verify a copy (%w)", o.Data, err)
}

// verification is a Verify under way.
type verification struct {
	Verification
	options VerifyOptions
	fsys    fs.FS
	logs    *arrowlog.Verifier
	rows    *kv.Verifier
	meta    metaView
	done    atomic.Int64
	total   int64
}

// metaView is what the metadata says, by bucket.
type metaView struct {
	known      bool // it could be read
	tables     map[quiver.TableID]*quiver.Table
	epochs     map[quiver.BucketID]quiver.Epoch
	writers    map[quiver.WriterID]quiver.Epoch
	next       quiver.WriterID
	dropped    map[quiver.TableID]bool
	partitions map[quiver.PartitionRef]bool // dropped ones
}

// gone says that the bucket's data is being deleted: what is left of it means nothing.
func (m *metaView) gone(id quiver.BucketID) bool {
	return m.dropped[id.Table] || m.partitions[quiver.PartitionRef{Table: id.Table, Partition: id.Partition}]
}

func (v *verification) run(ctx context.Context) error {
	v.metadata(ctx)
	var err error
	if v.logs, err = arrowlog.NewVerifier(v.fsys, v.options.Data); err != nil {
		return err
	}
	v.Findings = append(v.Findings, v.logs.Findings()...)
	var found []quiver.Finding
	var notes []quiver.Note
	v.rows, found, notes = kv.NewVerifier(v.fsys, filepath.Join(v.options.Data, tablet.RowsDir), filepath.Join(v.options.Data, tablet.RowCheckpointsDir))
	v.Findings, v.Notes = append(v.Findings, found...), append(v.Notes, notes...)
	return errors.Join(v.data(ctx), v.rows.Close(), v.logs.Close())
}

// metadata reads the metadata and checks it in itself.
func (v *verification) metadata(ctx context.Context) {
	dir := filepath.Join(v.options.Data, "meta")
	report := func(err error) {
		v.Findings = append(v.Findings, quiver.Finding{Kind: quiver.FindingMetadata, File: dir, Problem: err.Error(),
			Effect: "a server does not start; restore a copy of the directory. The logs are checked without it"})
	}
	store, err := metastore.OpenReadOnly(v.fsys, dir)
	if err != nil {
		report(err)
		return
	}
	v.metadataTails(dir)
	state, err := coordinator.Load(ctx, store)
	if err := errors.Join(err, store.Close()); err != nil {
		report(err)
		return
	}
	v.meta = viewOf(state.Desired())
	v.Tables = int64(len(v.meta.tables))
}

// metadataTails tells of what stands in the metadata's files behind what a start goes by.
func (v *verification) metadataTails(dir string) {
	paths, _ := recordfile.Files(v.fsys, dir) // it was opened a moment ago, or is not there
	for _, path := range paths {
		if tail, err := recordfile.Check(v.fsys, path); err == nil && tail.From < tail.Until {
			v.Notes = append(v.Notes, quiver.Note{Kind: quiver.FindingMetadata, File: path, Bytes: quiver.ByteRange{From: tail.From, Until: tail.Until},
				Problem: "what stands here is no whole record: a crash came while it was written, or it is damaged",
				Effect:  "a start goes by the metadata that stands before it"})
		}
	}
}

func viewOf(d quiver.Desired) metaView {
	m := metaView{
		known: true, next: d.NextWriter, tables: map[quiver.TableID]*quiver.Table{}, epochs: make(map[quiver.BucketID]quiver.Epoch, len(d.Assignments)),
		writers: map[quiver.WriterID]quiver.Epoch{}, dropped: map[quiver.TableID]bool{}, partitions: map[quiver.PartitionRef]bool{},
	}
	for _, t := range d.Tables {
		m.tables[t.ID] = t
	}
	for _, a := range d.Assignments {
		m.epochs[a.Bucket] = a.Epoch
	}
	for _, w := range d.Writers {
		m.writers[w.ID] = w.Epoch
	}
	for _, id := range d.Dropped {
		m.dropped[id] = true
	}
	for _, ref := range d.DroppedPartitions {
		m.partitions[ref] = true
	}
	return m
}

// data checks logs and rows, bucket by bucket, several at a time.
func (v *verification) data(ctx context.Context) error {
	ids, err := v.buckets()
	if err != nil {
		return err
	}
	for _, id := range ids {
		v.total += v.logs.Bytes(id)
	}
	v.total += v.rows.Bytes()
	files, err := v.rows.Files(ctx, v.advance)
	if err != nil {
		return err
	}
	v.Findings = append(v.Findings, files...)
	checks := make([]bucketCheck, len(ids))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, id := range ids {
		group.Go(func() error {
			checks[i] = bucketCheck{v: v, id: id}
			return checks[i].run(within)
		})
	}
	err = group.Wait()
	for i := range checks {
		v.add(&checks[i])
	}
	v.Bytes = v.done.Load()
	return err
}

// buckets lists those that have files, a mark, or rows.
func (v *verification) buckets() ([]quiver.BucketID, error) {
	ids, err := v.logs.Buckets()
	if err != nil {
		return nil, err
	}
	rows, err := v.rows.Buckets()
	if err != nil {
		v.Findings = append(v.Findings, quiver.Finding{Kind: quiver.FindingRows, File: filepath.Join(v.options.Data, tablet.RowsDir),
			Problem: "the buckets cannot be listed: " + err.Error(), Effect: "the rows are not checked further"})
	}
	ids = append(ids, rows...)
	slices.SortFunc(ids, compareBuckets)
	return slices.Compact(ids), nil
}

func compareBuckets(a, b quiver.BucketID) int {
	return slices.Compare([]int64{int64(a.Table), int64(a.Partition), int64(a.Bucket)}, []int64{int64(b.Table), int64(b.Partition), int64(b.Bucket)})
}

func (v *verification) advance(bytes int64) { v.options.Progress(v.done.Add(bytes), v.total) }

func (v *verification) add(c *bucketCheck) {
	v.Findings, v.Notes = append(v.Findings, c.findings...), append(v.Notes, c.notes...)
	if r := c.report; r != nil && r.Segments > 0 {
		v.Logs++
		v.Segments += int64(r.Segments)
		v.Batches += r.Batches
		v.Rows += r.Rows
	}
	c.report = nil
}

// bucketCheck is the check of one bucket.
type bucketCheck struct {
	v        *verification
	id       quiver.BucketID
	report   *arrowlog.LogReport
	findings []quiver.Finding
	notes    []quiver.Note
}

func (c *bucketCheck) run(ctx context.Context) (err error) {
	m := &c.v.meta
	if m.gone(c.id) {
		return nil
	}
	table := m.tables[c.id.Table]
	config := arrowlog.VerifyConfig{Progress: c.v.advance}
	if table != nil {
		config.WriterExpiry = table.Options.WriterExpiry
	}
	if c.report, err = c.v.logs.Verify(ctx, c.id, config); err != nil {
		return err
	}
	c.findings, c.notes = append(c.findings, c.report.Findings...), c.report.Notes
	c.report.Findings, c.report.Notes = nil, nil
	if !m.known {
		return nil
	}
	epoch, assigned := m.epochs[c.id]
	if !assigned {
		c.unknown()
		return nil
	}
	c.against(table, epoch)
	if len(table.PrimaryKey) == 0 || !c.report.Whole() {
		return nil
	}
	found, err := tablet.VerifyRows(ctx, c.v.rows, c.v.logs, c.report, table)
	c.findings = append(c.findings, found...)
	return err
}

// The consequence of metadata that does not know what the logs know.
const effectOld = "the metadata is damaged or older than the logs: restore it"

func (c *bucketCheck) tell(format string, args ...any) {
	c.findings = append(c.findings, quiver.Finding{Kind: quiver.FindingMetadata, File: filepath.Join(c.v.options.Data, "meta"), Bucket: &c.id,
		Problem: fmt.Sprintf(format, args...), Effect: effectOld})
}

// unknown tells of a bucket that the metadata does not know and does not want deleted.
func (c *bucketCheck) unknown() {
	where := filepath.Join(c.v.options.Data, "log", strconv.FormatUint(uint64(c.id.Table), 10), strconv.FormatUint(uint64(c.id.Partition), 10), strconv.Itoa(int(c.id.Bucket)))
	switch table := c.v.meta.tables[c.id.Table]; {
	case table == nil:
		c.tell("there is data of table %d, such as in %s, which the metadata does not know", c.id.Table, where)
	case c.id.Bucket >= table.Buckets:
		c.tell("there is data of bucket %d of table %s, such as in %s, which has %d buckets", c.id.Bucket, table.Path(), where, table.Buckets)
	default:
		c.tell("there is data of partition %d of table %s, such as in %s, which the metadata does not know", c.id.Partition, table.Path(), where)
	}
}

// against compares what a log tells with what the metadata has given out.
func (c *bucketCheck) against(table *quiver.Table, epoch quiver.Epoch) {
	if n := len(c.report.Epochs); n > 0 && c.report.Epochs[n-1].Epoch > epoch {
		c.tell("the log of table %s has rows of epoch %d, the metadata has given out %d", table.Path(), c.report.Epochs[n-1].Epoch, epoch)
	}
	current := table.LogSchema()
	for _, s := range c.report.Schemas {
		switch {
		case s.Schema.ID() > current.ID():
			c.tell("%s has rows of schema %d, the table %s has come to schema %d", s.File, s.Schema.ID(), table.Path(), current.ID())
		case s.Schema.ID() == current.ID() && !sameColumns(s.Schema, current):
			c.tell("%s has other columns under schema %d than the table %s", s.File, s.Schema.ID(), table.Path())
		}
	}
	for _, w := range c.report.Writers {
		granted, ok := c.v.meta.writers[w.ID]
		switch {
		case w.ID >= c.v.meta.next:
			c.tell("the log of table %s has rows of writer %d, who was never issued", table.Path(), w.ID)
		case ok && w.Epoch > granted:
			c.tell("the log of table %s has rows of epoch %d of writer %d, the metadata has granted %d", table.Path(), w.Epoch, w.ID, granted)
		}
	}
}

// sameColumns says that two schemas have the same columns by id, name and type.
func sameColumns(a, b *quiver.Schema) bool {
	return slices.EqualFunc(a.Columns(), b.Columns(), func(a, b quiver.Column) bool {
		return a.ID == b.ID && a.Field.Name == b.Field.Name && quiver.FormatType(a.Field.Type) == quiver.FormatType(b.Field.Type)
	})
}
