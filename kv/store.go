package kv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// The points of the store.
var (
	pointOpen        = fault.New("kv.open.before")
	pointBeforeApply = fault.New("kv.advance.before-apply")
	pointAfterApply  = fault.New("kv.advance.after-apply")
	pointBeforeDrop  = fault.New("kv.drop.before-excise")
	pointBeforeMove  = fault.New("kv.move.before-rename")
)

// Options of a Store.
type Options struct {
	CacheBytes    int64        // of blocks, and as much more as memtables are not using; 0: 64 MiB
	MemtableBytes int64        // of one memtable, of which there may be four; 0: 32 MiB
	HeldBytes     int64        // of rows written or found lately that are found again without a search; 0: 64 MiB, less than 512 KiB: none
	ChangeBytes   int          // of the rows that one batch finds and of its changelog, at most; 0: 1 GiB
	Checkpoints   string       // the directory of checkpoints; "": none are made. Not below the store's own
	Logger        *slog.Logger // nil: none

	readOnly bool
}

// What Options stand for when they say nothing.
const (
	defaultCache    = 64 << 20
	defaultMemtable = 32 << 20
	defaultHeld     = 64 << 20
)

func (o Options) withDefaults() Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	if o.MemtableBytes == 0 {
		o.MemtableBytes = defaultMemtable
	}
	if o.HeldBytes == 0 {
		o.HeldBytes = defaultHeld
	}
	if o.ChangeBytes == 0 {
		o.ChangeBytes = defaultChange
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store is the rows of all buckets of one data directory.
type Store struct {
	engine   *engine
	readOnly bool // nothing is written, not even a schema
	restored bool
	stamp    serial // of the checkpoint that was begun last; after opening under Dir.saving

	mu      sync.Mutex
	schemas map[storedSchema]*quiver.Schema // that are known to be in the database
}

// storedSchema names a schema of a table.
type storedSchema struct {
	table  quiver.TableID
	schema quiver.SchemaID
}

// Dir is the directory of a store. It outlives the stores in it: one that failed is replaced by a new one while whoever
// reads from the old one finishes. The directory is locked against other processes, not each store: Pebble's own lock
// would be held by the failed one.
type Dir struct {
	fsys    fs.FS
	dir     string
	options Options
	lock    io.Closer

	saving sync.Mutex // held while checkpoints are made, removed or read as a whole
}

// What is below the directory of the store.
const (
	databaseDir = "db"
	lockFile    = "LOCK"
)

// OpenDir takes a directory, which is made if it does not exist.
func OpenDir(fsys fs.FS, dir string, o Options) (*Dir, error) {
	d := &Dir{fsys: fsys, dir: dir, options: o.withDefaults()}
	if err := fs.MakeDirs(fsys, dir); err != nil {
		return nil, fmt.Errorf("kv: make the directory %s: %w", dir, err)
	}
	if err := fs.SyncDir(fsys, fsys.PathDir(dir)); err != nil {
		return nil, fmt.Errorf("kv: sync the directory above %s: %w", dir, err)
	}
	lock, err := fsys.Lock(fsys.PathJoin(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("kv: lock the directory %s: %w", dir, err)
	}
	d.lock = lock
	return d, nil
}

func (d *Dir) database() string { return d.fsys.PathJoin(d.dir, databaseDir) }

// unlocked is a file system where every lock can be had.
type unlocked struct{ fs.FS }

func (unlocked) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Open opens the store. At most one that has not failed is open at a time. A database that is not there, or of no use,
// is made again from the newest checkpoint; else it begins empty, and everything in it has to be made again from logs.
func (d *Dir) Open() (*Store, error) {
	if err := pointOpen.Hit(); err != nil {
		return nil, err
	}
	restored, err := d.restoreMissing()
	if err != nil {
		return nil, err
	}
	s, err := d.openDatabase()
	if err != nil && !passing(err) {
		d.options.Logger.Error("the database of rows cannot be used", "err", err)
		if _, moveErr := d.MoveAside(); moveErr != nil {
			return nil, errors.Join(err, moveErr)
		}
		if restored, err = d.restoreMissing(); err != nil {
			return nil, err
		}
		s, err = d.openDatabase()
	}
	if err != nil {
		return nil, err
	}
	s.restored = restored
	return s, nil
}

// openDatabase opens the database as it is, or an empty one. It is not older than the newest checkpoint.
func (d *Dir) openDatabase() (*Store, error) {
	if err := errors.Join(fs.MakeDirs(d.fsys, d.database()), fs.SyncDir(d.fsys, d.dir)); err != nil {
		return nil, fmt.Errorf("kv: make the directory %s: %w", d.database(), err)
	}
	lock, err := pebble.LockDirectory(d.database(), unlocked{d.fsys})
	if err != nil {
		return nil, fmt.Errorf("kv: lock the directory %s: %w", d.database(), err)
	}
	newest, _, err := d.newest()
	if err != nil {
		return nil, err
	}
	e, err := openEngine(d.fsys, d.database(), lock, d.options)
	if err != nil {
		return nil, fmt.Errorf("kv: open the database in %s: %w", d.database(), err)
	}
	stamp, err := e.readStamp()
	if err == nil && stamp < newest {
		err = errBehind
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kv: open the database in %s: %w", d.database(), err), e.close())
	}
	return &Store{engine: e, stamp: stamp, schemas: map[storedSchema]*quiver.Schema{}}, nil
}

// Close gives the directory back. The stores were closed before.
func (d *Dir) Close() error { return d.lock.Close() }

// Close writes out what is in memory and closes the database. All readers must have been closed.
func (s *Store) Close() error {
	if s.readOnly || s.Failed() != nil {
		return s.engine.close()
	}
	// Without a write-ahead log, closing the database alone loses what is in memory.
	return errors.Join(s.engine.db.Flush(), s.engine.close())
}

// Restored says that the store was made from its checkpoint when it was opened.
func (s *Store) Restored() bool { return s.restored }

// Failed is nil, or why the store answers nothing any more: the disk failed, or damage was found. It has to be opened
// anew, if need be empty: all that is in it can be made again from logs, but for what these keep no more.
func (s *Store) Failed() error {
	if err := s.engine.failure(); err != nil {
		return fmt.Errorf("kv: the database failed: %w", err)
	}
	return nil
}

// Damaged says that the store failed because what is on the disk is damaged: opened again as it is, it fails again.
func (s *Store) Damaged() bool {
	err := s.engine.failure()
	return err != nil && (pebble.IsCorruptionError(err) || errors.Is(err, errRow))
}

// Flush makes durable what was applied.
func (s *Store) Flush() error { return errors.Join(s.engine.db.Flush(), s.Failed()) }

// Durable tells the mark of a bucket that a crash would leave: the log is needed from there on.
func (s *Store) Durable(id quiver.BucketID) (Mark, error) {
	key := markKey(id)
	it, err := s.engine.db.NewIter(&pebble.IterOptions{LowerBound: key, UpperBound: after(key), OnlyReadGuaranteedDurable: true})
	if err != nil {
		return Mark{}, s.readError(err)
	}
	var m Mark
	if it.First() {
		m, err = decodeMark(it.Value())
	}
	return m, s.readError(errors.Join(err, it.Close()))
}

// readError adds to an error of a read whether the store failed by it.
func (s *Store) readError(err error) error {
	if err == nil {
		return s.Failed()
	}
	if pebble.IsCorruptionError(err) || errors.Is(err, errRow) {
		s.engine.fail(err)
	}
	return fmt.Errorf("kv: read: %w", err)
}

// Drop forgets a bucket.
func (s *Store) Drop(ctx context.Context, id quiver.BucketID) error {
	return s.excise(ctx, appendBucket(nil, id))
}

// DropPartition forgets a partition's buckets.
func (s *Store) DropPartition(ctx context.Context, ref quiver.PartitionRef) error {
	return s.excise(ctx, appendBucket(nil, quiver.BucketID{Table: ref.Table, Partition: ref.Partition})[:1+8+8])
}

// DropTable forgets a table.
func (s *Store) DropTable(ctx context.Context, id quiver.TableID) error {
	if err := s.excise(ctx, appendBucket(nil, quiver.BucketID{Table: id})[:1+8]); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for known := range s.schemas {
		if known.table == id {
			delete(s.schemas, known)
		}
	}
	return s.excise(ctx, schemaKey(id, 0)[:1+8])
}

// excise drops all keys that begin with a prefix, without reading or writing them. It is durable when it returns.
func (s *Store) excise(ctx context.Context, prefix []byte) error {
	if err := pointBeforeDrop.Hit(); err != nil {
		return err
	}
	err := s.engine.db.Excise(ctx, pebble.KeyRange{Start: prefix, End: after(prefix)})
	if err != nil {
		return fmt.Errorf("kv: drop rows: %w", err)
	}
	return s.Failed()
}

// keepSchema makes sure that a schema can be found again by rows that are stored under it. It is written before them,
// and what Pebble keeps over a crash is everything up to some write.
func (s *Store) keepSchema(table quiver.TableID, schema *quiver.Schema) error {
	name := storedSchema{table, schema.ID()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.schemas[name] != nil {
		return nil
	}
	if s.readOnly {
		s.schemas[name] = schema
		return nil
	}
	if err := s.engine.db.Set(schemaKey(table, schema.ID()), schema.Encode(), pebble.NoSync); err != nil {
		return fmt.Errorf("kv: keep a schema: %w", err)
	}
	s.schemas[name] = schema
	return s.Failed()
}

// schema finds a schema that rows are stored under.
func (s *Store) schema(table quiver.TableID, id quiver.SchemaID) (*quiver.Schema, error) {
	name := storedSchema{table, id}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.schemas[name]; known != nil {
		return known, nil
	}
	text, closer, err := s.engine.db.Get(schemaKey(table, id))
	if err != nil {
		return nil, s.readError(fmt.Errorf("schema %d of table %d: %w", id, table, err))
	}
	found, err := quiver.DecodeSchema(bytes.Clone(text))
	if err := errors.Join(err, closer.Close()); err != nil {
		return nil, s.readError(errors.Join(errRow, err))
	}
	s.schemas[name] = found
	return found, nil
}

// markBytes is the length of an encoded mark.
const markBytes = 8 + 4 + 8

func (m Mark) encode() []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, markBytes), uint64(m.Applied))
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Epoch))
	return binary.LittleEndian.AppendUint64(b, uint64(m.Rows))
}

func decodeMark(b []byte) (Mark, error) {
	if len(b) != markBytes {
		return Mark{}, errRow
	}
	return Mark{
		Applied: quiver.Offset(binary.LittleEndian.Uint64(b)),
		Epoch:   quiver.Epoch(binary.LittleEndian.Uint32(b[8:])),
		Rows:    int64(binary.LittleEndian.Uint64(b[12:])),
	}, nil
}

// mark reads the mark of a bucket; one that was never written is zero.
func (s *Store) mark(r pebble.Reader, id quiver.BucketID) (Mark, error) {
	m, err := readMark(r, id)
	return m, s.readError(err)
}

func readMark(r pebble.Reader, id quiver.BucketID) (Mark, error) {
	b, closer, err := r.Get(markKey(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return Mark{}, nil
	}
	if err != nil {
		return Mark{}, err
	}
	m, err := decodeMark(b)
	return m, errors.Join(err, closer.Close())
}
