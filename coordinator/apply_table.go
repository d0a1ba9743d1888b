package coordinator

import (
	"errors"
	"math"
	"unicode/utf8"

	"github.com/quiverlog/quiver"
)

func (c CreateTable) apply(s *State) (*change, error) {
	if err := checkTableName(c.Database, c.Name); err != nil {
		return nil, err
	}
	if err := s.checkDatabase(c.Database); err != nil {
		return nil, err
	}
	ch := s.newChange()
	if t := s.table(c.Database, c.Name); t != nil {
		if c.IfNotExists {
			ch.result = Result{Table: t}
			return ch, nil
		}
		return nil, quiver.Errorf(quiver.TableExists, "there is one already").On("table " + t.Path()).
			Advise("choose another name, drop it, or set if_not_exists")
	}
	t, err := c.table(s)
	if err != nil {
		return nil, err
	}
	ch.head.NextTable++
	ch.create(idKey(tablePrefix, t.ID), newTableRecord(t))
	ch.autoPartitions(s, t, c.Now, maxCreated)
	ch.result = Result{Table: t, Changed: true}
	return ch, nil
}

// table makes the table that is asked for.
func (c CreateTable) table(s *State) (*quiver.Table, error) {
	if !utf8.ValidString(c.Comment) {
		return nil, quiver.Errorf(quiver.BadCommand, "comment: it is not UTF-8").On("table " + c.Database + "." + c.Name)
	}
	if s.NextTable == math.MaxUint64 {
		return nil, quiver.Errorf(quiver.Internal, "table ids are used up").WithOutcome(quiver.NotDone)
	}
	return c.TableSpec.Table(s.NextTable, c.Now)
}

func (c DropTable) apply(s *State) (*change, error) {
	if err := checkTableName(c.Database, c.Name); err != nil {
		return nil, err
	}
	ch := s.newChange()
	t := s.table(c.Database, c.Name)
	if t == nil {
		if c.IfExists {
			return ch, nil
		}
		return nil, s.noTable(c.Database, c.Name)
	}
	ch.dropTable(s, t, c.Now)
	ch.result = Result{Table: t, Changed: true}
	return ch, nil
}

// dropTable removes a table with all that belongs to it, its cursors included. Its tombstone stands for its partitions, too, and for those
// that were dropped before.
func (c *change) dropTable(s *State, t *quiver.Table, now int64) {
	c.remove(idKey(tablePrefix, t.ID))
	c.create(idKey(droppedPrefix, t.ID), droppedRecord{
		Database: t.Database, Name: t.Name, Buckets: t.Buckets, Dropped: now,
	})
	for i, _ := findAssignment(s.elected, quiver.BucketID{Table: t.ID}); i < len(s.elected) && s.elected[i].Bucket.Table == t.ID; i++ {
		c.remove(electKey(s.elected[i].Bucket))
	}
	for _, p := range t.Partitions {
		c.remove(partitionKey(partitionPrefix, quiver.PartitionRef{Table: t.ID, Partition: p.ID}))
	}
	for _, cursor := range s.cursorsOf(t.ID) {
		c.remove(cursorKey(t.ID, cursor.Name))
	}
	if _, found := findCounter(s.counters, t.ID); found {
		c.remove(idKey(counterPrefix, t.ID))
	}
	i, _ := findPartitionTombstone(s.droppedPartitions, quiver.PartitionRef{Table: t.ID})
	for ; i < len(s.droppedPartitions) && s.droppedPartitions[i].Table == t.ID; i++ {
		c.remove(partitionKey(droppedPartitionPrefix, s.droppedPartitions[i].PartitionRef))
	}
}

func (c AlterTable) apply(s *State) (*change, error) {
	if err := checkTableName(c.Database, c.Name); err != nil {
		return nil, err
	}
	t := s.table(c.Database, c.Name)
	if t == nil {
		return nil, s.noTable(c.Database, c.Name)
	}
	altered, err := t.Alter(c.Changes)
	if err != nil {
		return nil, onTable(t, err)
	}
	ch := s.newChange()
	ch.result.Table = altered
	record := newTableRecord(altered)
	if string(putRecord("", record).Value) != string(putRecord("", newTableRecord(t)).Value) {
		ch.put(idKey(tablePrefix, t.ID), record)
		ch.result.Changed = true
	}
	return ch, nil
}

// onTable names the table in an error that names nothing.
func onTable(t *quiver.Table, err error) error {
	var known *quiver.Error
	if errors.As(err, &known) && known.Subject == "" {
		return known.On("table " + t.Path())
	}
	return err
}

func (c PurgeTombstone) apply(s *State) (*change, error) {
	ch := s.newChange()
	if _, found := findTombstone(s.dropped, c.Table); found {
		ch.remove(idKey(droppedPrefix, c.Table))
		ch.result.Changed = true
	}
	return ch, nil
}

func checkTableName(database, name string) error {
	if err := quiver.CheckName("database", database); err != nil {
		return err
	}
	return quiver.CheckName("table", name)
}

// checkDatabase gives DATABASE_NOT_FOUND unless there is such a database.
func (s *State) checkDatabase(name string) error {
	if _, found := s.database(name); found {
		return nil
	}
	var known []string
	for _, d := range s.databases {
		known = append(known, d.Name)
	}
	err := quiver.Errorf(quiver.DatabaseNotFound, "it does not exist").On("database " + name)
	if near := quiver.Nearest(name, known); near != "" {
		return err.Advise("there is " + near)
	}
	return err.Advise("create it with database.create")
}

// maxSuggested is the largest number of tables among which one with a similar name is looked for.
const maxSuggested = 1000

// noTable is the error for a table that does not exist: DATABASE_NOT_FOUND or TABLE_NOT_FOUND.
func (s *State) noTable(database, name string) error {
	if err := s.checkDatabase(database); err != nil {
		return err
	}
	err := quiver.Errorf(quiver.TableNotFound, "it does not exist").On("table " + database + "." + name)
	if len(s.paths) > maxSuggested {
		return err
	}
	var known []string
	for _, t := range s.paths {
		if t.Database == database {
			known = append(known, t.Name)
		}
	}
	if near := quiver.Nearest(name, known); near != "" {
		return err.Advise("there is " + database + "." + near)
	}
	return err.Advise("create it with table.create")
}
