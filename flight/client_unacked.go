package flight

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// unacked is a batch that is not acknowledged yet, encoded, to be put again as it is if need be.
type unacked struct {
	schema   *arrow.Schema
	frames   []frame // dictionaries, then the batch
	rows     int64
	bytes    int64
	sequence quiver.Sequence // NoSequence
	expect   quiver.Offset   // NoExpectation
	held     arrow.RecordBatch
}

// frame is one message: a header and the parts of its body, which lie in the memory of the record batch.
type frame struct {
	header []byte
	body   [][]byte
}

// out is the message to be sent. The transport may hold the body longer than anyone waits for an answer.
func (u *unacked) out(f *frame, metadata []byte) *codec.Out {
	u.held.Retain()
	return &codec.Out{Header: f.header, Body: f.body, Metadata: metadata, Owner: u.held}
}

// release lets the batch's memory go.
func (u *unacked) release() { u.held.Release() }

// compressionOf gives the writer's option for a compression's name.
func compressionOf(name string) ([]aipc.Option, error) {
	switch name {
	case "", "none":
		return nil, nil
	case "lz4":
		return []aipc.Option{aipc.WithLZ4()}, nil
	case "zstd":
		return []aipc.Option{aipc.WithZstd()}, nil
	default:
		return nil, wrongValue(quiver.BadCommand, "Compression", name, "none", "lz4", "zstd")
	}
}

// batchEncoder encodes record batches of one schema without copying their values. It belongs to one goroutine.
type batchEncoder struct {
	schema *arrow.Schema
	w      *aipc.Writer
	taken  frames
}

// newBatchEncoder makes an encoder. Whatever it makes anew is left to the garbage collector, since nobody tells when the
// transport has done with it.
func newBatchEncoder(schema *arrow.Schema, options []aipc.Option) *batchEncoder {
	e := &batchEncoder{schema: schema}
	e.w = aipc.NewWriterWithPayloadWriter(&e.taken,
		append([]aipc.Option{aipc.WithSchema(schema), aipc.WithAllocator(memory.NewGoAllocator())}, options...)...)
	return e
}

// encode encodes a record batch and holds a reference on it.
func (e *batchEncoder) encode(batch arrow.RecordBatch) (*unacked, error) {
	e.taken.list = nil
	if err := e.w.Write(batch); err != nil {
		return nil, quiver.Errorf(quiver.SchemaMismatch, "the batch cannot be encoded: %v", err)
	}
	batch.Retain()
	u := &unacked{schema: e.schema, frames: e.taken.list, rows: batch.NumRows(), held: batch}
	for _, f := range u.frames {
		u.bytes += int64(len(f.header))
		for _, part := range f.body {
			u.bytes += int64(len(part))
		}
	}
	return u, nil
}

// encode encodes a record batch, with an encoder that was used before where that is possible: compressors are costly
// to make, but an encoder leaves out the dictionaries that it has sent, and a batch must stand alone.
func (a *Appender) encode(batch arrow.RecordBatch) (*unacked, error) {
	e, _ := a.encoders.Get().(*batchEncoder)
	if e == nil || e.schema != batch.Schema() {
		options, err := compressionOf(a.options.Compression)
		if err != nil {
			return nil, err
		}
		e = newBatchEncoder(batch.Schema(), options)
	}
	u, err := e.encode(batch)
	if err == nil && len(u.frames) == 1 {
		a.encoders.Put(e)
		return u, nil
	}
	if closed := e.w.Close(); err == nil && closed != nil { // lets the dictionaries go
		u.release()
		return nil, quiver.Errorf(quiver.SchemaMismatch, "the batch cannot be encoded: %v", closed)
	}
	return u, err
}

// encodeSchema gives the Schema message of a stream.
func encodeSchema(schema *arrow.Schema) []byte {
	payload := aipc.GetSchemaPayload(schema, memory.NewGoAllocator())
	defer payload.Release()
	meta := payload.Meta()
	defer meta.Release()
	return append([]byte(nil), meta.Bytes()...)
}

// frames takes messages from arrow-go's encoder.
type frames struct {
	started bool // the schema was passed over
	list    []frame
}

func (g *frames) Start() error { return nil }
func (g *frames) Close() error { return nil }

// WritePayload keeps the message: the parts of the body as they lie, which the encoder does not give back to anyone.
func (g *frames) WritePayload(p aipc.Payload) error {
	if !g.started {
		g.started = true
		return nil
	}
	meta := p.Meta()
	defer meta.Release()
	var body parts
	if err := p.SerializeBody(&body); err != nil {
		return err
	}
	g.list = append(g.list, frame{header: append([]byte(nil), meta.Bytes()...), body: body})
	return nil
}

// parts is a writer that keeps what is written to it where it lies.
type parts [][]byte

var _ io.Writer = (*parts)(nil)

func (p *parts) Write(b []byte) (int, error) {
	if len(b) > 0 {
		*p = append(*p, b)
	}
	return len(b), nil
}
