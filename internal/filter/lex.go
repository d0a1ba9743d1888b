package filter

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind says what a token is.
type tokenKind int8

const (
	tokenEnd    tokenKind = iota
	tokenName             // price, and every keyword
	tokenQuoted           // "Unit price": a name, never a keyword
	tokenNumber           // 1, -1.5, 1e3
	tokenText             // 'it''s'
	tokenBytes            // x'00ff'
	tokenSymbol           // = != < <= > >= ( ) , .
)

// token is one word of a filter.
type token struct {
	kind tokenKind
	at   int    // the byte of the text where it begins
	end  int    // the byte behind it
	text string // names, text and bytes: what stands for them, without quotes and escapes; symbols: "!=" also for <>
}

// is says whether the token is this keyword or symbol.
func (t token) is(word string) bool {
	switch t.kind {
	case tokenName:
		return strings.EqualFold(t.text, word)
	case tokenSymbol:
		return t.text == word
	}
	return false
}

// keywords cannot be plain names.
var keywords = []string{"and", "or", "not", "in", "between", "like", "is", "null", "true", "false"}

func isKeyword(name string) bool {
	for _, k := range keywords {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

// symbols, of which longer ones stand before those they begin with. The second is the canonical one.
var symbols = [][2]string{
	{"<>", "!="}, {"!=", "!="}, {"<=", "<="}, {">=", ">="}, {"<", "<"}, {">", ">"}, {"=", "="},
	{"(", "("}, {")", ")"}, {",", ","}, {".", "."},
}

// foreign are the operators of other languages, and what to write.
var foreign = [][2]string{{"==", "="}, {"&&", "and"}, {"||", "or"}, {"!", "not"}, {"&", "and"}, {"|", "or"}}

// lexer cuts a text into tokens from left to right.
type lexer struct {
	text string
	pos  int
}

// next reads one token.
func (l *lexer) next() (token, error) {
	l.pos += len(l.rest()) - len(strings.TrimLeft(l.rest(), " \t\r\n\f\v"))
	start := l.pos
	if l.rest() == "" {
		return token{kind: tokenEnd, at: start, end: start}, nil
	}
	t, err := l.scan()
	t.at, t.end = start, l.pos
	return t, err
}

func (l *lexer) rest() string { return l.text[l.pos:] }

func (l *lexer) scan() (token, error) {
	c, size := utf8.DecodeRuneInString(l.rest())
	switch {
	case c == '\'':
		s, err := l.quoted('\'', "a text")
		return token{kind: tokenText, text: s}, err
	case c == '"':
		s, err := l.quoted('"', "a name")
		return token{kind: tokenQuoted, text: s}, err
	case (c == 'x' || c == 'X') && strings.HasPrefix(l.rest()[size:], "'"):
		return l.bytes()
	case l.numberBegins():
		return l.number()
	case isNameStart(c):
		return token{kind: tokenName, text: l.takeWhile(isNamePart)}, nil
	}
	for _, f := range foreign {
		if strings.HasPrefix(l.rest(), f[0]) && !strings.HasPrefix(l.rest(), "!=") {
			return token{}, l.fault(l.pos, "%q is no operator here; write %q", f[0], f[1])
		}
	}
	for _, s := range symbols {
		if strings.HasPrefix(l.rest(), s[0]) {
			l.pos += len(s[0])
			return token{kind: tokenSymbol, text: s[1]}, nil
		}
	}
	return token{}, l.fault(l.pos, "%q means nothing here", string(c))
}

func (l *lexer) fault(at int, format string, args ...any) error {
	return syntaxError(l.text, at, format, args...)
}

func isNameStart(c rune) bool { return c == '_' || unicode.IsLetter(c) }

func isNamePart(c rune) bool { return isNameStart(c) || unicode.IsDigit(c) || unicode.IsMark(c) }

func (l *lexer) takeWhile(part func(rune) bool) string {
	start := l.pos
	for l.pos < len(l.text) {
		c, size := utf8.DecodeRuneInString(l.rest())
		if !part(c) {
			break
		}
		l.pos += size
	}
	return l.text[start:l.pos]
}

// quoted reads what stands between two marks; two of them within stand for one.
func (l *lexer) quoted(mark byte, what string) (string, error) {
	start := l.pos
	var b strings.Builder
	for l.pos++; ; l.pos++ {
		i := strings.IndexByte(l.rest(), mark)
		if i < 0 {
			l.pos = len(l.text)
			return "", l.fault(start, "%s begins here and has no %c at its end", what, mark)
		}
		b.WriteString(l.rest()[:i])
		l.pos += i + 1
		if !strings.HasPrefix(l.rest(), string(mark)) {
			return b.String(), nil
		}
		b.WriteByte(mark)
	}
}

func (l *lexer) bytes() (token, error) {
	start := l.pos
	l.pos++
	digits, err := l.quoted('\'', "a binary value")
	if err != nil {
		return token{}, err
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return token{}, l.fault(start, "a binary value has pairs of hexadecimal digits, as in x'00ff'")
	}
	return token{kind: tokenBytes, text: string(b)}, nil
}

// numberBegins says whether a digit comes next, a sign and a point before it aside.
func (l *lexer) numberBegins() bool {
	s := l.rest()
	if s[0] == '-' || s[0] == '+' {
		s = s[1:]
	}
	s = strings.TrimPrefix(s, ".")
	return s != "" && isDigit(s[0])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number reads [sign] digits [point digits] [e [sign] digits], one of the digits before and behind the point at least.
func (l *lexer) number() (token, error) {
	start := l.pos
	l.skipSign()
	l.skipDigits()
	if strings.HasPrefix(l.rest(), ".") {
		l.pos++
		if !l.skipDigits() {
			return token{}, l.fault(start, "a digit is expected behind the point of a number")
		}
	}
	if s := l.rest(); s != "" && (s[0] == 'e' || s[0] == 'E') {
		l.pos++
		l.skipSign()
		if !l.skipDigits() {
			return token{}, l.fault(start, "a digit is expected in the exponent of a number")
		}
	}
	if c, _ := utf8.DecodeRuneInString(l.rest()); l.rest() != "" && (isNamePart(c) || c == '.') {
		return token{}, l.fault(start, "a number is followed by %q; names that begin with a digit stand in double quotes", string(c))
	}
	return token{kind: tokenNumber, text: l.text[start:l.pos]}, nil
}

func (l *lexer) skipSign() {
	if s := l.rest(); s != "" && (s[0] == '-' || s[0] == '+') {
		l.pos++
	}
}

func (l *lexer) skipDigits() bool {
	start := l.pos
	for l.pos < len(l.text) && isDigit(l.text[l.pos]) {
		l.pos++
	}
	return l.pos > start
}
