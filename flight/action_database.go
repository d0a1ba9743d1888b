package flight

import "github.com/quiverlog/quiver"

// The names of the actions on databases.
const (
	ActionDatabaseCreate   = "database.create"
	ActionDatabaseDrop     = "database.drop"
	ActionDatabaseAlter    = "database.alter"
	ActionDatabaseDescribe = "database.describe"
)

func needDatabase(name string) error {
	if name == "" {
		return quiver.Errorf(quiver.BadCommand, "the body names no database").Advise(`send {"database":"shop"}`)
	}
	return quiver.CheckName("database", name)
}

// DatabaseCreate is the body of database.create. Its result is a DatabaseDescription.
type DatabaseCreate struct {
	Database    string            `json:"database"`
	Comment     string            `json:"comment,omitzero"`
	Properties  map[string]string `json:"properties,omitzero"` // the users' own
	IfNotExists bool              `json:"if_not_exists,omitzero"`
}

func (r *DatabaseCreate) check() error { return needDatabase(r.Database) }

// DatabaseAlter is the body of database.alter: another comment, properties that are set, properties that go. Its
// result is a DatabaseDescription.
type DatabaseAlter struct {
	Database string            `json:"database"`
	Comment  *string           `json:"comment,omitzero"`
	Set      map[string]string `json:"set,omitzero"`
	Reset    []string          `json:"reset,omitzero"`
}

func (r *DatabaseAlter) check() error {
	if err := needDatabase(r.Database); err != nil {
		return err
	}
	if r.Comment == nil && len(r.Set) == 0 && len(r.Reset) == 0 {
		return quiver.Errorf(quiver.BadCommand, "the body changes nothing").On("database " + r.Database).
			Advise(`send "comment", "set":{"owner":"sales"} or "reset":["owner"]`)
	}
	return nil
}

// DatabaseDrop is the body of database.drop. Its result is Dropped.
type DatabaseDrop struct {
	Database string `json:"database"`
	Cascade  bool   `json:"cascade,omitzero"` // its tables go, too
	IfExists bool   `json:"if_exists,omitzero"`
}

func (r *DatabaseDrop) check() error { return needDatabase(r.Database) }

// DatabaseDescribe is the body of database.describe.
type DatabaseDescribe struct {
	Database string `json:"database"`
}

func (r *DatabaseDescribe) check() error { return needDatabase(r.Database) }

// DatabaseDescription is the result of database.describe, database.create and database.alter.
type DatabaseDescription struct {
	Database   string            `json:"database"`
	Comment    string            `json:"comment"`
	Properties map[string]string `json:"properties"`
	Tables     int               `json:"tables"`  // how many it has
	Created    int64             `json:"created"` // Unix milliseconds
}
