package tabular

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/quiverlog/quiver"
)

// claimed is how many fields the schemas of lies claim to have, with no byte to show for them.
const claimed = math.MaxInt32

// flatSchema is the flatbuffer of a root table whose vtable is given, with a Schema table at its offset 8.
func flatSchema(vtable ...uint16) []byte {
	le := binary.LittleEndian
	fb := le.AppendUint32(nil, 16) // the root table
	for _, v := range vtable {
		fb = le.AppendUint16(fb, v)
	}
	fb = append(fb, make([]byte, 16-len(fb))...)
	fb = le.AppendUint32(fb, 12)      // back to its vtable
	fb = append(fb, 4, 0, 1, 0)       // version V5; the header is a Schema
	fb = le.AppendUint32(fb, 36-24)   // the Schema table
	fb = append(fb, 8, 0, 8, 0, 0, 0) // its vtable: no endianness,
	fb = le.AppendUint16(fb, 4)       // and fields
	fb = le.AppendUint32(fb, 36-28)   // the Schema table: back to its vtable
	fb = le.AppendUint32(fb, 44-40)   // the vector of fields
	fb = le.AppendUint32(fb, claimed) // how many they are
	return append(fb, make([]byte, 16)...)
}

func flatMessage() []byte { return flatSchema(10, 12, 4, 6, 8) }
func flatFooter() []byte  { return flatSchema(8, 12, 4, 8) }

// framed is a message with its prefix.
func framed(meta []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(bytes.Clone(continuation), uint32(len(meta))), meta...)
}

// someStream is a stream of one compressed batch, and where its parts begin.
func someStream(t testing.TB) (data []byte, batch int) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "i", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for range 1000 {
		b.Field(0).(*array.Int64Builder).Append(7)
	}
	rows := b.NewRecordBatch()
	defer rows.Release()
	var out bytes.Buffer
	w := aipc.NewWriter(&out, aipc.WithSchema(schema), aipc.WithZstd())
	if err := errors.Join(w.Write(rows), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), len(quiver.FormatSchemaMessage(schema))
}

// lies are files of few bytes that claim to be large, by what they lie about.
func lies(t testing.TB) map[string][]byte {
	t.Helper()
	le := binary.LittleEndian
	stream, batch := someStream(t)
	metadata := append(bytes.Clone(stream[:batch+4]), 0xff, 0xff, 0xff, 0x7f)

	decompressed := bytes.Clone(stream)
	body := batch + 8 + int(le.Uint32(stream[batch+4:]))
	at := body + bytes.Index(stream[body:], le.AppendUint64(nil, 8000)) // the length before the compressed values
	if at < body {
		t.Fatal("the stream has no compressed buffer")
	}
	le.PutUint64(decompressed[at:], 1<<47)

	long := bytes.Clone(stream)
	length := bytes.Index(long[batch:body], le.AppendUint64(nil, uint64(len(stream)-8-body)))
	if length < 0 {
		t.Fatal("the batch does not tell the length of its body")
	}
	le.PutUint64(long[batch+length:], 1<<46)

	file := append([]byte("ARROW1\x00\x00"), flatFooter()...)
	file = append(le.AppendUint32(file, uint32(len(flatFooter()))), "ARROW1"...)

	return map[string][]byte{
		"fields of a stream": framed(flatMessage()),
		"fields, old prefix": framed(flatMessage())[4:],
		"fields of a file":   file,
		"fields of Parquet":  parquetWith(t, base64.StdEncoding.EncodeToString(framed(flatMessage()))),
		"length of metadata": metadata,
		"length of a body":   long,
		"length of a buffer": decompressed,
	}
}

// parquetWith is a Parquet file that stores an Arrow schema.
func parquetWith(t testing.TB, stored string) []byte {
	t.Helper()
	var out bytes.Buffer
	schema := arrow.NewSchema([]arrow.Field{{Name: "i", Type: arrow.PrimitiveTypes.Int64}}, nil)
	w, err := pqarrow.NewFileWriter(schema, &out, parquet.NewWriterProperties(), pqarrow.NewArrowWriterProperties())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.AppendKeyValueMetadata("ARROW:schema", stored), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestLies shows that no count or length in a file is believed: what it asks for would end the process.
func TestLies(t *testing.T) {
	for name, data := range lies(t) {
		t.Run(name, func(t *testing.T) {
			format := Arrow
			if strings.HasSuffix(name, "Parquet") {
				format = Parquet
			}
			err := drain(data, ReadOptions{Name: "lies.arrow", Format: format})
			if err == nil {
				t.Fatal("it was read")
			}
			if !strings.Contains(err.Error(), "lies.arrow") {
				t.Errorf("the error does not name the file: %v", err)
			}
			want := quiver.MalformedBatch
			if name == "length of a buffer" {
				want = quiver.BatchTooLarge
			}
			if found := new(quiver.Error); !errors.As(err, &found) || found.Reason != want || found.Hint == "" {
				t.Errorf("%v is no %s with a hint", err, want)
			}
		})
	}
}

// TestNoLies reads what those files were made of.
func TestNoLies(t *testing.T) {
	stream, _ := someStream(t)
	schema := arrow.NewSchema([]arrow.Field{{Name: "i", Type: arrow.PrimitiveTypes.Int64}}, nil)
	stored := base64.RawStdEncoding.EncodeToString(quiver.FormatSchemaMessage(schema))
	for _, data := range [][]byte{stream, parquetWith(t, stored), parquetWith(t, stored+strings.Repeat("=", -len(stored)&3))} {
		if err := drain(data, ReadOptions{Name: "f"}); err != nil {
			t.Error(err)
		}
	}
}

// drain reads to the end.
func drain(data []byte, o ReadOptions) error {
	r, err := NewReader(bytes.NewReader(data), o)
	if err != nil {
		return err
	}
	for {
		batch, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Close()
		}
		if err != nil {
			return errors.Join(err, r.Close())
		}
		batch.Release()
	}
}
