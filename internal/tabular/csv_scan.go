package tabular

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// csvField is one field of a row: its text, and whether it stood in quotes.
type csvField struct {
	text   []byte
	quoted bool
}

// csvScanner cuts CSV into rows, as RFC 4180 has it: fields in quotes may hold delimiters, line ends and, doubled,
// quotes. Lines end with LF or CRLF; empty ones are no rows, but where there is a single column, which is null there.
type csvScanner struct {
	r         *bufio.Reader
	delimiter byte
	line      int // of the row given last, from 1
	lines     int // that were read
	fields    []csvField
	single    bool   // there is one column
	cut       bool   // the data may end within a row: that one is not given
	long      []byte // a line that does not fit the reader's buffer, or a row of several lines
	end       []byte // of the line read last, which a field in quotes holds
}

func newCSVScanner(r io.Reader, delimiter byte) *csvScanner {
	return &csvScanner{r: bufio.NewReaderSize(r, chunkSize), delimiter: delimiter}
}

// buffered says whether the scanner has bytes that it did not look at yet.
func (s *csvScanner) buffered() bool { return s.r.Buffered() > 0 }

// csvFault is what is wrong with the layout of a row.
type csvFault struct{ text string }

func (f csvFault) Error() string { return f.text }

// next gives the next row, valid until the call after, or io.EOF.
func (s *csvScanner) next() ([]csvField, error) {
	for {
		s.line = s.lines + 1
		s.long = s.long[:0]
		row, err := s.readLine()
		if err != nil {
			return nil, err
		}
		if s.line == 1 {
			row = bytes.TrimPrefix(row, utf8Mark)
			if bytes.HasPrefix(row, []byte{0xff, 0xfe}) || bytes.HasPrefix(row, []byte{0xfe, 0xff}) {
				return nil, csvFault{"the file is UTF-16; convert it to UTF-8 (iconv -f utf-16 -t utf-8)"}
			}
		}
		if len(row) == 0 && !s.single {
			continue
		}
		if bytes.IndexByte(row, '"') < 0 {
			s.split(row)
			return s.fields, nil
		}
		if err := s.splitQuoted(row); err != nil {
			return nil, err
		}
		return s.fields, nil
	}
}

// split cuts a row without quotes.
func (s *csvScanner) split(row []byte) {
	s.fields = s.fields[:0]
	for {
		i := bytes.IndexByte(row, s.delimiter)
		if i < 0 {
			s.fields = append(s.fields, csvField{text: row})
			return
		}
		s.fields = append(s.fields, csvField{text: row[:i]})
		row = row[i+1:]
	}
}

// splitQuoted cuts a row with quotes, and reads on where a line end stands in them.
func (s *csvScanner) splitQuoted(row []byte) error {
	s.fields = s.fields[:0]
	for {
		if len(row) == 0 || row[0] != '"' {
			i := bytes.IndexByte(row, s.delimiter)
			if i < 0 {
				s.fields = append(s.fields, csvField{text: bytes.Clone(row)})
				return nil
			}
			s.fields = append(s.fields, csvField{text: bytes.Clone(row[:i])})
			row = row[i+1:]
			continue
		}
		field, rest, err := s.quoted(row[1:])
		if err != nil {
			return err
		}
		s.fields = append(s.fields, csvField{text: field, quoted: true})
		switch {
		case len(rest) == 0:
			return nil
		case rest[0] != s.delimiter:
			return csvFault{fmt.Sprintf("field %d goes on behind its closing quote; a quote within quotes is written twice", len(s.fields))}
		}
		row = rest[1:]
	}
}

// quoted reads a field up to its closing quote, on further lines if need be, and gives what follows.
func (s *csvScanner) quoted(rest []byte) (field, after []byte, err error) {
	field = []byte{}
	size := 0
	for {
		i := bytes.IndexByte(rest, '"')
		switch {
		case i < 0:
			field = append(append(field, rest...), s.end...)
			if size += len(rest) + 1; size > MaxRow {
				return nil, nil, csvFault{fmt.Sprintf("the row has more than %d bytes; is a closing quote missing?", MaxRow)}
			}
			if rest, err = s.readLine(); errors.Is(err, io.EOF) && !s.cut {
				return nil, nil, csvFault{"a quote is not closed before the end of the file"}
			} else if err != nil {
				return nil, nil, err
			}
		case i+1 < len(rest) && rest[i+1] == '"':
			field = append(field, rest[:i+1]...)
			rest = rest[i+2:]
		default:
			return append(field, rest[:i]...), rest[i+1:], nil
		}
	}
}

// readLine gives one line without its end, valid until the next call. io.EOF comes without a line; with cut also
// instead of a last line that has no end.
func (s *csvScanner) readLine() ([]byte, error) {
	s.lines++
	line, err := s.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = s.readLong(line)
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0 || s.cut) {
		return nil, err
	}
	plain := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	s.end = append(s.end[:0], line[len(plain):]...)
	return plain, nil
}

func (s *csvScanner) readLong(begin []byte) ([]byte, error) {
	s.long = append(s.long[:0], begin...)
	for {
		more, err := s.r.ReadSlice('\n')
		s.long = append(s.long, more...)
		if len(s.long) > MaxRow {
			return nil, csvFault{fmt.Sprintf("the row has more than %d bytes", MaxRow)}
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return s.long, err
		}
	}
}
