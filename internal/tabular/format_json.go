package tabular

import (
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// appendJSON appends one value as JSON: decimals, dates, times and timestamps as strings, binary as base64, structs as
// objects, maps as objects where the keys are strings, else as arrays of {"key", "value"}.
func appendJSON(dst []byte, a arrow.Array, i int) []byte {
	if a.IsNull(i) {
		return append(dst, "null"...)
	}
	from := len(dst)
	text, kind, ok := appendFlat(dst, a, i, 'T')
	switch {
	case !ok:
		return appendNested(dst, a, i)
	case kind == bare:
		return text
	case kind == quoted:
		text = append(text, 0, 0)
		copy(text[from+1:], text[from:len(text)-2])
		text[from], text[len(text)-1] = '"', '"'
		return text
	}
	if s, ok := a.(array.StringLike); ok {
		return appendQuoted(text[:from], s.Value(i))
	}
	return appendQuoted(text[:from], string(text[from:]))
}

func appendNested(dst []byte, a arrow.Array, i int) []byte {
	switch a := a.(type) {
	case *array.Struct:
		return appendObject(dst, a, i)
	case *array.Map: // in front of the lists, of which it is one
		return appendMap(dst, a, i)
	case array.ListLike:
		from, until := a.ValueOffsets(i)
		dst = append(dst, '[')
		for at := from; at < until; at++ {
			if at > from {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, a.ListValues(), int(at))
		}
		return append(dst, ']')
	case *array.Dictionary:
		return appendJSON(dst, a.Dictionary(), a.GetValueIndex(i))
	case *array.RunEndEncoded:
		return appendJSON(dst, a.Values(), a.GetPhysicalIndex(i))
	case array.ExtensionArray:
		return appendJSON(dst, a.Storage(), i)
	}
	return appendQuoted(dst, a.ValueStr(i))
}

func appendObject(dst []byte, a *array.Struct, i int) []byte {
	dst = append(dst, '{')
	for f, field := range a.DataType().(*arrow.StructType).Fields() {
		if f > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, field.Name), ':')
		dst = appendJSON(dst, a.Field(f), i)
	}
	return append(dst, '}')
}

func appendMap(dst []byte, a *array.Map, i int) []byte {
	from, until := a.ValueOffsets(i)
	keys, isObject := a.Keys().(array.StringLike)
	if !isObject {
		dst = append(dst, '[')
		for at := from; at < until; at++ {
			if at > from {
				dst = append(dst, ',')
			}
			dst = appendJSON(append(dst, `{"key":`...), a.Keys(), int(at))
			dst = appendJSON(append(dst, `,"value":`...), a.Items(), int(at))
			dst = append(dst, '}')
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for at := from; at < until; at++ {
		if at > from {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, keys.Value(int(at))), ':')
		dst = appendJSON(dst, a.Items(), int(at))
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends a JSON string. Only what must be is escaped; what is not UTF-8 becomes U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, size := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[plain:i]...)
		switch {
		case c >= utf8.RuneSelf:
			dst = append(dst, "\ufffd"...)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		plain = i
	}
	return append(append(dst, s[plain:]...), '"')
}
