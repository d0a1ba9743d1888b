package filter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// Bind resolves the names of a condition against the columns of a table and checks that what is compared compares.
// The error is BAD_FILTER and names all that does not fit, each with its position and the nearest known name.
func (e *Expr) Bind(schema *quiver.Schema) (*Filter, error) {
	b := binder{schema: schema, faults: faultList{filter: e.text}, seen: map[*column]*ref{}, refs: map[string]*ref{}}
	p := b.condition(e.root, false)
	if err := b.faults.error(); err != nil {
		return nil, err
	}
	f := &Filter{predicate: p}
	f.place(schema)
	f.step = compile(p)
	return f, nil
}

// binder makes predicates of nodes. After a fault it goes on, with never in the place of what it could not make.
type binder struct {
	schema *quiver.Schema
	faults faultList
	seen   map[*column]*ref // nil: it does not resolve, which has been said
	refs   map[string]*ref  // by the name as written canonically
}

// condition gives the rows for which a condition is true, or with not those for which it is false.
func (b *binder) condition(n node, not bool) predicate {
	switch n := n.(type) {
	case *junction:
		parts := make([]predicate, len(n.parts))
		for i, part := range n.parts {
			parts[i] = b.condition(part, not)
		}
		return join(parts, n.or != not)
	case *negation:
		return b.condition(n.part, !not)
	case *comparison:
		return b.comparison(n, not)
	case *membership:
		return b.membership(n, not != n.not)
	case *between:
		return b.between(n, not != n.not)
	case *nullTest:
		return b.nullTest(n, not != n.not)
	case *likeness:
		return b.likeness(n, not != n.not)
	case *column:
		return b.truth(n, not)
	case *literal:
		return b.truthLiteral(n, not)
	}
	return never{}
}

// truth takes a boolean column for a condition.
func (b *binder) truth(c *column, not bool) predicate {
	r := b.resolve(c)
	switch {
	case r == nil || r.class == classNull:
		return never{}
	case r.class != classBool:
		b.faults.add(c.at, "column %s is %s and no condition: compare it with something", r.name, shortType(r.dt))
		return never{}
	}
	return test{not, compareValue{r, opEqual, value{class: classBool, truth: true}}}
}

func (b *binder) truthLiteral(l *literal, not bool) predicate {
	switch l.kind {
	case literalNull:
		return never{}
	case literalBool:
		return fixed((l.text == "true") != not)
	}
	b.faults.add(l.at, "%s is no condition: compare it with something", classNouns[l.class()])
	return never{}
}

func (b *binder) nullTest(n *nullTest, not bool) predicate {
	if l, ok := n.left.(*literal); ok {
		return fixed((l.kind == literalNull) != not)
	}
	r := b.resolve(n.left.(*column))
	if r == nil {
		return never{}
	}
	return test{not, isNull{r}}
}

func (b *binder) comparison(n *comparison, not bool) predicate {
	o, left, right := n.op, n.left, n.right
	if o == opNotEqual {
		o, not = opEqual, !not
	}
	if _, ok := left.(*literal); ok {
		o, left, right = o.flip(), right, left
	}
	if l, ok := left.(*literal); ok {
		return b.literals(l, o, right.(*literal), not)
	}
	r := b.resolve(left.(*column))
	if l, ok := right.(*literal); ok {
		v, ok := b.read(l, r)
		if !ok || v.class == classNull || r.class == classNull {
			return never{}
		}
		return test{not, compareValue{r, o, v}}
	}
	return b.pair(n, r, o, b.resolve(right.(*column)), not)
}

// literals compares two literals once and for all.
func (b *binder) literals(l *literal, o op, r *literal, not bool) predicate {
	if l.class() == classText { // the other one says what it is
		o, l, r = o.flip(), r, l
	}
	left, ok := b.readAs(l, l.class(), "", "")
	if !ok {
		return never{}
	}
	right, ok := b.readAs(r, l.class(), "UTC", "")
	if !ok || left.class == classNull || right.class == classNull {
		return never{}
	}
	return fixed(o.holds(left.cmp(right)) != not)
}

// pair compares two columns.
func (b *binder) pair(n *comparison, l *ref, o op, r *ref, not bool) predicate {
	if l == nil || r == nil {
		return never{}
	}
	if !b.compares(l, n.left.start()) || r != l && !b.compares(r, n.right.start()) {
		return never{}
	}
	if !l.class.comparable(r.class) {
		b.faults.add(n.right.start(), "column %s is %s and column %s is %s: they do not compare%s",
			l.name, shortType(l.dt), r.name, shortType(r.dt), pairHint(l.class, r.class))
		return never{}
	}
	if l.class == classNull || r.class == classNull {
		return never{}
	}
	if o == opGreater || o == opGreaterEqual {
		l, o, r = r, o.flip(), l
	}
	return test{not, comparePair{l, r, o}}
}

func pairHint(a, b class) string {
	a, b = min(a, b), max(a, b)
	switch {
	case a == classInstant && b == classReading:
		return ", since one has a time zone and the other has none"
	case a == classText && b != classBytes:
		return "; only literals are read as what they are compared with"
	}
	return ""
}

// compares refuses columns whose values compare with nothing.
func (b *binder) compares(r *ref, at int) bool {
	if r.class != classOther {
		return true
	}
	hint := "its values do not compare; it can be tested with \"is null\" only"
	if s, ok := r.dt.(*arrow.StructType); ok {
		field := column{path: []string{s.Field(0).Name}}
		hint = fmt.Sprintf("compare its fields, as in %s.%s", r.name, field.String())
	}
	b.faults.add(at, "column %s is %s: %s", r.name, shortType(r.dt), hint)
	return false
}

func (b *binder) membership(n *membership, not bool) predicate {
	if l, ok := n.left.(*literal); ok {
		parts := make([]predicate, len(n.list))
		for i, m := range n.list {
			parts[i] = b.literals(l, opEqual, m, not)
		}
		return join(parts, !not)
	}
	r := b.resolve(n.left.(*column))
	values := make([]value, 0, len(n.list))
	null := false
	for _, l := range n.list {
		v, ok := b.read(l, r)
		if ok && v.class == classNull {
			null = true
		} else if ok {
			values = append(values, v)
		}
		if r != nil && r.class == classOther {
			break
		}
	}
	switch {
	case r == nil || r.class == classNull || b.faults.any() || null && not:
		return never{}
	case len(values) == 0:
		return never{} // only nulls
	}
	slices.SortFunc(values, value.cmp)
	values = slices.CompactFunc(values, func(a, b value) bool { return a.cmp(b) == 0 })
	return test{not, memberOf{r, values}}
}

func (b *binder) between(n *between, not bool) predicate {
	return join([]predicate{
		b.comparison(&comparison{op: opGreaterEqual, left: n.left, right: n.low}, not),
		b.comparison(&comparison{op: opLessEqual, left: n.left, right: n.high}, not),
	}, not)
}

func (b *binder) likeness(n *likeness, not bool) predicate {
	pattern, err := parsePattern(n.pattern.text)
	if err != nil {
		b.faults.add(n.pattern.at, "%v", err)
		return never{}
	}
	if l, ok := n.left.(*literal); ok {
		switch l.kind {
		case literalNull:
			return never{}
		case literalText:
			return fixed(pattern.match([]byte(l.text)) != not)
		}
		b.faults.add(l.at, "%s is not like text", classNouns[l.class()])
		return never{}
	}
	r := b.resolve(n.left.(*column))
	switch {
	case r == nil || r.class == classNull:
		return never{}
	case r.class != classText:
		b.faults.add(n.start(), "column %s is %s, and \"like\" looks at text only", r.name, shortType(r.dt))
		return never{}
	case pattern.exact:
		return test{not, compareValue{r, opEqual, value{class: classText, text: pattern.prefix}}}
	}
	return test{not, isLike{r, pattern}}
}

// resolve finds a column by its name; nil if there is none, which is a fault the first time.
func (b *binder) resolve(c *column) *ref {
	if r, ok := b.seen[c]; ok {
		return r
	}
	name := c.String()
	r := b.refs[name]
	if r == nil {
		if r = b.find(c); r != nil {
			r.name = name
			r.class = classOf(r.dt)
			b.refs[name] = r
		}
	}
	b.seen[c] = r
	return r
}

func (b *binder) find(c *column) *ref {
	r := &ref{}
	if f, ok := quiver.SystemField(c.path[0]); ok {
		r.system, r.top = f.Name, f.Type
		if d, ok := f.Type.(*arrow.DictionaryType); ok {
			r.top = d.ValueType
		}
	} else if col, ok := b.schema.ByName(c.path[0]); ok {
		r.id, r.top = col.ID, col.Field.Type
	} else {
		b.unknown(c)
		return nil
	}
	r.dt = r.top
	for i, name := range c.path[1:] {
		path := (&column{path: c.path[:i+1]}).String()
		s, ok := r.dt.(*arrow.StructType)
		if !ok {
			b.faults.add(c.at, "column %s is %s and has no field that a filter can look at", path, shortType(r.dt))
			return nil
		}
		place, ok := s.FieldIdx(name)
		if !ok {
			b.faults.add(c.at, "column %s has no field %s%s", path, quote(name), nearest(name, fieldNames(s)))
			return nil
		}
		r.path, r.dt = append(r.path, place), s.Field(place).Type
	}
	return r
}

func fieldNames(s *arrow.StructType) []string {
	names := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		names[i] = f.Name
	}
	return names
}

// unknown says that there is no such column, and what may have been meant.
func (b *binder) unknown(c *column) {
	if b.faults.full() {
		b.faults.more++
		return
	}
	known := b.schema.Names()
	hint := nearest(c.path[0], append(known, quiver.SystemColumns()...))
	if dotted := strings.Join(c.path, "."); len(c.path) > 1 && slices.Contains(known, dotted) {
		hint = fmt.Sprintf("; a name with a dot stands in double quotes: %q", dotted)
	} else if c.quoted && hint == "" {
		hint = "; text stands in single quotes"
	}
	b.faults.add(c.at, "there is no column %s%s", quote(c.path[0]), hint)
}

// nearest phrases the nearest known name as the end of a sentence, or is empty.
func nearest(name string, known []string) string {
	if n := quiver.Nearest(name, known); n != "" {
		return fmt.Sprintf(", did you mean %q?", n)
	}
	return ""
}

// shortType formats a type for an error, cut short if it is long.
func shortType(dt arrow.DataType) string {
	const most = 100
	text := quiver.FormatType(dt)
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
