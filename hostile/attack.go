package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

const service = "/arrow.flight.protocol.FlightService/"

// attack is one way to do harm, again and again until the context ends. What the server answers does not matter.
type attack struct {
	name  string
	many  int           // that do it at a time
	pause time.Duration // between two tries of one of them: the attackers are many, not fast
	try   func(ctx context.Context, a *attacker) error
}

// attacks are all that are known. Each try is a connection of its own where it says nothing else.
var attacks = []attack{
	{"messages that never end", 40, 500 * time.Millisecond, unfinished},
	{"messages in tiny frames", 4, 100 * time.Millisecond, tinyFrames},
	{"messages that trickle", 20, 100 * time.Millisecond, trickle},
	{"streams half open", 10, 500 * time.Millisecond, halfOpen},
	{"answers that nobody reads", 10, 200 * time.Millisecond, unread},
	{"streams begun and reset", 2, 50 * time.Millisecond, resets},
	{"pings and settings", 2, 50 * time.Millisecond, pings},
	{"headers of a megabyte", 2, 100 * time.Millisecond, headers},
	{"tickets of megabytes", 2, 100 * time.Millisecond, tickets},
	{"connections that say nothing", 30, 200 * time.Millisecond, silent},
	{"mutants of batches", 4, 50 * time.Millisecond, mutants},
	{"batches that unpack to a thousand times as much", 2, 100 * time.Millisecond, bombs},
	{"schemas of a million columns", 2, 200 * time.Millisecond, wide},
	{"scans with costly filters", 2, 100 * time.Millisecond, scans},
	{"actions of all kinds", 2, 50 * time.Millisecond, actions},
}

// attacker is what tries share.
type attacker struct {
	address string
	rng     *rand.Rand
	seen    *atomic.Int64
}

// runAttacks attacks until the context ends, in all ways whose name contains only, and tells how often each was tried.
func runAttacks(ctx context.Context, address string, seed uint64, only string, out io.Writer) {
	counts := make([]atomic.Int64, len(attacks))
	var wg sync.WaitGroup
	for i, a := range attacks {
		if !strings.Contains(a.name, only) {
			continue
		}
		for n := range a.many {
			wg.Go(func() {
				me := &attacker{address: address, rng: rand.New(rand.NewPCG(seed, uint64(i<<16|n))), seen: &counts[i]}
				for ctx.Err() == nil {
					_ = a.try(ctx, me) // being refused is what they are here for
					counts[i].Add(1)
					rest(ctx, a.pause)
				}
			})
		}
	}
	wg.Wait()
	for i, a := range attacks {
		fmt.Fprintf(out, "%d\t%s\n", counts[i].Load(), a.name)
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// held opens a connection of frames for a try, and keeps it for a time at most.
func held(ctx context.Context, a *attacker, listen bool, run func(w *wire) error) error {
	w, err := dialWire(a.address, listen)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	defer context.AfterFunc(ctx, func() { _ = w.Close() })()
	return run(w)
}

// linger keeps what was begun.
const linger = 3 * time.Second

func unfinished(ctx context.Context, a *attacker) error {
	return held(ctx, a, true, func(w *wire) error {
		for range 4 {
			id, err := w.open("DoPut")
			if err != nil {
				return err
			}
			if err := w.begin(id, maxMessage, 60<<10); err != nil { // the window of a stream that nobody reads from
				return err
			}
		}
		rest(ctx, linger)
		return nil
	})
}

func tinyFrames(ctx context.Context, a *attacker) error {
	return held(ctx, a, true, func(w *wire) error {
		id, err := w.open("DoPut")
		if err != nil {
			return err
		}
		if err := w.begin(id, maxMessage, 0); err != nil {
			return err
		}
		for range 60 {
			if _, err := w.Conn.Write(tinyOnes()); err != nil || ctx.Err() != nil {
				return err
			}
		}
		return nil
	})
}

// tinyOnes are frames of a byte for the first stream of a connection. What is sent is made once: the attackers are to
// cost the server's processors, not their own, which are the same.
var tinyOnes = sync.OnceValue(func() []byte {
	var frames bytes.Buffer
	f := http2.NewFramer(&frames, nil)
	for range 1000 {
		_ = f.WriteData(1, false, []byte{1})
	}
	return frames.Bytes()
})

func trickle(ctx context.Context, a *attacker) error {
	return held(ctx, a, true, func(w *wire) error {
		id, err := w.open("DoPut")
		if err != nil {
			return err
		}
		if err := w.begin(id, 60<<10, 50<<10); err != nil {
			return err
		}
		for range 100 {
			if err := w.WriteData(id, false, []byte{1}); err != nil || ctx.Err() != nil {
				return err
			}
			rest(ctx, 100*time.Millisecond)
		}
		return nil
	})
}

func halfOpen(ctx context.Context, a *attacker) error {
	return held(ctx, a, true, func(w *wire) error {
		for range 200 {
			if _, err := w.open([]string{"DoPut", "DoExchange", "DoGet", "DoAction"}[a.rng.IntN(4)]); err != nil {
				return err
			}
		}
		rest(ctx, linger)
		return nil
	})
}

func resets(ctx context.Context, a *attacker) error {
	return held(ctx, a, true, func(w *wire) error {
		for range 500 {
			id, err := w.open("DoPut")
			if err != nil || ctx.Err() != nil {
				return err
			}
			if err := w.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
				return err
			}
		}
		return nil
	})
}

func pings(ctx context.Context, a *attacker) error {
	return held(ctx, a, a.rng.IntN(2) == 0, func(w *wire) error {
		for range 1000 {
			if err := w.WritePing(false, [8]byte{}); err != nil || ctx.Err() != nil {
				return err
			}
			if err := w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}); err != nil {
				return err
			}
		}
		return nil
	})
}

func headers(ctx context.Context, a *attacker) error {
	return held(ctx, a, true, func(w *wire) error {
		_, err := w.begins(largeHeaders())
		rest(ctx, 100*time.Millisecond)
		return err
	})
}

var largeHeaders = sync.OnceValue(func() []byte {
	return headerBlock("DoGet", hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 1<<20)})
})

func tickets(ctx context.Context, a *attacker) error {
	return held(ctx, a, true, func(w *wire) error {
		for _, method := range []string{"DoGet", "DoAction", "GetFlightInfo", "ListFlights"} {
			id, err := w.open(method)
			if err != nil {
				return err
			}
			if err := w.begin(id, 2*maxMessage, 60<<10); err != nil {
				return err
			}
		}
		rest(ctx, 100*time.Millisecond)
		return nil
	})
}

func silent(ctx context.Context, a *attacker) error {
	c, err := net.DialTimeout("tcp", a.address, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	rest(ctx, linger)
	return nil
}

// raw passes bytes through gRPC as they are.
type raw struct{}

func (raw) Name() string { return "proto" }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// call opens a stream over a connection of its own, sends messages, and reads so many answers; -1: all.
func call(ctx context.Context, a *attacker, method string, answers int, messages ...[]byte) error {
	conn, err := grpc.NewClient(a.address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 2*linger)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, service+method)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := stream.SendMsg(m); err != nil {
			break
		}
	}
	_ = stream.CloseSend()
	for n := 0; n != answers; n++ {
		var answer []byte
		if err := stream.RecvMsg(&answer); err != nil {
			return err
		}
	}
	if answers >= 0 {
		rest(ctx, linger)
	}
	return nil
}

// field is a protobuf field of bytes.
func field(number protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), b)
}

// put is the messages of a put, as they go over the wire.
func put(table string, parts [][2][]byte) (messages [][]byte) {
	for i, part := range parts {
		var m []byte
		if i == 0 {
			m = field(1, append([]byte{8, 2}, field(2, fmt.Appendf(nil, `{"put":%q}`, table))...))
		}
		m = append(m, field(2, part[0])...)
		messages = append(messages, append(m, field(1000, part[1])...))
	}
	return messages
}

// encoded gives the IPC messages of a batch: header and body of each.
func encoded(batch arrow.RecordBatch, options ...aipc.Option) (parts [][2][]byte) {
	var out bytes.Buffer
	w := aipc.NewWriter(&out, append(options, aipc.WithSchema(batch.Schema()))...)
	_ = w.Write(batch) // into memory
	rest := out.Bytes()
	for len(rest) >= 8 {
		n := int(binary.LittleEndian.Uint32(rest[4:]))
		if n == 0 {
			break
		}
		header := rest[8 : 8+n]
		body := bodyLength(header)
		parts = append(parts, [2][]byte{bytes.Clone(header), bytes.Clone(rest[8+n : 8+n+body])})
		rest = rest[8+n+body:]
	}
	return parts
}

// bodyLength is the field bodyLength of a Message flatbuffer.
func bodyLength(header []byte) int {
	root := int(binary.LittleEndian.Uint32(header))
	vtable := root - int(int32(binary.LittleEndian.Uint32(header[root:])))
	if binary.LittleEndian.Uint16(header[vtable:]) < 12 {
		return 0
	}
	at := int(binary.LittleEndian.Uint16(header[vtable+10:]))
	if at == 0 {
		return 0
	}
	return int(binary.LittleEndian.Uint64(header[root+at:]))
}

func mutants(ctx context.Context, a *attacker) error {
	batch := numbered(0, 50)
	defer batch.Release()
	messages := put("attacked", encoded(batch))
	m := messages[a.rng.IntN(len(messages))]
	for range 1 + a.rng.IntN(6) {
		m[a.rng.IntN(len(m))] = byte(a.rng.Uint32())
	}
	return call(ctx, a, "DoPut", -1, messages...)
}

func bombs(ctx context.Context, a *attacker) error { return call(ctx, a, "DoPut", -1, bomb()...) }

var bomb = sync.OnceValue(func() [][]byte {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "b", Type: arrow.BinaryTypes.Binary}}, nil))
	defer b.Release()
	for range 15 {
		b.Field(0).(*array.BinaryBuilder).Append(make([]byte, 1<<20))
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	return put("bombed", encoded(batch, aipc.WithZstd()))
})

func wide(ctx context.Context, a *attacker) error { return call(ctx, a, "DoPut", -1, wideOne()...) }

var wideOne = sync.OnceValue(func() [][]byte {
	const columns = 40_000
	fields := make([]arrow.Field, 0, columns+1)
	for range columns {
		fields = append(fields, arrow.Field{Name: "c", Type: arrow.PrimitiveTypes.Int8})
	}
	deep := arrow.ListOf(arrow.PrimitiveTypes.Int8)
	for range 2000 {
		deep = arrow.ListOf(deep)
	}
	schema := arrow.NewSchema(append(fields, arrow.Field{Name: "deep", Type: deep}), nil)
	var out bytes.Buffer
	w := aipc.NewWriter(&out, aipc.WithSchema(schema))
	_ = w.Close()
	if out.Len() < 8 {
		return nil
	}
	return put("wide", [][2][]byte{{out.Bytes()[8:], nil}})
})

// unread asks for rows and takes the first message only.
func unread(ctx context.Context, a *attacker) error {
	return call(ctx, a, "DoGet", 1, field(1, []byte(`{"table":"filled","max_bytes":3000000}`)))
}

func scans(ctx context.Context, a *attacker) error {
	return call(ctx, a, "DoGet", -1, field(1, []byte(`{"table":"filled","filter":"text like '%a%b%c%' or text like '%x%y%z%'","columns":["n"]}`)))
}

func actions(ctx context.Context, a *attacker) error {
	bodies := []string{`{"table":"nobody"}`, `{`, strings.Repeat("[", 100_000), `{"table":"` + strings.Repeat("x", 1<<19) + `"}`, `{"table":"filled","timeout_ms":30000}`}
	names := []string{"table.create", "table.describe", "table.stats", "log.offsets", "log.wait", "no.such"}
	name, body := names[a.rng.IntN(len(names))], bodies[a.rng.IntN(len(bodies))]
	return call(ctx, a, "DoAction", -1, append(field(1, []byte(name)), field(2, []byte(body))...))
}
