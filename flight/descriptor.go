package flight

import (
	"fmt"
	"strings"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/quiverlog/quiver"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// TableName names a table, and one of its partitions, the way clients do: "shop.orders".
type TableName struct {
	Database  string
	Table     string
	Partition string // "dt=2026-11-22/region=eu", "" for none
}

// ParseTableName reads "shop.orders", or "orders" in the database "default". The error is BAD_NAME.
func ParseTableName(text string) (TableName, error) {
	database, table, err := quiver.ParsePath(text)
	return TableName{Database: database, Table: table}, err
}

// String is the form that ParseTableName reads, database included.
func (n TableName) String() string { return n.Database + "." + n.Table }

// DescriptorPath is the path of the table's FlightDescriptor.
func (n TableName) DescriptorPath() []string {
	path := []string{n.Database, n.Table}
	if n.Partition != "" {
		path = append(path, n.Partition)
	}
	return path
}

// decodeWord reads "shop.orders" in a command.
func (n *TableName) decodeWord(v *jsonValue) error {
	*n = TableName{}
	if v.isNull() {
		return nil
	}
	text, err := v.str()
	if err != nil {
		return err
	}
	*n, err = ParseTableName(text)
	return err
}

// IsZero says whether no table is named.
func (n TableName) IsZero() bool { return n == TableName{} }

// MarshalJSON writes the form that commands hold.
func (n TableName) MarshalJSON() ([]byte, error) { return appendString(nil, n.String()), nil }

// Descriptor is what a FlightDescriptor says: exactly one of its fields is set.
type Descriptor struct {
	Path   *TableName
	Scan   *ScanCommand
	Put    *PutCommand
	Lookup *LookupCommand
}

// ParseDescriptor reads a FlightDescriptor: a path, or a JSON command that scans, puts or looks up. The errors are
// BAD_NAME and BAD_COMMAND; Flight SQL commands are recognised and refused as unimplemented.
func ParseDescriptor(d *afl.FlightDescriptor) (*Descriptor, error) {
	switch {
	case d == nil:
		return nil, quiver.Errorf(quiver.BadCommand, "the call has no descriptor").Advise(hintDescriptor)
	case d.Type == afl.DescriptorCMD:
		return parseCommand(d.Cmd)
	case d.Type == afl.DescriptorPATH:
		name, err := parsePath(d.Path)
		return &Descriptor{Path: &name}, err
	default:
		return nil, quiver.Errorf(quiver.BadCommand, "the descriptor is neither path nor command").Advise(hintDescriptor)
	}
}

const (
	hintDescriptor = `use FlightDescriptor.for_path("shop", "orders") or for_command(b'{"table":"shop.orders"}')`
	hintCommand    = `a scan has the key "table", a put "put", a lookup "lookup"`
)

// parsePath reads (database, table), (database, table, partition), ("shop.orders") and ("table").
func parsePath(path []string) (TableName, error) {
	switch len(path) {
	case 1:
		return ParseTableName(path[0])
	case 2, 3:
		name := TableName{Database: path[0], Table: path[1]}
		if len(path) == 3 {
			name.Partition = path[2]
		}
		if err := quiver.CheckName("database", name.Database); err != nil {
			return name, err
		}
		return name, quiver.CheckName("table", name.Table)
	default:
		return TableName{}, quiver.Errorf(quiver.BadCommand, "a path of %d parts names no table", len(path)).Advise(hintDescriptor)
	}
}

func parseCommand(cmd []byte) (*Descriptor, error) {
	if name := flightSQLName(cmd); name != "" {
		return nil, unimplemented("Flight SQL (" + name + ") is not served by this server; " + hintDescriptor)
	}
	root, err := parseJSON(cmd, quiver.BadCommand)
	if err != nil {
		return nil, err
	}
	switch kind, err := commandKind(root); {
	case err != nil:
		return nil, err
	case kind == "put":
		put, err := decodePut(root)
		return &Descriptor{Put: put}, err
	case kind == "lookup":
		lookup, err := decodeLookup(root)
		return &Descriptor{Lookup: lookup}, err
	default:
		scan, err := decodeScan(root)
		return &Descriptor{Scan: scan}, err
	}
}

// commandKind finds the key that tells what a command asks for: "table", "put" or "lookup".
func commandKind(root *jsonValue) (string, error) {
	kind, meant := "", ""
	err := root.eachMember(func(m *jsonValue) error {
		if near := quiver.Nearest(m.key, []string{"table", "put", "lookup"}); near != "" && near != m.key {
			meant = fmt.Sprintf("; did you mean %q by %q?", near, clip(m.key))
		}
		switch m.key {
		case "table", "put", "lookup":
			if kind != "" {
				return root.fail("the command has both %q and %q", kind, m.key).Advise(hintCommand)
			}
			kind = m.key
		}
		return nil
	})
	if err == nil && kind == "" {
		return "", root.fail("the command names no table%s", meant).Advise(hintCommand)
	}
	return kind, err
}

// flightSQLName is the name of the Flight SQL message that the bytes are, or "" if they are none.
func flightSQLName(cmd []byte) string {
	const domain = "arrow.flight.protocol.sql."
	if len(cmd) == 0 || cmd[0] == '{' {
		return "" // JSON; a protobuf Any starts with its first field
	}
	var message anypb.Any
	if proto.Unmarshal(cmd, &message) != nil {
		return ""
	}
	if _, name, ok := strings.Cut(message.TypeUrl, domain); ok {
		return clip(name)
	}
	return ""
}

// unimplemented refuses a part of the protocol that this server does not serve.
func unimplemented(text string) error {
	return quiver.Errorf(quiver.BadCommand, "%s", text).Because(status.Error(codes.Unimplemented, text))
}
