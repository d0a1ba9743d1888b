package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/protobuf/encoding/protowire"
)

// datafile is a dataset written once as an Arrow IPC file, which every client and every server reads.
type datafile struct {
	*dataset
	path    string
	logical int64 // uncompressed Arrow bytes: the bodies of its batches
}

// gb is the logical size in GB.
func (d *datafile) gb() float64 { return float64(d.logical) / 1e9 }

// write writes the dataset into the directory, unless it is there already.
func (d *dataset) write(dir string) (*datafile, error) {
	path := filepath.Join(dir, fmt.Sprintf("%s-%dx%d.arrow", d.name, d.batches, d.batch))
	if _, err := os.Stat(path); err != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := d.writeFile(path + ".new"); err != nil {
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			return nil, err
		}
	}
	file := &datafile{dataset: d, path: path}
	return file, file.count()
}

// count finds the logical size: beside the file, where an earlier run left it, or by encoding all batches.
func (d *datafile) count() error {
	beside := d.path + ".bytes"
	text, err := os.ReadFile(beside)
	if err == nil {
		if _, err := fmt.Sscan(string(text), &d.logical); err == nil && d.logical > 0 {
			return nil
		}
	}
	d.logical = 0
	for message, err := range d.messages(nil) {
		if err != nil {
			return err
		}
		d.logical += int64(len(message.body))
	}
	return os.WriteFile(beside, fmt.Append(nil, d.logical), 0o644)
}

func (d *dataset) writeFile(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closing := f.Close(); err == nil {
			err = closing
		}
	}()
	w, err := aipc.NewFileWriter(f, aipc.WithSchema(d.schema))
	if err != nil {
		return err
	}
	for i := range d.batches {
		batch := d.generate(i)
		err := w.Write(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// message is one IPC message, encoded.
type message struct {
	header []byte // the flatbuffer, no prefix
	body   []byte
	rows   int
}

// messages gives the file's batches, encoded with the options (compression).
func (d *datafile) messages(options []aipc.Option) func(yield func(message, error) bool) {
	return func(yield func(message, error) bool) {
		err := eachBatch(d.path, func(batch arrow.RecordBatch) (bool, error) {
			m, err := encode(batch, options)
			return err == nil && yield(m, nil), err
		})
		if err != nil {
			yield(message{}, err)
		}
	}
}

// eachBatch reads an IPC file batch by batch until the function has enough.
func eachBatch(path string, do func(arrow.RecordBatch) (more bool, err error)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer closeRead(f)
	r, err := aipc.NewFileReader(f)
	if err != nil {
		return err
	}
	defer closeRead(r)
	for i := range r.NumRecords() {
		batch, err := r.RecordBatchAt(i)
		if err != nil {
			return err
		}
		more, err := do(batch)
		batch.Release()
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// encode makes a message of a batch.
func encode(batch arrow.RecordBatch, options []aipc.Option) (message, error) {
	payload, err := aipc.GetRecordBatchPayload(batch, options...)
	if err != nil {
		return message{}, err
	}
	defer payload.Release()
	meta := payload.Meta()
	defer meta.Release()
	var body bytes.Buffer
	if err := payload.SerializeBody(&body); err != nil {
		return message{}, err
	}
	return message{header: bytes.Clone(meta.Bytes()), body: body.Bytes(), rows: int(batch.NumRows())}, nil
}

// encodeSchema makes the Schema message that a stream starts with.
func encodeSchema(schema *arrow.Schema) []byte {
	payload := aipc.GetSchemaPayload(schema, memory.DefaultAllocator)
	defer payload.Release()
	meta := payload.Meta()
	defer meta.Release()
	return bytes.Clone(meta.Bytes())
}

// Field numbers of FlightData.
const (
	fieldDescriptor = 1
	fieldHeader     = 2
	fieldMetadata   = 3
	fieldBody       = 1000
)

// flightData is everything of a FlightData before the bytes of its body.
func flightData(descriptor, metadata, header []byte, body int) []byte {
	var b []byte
	for _, field := range []struct {
		number protowire.Number
		value  []byte
	}{{fieldDescriptor, descriptor}, {fieldMetadata, metadata}, {fieldHeader, header}} {
		if len(field.value) > 0 {
			b = protowire.AppendBytes(protowire.AppendTag(b, field.number, protowire.BytesType), field.value)
		}
	}
	if body > 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, fieldBody, protowire.BytesType), uint64(body))
	}
	return b
}

// frame is a message ready to be sent: what stands before the body, and the body.
type frame struct {
	head, body []byte
	header     int // bytes of the flatbuffer within the head
	rows       int
}

// frames encodes all batches of the file once, as a client with its own codec would send them.
func (d *datafile) frames(options ...aipc.Option) ([]frame, error) {
	var out []frame
	for m, err := range d.messages(options) {
		if err != nil {
			return nil, err
		}
		out = append(out, frame{head: flightData(nil, nil, m.header, len(m.body)), body: m.body, header: len(m.header), rows: m.rows})
	}
	return out, nil
}
