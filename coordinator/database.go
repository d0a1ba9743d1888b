package coordinator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quiverlog/quiver"
)

// Limits of what a database says about itself.
const (
	maxComment       = 16 << 10 // bytes
	maxProperties    = 256
	maxPropertyValue = 4 << 10 // bytes
)

// CreateDatabase makes a database, unless IfNotExists is set and there is one of that name.
type CreateDatabase struct {
	Name        string
	Comment     string
	Properties  map[string]string // what users note down; they mean nothing to the server
	IfNotExists bool
	Now         int64
}

// AlterDatabase changes the comment of a database, if one is given, and its properties.
type AlterDatabase struct {
	Name    string
	Comment *string
	Set     map[string]string
	Reset   []string // of properties, those that are not there included
}

// DropDatabase removes a database; with Cascade its tables, too. The database "default" stays.
type DropDatabase struct {
	Name     string
	Cascade  bool
	IfExists bool
	Now      int64
}

func (c CreateDatabase) apply(s *State) (*change, error) {
	if err := quiver.CheckName("database", c.Name); err != nil {
		return nil, err
	}
	if err := checkDatabase(c.Name, c.Comment, c.Properties); err != nil {
		return nil, err
	}
	ch := s.newChange()
	if d, found := s.database(c.Name); found {
		if c.IfNotExists {
			ch.result.Database = d
			return ch, nil
		}
		return nil, quiver.Errorf(quiver.DatabaseExists, "there is one already").On("database " + c.Name).
			Advise("choose another name, or set if_not_exists")
	}
	ch.create(databasePrefix+c.Name, databaseRecord{Comment: c.Comment, Properties: c.Properties, Created: c.Now})
	ch.result = Result{Changed: true, Database: Database{Name: c.Name, Comment: c.Comment, Properties: c.Properties, Created: c.Now}}
	return ch, nil
}

func (c AlterDatabase) apply(s *State) (*change, error) {
	if err := quiver.CheckName("database", c.Name); err != nil {
		return nil, err
	}
	d, found := s.database(c.Name)
	if !found {
		return nil, s.checkDatabase(c.Name)
	}
	if c.Comment != nil {
		d.Comment = *c.Comment
	}
	d.Properties = maps.Clone(d.Properties)
	for _, name := range c.Reset {
		if _, both := c.Set[name]; both {
			return nil, quiver.Errorf(quiver.BadCommand, "property %q is both set and reset", clip(name)).On("database " + c.Name)
		}
		delete(d.Properties, name)
	}
	for name, value := range c.Set {
		if d.Properties == nil {
			d.Properties = map[string]string{}
		}
		d.Properties[name] = value
	}
	if err := checkDatabase(d.Name, d.Comment, d.Properties); err != nil {
		return nil, err
	}
	ch := s.newChange()
	ch.put(databasePrefix+d.Name, databaseRecord{Comment: d.Comment, Properties: d.Properties, Created: d.Created})
	ch.result = Result{Changed: true, Database: d}
	return ch, nil
}

func (c DropDatabase) apply(s *State) (*change, error) {
	if err := quiver.CheckName("database", c.Name); err != nil {
		return nil, err
	}
	ch := s.newChange()
	d, found := s.database(c.Name)
	switch {
	case !found && c.IfExists:
		return ch, nil
	case !found:
		return nil, s.checkDatabase(c.Name)
	case c.Name == quiver.DefaultDatabase:
		return nil, quiver.Errorf(quiver.BadCommand, "it always exists: tables that are named alone are in it").On("database " + c.Name).
			Advise("drop its tables")
	}
	tables := s.tablesOf(c.Name)
	if len(tables) > 0 && !c.Cascade {
		return nil, quiver.Errorf(quiver.BadCommand, "it has tables: %d, the first is %s", len(tables), tables[0].Path()).On("database " + c.Name).
			Advise(`drop them first, or send "cascade":true`)
	}
	for _, t := range tables {
		ch.dropTable(s, t, c.Now)
	}
	ch.remove(databasePrefix + c.Name)
	ch.result = Result{Changed: true, Database: d}
	return ch, nil
}

// tablesOf gives the tables of a database by name.
func (s *State) tablesOf(database string) []*quiver.Table {
	from, _ := findPath(s.paths, database, "")
	until := from
	for until < len(s.paths) && s.paths[until].Database == database {
		until++
	}
	return s.paths[from:until:until]
}

// checkDatabase names everything that is wrong with what is noted of a database.
func checkDatabase(name, comment string, properties map[string]string) error {
	var faults []string
	if len(comment) > maxComment || !utf8.ValidString(comment) {
		faults = append(faults, fmt.Sprintf("comment: it is not UTF-8 of at most %d bytes", maxComment))
	}
	if len(properties) > maxProperties {
		faults = append(faults, fmt.Sprintf("it would have %d properties, at most %d are taken", len(properties), maxProperties))
	}
	for _, property := range slices.Sorted(maps.Keys(properties)) {
		if len(faults) == 10 {
			break
		}
		if quiver.CheckName("property", property) != nil {
			faults = append(faults, fmt.Sprintf("property %q: a name has 1 to %d bytes of UTF-8 without control characters", clip(property), quiver.MaxName))
		}
		if value := properties[property]; len(value) > maxPropertyValue || !utf8.ValidString(value) {
			faults = append(faults, fmt.Sprintf("property %q: its value is not UTF-8 of at most %d bytes", clip(property), maxPropertyValue))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return quiver.Errorf(quiver.BadCommand, "%s", strings.Join(faults, "; ")).On("database " + name)
}

func clip(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func (s *State) removeDatabase(name string) error {
	if i, found := findDatabase(s.databases, name); found {
		s.databases = without(s.databases, i, i+1)
	}
	return nil
}

func findDatabase(databases []Database, name string) (int, bool) {
	return slices.BinarySearchFunc(databases, name, func(d Database, name string) int { return strings.Compare(d.Name, name) })
}

// CreateDatabase makes a database; with IfNotExists it gives the one that exists. The time is the coordinator's.
func (c *Coordinator) CreateDatabase(ctx context.Context, command CreateDatabase) (Database, error) {
	command.Now = c.now()
	r, err := c.do(ctx, command)
	return r.Database, err
}

// AlterDatabase changes a database and gives it as it is then.
func (c *Coordinator) AlterDatabase(ctx context.Context, command AlterDatabase) (Database, error) {
	r, err := c.do(ctx, command)
	return r.Database, err
}

// DropDatabase removes a database and says whether there was one. With cascade its tables go, too; their data is
// deleted later.
func (c *Coordinator) DropDatabase(ctx context.Context, name string, cascade, ifExists bool) (bool, error) {
	r, err := c.do(ctx, DropDatabase{Name: name, Cascade: cascade, IfExists: ifExists, Now: c.now()})
	return r.Changed, err
}

// Database gives a database by name, and how many tables it has. The error is DATABASE_NOT_FOUND.
func (c *Coordinator) Database(name string) (Database, int, error) {
	s := c.shown.Load()
	d, found := s.database(name)
	if !found {
		return Database{}, 0, s.checkDatabase(name)
	}
	return d, len(s.tablesOf(name)), nil
}
