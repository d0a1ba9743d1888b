package filter

import (
	"encoding/hex"
	"strings"
)

// node is a part of a condition as it was written. Its string is canonical: keywords in small letters, one space
// between words, no parentheses but those that are needed.
type node interface {
	start() int // the byte of the text where it begins
	write(b *strings.Builder)
}

// junction is "a and b and c", or the same with or.
type junction struct {
	or    bool
	parts []node // two or more; none is a junction of the same kind
}

// negation is "not a".
type negation struct {
	at   int
	part node
}

// comparison is "a < b" of two operands.
type comparison struct {
	op          op
	left, right node
}

// membership is "a in (1, 2)".
type membership struct {
	not  bool
	left node
	list []*literal
}

// between is "a between low and high", the ends included.
type between struct {
	not             bool
	left, low, high node
}

// nullTest is "a is null".
type nullTest struct {
	not  bool
	left node
}

// likeness is "a like 'b%'".
type likeness struct {
	not     bool
	left    node
	pattern *literal
}

// column is a name, whose parts lead into nested fields.
type column struct {
	at     int
	path   []string
	quoted bool // the first part stood in double quotes
}

// literalKind says what a literal was written as.
type literalKind int8

const (
	literalNull literalKind = iota
	literalBool
	literalNumber
	literalText
	literalBytes
	literalDate
	literalTime
	literalTimestamp
)

// literalWords are the words before literals that have one.
var literalWords = map[literalKind]string{literalDate: "date", literalTime: "time", literalTimestamp: "timestamp"}

// literal is a value.
type literal struct {
	at     int
	kind   literalKind
	text   string // numbers: as written; text, bytes and times: what stands between the quotes, null: "null"
	number number // of literalNumber
}

// op is a comparison.
type op int8

const (
	opEqual op = iota
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
)

var opTexts = []string{"=", "!=", "<", "<=", ">", ">="}

func (o op) String() string { return opTexts[o] }

// flip gives the comparison with its sides swapped.
func (o op) flip() op {
	return [...]op{opEqual, opNotEqual, opGreater, opGreaterEqual, opLess, opLessEqual}[o]
}

// holds says whether the comparison is true of two values that compare like this (-1, 0, 1).
func (o op) holds(cmp int) bool {
	switch o {
	case opEqual:
		return cmp == 0
	case opNotEqual:
		return cmp != 0
	case opLess:
		return cmp < 0
	case opLessEqual:
		return cmp <= 0
	case opGreater:
		return cmp > 0
	}
	return cmp >= 0
}

func (n *junction) start() int   { return n.parts[0].start() }
func (n *negation) start() int   { return n.at }
func (n *comparison) start() int { return n.left.start() }
func (n *membership) start() int { return n.left.start() }
func (n *between) start() int    { return n.left.start() }
func (n *nullTest) start() int   { return n.left.start() }
func (n *likeness) start() int   { return n.left.start() }
func (n *column) start() int     { return n.at }
func (l *literal) start() int    { return l.at }

func (n *junction) write(b *strings.Builder) {
	for i, part := range n.parts {
		if i > 0 && n.or {
			b.WriteString(" or ")
		} else if i > 0 {
			b.WriteString(" and ")
		}
		inner, ok := part.(*junction)
		writeIn(b, part, ok && inner.or)
	}
}

func (n *negation) write(b *strings.Builder) {
	b.WriteString("not ")
	_, inner := n.part.(*junction)
	writeIn(b, n.part, inner)
}

// writeIn writes a node, in parentheses if need be.
func writeIn(b *strings.Builder, n node, parentheses bool) {
	if !parentheses {
		n.write(b)
		return
	}
	b.WriteByte('(')
	n.write(b)
	b.WriteByte(')')
}

func (n *comparison) write(b *strings.Builder) {
	n.left.write(b)
	b.WriteString(" " + n.op.String() + " ")
	n.right.write(b)
}

func (n *membership) write(b *strings.Builder) {
	n.left.write(b)
	writeNot(b, n.not)
	b.WriteString(" in (")
	for i, l := range n.list {
		if i > 0 {
			b.WriteString(", ")
		}
		l.write(b)
	}
	b.WriteByte(')')
}

func writeNot(b *strings.Builder, not bool) {
	if not {
		b.WriteString(" not")
	}
}

func (n *between) write(b *strings.Builder) {
	n.left.write(b)
	writeNot(b, n.not)
	b.WriteString(" between ")
	n.low.write(b)
	b.WriteString(" and ")
	n.high.write(b)
}

func (n *nullTest) write(b *strings.Builder) {
	n.left.write(b)
	b.WriteString(" is")
	writeNot(b, n.not)
	b.WriteString(" null")
}

func (n *likeness) write(b *strings.Builder) {
	n.left.write(b)
	writeNot(b, n.not)
	b.WriteString(" like ")
	n.pattern.write(b)
}

func (n *column) write(b *strings.Builder) {
	for i, name := range n.path {
		if i > 0 {
			b.WriteByte('.')
		}
		if isPlain(name) {
			b.WriteString(name)
		} else {
			b.WriteString(`"` + strings.ReplaceAll(name, `"`, `""`) + `"`)
		}
	}
}

// String gives the name as it is written in a filter.
func (n *column) String() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

// isPlain says whether a name needs no quotes: ASCII letters, digits and "_", and no keyword.
func isPlain(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return name != "" && !isKeyword(name)
}

func (l *literal) write(b *strings.Builder) {
	switch l.kind {
	case literalNull, literalBool, literalNumber:
		b.WriteString(l.text)
	case literalBytes:
		b.WriteString("x'" + hex.EncodeToString([]byte(l.text)) + "'")
	default:
		if word := literalWords[l.kind]; word != "" {
			b.WriteString(word + " ")
		}
		b.WriteString("'" + strings.ReplaceAll(l.text, "'", "''") + "'")
	}
}
