package flight

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/quiverlog/quiver"
)

// encode writes a word as one line of JSON, keys in the order of its fields, text as it is (no escaping for HTML).
func encode(word any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(word); err != nil {
		panic("flight: a word without JSON form: " + err.Error()) // words hold nothing that can fail
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\' {
			return append(b, encode(s)...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// appendName appends the name of a partition: null on unpartitioned tables.
func appendName(b []byte, partition string) []byte {
	if partition == "" {
		return append(b, "null"...)
	}
	return appendString(b, partition)
}

// quoted lists words as JSON has them.
func quoted(words []string) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = strconv.Quote(w)
	}
	return strings.Join(list, ", ")
}

// wrongValue refuses a value that is none of those a key takes, with the nearest of them.
func wrongValue(reason quiver.Reason, key, value string, known ...string) *quiver.Error {
	err := quiver.Errorf(reason, "key %s: %q is none of %s", key, clip(value), quoted(known))
	if near := quiver.Nearest(value, known); near != "" {
		return err.Advise("did you mean \"" + near + "\"?")
	}
	return err
}
