package quiver

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the most bytes that a name may have: of a database, table, column, writer, cursor.
const MaxName = 255

// DefaultDatabase is the database of a table that is named alone.
const DefaultDatabase = "default"

// CheckName checks a name of the kind given: a "database" or "table" is made of ASCII letters, digits, "_" and
// "-"; anything else ("column", "writer", "cursor") is UTF-8 without control characters. All have 1 to 255 bytes.
// The error is BAD_NAME.
func CheckName(kind, name string) error {
	fault := textFault(name)
	if fault == "" && (kind == "database" || kind == "table") {
		if i := strings.IndexFunc(name, func(r rune) bool { return !isNameRune(r) }); i >= 0 {
			r, _ := utf8.DecodeRuneInString(name[i:])
			fault = fmt.Sprintf("has %q; take letters, digits, \"_\" and \"-\"", r)
		}
	}
	if fault == "" && kind == "column" && IsReserved(name) {
		fault = "is reserved for the server"
	}
	if fault == "" {
		return nil
	}
	return Errorf(BadName, "%s name %s %s", kind, quote(name), fault)
}

// textFault says what is wrong with a piece of text that names something, or "".
func textFault(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > MaxName:
		return fmt.Sprintf("has %d bytes, at most %d are allowed", len(name), MaxName)
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.IndexFunc(name, unicode.IsControl) >= 0:
		return "has control characters"
	}
	return ""
}

func isNameRune(r rune) bool {
	return r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// quote quotes text for an error, cut short if it is long.
func quote(s string) string {
	if len(s) <= maxSuggest {
		return fmt.Sprintf("%q", s)
	}
	cut := maxSuggest
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%q…", s[:cut])
}

// ParsePath splits "shop.orders" into database and table; "orders" alone is in the database "default".
// The error is BAD_NAME.
func ParsePath(path string) (database, table string, err error) {
	database, table, found := strings.Cut(path, ".")
	if !found {
		database, table = DefaultDatabase, path
	}
	if err := CheckName("database", database); err != nil {
		return "", "", err
	}
	if err := CheckName("table", table); err != nil {
		return "", "", err
	}
	return database, table, nil
}
