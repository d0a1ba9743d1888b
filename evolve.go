package quiver

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
)

// SchemaChange is one change of a table's columns; exactly one of its fields is set.
//
// Columns are named by their path: the name, and for a field within a struct the names that lead to it with dots
// between; the element of a list and the key and the value of a map have the names that their type shows ("item",
// "key", "value"). A name that holds a dot may stand in double quotes; it must where a column is added.
type SchemaChange struct {
	Add    *AddColumn
	Drop   string
	Rename *RenameColumn
	Widen  *WidenColumn
	Move   *MoveColumn
}

// AddColumn adds a column, or a field to a struct, behind all others or where After or First say. A column that may
// not be null needs a default, which the rows that are there have, too. A field of a struct may be null and has none.
type AddColumn struct {
	Name     string          `json:"name"`
	Type     string          `json:"type"`
	Nullable *bool           `json:"nullable,omitempty"` // absent: true
	Default  json.RawMessage `json:"default,omitempty"`
	After    string          `json:"after,omitempty"`
	First    bool            `json:"first,omitempty"`
}

// RenameColumn gives a column another name. To is the name alone, also of a nested field.
type RenameColumn struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// WidenColumn gives a column a type that holds all values of its old one, or lets it be null, or both.
//
// Types go from smaller to larger integers, from float to double, from integers up to int32 to double, to decimals of
// a larger precision, from null to anything, between strings and between binaries, and from timestamps to
// ones of a finer unit down to microseconds: nanoseconds hold the years 1678 to 2261 only, and a row beyond them could
// never be read again.
type WidenColumn struct {
	Name     string `json:"name"`
	Type     string `json:"type,omitempty"`
	Nullable bool   `json:"nullable,omitempty"`
}

// MoveColumn puts a column at another place among its siblings.
type MoveColumn struct {
	Name  string `json:"name"`
	After string `json:"after,omitempty"`
	First bool   `json:"first,omitempty"`
}

// Alter gives the schema that changes lead to, applied one after the other, all of them or none. It has the id given,
// or is the same one if nothing changes.
//
// Columns keep their ids whatever they are called, and new ones get ids that the table never had: a name that was
// dropped and comes back is another column. Defaults are kept, as values of the widened type.
// All that is wrong is named in one error, BAD_COMMAND, or BAD_NAME if it is names only.
func (s *Schema) Alter(changes []SchemaChange, nextID SchemaID) (*Schema, error) {
	var faults faultList
	for i, c := range changes {
		if c == (SchemaChange{}) {
			faults.add("changes[%d]: it asks for nothing", i)
		}
	}
	altered, err := s.alter(changes, nextID, nil, &faults)
	if err == nil {
		err = faults.error(BadCommand)
	}
	if err != nil {
		return nil, err
	}
	return altered, nil
}

// alter gathers the faults of changes; if it is names only, they are in the error. Changes that ask for nothing are
// the caller's. keys are the columns that a key is made of, and which.
func (s *Schema) alter(changes []SchemaChange, nextID SchemaID, keys map[ColumnID]string, faults *faultList) (*Schema, error) {
	e := newEvolution(s, keys)
	for i, c := range changes {
		if c == (SchemaChange{}) {
			continue
		}
		if err := e.apply(c); err != nil {
			faults.add("changes[%d]: %v", i, err)
		}
	}
	if len(faults.texts) > 0 {
		return s, nil
	}
	altered, err := e.schema(s, nextID)
	switch {
	case err != nil && ReasonOf(err) == BadName:
		return nil, err
	case err != nil:
		faults.add("%s", detailOf(err))
		return s, nil
	case altered.sameAs(s):
		return s, nil
	}
	return altered, nil
}

// sameAs says that two schemas differ in their id only.
func (s *Schema) sameAs(o *Schema) bool {
	again := *s
	again.id = o.id
	return string(again.Encode()) == string(o.Encode())
}

// Ids end before the largest integer, which some readers keep for themselves.
const (
	maxColumnID = math.MaxInt32 - 1
	maxSchemaID = math.MaxInt32 - 1
)

// evolution is a schema being changed.
type evolution struct {
	root *evolving           // its children are the columns
	last ColumnID            // the highest one given out
	keys map[ColumnID]string // columns that must stay keys, and of what
}

// evolving is one field being changed. Names, order and types of what is below it are in its children.
type evolving struct {
	id       ColumnID
	field    arrow.Field
	value    any // the default of a column
	children []*evolving
}

func newEvolution(s *Schema, keys map[ColumnID]string) *evolution {
	e := &evolution{root: &evolving{field: arrow.Field{Type: arrow.StructOf()}}, last: s.lastColumn, keys: keys}
	for i, c := range s.columns {
		ids := appendIDs(nil, c.Field)
		node := grow(s.arrow.Field(i), func() ColumnID { id := ids[0]; ids = ids[1:]; return id })
		node.value = c.Default
		e.root.children = append(e.root.children, node)
	}
	return e
}

// grow makes the tree of a field, taking ids depth first.
func grow(f arrow.Field, next func() ColumnID) *evolving {
	node := &evolving{id: next(), field: f}
	for _, child := range fieldsOf(f.Type) {
		node.children = append(node.children, grow(child, next))
	}
	return node
}

func (e *evolution) fresh() ColumnID {
	e.last++
	return e.last
}

// schema makes the schema of the tree.
func (e *evolution) schema(old *Schema, id SchemaID) (*Schema, error) {
	fields := make([]arrow.Field, 0, len(e.root.children))
	defaults := make(map[string]any)
	var ids []ColumnID
	for _, c := range e.root.children {
		fields = append(fields, c.build(&ids))
		if c.value != nil {
			defaults[c.field.Name] = c.value
		}
	}
	if e.last > maxColumnID || id > maxSchemaID {
		return nil, Errorf(BadCommand, "the ids of columns or schemas are used up")
	}
	md := old.Metadata()
	plain, err := normalizeSchema(arrow.NewSchema(fields, &md))
	if err != nil {
		return nil, err
	}
	return newSchema(id, plain, defaults, &idGiver{given: ids, last: e.last})
}

// build makes the field of a tree, and lists its ids depth first.
func (n *evolving) build(ids *[]ColumnID) arrow.Field {
	*ids = append(*ids, n.id)
	built := make([]arrow.Field, len(n.children))
	for i, child := range n.children {
		built[i] = child.build(ids)
	}
	f := n.field
	if f.Type.ID() == arrow.STRUCT {
		f.Type = arrow.StructOf(built...)
		return f
	}
	next := 0
	f.Type = mapFields(f.Type, func(arrow.Field) arrow.Field { next++; return built[next-1] })
	return f
}

// apply carries out one change on the tree, or leaves it as it was.
func (e *evolution) apply(c SchemaChange) error {
	n := 0
	for _, given := range []bool{c.Add != nil, c.Drop != "", c.Rename != nil, c.Widen != nil, c.Move != nil} {
		if given {
			n++
		}
	}
	switch {
	case n != 1:
		return fmt.Errorf("it asks for %d things instead of one", n)
	case c.Add != nil:
		return e.add(c.Add)
	case c.Drop != "":
		return e.drop(c.Drop)
	case c.Rename != nil:
		return e.rename(c.Rename)
	case c.Widen != nil:
		return e.widen(c.Widen)
	}
	return e.move(c.Move)
}

// place is a field's place among its siblings.
type place struct {
	parent *evolving
	i      int
}

func (p place) node() *evolving { return p.parent.children[p.i] }

// find gives the place of a path.
func (e *evolution) find(path string) (place, error) {
	if p, ok := e.root.find(path); ok {
		return p, nil
	}
	var known []string
	e.root.paths("", &known)
	return place{}, fmt.Errorf("there is no column %s%s", quote(path), suggest(path, known))
}

// find looks for a path below a field. Names may hold dots, so the longest that fits is tried first.
func (n *evolving) find(path string) (place, bool) {
	for i, child := range n.children {
		if child.field.Name == path || quoteName(child.field.Name) == path {
			return place{n, i}, true
		}
	}
	best, found := place{}, false
	longest := -1
	for _, child := range n.children {
		for _, name := range []string{child.field.Name, quoteName(child.field.Name)} {
			rest, ok := strings.CutPrefix(path, name+".")
			if !ok || len(name) <= longest {
				continue
			}
			if p, ok := child.find(rest); ok {
				best, found, longest = p, true, len(name)
			}
		}
	}
	return best, found
}

// quoteName writes a name in double quotes, as a path may hold it.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// paths lists the paths below a field, as far as they may be suggested.
func (n *evolving) paths(prefix string, to *[]string) {
	const most = 1000
	for _, child := range n.children {
		if len(*to) >= most {
			return
		}
		*to = append(*to, prefix+child.field.Name)
		child.paths(prefix+child.field.Name+".", to)
	}
}

// inStruct says whether fields can be added below a field, or taken away.
func (n *evolving) inStruct() bool { return n.field.Type.ID() == arrow.STRUCT }

func (e *evolution) add(c *AddColumn) error {
	parent, name, err := e.parentOf(c.Name)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(parent.children, func(n *evolving) bool { return n.field.Name == name }) {
		return fmt.Errorf("add: there is a column %s already", quote(c.Name))
	}
	dt, err := ParseType(c.Type)
	if err != nil {
		return fmt.Errorf("add: column %s: %s", quote(c.Name), detailOf(err))
	}
	f := arrow.Field{Name: name, Type: Normalize(dt), Nullable: c.Nullable == nil || *c.Nullable}
	value, err := e.defaultOf(c, f, parent == e.root)
	if err != nil {
		return fmt.Errorf("add: column %s: %w", quote(c.Name), err)
	}
	at := len(parent.children)
	if c.After != "" || c.First {
		if at, err = e.placeAfter(parent, c.After, c.First); err != nil {
			return fmt.Errorf("add: column %s: %w", quote(c.Name), err)
		}
	}
	node := grow(f, e.fresh)
	node.value = value
	parent.children = slices.Insert(parent.children, at, node)
	return nil
}

// parentOf finds where a column is to be added, and its name there.
func (e *evolution) parentOf(path string) (*evolving, string, error) {
	parent, rest := e.root, path
	for {
		if name, ok := unquoteName(rest); ok {
			return parent, name, nil
		}
		if !strings.Contains(rest, ".") {
			return parent, rest, nil
		}
		child, after := parent.longest(rest)
		if child == nil {
			return nil, "", fmt.Errorf(`add: there is no column to add %s to; a name with a dot in it stands in double quotes`, quote(path))
		}
		if parent, rest = child, after; len(child.children) == 0 {
			return nil, "", fmt.Errorf("add: %s: column %s has type %s, and only a struct takes a field", quote(path),
				quote(child.field.Name), shortType(child.field.Type))
		}
		if !parent.inStruct() && parent.only(rest) {
			return nil, "", fmt.Errorf("add: %s: only a struct takes a field, and %s is a %s", quote(path), quote(parent.field.Name), parent.field.Type.Name())
		}
	}
}

// only says that a path has one name more, so that it would be a field of this one.
func (n *evolving) only(rest string) bool {
	child, _ := n.longest(rest)
	return child == nil
}

// longest gives the field below this one that a path leads through, and the rest of the path.
func (n *evolving) longest(path string) (child *evolving, rest string) {
	longest := -1
	for _, c := range n.children {
		for _, name := range []string{c.field.Name, quoteName(c.field.Name)} {
			if after, ok := strings.CutPrefix(path, name+"."); ok && len(name) > longest {
				child, rest, longest = c, after, len(name)
			}
		}
	}
	return child, rest
}

// unquoteName reads a name that stands in double quotes.
func unquoteName(text string) (string, bool) {
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return "", false
	}
	inner := text[1 : len(text)-1]
	if strings.Contains(strings.ReplaceAll(inner, `""`, ""), `"`) {
		return "", false
	}
	return strings.ReplaceAll(inner, `""`, `"`), true
}

// defaultOf reads the default of a new column, which the rows that are there will have.
func (e *evolution) defaultOf(c *AddColumn, f arrow.Field, top bool) (any, error) {
	var value any
	if len(c.Default) > 0 {
		var err error
		if value, err = ParseDefault(f.Type, c.Default); err != nil {
			return nil, fmt.Errorf("default: %s", detailOf(err))
		}
	}
	switch {
	case !top && value != nil:
		return nil, fmt.Errorf("a field of a struct has no default of its own")
	case !top && !f.Nullable:
		return nil, fmt.Errorf("a field that is added to a struct may be null: rows that are there have none")
	case !f.Nullable && value == nil:
		return nil, fmt.Errorf("it may not be null, so it needs a default for the rows that are there")
	}
	return value, nil
}

// placeAfter gives the index behind a sibling, which is named alone or by its path.
func (e *evolution) placeAfter(parent *evolving, after string, first bool) (int, error) {
	switch {
	case first && after != "":
		return 0, fmt.Errorf("it cannot be both first and after %s", quote(after))
	case first:
		return 0, nil
	}
	for i, child := range parent.children {
		if child.field.Name == after {
			return i + 1, nil
		}
	}
	if p, ok := e.root.find(after); ok && p.parent == parent {
		return p.i + 1, nil
	}
	var known []string
	for _, child := range parent.children {
		known = append(known, child.field.Name)
	}
	return 0, fmt.Errorf("after: there is no column %s beside it%s", quote(after), suggest(after, known))
}

func (e *evolution) drop(path string) error {
	p, err := e.find(path)
	switch {
	case err != nil:
		return fmt.Errorf("drop: %w", err)
	case !p.parent.inStruct():
		return fmt.Errorf("drop: %s is what a %s is made of, it cannot go alone", quote(path), p.parent.field.Type.Name())
	case e.keys[p.node().id] != "":
		return fmt.Errorf("drop: column %s is in the %s", quote(path), e.keys[p.node().id])
	case len(p.parent.children) == 1:
		return fmt.Errorf("drop: %s is the last column there is", quote(path))
	}
	p.parent.children = slices.Delete(p.parent.children, p.i, p.i+1)
	return nil
}

func (e *evolution) rename(c *RenameColumn) error {
	p, err := e.find(c.From)
	switch {
	case err != nil:
		return fmt.Errorf("rename: %w", err)
	case !p.parent.inStruct():
		return fmt.Errorf("rename: %s is what a %s is made of, its name means nothing", quote(c.From), p.parent.field.Type.Name())
	case c.To == "":
		return fmt.Errorf("rename: column %s: the new name is empty", quote(c.From))
	}
	for i, sibling := range p.parent.children {
		if sibling.field.Name == c.To && i != p.i {
			return fmt.Errorf("rename: column %s: there is a column %s already", quote(c.From), quote(c.To))
		}
	}
	p.node().field.Name = c.To
	return nil
}

func (e *evolution) move(c *MoveColumn) error {
	p, err := e.find(c.Name)
	switch {
	case err != nil:
		return fmt.Errorf("move: %w", err)
	case !p.parent.inStruct():
		return fmt.Errorf("move: %s is what a %s is made of, it has its place", quote(c.Name), p.parent.field.Type.Name())
	case !c.First && c.After == "":
		return fmt.Errorf(`move: column %s: say where to, with "after" or "first"`, quote(c.Name))
	}
	node := p.node()
	if c.After == node.field.Name {
		return fmt.Errorf("move: column %s cannot stand after itself", quote(c.Name))
	}
	at, err := e.placeAfter(p.parent, c.After, c.First)
	if err != nil {
		return fmt.Errorf("move: column %s: %w", quote(c.Name), err)
	}
	if at > p.i {
		at--
	}
	p.parent.children = slices.Insert(slices.Delete(p.parent.children, p.i, p.i+1), min(at, len(p.parent.children)-1), node)
	return nil
}

func (e *evolution) widen(c *WidenColumn) error {
	p, err := e.find(c.Name)
	if err != nil {
		return fmt.Errorf("widen: %w", err)
	}
	node := p.node()
	if c.Type == "" && !c.Nullable {
		return fmt.Errorf("widen: column %s: the new type is missing", quote(c.Name))
	}
	if c.Type != "" {
		if err := e.widenType(node, c.Type); err != nil {
			return fmt.Errorf("widen: column %s: %w", quote(c.Name), err)
		}
	}
	if c.Nullable {
		if p.parent.field.Type.ID() == arrow.MAP && p.i == 0 {
			return fmt.Errorf("widen: column %s: the key of a map is never null", quote(c.Name))
		}
		node.field.Nullable = true
	}
	return nil
}

func (e *evolution) widenType(node *evolving, text string) error {
	dt, err := ParseType(text)
	if err != nil {
		return fmt.Errorf("%s", detailOf(err))
	}
	var ids []ColumnID
	from, to := node.build(&ids).Type, Normalize(dt)
	fromNull := from.ID() == arrow.NULL
	switch {
	case FormatType(from) == FormatType(to):
		return nil
	case !fromNull && shapeOf(from) != shapeFlat:
		return fmt.Errorf("it has type %s: widen what is in it by path, as in %s", shortType(from), quote(node.field.Name+"."+node.children[0].field.Name))
	case !fromNull && !widensColumn(from, to):
		return fmt.Errorf("%s does not hold every value of %s", shortType(to), shortType(from))
	case e.keys[node.id] != "" && !IsKeyType(to):
		return fmt.Errorf("it is in the %s, which takes no %s", e.keys[node.id], shortType(to))
	case e.keys[node.id] == primaryKeyWord:
		return fmt.Errorf("it is in the %s, whose types stay: rows are found by them", primaryKeyWord)
	}
	if node.value != nil {
		if node.value, err = widenValue(from, to, node.value); err != nil {
			return err
		}
	}
	if len(fieldsOf(to)) > 0 {
		grown := grow(arrow.Field{Type: to}, e.fresh)
		node.children = grown.children
	}
	node.field.Type = to
	node.field.Metadata = withoutExtension(node.field.Metadata)
	return nil
}

// widensColumn says that every value of one flat type has its equal in the other, whatever the value.
func widensColumn(from, to arrow.DataType) bool {
	a, timed := from.(*arrow.TimestampType)
	b, both := to.(*arrow.TimestampType)
	if timed && both {
		finer := b.Unit.Multiplier() < a.Unit.Multiplier() && b.Unit != arrow.Nanosecond
		return (a.Unit == b.Unit || finer) && (a.TimeZone == "") == (b.TimeZone == "")
	}
	return widens(from, to)
}

// widenValue makes a default a value of the wider type.
func widenValue(from, to arrow.DataType, value any) (any, error) {
	switch v := value.(type) {
	case float32:
		return float64(v), nil // its text may be that of another double
	case decimal128.Num:
		if to.ID() == arrow.DECIMAL256 {
			return decimal256.FromDecimal128(v), nil
		}
	}
	text, err := FormatDefault(from, value)
	if err == nil {
		value, err = ParseDefault(to, text)
	}
	if err != nil {
		return nil, fmt.Errorf("its default: %s", detailOf(err))
	}
	return value, nil
}

func withoutExtension(md arrow.Metadata) arrow.Metadata {
	var keys, values []string
	for i, key := range md.Keys() {
		if key != extensionNameKey && key != extensionMetadataKey {
			keys, values = append(keys, key), append(values, md.Values()[i])
		}
	}
	return arrow.NewMetadata(keys, values)
}
