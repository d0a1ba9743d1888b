package tabular

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// jsonScanner cuts a stream of JSON into its rows: objects behind each other, however they are laid out, or within one
// array.
type jsonScanner struct {
	r      *bufio.Reader
	line   int  // where the row given last begins, from 1
	lines  int  // where the scanner is
	array  bool // within [ … ]
	begun  bool
	ended  bool
	behind bool // a row was given, so a comma or the end comes next
	cut    bool // the data may end within a row: that one is not given
	row    []byte
}

func newJSONScanner(r io.Reader) *jsonScanner {
	return &jsonScanner{r: bufio.NewReaderSize(r, chunkSize), lines: 1}
}

// buffered says whether the scanner has more than white space that it did not look at yet.
func (s *jsonScanner) buffered() bool {
	rest, _ := s.r.Peek(s.r.Buffered()) // they are there
	return len(trimJSON(rest)) > 0
}

// jsonFault is what is wrong with the layout of the data.
type jsonFault struct{ text string }

func (f jsonFault) Error() string { return f.text }

// next gives the next row, one valid JSON object, until the call after, or io.EOF.
func (s *jsonScanner) next() ([]byte, error) {
	if !s.begun {
		s.begun = true
		s.skipMark()
		if c, err := s.peek(); err == nil && c == '[' {
			s.array = true
			s.discard()
		}
	}
	if err := s.between(); err != nil {
		return nil, err
	}
	s.line = s.lines
	if err := s.collect(); err != nil {
		return nil, err
	}
	if !json.Valid(s.row) {
		var value json.RawMessage
		return nil, jsonFault{"it is no JSON: " + json.Unmarshal(s.row, &value).Error()}
	}
	s.behind = true
	return s.row, nil
}

func (s *jsonScanner) skipMark() {
	if begin, err := s.r.Peek(len(utf8Mark)); err == nil && bytes.Equal(begin, utf8Mark) {
		_, _ = s.r.Discard(len(utf8Mark)) // they were peeked at
	}
}

// peek gives the next byte that is no white space.
func (s *jsonScanner) peek() (byte, error) {
	for {
		c, err := s.r.ReadByte()
		switch {
		case err != nil:
			return 0, err
		case c == '\n':
			s.lines++
		case c != ' ' && c != '\t' && c != '\r':
			return c, s.r.UnreadByte()
		}
	}
}

func (s *jsonScanner) discard() { _, _ = s.r.ReadByte() } // it was peeked at

// between goes to the beginning of the next row, over a comma within an array. io.EOF: there is none.
func (s *jsonScanner) between() error {
	c, err := s.peek()
	if s.array && !s.ended && err == nil {
		switch {
		case c == ']':
			s.ended = true
			s.discard()
			c, err = s.peek()
		case s.behind && c == ',':
			s.discard()
			c, err = s.peek()
		case s.behind:
			s.line = s.lines
			return jsonFault{fmt.Sprintf("%q comes where a comma or the end of the array is expected", c)}
		}
	}
	switch {
	case errors.Is(err, io.EOF) && s.array && !s.ended && !s.cut:
		s.line = s.lines
		return jsonFault{"the file ends within its array"}
	case err != nil:
		return err
	case s.ended || c != '{':
		s.line = s.lines
		return jsonFault{fmt.Sprintf(`%q comes where a row is expected; a row is an object such as {"id": 1}`, c)}
	}
	return nil
}

// collect copies one object, up to the brace that closes it, into s.row.
func (s *jsonScanner) collect() error {
	s.row = s.row[:0]
	depth, inText, escaped := 0, false, false
	for {
		chunk, err := s.r.Peek(max(1, s.r.Buffered()))
		if len(chunk) == 0 {
			if errors.Is(err, io.EOF) && !s.cut {
				return jsonFault{"the file ends within this row"}
			}
			return err
		}
		for i, c := range chunk {
			switch {
			case c == '\n':
				s.lines++
			case escaped:
				escaped = false
			case inText:
				escaped, inText = c == '\\', c != '"'
			case c == '"':
				inText = true
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				if depth--; depth == 0 {
					s.row = append(s.row, chunk[:i+1]...)
					_, err := s.r.Discard(i + 1)
					return err
				}
			}
		}
		s.row = append(s.row, chunk...)
		_, _ = s.r.Discard(len(chunk)) // they were peeked at
		if len(s.row) > MaxRow {
			return jsonFault{fmt.Sprintf("the row has more than %d bytes", MaxRow)}
		}
	}
}

var errNoJSON = errors.New("no JSON")

// takeJSON checks that a text begins with a JSON value, and cuts it in front of what follows.
func takeJSON(text []byte) (value, rest []byte, err error) {
	text = trimJSON(text)
	if !json.Valid(text) {
		return nil, nil, errNoJSON
	}
	return text, nil, nil
}

func trimJSON(text []byte) []byte { return bytes.Trim(text, " \t\r\n") }

// nextJSON cuts the first value off valid JSON: of the inside of an object or array, white space and one ':' or ','
// behind it included.
func nextJSON(text []byte) (value, rest []byte) {
	text = bytes.TrimLeft(text, " \t\r\n")
	end := endOfJSON(text)
	value, rest = text[:end], bytes.TrimLeft(text[end:], " \t\r\n")
	if len(rest) > 0 && (rest[0] == ':' || rest[0] == ',') {
		rest = rest[1:]
	}
	return value, rest
}

// endOfJSON gives the length of the value that valid JSON begins with.
func endOfJSON(text []byte) int {
	depth, inText, escaped := 0, false, false
	for i, c := range text {
		switch {
		case escaped:
			escaped = false
		case inText:
			escaped, inText = c == '\\', c != '"'
			if !inText && !escaped && depth == 0 {
				return i + 1
			}
		case c == '"':
			inText = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 {
				return i // of what holds a number or word
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && (c == ',' || c == ':' || c == ' ' || c == '\t' || c == '\r' || c == '\n'):
			return i
		}
	}
	return len(text)
}

// eachJSON visits the items of an array, or the members of an object with their names.
func eachJSON(text []byte, visit func(name, value []byte) error) error {
	object := text[0] == '{'
	rest := trimJSON(text[1 : len(text)-1])
	for len(rest) > 0 {
		var name, value []byte
		if object {
			if name, rest = nextJSON(rest); true {
				name = unquote(name)
			}
		}
		value, rest = nextJSON(rest)
		if err := visit(name, value); err != nil {
			return err
		}
		rest = bytes.TrimLeft(rest, " \t\r\n")
	}
	return nil
}

// unquote gives the text of a JSON string.
func unquote(raw []byte) []byte {
	inside := raw[1 : len(raw)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return inside
	}
	var text string
	_ = json.Unmarshal(raw, &text) // it is valid
	return []byte(text)
}
