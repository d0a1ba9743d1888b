package filter

import (
	"strings"
	"unicode/utf8"

	"github.com/quiverlog/quiver"
)

// Limits of a filter.
const (
	MaxText  = 64 << 10 // bytes
	MaxDepth = 64       // parentheses and "not" within each other
	MaxList  = 10000    // values of one "in"
)

// Expr is a condition as it was written, whose words are right; Bind finds out whether it fits a table.
// It is immutable.
type Expr struct {
	text string
	root node
}

// Parse reads a condition. The error is BAD_FILTER and names the position, in characters from 0, and what is
// expected there.
func Parse(text string) (*Expr, error) {
	if len(text) > MaxText {
		return nil, quiver.Errorf(quiver.BadFilter, "the filter has %d bytes, at most %d are taken", len(text), MaxText)
	}
	if !utf8.ValidString(text) {
		return nil, quiver.Errorf(quiver.BadFilter, "the filter is not UTF-8")
	}
	p := parser{lexer: lexer{text: text}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	root, err := p.condition()
	if err != nil {
		return nil, err
	}
	if p.now.kind != tokenEnd {
		return nil, p.unexpected("\"and\", \"or\" or the end is")
	}
	return &Expr{text: text, root: root}, nil
}

// String writes the condition in the one way in which all that mean it in the same words are written. Parse reads it.
func (e *Expr) String() string {
	var b strings.Builder
	e.root.write(&b)
	return b.String()
}

// parser reads a condition by recursive descent, one token ahead.
type parser struct {
	lexer
	now   token // the token that comes next
	depth int
}

func (p *parser) advance() (err error) {
	p.now, err = p.next()
	return err
}

// take moves over a keyword or symbol if it comes next.
func (p *parser) take(word string) (bool, error) {
	if !p.now.is(word) {
		return false, nil
	}
	return true, p.advance()
}

// expect moves over a keyword or symbol, which must come next.
func (p *parser) expect(word string) error {
	if !p.now.is(word) {
		return p.unexpected("%q is", word)
	}
	return p.advance()
}

// unexpected says what is expected instead of the token that comes next: `a column is`.
func (p *parser) unexpected(format string, args ...any) error {
	found := "the end"
	if p.now.kind != tokenEnd {
		found = quote(p.text[p.now.at:p.now.end])
	}
	return p.fault(p.now.at, format+" expected, not %s", append(args, found)...)
}

// deeper counts one more level. Its undoing is the caller's.
func (p *parser) deeper() error {
	if p.depth++; p.depth > MaxDepth {
		return p.fault(p.now.at, "nested deeper than %d", MaxDepth)
	}
	return nil
}

// condition = conjunction { "or" conjunction }
func (p *parser) condition() (node, error) { return p.junction(true, "or", p.conjunction) }

// conjunction = negation { "and" negation }
func (p *parser) conjunction() (node, error) { return p.junction(false, "and", p.negation) }

func (p *parser) junction(or bool, word string, part func() (node, error)) (node, error) {
	var parts []node
	for {
		n, err := part()
		if err != nil {
			return nil, err
		}
		if inner, ok := n.(*junction); ok && inner.or == or {
			parts = append(parts, inner.parts...)
		} else {
			parts = append(parts, n)
		}
		more, err := p.take(word)
		if err != nil {
			return nil, err
		}
		if !more && len(parts) == 1 {
			return n, nil
		}
		if !more {
			return &junction{or: or, parts: parts}, nil
		}
	}
}

// negation = "not" negation | predicate
func (p *parser) negation() (node, error) {
	at := p.now.at
	if not, err := p.take("not"); err != nil || !not {
		if err != nil {
			return nil, err
		}
		return p.predicate()
	}
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	part, err := p.negation()
	if err != nil {
		return nil, err
	}
	return &negation{at: at, part: part}, nil
}

// predicate = operand [ test ] | "(" condition ")"
func (p *parser) predicate() (node, error) {
	left, err := p.primary()
	if err != nil {
		return nil, err
	}
	if !p.testBegins() {
		return left, nil
	}
	if !isOperand(left) {
		return nil, p.fault(p.now.at, "a condition cannot be compared; a column or a literal is expected before %s",
			quote(p.text[p.now.at:p.now.end]))
	}
	n, err := p.test(left)
	if err == nil && p.testBegins() {
		return nil, p.fault(p.now.at, "a condition cannot be compared; write \"and\" or \"or\" before what follows")
	}
	return n, err
}

func isOperand(n node) bool {
	switch n.(type) {
	case *column, *literal:
		return true
	}
	return false
}

// testWords are all a test may begin with.
var testWords = append([]string{"in", "between", "like", "is", "not"}, opTexts...)

func (p *parser) testBegins() bool {
	for _, word := range testWords {
		if p.now.is(word) {
			return true
		}
	}
	return false
}

// primary = column | literal | "(" condition ")"
func (p *parser) primary() (node, error) {
	if !p.now.is("(") {
		return p.operand("a column or a literal is")
	}
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if err := p.advance(); err != nil {
		return nil, err
	}
	n, err := p.condition()
	if err != nil {
		return nil, err
	}
	return n, p.expect(")")
}

// test = compare operand | [ "not" ] ( in | between | like ) | "is" [ "not" ] "null"
func (p *parser) test(left node) (node, error) {
	for o, text := range opTexts {
		if p.now.is(text) {
			if err := p.advance(); err != nil {
				return nil, err
			}
			right, err := p.right()
			return &comparison{op: op(o), left: left, right: right}, err
		}
	}
	if is, err := p.take("is"); err != nil || is {
		if err != nil {
			return nil, err
		}
		not, err := p.take("not")
		if err != nil {
			return nil, err
		}
		return &nullTest{not: not, left: left}, p.expect("null")
	}
	not, err := p.take("not")
	if err != nil {
		return nil, err
	}
	word := p.now
	for name, rest := range map[string]func(bool, node) (node, error){"in": p.membership, "between": p.between, "like": p.likeness} {
		if word.is(name) {
			if err := p.advance(); err != nil {
				return nil, err
			}
			return rest(not, left)
		}
	}
	return nil, p.unexpected("\"in\", \"between\" or \"like\" is")
}

// right reads the operand behind a comparison, which may stand in parentheses.
func (p *parser) right() (node, error) {
	n, err := p.primary()
	if err == nil && !isOperand(n) {
		return nil, p.fault(n.start(), "a column or a literal is expected, not a condition")
	}
	return n, err
}

// membership = "in" "(" literal { "," literal } ")"
func (p *parser) membership(not bool, left node) (node, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	m := &membership{not: not, left: left}
	for {
		value, err := p.operand("a literal is")
		if err != nil {
			return nil, err
		}
		l, ok := value.(*literal)
		if !ok {
			return nil, p.fault(value.start(), "\"in\" takes literals, not columns; compare columns with \"=\" and \"or\"")
		}
		if m.list = append(m.list, l); len(m.list) > MaxList {
			return nil, p.fault(l.at, "\"in\" takes at most %d values", MaxList)
		}
		more, err := p.take(",")
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	if !p.now.is(")") {
		return nil, p.unexpected("\",\" or \")\" is")
	}
	return m, p.advance()
}

// between = "between" operand "and" operand
func (p *parser) between(not bool, left node) (node, error) {
	low, err := p.right()
	if err != nil {
		return nil, err
	}
	if err := p.expect("and"); err != nil {
		return nil, err
	}
	high, err := p.right()
	return &between{not: not, left: left, low: low, high: high}, err
}

// likeness = "like" text
func (p *parser) likeness(not bool, left node) (node, error) {
	if p.now.kind != tokenText {
		return nil, p.unexpected("a pattern in single quotes is")
	}
	pattern := &literal{at: p.now.at, kind: literalText, text: p.now.text}
	if _, err := parsePattern(pattern.text); err != nil {
		return nil, p.fault(pattern.at, "%v", err)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.now.is("escape") {
		return nil, p.fault(p.now.at, "there is no \"escape\"; the escape character is \\, as in '100\\%%'")
	}
	return &likeness{not: not, left: left, pattern: pattern}, nil
}

// operand reads a column or a literal.
func (p *parser) operand(expected string) (node, error) {
	t := p.now
	switch t.kind {
	case tokenNumber:
		n, err := parseNumber(t.text)
		if err != nil {
			return nil, p.fault(t.at, "%v", err)
		}
		return &literal{at: t.at, kind: literalNumber, text: strings.ToLower(strings.TrimPrefix(t.text, "+")), number: n}, p.advance()
	case tokenText:
		return &literal{at: t.at, kind: literalText, text: t.text}, p.advance()
	case tokenBytes:
		return &literal{at: t.at, kind: literalBytes, text: t.text}, p.advance()
	case tokenQuoted:
		return p.column()
	case tokenName:
		return p.word(expected)
	}
	return nil, p.unexpected("%s", expected)
}

// word reads what begins with a plain word: true, false, null, date '…' and the like, or a column.
func (p *parser) word(expected string) (node, error) {
	t := p.now
	switch {
	case t.is("null"):
		return &literal{at: t.at, kind: literalNull, text: "null"}, p.advance()
	case t.is("true"), t.is("false"):
		return &literal{at: t.at, kind: literalBool, text: strings.ToLower(t.text)}, p.advance()
	case isKeyword(t.text):
		return nil, p.fault(t.at, "%s expected, not the keyword %s; a column of that name stands in double quotes", expected, quote(t.text))
	}
	n, err := p.column()
	if err != nil || p.now.kind != tokenText {
		return n, err
	}
	for kind, word := range literalWords {
		if t.is(word) && len(n.path) == 1 {
			return p.typed(t.at, kind)
		}
	}
	return nil, p.unexpected("an operator is")
}

// typed reads the text of a literal behind its word.
func (p *parser) typed(at int, kind literalKind) (node, error) {
	l := &literal{at: at, kind: kind, text: p.now.text}
	if err := checkMoment(kind, l.text); err != nil {
		return nil, p.fault(p.now.at, "%s is no %s: %v", quote(l.text), literalWords[kind], err)
	}
	return l, p.advance()
}

// column = name { "." name }
func (p *parser) column() (*column, error) {
	c := &column{at: p.now.at, quoted: p.now.kind == tokenQuoted}
	for {
		if p.now.kind != tokenQuoted && (p.now.kind != tokenName || isKeyword(p.now.text)) {
			return nil, p.unexpected("a name is")
		}
		if p.now.text == "" {
			return nil, p.fault(p.now.at, "a name is empty")
		}
		c.path = append(c.path, p.now.text)
		if err := p.advance(); err != nil {
			return nil, err
		}
		if more, err := p.take("."); err != nil || !more {
			return c, err
		}
	}
}
