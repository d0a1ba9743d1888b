package tabular

import (
	"bytes"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/quiverlog/quiver"
)

// Format is how a table is written down.
type Format string

// The formats. Table can only be written. ArrowFile can only be read: what is written is a stream.
const (
	Arrow     Format = "arrow"      // an IPC stream; reading takes a file as well
	ArrowFile Format = "arrow-file" // an IPC file (Feather)
	Parquet   Format = "parquet"
	CSV       Format = "csv"
	TSV       Format = "tsv"
	NDJSON    Format = "ndjson" // one object a line; reading takes them any way they are laid out
	JSON      Format = "json"   // one array of objects
	Table     Format = "table"
)

// InputFormats and OutputFormats are the words for formats that can be read and written.
var (
	InputFormats  = []string{"arrow", "parquet", "csv", "tsv", "ndjson", "json"}
	OutputFormats = []string{"table", "json", "ndjson", "csv", "arrow", "parquet"}
)

var extensions = map[string]Format{
	".arrow": Arrow, ".arrows": Arrow, ".ipc": Arrow, ".feather": Arrow,
	".parquet": Parquet, ".pq": Parquet,
	".csv": CSV, ".tsv": TSV, ".tab": TSV,
	".ndjson": NDJSON, ".jsonl": NDJSON, ".json": JSON,
}

// FormatOf tells the format of a file by its extension, that of a compression aside; "" if it does not tell.
func FormatOf(path string) Format {
	name := strings.ToLower(filepath.Base(path))
	for _, ext := range compressions {
		name = strings.TrimSuffix(name, ext)
	}
	return extensions[filepath.Ext(name)]
}

// ParseFormat reads the word for a format that can be read. The error is BAD_COMMAND and names the nearest.
func ParseFormat(word string) (Format, error) {
	for _, known := range InputFormats {
		if strings.EqualFold(word, known) {
			return Format(known), nil
		}
	}
	if word == "jsonl" {
		return NDJSON, nil
	}
	return "", unknownFormat(word, InputFormats)
}

// ParseOutput reads the word for a format that can be written. The error is BAD_COMMAND and names the nearest.
func ParseOutput(word string) (Format, error) {
	for _, known := range OutputFormats {
		if strings.EqualFold(word, known) {
			return Format(known), nil
		}
	}
	return "", unknownFormat(word, OutputFormats)
}

func unknownFormat(word string, known []string) error {
	err := quiver.Errorf(quiver.BadCommand, "there is no format %q", word)
	if near := quiver.Nearest(word, known); near != "" {
		return err.Advise("did you mean \"" + near + "\"?")
	}
	return err.Advise("take one of " + strings.Join(known, ", "))
}

var (
	arrowFileMagic = []byte("ARROW1")
	parquetMagic   = []byte("PAR1")
	continuation   = []byte{0xff, 0xff, 0xff, 0xff}
)

// namesColumn says whether the first line of text is the name of a column, and so the header of a CSV of that one.
func namesColumn(begin []byte, schema *arrow.Schema) bool {
	if schema == nil {
		return false
	}
	line, _, _ := bytes.Cut(bytes.TrimPrefix(begin, utf8Mark), []byte("\n"))
	name := strings.Trim(string(bytes.TrimSuffix(line, []byte("\r"))), `"`)
	return schema.HasField(name)
}

// sniff tells the format of data by how it begins; "" if that does not tell. Text with a comma or tab in its first line
// is CSV.
func sniff(begin []byte) Format {
	switch {
	case bytes.HasPrefix(begin, arrowFileMagic):
		return ArrowFile
	case bytes.HasPrefix(begin, parquetMagic):
		return Parquet
	case bytes.HasPrefix(begin, continuation):
		return Arrow
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(begin, utf8Mark), " \t\r\n")
	line, _, _ := bytes.Cut(text, []byte("\n"))
	switch {
	case len(text) > 0 && (text[0] == '{' || text[0] == '['):
		return JSON
	case bytes.IndexByte(begin, 0) >= 0:
		return ""
	case bytes.IndexByte(line, '\t') >= 0 && bytes.IndexByte(line, ',') < 0:
		return TSV
	case bytes.IndexByte(line, ',') >= 0:
		return CSV
	}
	return ""
}
