package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
)

// viewBatch is the metadata of a batch with an array of views and a key-value pair, as arrow-go writes it.
func viewBatch(t *testing.T) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.BinaryTypes.StringView}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.StringViewBuilder).Append("a text that is longer than a view")
	plain := b.NewRecordBatch()
	defer plain.Release()
	pair := arrow.NewMetadata([]string{"key"}, []string{"value"})
	batch := array.NewRecordBatchWithMetadata(schema, plain.Columns(), 1, pair)
	defer batch.Release()
	var out bytes.Buffer
	w := aipc.NewWriter(&out, aipc.WithSchema(schema))
	if err := errors.Join(w.Write(batch), w.Close()); err != nil {
		t.Fatal(err)
	}
	from := len(quiver.FormatSchemaMessage(schema)) + prefixSize
	length := int(binary.LittleEndian.Uint32(out.Bytes()[from-4:]))
	return out.Bytes()[from : from+length]
}

// TestCheckMessage gives it counts of what is not there.
func TestCheckMessage(t *testing.T) {
	good := viewBatch(t)
	body, err := CheckMessage(good)
	if err != nil || body <= 0 {
		t.Fatalf("%d, %v", body, err)
	}
	for name, spoil := range map[string]func(m message){
		"views":       func(m message) { binary.LittleEndian.PutUint64(m.variadic, 1<<45) },
		"views, less": func(m message) { binary.LittleEndian.PutUint64(m.variadic, math.MaxUint64) },
		"pairs":       func(m message) { binary.LittleEndian.PutUint32(m.fb.b[m.custom-4:], math.MaxInt32) },
		"the key": func(m message) {
			from, _ := m.fb.text(m.fb.element(m.custom, 0), 0)
			binary.LittleEndian.PutUint32(m.fb.b[from-4:], math.MaxInt32)
		},
	} {
		bad := bytes.Clone(good)
		m, err := parseMessage(bad)
		if err != nil || len(m.variadic) == 0 || m.customs != 1 {
			t.Fatalf("%d counts, %d pairs, %v", len(m.variadic)/8, m.customs, err)
		}
		spoil(m)
		if _, err := CheckMessage(bad); quiver.ReasonOf(err) != quiver.MalformedBatch {
			t.Errorf("%s: %v", name, err)
		}
	}
}
