package flight

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"

	"github.com/quiverlog/quiver/flight/internal/codec"
	"github.com/quiverlog/quiver/internal/buf"
)

// rogue is a server that answers with bytes which were right until somebody changed them.
type rogue struct {
	afl.BaseFlightServer
	rng      *rand.Rand
	messages [][2][]byte // header and body: schema, dictionary, batches
}

// lockedSource lets the calls that a server serves at the same time draw from one seed.
type lockedSource struct {
	mu  sync.Mutex
	pcg *rand.PCG
}

func (s *lockedSource) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pcg.Uint64()
}

// bend changes some bytes, or none.
func (s *rogue) bend(b []byte) []byte {
	b = bytes.Clone(b)
	for range s.rng.IntN(3) {
		if len(b) == 0 {
			break
		}
		switch at := s.rng.IntN(len(b)); s.rng.IntN(3) {
		case 0:
			b[at] ^= 1 << s.rng.IntN(8)
		case 1:
			b = b[:at]
		default:
			if at+8 <= len(b) {
				binary.LittleEndian.PutUint64(b[at:], s.rng.Uint64()>>s.rng.IntN(64))
			}
		}
	}
	return b
}

func (s *rogue) DoGet(_ *afl.Ticket, stream afl.FlightService_DoGetServer) error {
	for i, m := range s.messages {
		if i > 0 && s.rng.IntN(10) == 0 {
			continue
		}
		info := s.bend([]byte(`{"bucket":0,"partition":null,"from":0,"until":9,"timestamp":1,"high_watermark":9}`))
		out := &codec.Out{Header: m[0], Body: [][]byte{m[1]}, Metadata: info}
		if s.rng.IntN(3) == 0 {
			out.Header, out.Body = s.bend(m[0]), [][]byte{s.bend(m[1])}
		}
		if err := codec.Send(stream, out); err != nil {
			return err
		}
	}
	return nil
}

func (s *rogue) DoPut(stream afl.FlightService_DoPutServer) error {
	for range s.rng.IntN(4) {
		answer := s.bend([]byte(`{"batches":999,"rows":1,"sequence":2,"ranges":[{"partition":null,"bucket":0,"from":1,"until":4}],"duplicates":0,"flush":null}`))
		if err := stream.SendMsg(&codec.PutResult{Metadata: answer}); err != nil {
			return err
		}
	}
	return nil
}

func (s *rogue) DoAction(action *afl.Action, stream afl.FlightService_DoActionServer) error {
	if action.Type == ActionWriterInit && s.rng.IntN(8) > 0 {
		return stream.Send(&afl.Result{Body: []byte(`{"writer_id":17,"writer_epoch":3}`)})
	}
	for range s.rng.IntN(3) {
		if err := stream.Send(&afl.Result{Body: s.bend([]byte(`{"table":"a.b","table_id":3,"columns":[{"id":1,"name":"x","type":"int64","default":null}],"options":{"a":"b"}}`))}); err != nil {
			return err
		}
	}
	return nil
}

func (s *rogue) GetFlightInfo(context.Context, *afl.FlightDescriptor) (*afl.FlightInfo, error) {
	return &afl.FlightInfo{
		Schema:      s.bend(FrameSchema(s.messages[0][0])),
		AppMetadata: s.bend([]byte(`{"table_id":1,"schema_id":1,"ranges":[],"tier":"local"}`)),
		Endpoint:    []*afl.FlightEndpoint{nil, {Ticket: &afl.Ticket{Ticket: s.bend([]byte(`{"table":"a.b","from":{"offsets":{"0":1}}}`))}}},
	}, nil
}

// serveRogue serves on loopback until the test ends.
func serveRogue(t *testing.T, rng *rand.Rand) *Client {
	t.Helper()
	dictionary := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "list", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true}, {Name: "kind", Type: dictionary, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	if err := b.UnmarshalJSON([]byte(`{"n":1,"text":"one","list":[1,2],"kind":"+A"} {"n":null,"text":"two","list":null,"kind":"-D"}`)); err != nil {
		t.Fatal(err)
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	e := newBatchEncoder(schema, []aipc.Option{})
	u, err := e.encode(batch)
	if err != nil {
		t.Fatal(err)
	}
	defer u.release()
	s := &rogue{rng: rng, messages: [][2][]byte{{encodeSchema(schema), nil}}}
	for range 2 {
		for _, f := range u.frames {
			s.messages = append(s.messages, [2][]byte{f.header, bytes.Join(f.body, nil)})
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.ForceServerCodecV2(codec.New(codec.Limits{})))
	afl.RegisterFlightServiceServer(g, s)
	done := make(chan error, 1)
	go func() { done <- g.Serve(listener) }()
	c, err := Dial(listener.Addr().String(), ClientOptions{RetryFor: -1, MaxMessage: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestClientOutlivesHostileServers: whatever a server sends, calls end, nothing panics and no memory is kept.
func TestClientOutlivesHostileServers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := serveRogue(t, rand.New(&lockedSource{pcg: rand.NewPCG(seed, 0)}))
	ctx := t.Context()
	live := buf.Live()
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	b.Field(0).(*array.Int64Builder).Append(1)
	batch := b.NewRecordBatch()
	defer batch.Release()
	good, rowsRead := 0, 0
	for range 300 {
		if s, err := c.Scan(ctx, ScanCommand{Table: Named("a.b")}); err == nil {
			for s.Next() {
				for _, column := range s.Batch().Columns() {
					for i := range column.Len() {
						_ = column.ValueStr(i)
						rowsRead++
					}
				}
			}
			if s.Err() == nil {
				good++
			}
			_ = s.Position()
			s.Close()
		}
		if a, err := c.Append(ctx, "a.b", AppendOptions{}); err == nil {
			_ = a.Append(ctx, batch)
			if totals, err := a.Close(ctx); err == nil && totals.Batches != 1 {
				t.Fatalf("closed well with %+v", totals)
			}
		}
		_, _ = c.DescribeTable(ctx, "a.b")
		_, _ = c.Tables(ctx, "")
		_, _ = c.Plan(ctx, ScanCommand{Table: Named("a.b")})
	}
	if good == 0 || rowsRead == 0 {
		t.Errorf("%d scans went well, %d rows were read: the server changes too much", good, rowsRead)
	}
	if now := buf.Live(); now != live {
		t.Errorf("%d buffers are held that were not before", now-live)
	}
}
