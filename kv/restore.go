package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
)

// What becomes of a database that is lost or damaged:
//
//	not there, and a checkpoint is     the checkpoint is read whole; good, it becomes the database
//	cannot be opened, or has damage,   it is moved aside, and as above
//	or is older than its checkpoint
//	the checkpoint has damage too      it is moved aside, and the database begins empty: rows are made again from the
//	                                   logs, or, bucket by bucket, from what was moved aside (Rescue)
//
// What was moved aside stays until somebody removes it. An error that tells of the system and not of the data, a full
// disk say, moves nothing: it is given back, and the next attempt may be luckier.

// The points of a restore.
var (
	pointRestoreLink   = fault.New("kv.restore.before-link")
	pointRestoreRename = fault.New("kv.restore.before-rename")
	pointRescueCopy    = fault.New("kv.rescue.before-copy")
	pointRescueMark    = fault.New("kv.rescue.before-mark")
)

// errBehind means that a database does not have what its checkpoint has.
var errBehind = errors.New("kv: the database is older than its checkpoint")

// passing says that an error tells of the system, and nothing about what is on the disk.
func passing(err error) bool {
	return slices.ContainsFunc([]error{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EACCES, syscall.EPERM, syscall.EROFS,
	}, func(errno error) bool { return errors.Is(err, errno) })
}

// restoreMissing makes the database from the newest checkpoint, if there is none and that is good. It tells whether it
// did.
func (d *Dir) restoreMissing() (bool, error) {
	exists, err := d.exists()
	if err != nil || exists {
		return false, err
	}
	n, _, err := d.newest()
	if err != nil || n == 0 {
		return false, err
	}
	sealed, err := d.prove(n)
	switch {
	case err == nil:
	case passing(err):
		return false, fmt.Errorf("kv: read checkpoint %d: %w", n, err)
	default:
		d.options.Logger.Error("the checkpoint of rows is damaged: rows are made again from the logs, or from what is good in it", "number", int64(n), "err", err)
		_, err := d.moveAside(d.options.Checkpoints, d.checkpointDir(n))
		return false, err
	}
	if err := d.linkDatabase(n, sealed); err != nil {
		return false, fmt.Errorf("kv: restore checkpoint %d: %w", n, err)
	}
	d.options.Logger.Warn("the rows were restored from their checkpoint", "number", int64(n))
	return true, nil
}

// exists says whether there is a database. Tables without a manifest are what is left of one, and are moved aside.
func (d *Dir) exists() (bool, error) {
	about, err := pebble.Peek(d.database(), d.fsys)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil || about.Exists {
		return true, nil //nolint:nilerr // opening it tells what is wrong
	}
	names, err := d.fsys.List(d.database())
	if err != nil {
		return false, fmt.Errorf("kv: list the database: %w", err)
	}
	if slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, tableSuffix) }) {
		_, err = d.MoveAside()
	}
	return false, err
}

// prove reads everything that is in a checkpoint: all blocks have checksums, and a bucket has the rows that its mark
// counts.
func (d *Dir) prove(n serial) (*seal, error) {
	sealed, err := checkSeal(d.fsys, d.checkpointDir(n), n)
	if err != nil {
		return nil, err
	}
	e, err := d.openSealed(d.checkpointDir(n), n)
	if err != nil {
		return nil, err
	}
	err = e.readAll()
	return sealed, errors.Join(err, e.close())
}

// openSealed opens a checkpoint to read from it, if it is what its seal says.
func (d *Dir) openSealed(dir string, n serial) (*engine, error) {
	if _, err := checkSeal(d.fsys, dir, n); err != nil {
		return nil, err
	}
	e, err := d.openReadOnly(dir)
	if err != nil {
		return nil, err
	}
	stamp, err := e.readStamp()
	if err == nil && stamp != n {
		err = fmt.Errorf("%w: the database in it has number %d, not %d", errSeal, stamp, n)
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// openReadOnly opens some database to read from it.
func (d *Dir) openReadOnly(dir string) (*engine, error) {
	lock, err := pebble.LockDirectory(dir, unlocked{d.fsys})
	if err != nil {
		return nil, err
	}
	return openEngine(d.fsys, dir, lock, Options{CacheBytes: readCache, MemtableBytes: readCache, Logger: d.options.Logger, readOnly: true})
}

// readCache is the memory to read a database with from its beginning to its end.
const readCache = 1 << 20

// linkDatabase makes the database of the files of a checkpoint. Pebble never changes a table, so they are shared; what
// it does change is copied.
func (d *Dir) linkDatabase(n serial, sealed *seal) error {
	temp := d.database() + fs.TempSuffix
	if err := errors.Join(removeAll(d.fsys, temp), fs.MakeDirs(d.fsys, temp), pointRestoreLink.Hit()); err != nil {
		return err
	}
	for i := range sealed.files {
		f := &sealed.files[i]
		from, to := d.fsys.PathJoin(d.checkpointDir(n), f.name), d.fsys.PathJoin(temp, f.name)
		var err error
		if f.table() {
			err = linkOrCopy(d.fsys, d.fsys, from, to)
		} else {
			err = vfs.Copy(d.fsys, from, to)
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(fs.SyncDir(d.fsys, temp), pointRestoreRename.Hit()); err != nil {
		return err
	}
	if err := removeAll(d.fsys, d.database()); err != nil { // it has no tables
		return err
	}
	if err := d.fsys.Rename(temp, d.database()); err != nil {
		return err
	}
	return fs.SyncDir(d.fsys, d.dir)
}

// MoveAside puts a database in which damage was found out of the way, for a human to look at, and for Rescue to take
// from what is good in it. It gives where it is. No store is open, or all of them have failed.
func (d *Dir) MoveAside() (string, error) {
	return d.moveAside(d.dir, d.database())
}

func (d *Dir) moveAside(parent, path string) (string, error) {
	if err := pointBeforeMove.Hit(); err != nil {
		return "", err
	}
	var aside string
	for n := 1; ; n++ {
		aside = d.fsys.PathJoin(parent, asidePrefix+strconv.Itoa(n))
		if _, err := d.fsys.Stat(aside); errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err := errors.Join(d.fsys.Rename(path, aside), fs.SyncDir(d.fsys, parent)); err != nil {
		return "", fmt.Errorf("kv: move %s to %s: %w", path, aside, err)
	}
	d.options.Logger.Warn("a damaged database of rows was moved aside", "to", aside)
	return aside, nil
}

// readAll reads everything. Rows of a bucket without a mark do not count: somebody was about to write them.
func (e *engine) readAll() error {
	it, err := e.db.NewIter(nil)
	if err != nil {
		return err
	}
	var id quiver.BucketID
	var mark Mark
	var rows int64
	err = nil
	end := func() {
		if mark != (Mark{}) && mark.Rows != rows && err == nil {
			err = fmt.Errorf("%w: bucket %s has %d rows, its mark counts %d", errRow, id, rows, mark.Rows)
		}
	}
	for valid := it.First(); valid && err == nil; valid = it.Next() {
		bucket, part, ok := parseBucket(it.Key())
		switch {
		case !ok:
		case part == partMark:
			end()
			id, rows = bucket, 0
			if m, failed := decodeMark(it.Value()); failed != nil {
				err = failed
			} else {
				mark = m
			}
		case bucket == id:
			rows++
		default:
			end()
			id, rows, mark = bucket, 1, Mark{}
		}
	}
	end()
	return errors.Join(err, it.Close(), e.failure())
}

// parseBucket takes the key of a mark or row apart. ok is false for others.
func parseBucket(key []byte) (id quiver.BucketID, part byte, ok bool) {
	if len(key) < rowPrefix || key[0] != familyBucket {
		return id, 0, false
	}
	return quiver.BucketID{
		Table:     quiver.TableID(binary.BigEndian.Uint64(key[1:])),
		Partition: quiver.PartitionID(binary.BigEndian.Uint64(key[9:])),
		Bucket:    int32(binary.BigEndian.Uint32(key[17:])),
	}, key[bucketPrefix], true
}

// mark reads the mark of a bucket; one that was never written is zero.
func (e *engine) mark(id quiver.BucketID) (Mark, error) {
	m, err := readMark(e.db, id)
	return m, errors.Join(err, e.failure())
}

// Rescue puts the rows of a bucket into the store that an older database has: the newest checkpoint, or one that was
// moved aside. fits says whether the log has what lies behind a mark. It gives false, and leaves the bucket as it is, if
// no database has the bucket undamaged and with a mark that fits.
func (d *Dir) Rescue(ctx context.Context, s *Store, id quiver.BucketID, fits func(Mark) bool) (bool, error) {
	d.saving.Lock() // a source stays where it is
	defer d.saving.Unlock()
	sources, err := d.sources()
	if err != nil {
		return false, err
	}
	for _, dir := range sources {
		done, err := d.rescueFrom(ctx, dir, s, id, fits)
		if done {
			d.options.Logger.Warn("the rows of a bucket were taken from an older database", "bucket", id.String(), "from", dir)
		}
		if done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// sources are the databases that rows may be taken from, the best first.
func (d *Dir) sources() ([]string, error) {
	var found []string
	n, _, err := d.newest()
	if err != nil {
		return nil, err
	}
	if n > 0 {
		found = append(found, d.checkpointDir(n))
	}
	for _, parent := range []string{d.dir, d.options.Checkpoints} {
		if parent == "" {
			continue
		}
		names, err := d.fsys.List(parent)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("kv: list %s: %w", parent, err)
		}
		var aside []int
		for _, name := range names {
			if n, err := strconv.Atoi(strings.TrimPrefix(name, asidePrefix)); err == nil && strings.HasPrefix(name, asidePrefix) {
				aside = append(aside, n)
			}
		}
		slices.Sort(aside)
		for _, n := range slices.Backward(aside) {
			found = append(found, d.fsys.PathJoin(parent, asidePrefix+strconv.Itoa(n)))
		}
	}
	return found, nil
}

// rescueFrom takes the rows from one database. That it is damaged where they are is no error.
func (d *Dir) rescueFrom(ctx context.Context, dir string, s *Store, id quiver.BucketID, fits func(Mark) bool) (bool, error) {
	e, err := d.openReadOnly(dir)
	if err != nil {
		if passing(err) {
			return false, fmt.Errorf("kv: open %s: %w", dir, err)
		}
		return false, nil
	}
	defer func() { _ = e.close() }() // nothing was written; what was read was checked
	mark, err := e.mark(id)
	if err != nil || mark == (Mark{}) || !fits(mark) || e.countRows(id) != mark.Rows {
		return false, nil // it does not have them, or not undamaged
	}
	if err := pointRescueCopy.Hit(); err != nil {
		return false, err
	}
	if err := s.excise(ctx, appendBucket(nil, id)); err != nil {
		return false, err
	}
	if err := s.copyRows(e, id); err != nil {
		return false, errors.Join(err, s.excise(ctx, appendBucket(nil, id)))
	}
	if err := pointRescueMark.Hit(); err != nil {
		return false, err
	}
	if err := s.engine.db.Set(markKey(id), mark.encode(), pebble.NoSync); err != nil {
		return false, fmt.Errorf("kv: take over a bucket: %w", err)
	}
	return true, s.Flush()
}

// countRows reads the rows of a bucket; -1: not all of them can be read.
func (e *engine) countRows(id quiver.BucketID) int64 {
	prefix := rowsKey(id)
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return -1
	}
	n := int64(0)
	for valid := it.First(); valid; valid = it.Next() {
		n++
	}
	if it.Close() != nil || e.failure() != nil {
		return -1
	}
	return n
}

// copyRows copies the rows of a bucket and the schemas of its table, without the mark.
func (s *Store) copyRows(e *engine, id quiver.BucketID) error {
	for _, prefix := range [][]byte{schemaKey(id.Table, 0)[:1+8], rowsKey(id)} {
		if err := s.copySpan(e, prefix); err != nil {
			return fmt.Errorf("kv: take over a bucket: %w", err)
		}
	}
	return nil
}

func (s *Store) copySpan(e *engine, prefix []byte) error {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	b := s.engine.db.NewBatch()
	for valid := it.First(); valid && err == nil; valid = it.Next() {
		err = b.Set(it.Key(), it.Value(), nil)
		if err == nil && b.Len() >= applyBytes {
			err = errors.Join(b.Commit(pebble.NoSync), s.Failed())
			b.Reset()
		}
	}
	if err == nil && !b.Empty() {
		err = errors.Join(b.Commit(pebble.NoSync), s.Failed())
	}
	return errors.Join(err, it.Close(), e.failure(), b.Close())
}
