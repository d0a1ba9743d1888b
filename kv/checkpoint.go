package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// Checkpoints. A checkpoint is a second database that has what the first one had at some moment, of hard links to the
// same tables: it costs little to make, and the disk holds on to what is replaced later for as long as it lasts. There
// is one, below a directory of its own, <number>/, which a newer one replaces:
//
//	stamp    the number goes into the database, and all that is in memory is written out
//	link     the tables are linked into <number>.tmp/, the small files copied
//	seal     the file SEAL, written last, tells the files with their sizes, and checksums of the small ones
//	prove    what was made is opened
//	rename   to <number>/, which makes it the newest; the one before is removed
//
// What is found at a start without its seal, or without its number in it, is no checkpoint. And a database that does not
// have the number of the newest checkpoint is older than that, or empty: it lost something, and is replaced (Dir.Open).

// The points of a checkpoint.
var (
	pointCheckpointFlush  = fault.New("kv.checkpoint.before-flush")
	pointCheckpointLink   = fault.New("kv.checkpoint.before-link")
	pointCheckpointSeal   = fault.New("kv.checkpoint.before-seal")
	pointCheckpointRename = fault.New("kv.checkpoint.before-rename")
	pointCheckpointRemove = fault.New("kv.checkpoint.before-remove")
)

// serial is the number of a checkpoint. They rise; 0 stands for none.
type serial int64

const (
	numberDigits = 20
	asidePrefix  = "damaged-" // begins the names of databases that were moved aside
)

// parseNumber reads the name of a checkpoint's directory.
func parseNumber(name string) (serial, bool) {
	n, err := strconv.ParseInt(name, 10, 64)
	return serial(n), err == nil && n > 0 && len(name) == numberDigits
}

func (d *Dir) checkpointDir(n serial) string {
	return d.fsys.PathJoin(d.options.Checkpoints, fmt.Sprintf("%0*d", numberDigits, int64(n)))
}

// newest is the number of the newest checkpoint, 0 if there is none, and the older ones that were not removed yet.
func (d *Dir) newest() (newest serial, older []serial, err error) {
	if d.options.Checkpoints == "" {
		return 0, nil, nil
	}
	names, err := d.fsys.List(d.options.Checkpoints)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, nil, fmt.Errorf("kv: list the checkpoints: %w", err)
	}
	for _, name := range names {
		n, ok := parseNumber(name)
		switch {
		case !ok:
		case n > newest:
			if newest > 0 {
				older = append(older, newest)
			}
			newest = n
		default:
			older = append(older, n)
		}
	}
	return newest, older, nil
}

// Checkpoint makes a checkpoint of what has been applied to the store, durably, and removes the one before. When it
// fails the one before still counts.
func (d *Dir) Checkpoint(s *Store) error {
	d.saving.Lock()
	defer d.saving.Unlock()
	if d.options.Checkpoints == "" {
		return errors.New("kv: there is no place for checkpoints")
	}
	last, older, err := d.newest()
	if err != nil {
		return err
	}
	n := max(last, s.stamp) + 1
	if err := d.makeCheckpoint(s, n); err != nil {
		return fmt.Errorf("kv: make checkpoint %d: %w", n, err)
	}
	if last > 0 {
		older = append(older, last)
	}
	d.removeCheckpoints(older)
	return nil
}

// makeCheckpoint makes a checkpoint under a temporary name, and then renames it. The caller holds saving.
func (d *Dir) makeCheckpoint(s *Store, n serial) error {
	temp := d.checkpointDir(n) + fs.TempSuffix
	err := errors.Join(fs.MakeDirs(d.fsys, d.options.Checkpoints), removeAll(d.fsys, temp))
	if err == nil {
		err = s.stampWith(n)
	}
	if err == nil {
		err = d.linkCheckpoint(s, temp, n)
	}
	if err == nil {
		err = pointCheckpointRename.Hit()
	}
	if err != nil {
		return errors.Join(err, removeAll(d.fsys, temp))
	}
	if err := d.fsys.Rename(temp, d.checkpointDir(n)); err != nil {
		return errors.Join(err, removeAll(d.fsys, temp))
	}
	return fs.SyncDir(d.fsys, d.options.Checkpoints)
}

// linkCheckpoint makes a checkpoint, whole and durable, in a directory that is not there yet.
func (d *Dir) linkCheckpoint(s *Store, temp string, n serial) error {
	if err := pointCheckpointLink.Hit(); err != nil {
		return err
	}
	err := s.engine.beside.checkpoint(func() error { return s.engine.db.Checkpoint(temp) })
	if err := errors.Join(err, s.Failed()); err != nil {
		return err
	}
	if err := pointCheckpointSeal.Hit(); err != nil {
		return err
	}
	if err := writeSeal(d.fsys, temp, n); err != nil {
		return err
	}
	made, err := d.openSealed(temp, n)
	if err != nil {
		return err
	}
	return made.close()
}

// removeCheckpoints removes those that a newer one replaced. One that stays is removed with the next.
func (d *Dir) removeCheckpoints(older []serial) {
	for _, n := range older {
		err := pointCheckpointRemove.Hit()
		if err == nil {
			err = removeAll(d.fsys, d.checkpointDir(n))
		}
		if err != nil {
			d.options.Logger.Warn("an old checkpoint of rows could not be removed, to be tried again with the next one", "number", int64(n), "err", err)
		}
	}
}

func removeAll(fsys fs.FS, path string) error {
	if err := fsys.RemoveAll(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// stampKey is the key of the number of the checkpoint that was made, or begun, last.
var stampKey = []byte{familyStamp}

// stampWith notes the number of a checkpoint that is being made, and makes durable what has been applied.
func (s *Store) stampWith(n serial) error {
	if err := pointCheckpointFlush.Hit(); err != nil {
		return err
	}
	if err := s.engine.db.Set(stampKey, binary.BigEndian.AppendUint64(nil, uint64(n)), pebble.NoSync); err != nil {
		return err
	}
	s.stamp = n
	return s.Flush()
}

// readStamp reads the number of the newest checkpoint that was made of a database.
func (e *engine) readStamp() (serial, error) {
	b, closer, err := e.db.Get(stampKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = closer.Close() }() // it gives memory back
	if len(b) != 8 {
		return 0, errRow
	}
	return serial(binary.BigEndian.Uint64(b)), nil
}

// Checkpoint is the newest checkpoint of a directory, to look into.
type Checkpoint struct {
	number serial
	engine *engine
}

// Newest gives a name to the newest checkpoint: another one has another. "": there is none.
func (d *Dir) Newest() (string, error) {
	n, _, err := d.newest()
	if err != nil || n == 0 {
		return "", err
	}
	return d.checkpointDir(n), nil
}

// Saved opens the newest checkpoint, nil if there is none. It must be closed, and no checkpoint made meanwhile.
func (d *Dir) Saved() (*Checkpoint, error) {
	n, _, err := d.newest()
	if err != nil || n == 0 {
		return nil, err
	}
	e, err := d.openSealed(d.checkpointDir(n), n)
	if err != nil {
		return nil, fmt.Errorf("kv: open checkpoint %d: %w", n, err)
	}
	return &Checkpoint{n, e}, nil
}

// Close ends it.
func (c *Checkpoint) Close() error { return c.engine.close() }

// Mark is how far a bucket had come, zero if the checkpoint does not have it.
func (c *Checkpoint) Mark(id quiver.BucketID) (Mark, error) {
	m, err := c.engine.mark(id)
	if err != nil {
		return Mark{}, fmt.Errorf("kv: read checkpoint %d: %w", c.number, err)
	}
	return m, nil
}

// HasTable says whether the checkpoint has anything of a table.
func (c *Checkpoint) HasTable(id quiver.TableID) (bool, error) {
	return c.has(appendBucket(nil, quiver.BucketID{Table: id})[:1+8])
}

// HasPartition says whether the checkpoint has anything of a partition.
func (c *Checkpoint) HasPartition(ref quiver.PartitionRef) (bool, error) {
	return c.has(appendBucket(nil, quiver.BucketID{Table: ref.Table, Partition: ref.Partition})[:1+8+8])
}

func (c *Checkpoint) has(prefix []byte) (bool, error) {
	it, err := c.engine.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return false, err
	}
	found := it.First()
	return found, errors.Join(it.Close(), c.engine.failure())
}

// Held is how many bytes on the disk only the newest checkpoint holds: tables that the database has replaced since.
// Total is how many the checkpoint has.
func (d *Dir) Held() (held, total int64, err error) {
	d.saving.Lock() // the newest stays while it is looked at
	defer d.saving.Unlock()
	n, _, err := d.newest()
	if err != nil || n == 0 {
		return 0, 0, err
	}
	names, err := d.fsys.List(d.checkpointDir(n))
	if err != nil {
		return 0, 0, fmt.Errorf("kv: list checkpoint %d: %w", n, err)
	}
	live, err := d.fsys.List(d.database())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, 0, fmt.Errorf("kv: list the database: %w", err)
	}
	there := make(map[string]struct{}, len(live))
	for _, name := range live {
		there[name] = struct{}{}
	}
	for _, name := range names {
		if !strings.HasSuffix(name, tableSuffix) {
			continue
		}
		info, err := d.fsys.Stat(d.fsys.PathJoin(d.checkpointDir(n), name))
		if err != nil {
			return 0, 0, fmt.Errorf("kv: look at checkpoint %d: %w", n, err)
		}
		total += info.Size()
		if _, ok := there[name]; !ok {
			held += info.Size()
		}
	}
	return held, total, nil
}
