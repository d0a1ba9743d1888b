package kv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/internal/fs"
)

// Verifier checks the rows of a data directory that no server has open. It changes nothing, and what a crash may leave
// is sound for it: rows that are older than the log, and none at all, as long as the log still tells them.
type Verifier struct {
	fsys    fs.FS
	dir     string
	store   *Store // nil: there are no rows, or they cannot be read
	damaged bool   // that was told
}

// What findings say of their consequences.
const (
	effectRebuilt = "the server moves the rows aside and makes them again from the logs, as far as these go back"
	// A start believes rows that can be read.
	effectFold     = "readers see other rows than the changelog tells; with the directory moved away, the next start makes them again from the log"
	effectFoldLost = "readers see other rows than the changelog tells, which retention has shortened; restore a copy of the data directory"
)

// NewVerifier opens the rows in a directory, to read only. What is wrong with the database as a whole is among the
// findings.
func NewVerifier(fsys fs.FS, dir string) (*Verifier, []quiver.Finding) {
	v := &Verifier{fsys: fsys, dir: dir}
	findings := v.aside()
	database := fsys.PathJoin(dir, databaseDir)
	if _, err := fsys.Stat(database); errors.Is(err, os.ErrNotExist) {
		return v, findings
	}
	store, err := openReadOnly(fsys, database)
	if errors.Is(err, pebble.ErrDBDoesNotExist) {
		return v, findings // a crash came while it was made
	}
	if err != nil {
		v.damaged = true
		return v, append(findings, quiver.Finding{Kind: quiver.FindingRows, File: database,
			Problem: "the database cannot be opened: " + oneLine(err), Effect: effectRebuilt})
	}
	v.store = store
	return v, findings
}

// aside tells of databases that a start moved away.
func (v *Verifier) aside() (findings []quiver.Finding) {
	names, _ := v.fsys.List(v.dir) // it may not be there
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, "damaged-") {
			findings = append(findings, quiver.Finding{Kind: quiver.FindingRows, File: v.fsys.PathJoin(v.dir, name),
				Problem: "an earlier start could not open this database and moved it aside", Effect: "it is used no more; remove it when nobody wants to look at it"})
		}
	}
	return findings
}

// openReadOnly opens a database as it is.
func openReadOnly(fsys fs.FS, database string) (*Store, error) {
	o := Options{Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	e := &engine{fence: fs.NewFence(fsys), logger: o.Logger, change: o.ChangeBytes, cache: pebble.NewCache(o.CacheBytes)}
	p := e.options(nil, o)
	p.FS, p.ReadOnly = unlocked{fsys}, true
	db, err := pebble.Open(database, p)
	if err == nil {
		e.db = db
		err = e.failure()
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return &Store{engine: e, schemas: map[storedSchema]*quiver.Schema{}, readOnly: true}, nil
}

// Close gives back what is open.
func (v *Verifier) Close() error {
	if v.store == nil {
		return nil
	}
	err := v.store.Close()
	if v.damaged {
		return nil // the store reports once more what was found
	}
	return err
}

// Bytes adds up the files of the database.
func (v *Verifier) Bytes() (n int64) {
	for _, name := range v.tables() {
		if info, err := v.fsys.Stat(name); err == nil {
			n += info.Size()
		}
	}
	return n
}

// tables lists the files that the database is made of at the moment.
func (v *Verifier) tables() []string {
	if v.store == nil {
		return nil
	}
	levels, err := v.store.engine.db.SSTables()
	if err != nil {
		return nil // only for options that are not used
	}
	var names []string
	for _, level := range levels {
		for i := range level {
			names = append(names, v.fsys.PathJoin(v.dir, databaseDir, fmt.Sprintf("%06d.sst", uint64(level[i].BackingSSTNum))))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Files checks every block of every file of the database, and the order of what is in them.
func (v *Verifier) Files(ctx context.Context, progress func(bytes int64)) (findings []quiver.Finding, err error) {
	for _, name := range v.tables() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		size, err := v.file(ctx, name)
		if err != nil {
			v.damaged = true
			findings = append(findings, quiver.Finding{Kind: quiver.FindingRows, File: name, Bytes: quiver.ByteRange{Until: size}, Problem: oneLine(err), Effect: effectRebuilt})
		}
		progress(size)
	}
	if v.store == nil || v.damaged {
		return findings, nil
	}
	if err := v.store.engine.db.CheckLevels(nil); err != nil {
		v.damaged = true
		findings = append(findings, quiver.Finding{Kind: quiver.FindingRows, File: v.fsys.PathJoin(v.dir, databaseDir),
			Problem: "the levels of the database do not fit each other: " + oneLine(err), Effect: effectRebuilt})
	}
	return findings, nil
}

// file checks every block of one file.
func (v *Verifier) file(ctx context.Context, name string) (size int64, err error) {
	f, err := v.fsys.Open(name)
	if err != nil {
		return 0, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return 0, errors.Join(err, f.Close())
	}
	size = readable.Size()
	r, err := sstable.NewReader(ctx, readable, v.store.engine.readers())
	if err != nil {
		return size, errors.Join(err, readable.Close())
	}
	return size, errors.Join(r.ValidateBlockChecksums(), r.Close())
}

// readers are the options of a reader of one of the database's files.
func (e *engine) readers() sstable.ReaderOptions {
	o := e.options(nil, Options{}.withDefaults())
	o.EnsureDefaults()
	return o.MakeReaderOptions()
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// Readable says that there are rows and that nothing was found wrong with them so far.
func (v *Verifier) Readable() bool { return v.store != nil && !v.damaged }

// Buckets lists the buckets that have rows or a mark.
func (v *Verifier) Buckets() ([]quiver.BucketID, error) {
	if !v.Readable() {
		return nil, nil
	}
	it, err := v.store.engine.db.NewIter(&pebble.IterOptions{LowerBound: []byte{familyBucket}, UpperBound: []byte{familyBucket + 1}})
	if err != nil {
		return nil, v.store.readError(err)
	}
	var ids []quiver.BucketID
	for ok := it.First(); ok; {
		key := it.Key()
		if len(key) < bucketPrefix {
			return ids, errors.Join(errRow, it.Close())
		}
		ids = append(ids, quiver.BucketID{
			Table: quiver.TableID(binary.BigEndian.Uint64(key[1:])), Partition: quiver.PartitionID(binary.BigEndian.Uint64(key[9:])),
			Bucket: int32(binary.BigEndian.Uint32(key[17:])),
		})
		ok = it.SeekGE(after(bytes.Clone(key[:bucketPrefix])))
	}
	return ids, v.store.readError(errors.Join(it.Error(), it.Close()))
}
