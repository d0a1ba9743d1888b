package coordinator

import (
	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/coordinator/metastore"
)

// Command is something to be decided. Time is part of it: Now is in Unix milliseconds.
type Command interface {
	apply(*State) (*change, error)
}

// StartServer begins an incarnation of the coordinator and its server: all leaders start with a new epoch. It makes
// the database "default" in an empty store.
type StartServer struct {
	Now int64
}

// CreateTable makes a table, unless IfNotExists is set and there is one of that name.
type CreateTable struct {
	quiver.TableSpec
	Now int64
}

// DropTable removes a table and leaves a tombstone.
type DropTable struct {
	Database string
	Name     string
	IfExists bool
	Now      int64
}

// AlterTable changes a table as quiver.Table.Alter does.
type AlterTable struct {
	Database string
	Name     string
	Changes  []quiver.TableChange
}

// PurgeTombstone removes the tombstone of a table whose data has been deleted. One that is gone is no error.
type PurgeTombstone struct {
	Table quiver.TableID
}

// CreatePartitions makes partitions of a table, named in any form that quiver.Table.ParsePartition takes. All or
// nothing: one that exists is refused unless IfNotExists is set.
type CreatePartitions struct {
	Table       quiver.TableID
	Names       []string
	IfNotExists bool
	Now         int64
}

// AutoPartitions makes and drops the partitions that the clock asks for, of all tables whose option partition.auto is
// set; see quiver.Table.AutoPartitions. If there are very many, it has to be repeated until it changes nothing.
type AutoPartitions struct {
	Now int64
}

// DropPartition removes a partition and leaves a tombstone.
type DropPartition struct {
	Table    quiver.TableID
	Name     string
	IfExists bool
	Now      int64
}

// PurgePartition removes the tombstone of a partition whose data has been deleted. One that is gone is no error.
type PurgePartition struct {
	quiver.PartitionRef
}

// InitWriter grants a writer id, or raises the epoch of one: of the writer that has the name with this principal, or
// of the one with the id. With neither, a new writer without a name.
type InitWriter struct {
	Name      string
	ID        *quiver.WriterID
	Principal string
	Now       int64
}

// Elect gives a bucket a higher epoch than it ever had: its leader starts anew.
type Elect struct {
	Bucket quiver.BucketID
}

// Result is what a command answers. Only the fields of its kind of command are set.
type Result struct {
	Table   *quiver.Table      // CreateTable: the new one, or the one that exists; AlterTable: as it is now; DropTable: the one that was dropped
	Changed bool               // creations and alterations: it was made; drops and purges: there was one
	Writer  quiver.WriterGrant // InitWriter
	Epoch   quiver.Epoch       // StartServer, Elect

	Database   Database           // of databases: as it is now, or as it was when it was dropped
	Cursor     *Cursor            // of cursors: as it is now
	Number     int64              // ReserveNumbers: the first one
	Partitions []quiver.Partition // CreatePartitions: those named, in that order
}

// Apply decides a command: the transaction that carries it out, and its answer once that is done. The transaction has
// no request id yet; it has neither puts nor deletes if there is nothing to change. The state is left as it is.
//
// Errors are *quiver.Error and mean that the command is refused and changes nothing.
func Apply(s *State, c Command) (metastore.Txn, Result, error) {
	ch, err := c.apply(s)
	if err != nil {
		return metastore.Txn{}, Result{}, err
	}
	return ch.txn(s), ch.result, nil
}

// change is a transaction in the making.
type change struct {
	head     head // as it is to be
	compares []metastore.Compare
	puts     []metastore.Put
	deletes  []string
	result   Result
}

// newChange begins a change of the state.
func (s *State) newChange() *change { return &change{head: s.head} }

// create puts a record under a key that must not exist.
func (c *change) create(key string, record any) {
	c.compares = append(c.compares, metastore.Compare{Key: key, Version: metastore.Absent})
	c.put(key, record)
}

func (c *change) put(key string, record any) { c.puts = append(c.puts, putRecord(key, record)) }

func (c *change) remove(key string) { c.deletes = append(c.deletes, key) }

// txn gives the transaction, which raises the head if it changes anything.
func (c *change) txn(s *State) metastore.Txn {
	if len(c.puts)+len(c.deletes) == 0 && c.head == s.head {
		return metastore.Txn{}
	}
	return metastore.Txn{
		Compares: append([]metastore.Compare{{Key: headKey, Version: s.version}}, c.compares...),
		Puts:     append([]metastore.Put{putRecord(headKey, c.head)}, c.puts...),
		Deletes:  c.deletes,
	}
}
