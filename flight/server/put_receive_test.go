package server

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/coordinator"
	"github.com/quiverlog/quiver/coordinator/metastore"
	"github.com/quiverlog/quiver/flight/internal/codec"
)

// messages is a put stream that receives what it was given, then its end.
type messages struct {
	afl.FlightService_DoPutServer
	codec *codec.Codec
	left  []*afl.FlightData
}

func (s *messages) RecvMsg(m any) error {
	if len(s.left) == 0 {
		return io.EOF
	}
	data, err := proto.Marshal(s.left[0])
	if err != nil {
		return err
	}
	s.left = s.left[1:]
	return s.codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, m)
}

// A body beside the schema is nobody's: what it took from the memory budget is given back with it.
func TestBodyOfTheFirstMessage(t *testing.T) {
	c, err := coordinator.Open(t.Context(), metastore.NewMemory(), coordinator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	s := New(c, nil, Options{MaxMessage: 1 << 20, PutMemory: 1 << 20, Receive: 1 << 20, Send: 1 << 20, Calls: 1, Connections: 1, CreateTables: true, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	header, err := record.ServedSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	stream := &messages{codec: codec.New(codec.Limits{}), left: []*afl.FlightData{
		{
			FlightDescriptor: &afl.FlightDescriptor{Type: afl.DescriptorPATH, Path: []string{"events"}},
			DataHeader:       header,
			DataBody:         make([]byte, 1000),
		},
		{DataHeader: []byte("no message"), DataBody: make([]byte, 100)},
	}}
	r := receiver{put: &put{service: s, stream: stream, ctx: t.Context(), queue: newPutQueue(), answers: newPutAnswers()}}
	r.in.Admit = r.admit
	if err := r.run(); quiver.ReasonOf(err) != quiver.MalformedBatch {
		t.Errorf("the stream ended with %v", err)
	}
	r.close()
	if used := s.memory.Used(); used != 0 {
		t.Errorf("%d bytes of the budget are gone", used)
	}
}
