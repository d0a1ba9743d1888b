package codec

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// countingOwner counts its releases.
type countingOwner struct{ released int }

func (o *countingOwner) Release() { o.released++ }

// genMessage draws the fields of a FlightData; parts lie on both sides of the size up to which they are copied.
type message struct {
	descriptor, metadata, header []byte
	parts                        [][]byte
}

func (m message) body() []byte { return bytes.Join(m.parts, nil) }

func genMessage(t *rapid.T) message {
	part := rapid.Custom(func(t *rapid.T) []byte {
		n := rapid.SampledFrom([]int{0, 1, 7, 64, smallPart - 1, smallPart, smallPart + 1, 5000, 70_000}).Draw(t, "size")
		return bytes.Repeat([]byte{rapid.Byte().Draw(t, "fill")}, n)
	})
	m := message{
		metadata: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "metadata"),
		header:   rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "header"),
		parts:    rapid.SliceOfN(part, 0, 8).Draw(t, "parts"),
	}
	if rapid.Bool().Draw(t, "described") {
		m.descriptor = mustMarshal(&afl.FlightDescriptor{Type: afl.DescriptorPATH, Path: []string{"shop", "orders"}})
	}
	return m
}

func mustMarshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// chunked cuts bytes into chunks, as they come from the transport.
func chunked(t *rapid.T, data []byte) mem.BufferSlice {
	var chunks mem.BufferSlice
	for len(data) > 0 {
		n := min(len(data), rapid.SampledFrom([]int{1, 2, 5, 100, 16 << 10}).Draw(t, "chunk"))
		chunks = append(chunks, mem.SliceBuffer(data[:n]))
		if rapid.IntRange(0, 9).Draw(t, "gap") == 0 {
			chunks = append(chunks, mem.SliceBuffer(nil))
		}
		data = data[n:]
	}
	return chunks
}

func TestOutIsWhatTheStockCodecReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := genMessage(t)
		owner := &countingOwner{}
		out := &Out{Descriptor: m.descriptor, Metadata: m.metadata, Header: m.header, Body: m.parts, Owner: owner}
		data, err := New(Limits{}).Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		var got afl.FlightData
		if err := proto.Unmarshal(data.Materialize(), &got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.DataBody, m.body()) || !sameHeader(got.DataHeader, m.header) || !bytes.Equal(got.AppMetadata, m.metadata) {
			t.Fatal("the stock codec reads something else")
		}
		if m.descriptor != nil && got.FlightDescriptor.GetPath()[1] != "orders" {
			t.Fatalf("descriptor: %v", got.FlightDescriptor)
		}
		data.Ref() // a second reference, as a retry would hold
		data.Free()
		large := false
		for _, p := range m.parts {
			large = large || len(p) > smallPart
		}
		if large && owner.released != 0 {
			t.Fatal("released while the transport holds the parts")
		}
		data.Free()
		if owner.released != 1 {
			t.Fatalf("released %d times", owner.released)
		}
	})
}

func TestInIsWhatTheStockCodecWrote(t *testing.T) {
	noLeaks(t)
	rapid.Check(t, func(t *rapid.T) {
		m := genMessage(t)
		sent := &afl.FlightData{AppMetadata: m.metadata, DataHeader: m.header, DataBody: m.body()}
		if m.descriptor != nil {
			sent.FlightDescriptor = new(afl.FlightDescriptor)
			if err := proto.Unmarshal(m.descriptor, sent.FlightDescriptor); err != nil {
				t.Fatal(err)
			}
		}
		var in In
		defer in.Reset()
		wire := mustMarshal(sent)
		if err := New(Limits{}).Unmarshal(chunked(t, wire), &in); err != nil || in.Err != nil {
			t.Fatal(err, in.Err)
		}
		compare(t, &in, sent)
		if in.Size != len(wire) {
			t.Fatalf("size %d, want %d", in.Size, len(wire))
		}
	})
}

// compare checks that In means the same as what the stock codec read.
func compare(t rapid.TB, in *In, want *afl.FlightData) {
	t.Helper()
	var body []byte
	if in.Body != nil {
		body = in.Body.Bytes()
	}
	if !bytes.Equal(body, want.DataBody) || !sameHeader(in.Header, want.DataHeader) || !bytes.Equal(in.Metadata, want.AppMetadata) {
		t.Fatal("fields differ from what the stock codec reads")
	}
	if (in.Descriptor != nil) != (want.FlightDescriptor != nil) {
		t.Fatalf("descriptor %x, want %v", in.Descriptor, want.FlightDescriptor)
	}
	if in.Descriptor == nil {
		return
	}
	var d afl.FlightDescriptor
	if err := proto.Unmarshal(in.Descriptor, &d); err != nil || !proto.Equal(&d, want.FlightDescriptor) {
		t.Fatalf("descriptor %v, want %v: %v", &d, want.FlightDescriptor, err)
	}
}

// sameHeader says whether two headers are equal but for the zeros that align a body.
func sameHeader(a, b []byte) bool {
	return bytes.Equal(bytes.TrimRight(a, "\x00"), bytes.TrimRight(b, "\x00"))
}

// TestBodiesStartAligned checks where a body begins within its message, for every length of what stands before it.
// TestReusedHeaders has one In take messages one after the other, whose headers stand in the same memory: each is as an In
// of its own has it, and a large header is not kept.
func TestReusedHeaders(t *testing.T) {
	noLeaks(t)
	in := In{ReuseHeader: true}
	defer in.Reset()
	c := New(Limits{})
	rapid.Check(t, func(t *rapid.T) {
		sent := &afl.FlightData{DataHeader: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "header"), DataBody: genMessage(t).body()}
		if rapid.IntRange(0, 9).Draw(t, "size") == 0 {
			sent.DataHeader = bytes.Repeat([]byte{7}, 2*reusedHeader)
		}
		if err := c.Unmarshal(chunked(t, mustMarshal(sent)), &in); err != nil || in.Err != nil {
			t.Fatal(err, in.Err)
		}
		compare(t, &in, sent)
	})
	in.Reset()
	if cap(in.Header) > reusedHeader || in.Admit != nil || !in.ReuseHeader {
		t.Errorf("memory of %d bytes is kept", cap(in.Header))
	}
}

func TestBodiesStartAligned(t *testing.T) {
	body := bytes.Repeat([]byte{7}, alignFrom)
	for n := range 300 {
		out := &Out{Metadata: bytes.Repeat([]byte{1}, n), Header: bytes.Repeat([]byte{2}, 1+n%7), Body: [][]byte{body}}
		data, err := New(Limits{}).Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		wire := data.Materialize()
		data.Free()
		if at := bytes.Index(wire, body); at%alignment != 0 {
			t.Fatalf("the body behind %d bytes of metadata starts at byte %d", n, at)
		}
	}
}

func TestRoundTripThroughOurselves(t *testing.T) {
	noLeaks(t)
	rapid.Check(t, func(t *rapid.T) {
		m := genMessage(t)
		c := New(Limits{})
		data, err := c.Marshal(&Out{Descriptor: m.descriptor, Metadata: m.metadata, Header: m.header, Body: m.parts})
		if err != nil {
			t.Fatal(err)
		}
		var in In
		defer in.Reset()
		if err := c.Unmarshal(data, &in); err != nil || in.Err != nil {
			t.Fatal(err, in.Err)
		}
		data.Free()
		want := &afl.FlightData{AppMetadata: m.metadata, DataHeader: m.header, DataBody: m.body()}
		in.Descriptor = nil
		compare(t, &in, want)
	})
}

// FuzzIn feeds hostile bytes: never a panic, never a leak, and the same meaning as to the stock codec.
func FuzzIn(f *testing.F) {
	f.Add(mustMarshal(&afl.FlightData{AppMetadata: []byte("m"), DataHeader: []byte("h"), DataBody: []byte("body")}), uint8(3))
	f.Add([]byte{0x0a, 0x00, 0x0a, 0x02, 0x08, 0x01, 0x0a, 0x00}, uint8(1))                   // descriptors merge
	f.Add([]byte{0xc2, 0x3e, 0x01, 'a', 0xc2, 0x3e, 0x01, 'b'}, uint8(1))                     // the last body wins
	f.Add([]byte{0x13, 0x08, 0x01, 0x14, 0x1b, 0x1c}, uint8(2))                               // groups
	f.Add([]byte{0xc2, 0x3e, 0xff, 0xff, 0xff, 0xff, 0x0f}, uint8(2))                         // a body that is not there
	f.Add([]byte{0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02}, uint8(1)) // varint overflow
	f.Fuzz(func(t *testing.T, data []byte, chunk uint8) {
		noLeaks(t)
		var chunks mem.BufferSlice
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(chunk)+1)
			chunks = append(chunks, mem.SliceBuffer(rest[:n]))
			rest = rest[n:]
		}
		var in In
		defer in.Reset()
		if err := New(Limits{}).Unmarshal(chunks, &in); err != nil {
			t.Fatal("errors of the sender belong into In:", err)
		}
		var want afl.FlightData
		wantErr := proto.Unmarshal(data, &want)
		gotErr := in.Err
		if gotErr == nil && in.Descriptor != nil {
			gotErr = proto.Unmarshal(in.Descriptor, new(afl.FlightDescriptor)) // the stock codec looks inside at once
		}
		if errors.Is(gotErr, errGroup) && wantErr == nil {
			return // deeper than we follow
		}
		if (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("we say %v, the stock codec says %v", gotErr, wantErr)
		}
		if gotErr == nil {
			compare(t, &in, &want)
		} else if in.Err != nil && (in.Body != nil || in.Header != nil) {
			t.Fatal("parts of a refused message stayed")
		}
	})
}

func TestEveryTruncationIsRefusedOrShorter(t *testing.T) {
	noLeaks(t)
	whole := mustMarshal(&afl.FlightData{AppMetadata: []byte("meta"), DataHeader: []byte("header"), DataBody: []byte("body")})
	c := New(Limits{})
	for n := range whole {
		var in In
		if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(whole[:n])}, &in); err != nil {
			t.Fatal(err)
		}
		var malformed *MalformedError
		if in.Err != nil && !errors.As(in.Err, &malformed) {
			t.Fatalf("cut at %d: %v", n, in.Err)
		}
		if in.Err == nil && in.Body != nil {
			t.Fatalf("cut at %d: a body of a message that is not whole", n)
		}
		in.Reset()
	}
}

func TestLimits(t *testing.T) {
	noLeaks(t)
	wire := mustMarshal(&afl.FlightData{AppMetadata: make([]byte, 50), DataHeader: make([]byte, 60), DataBody: make([]byte, 5000)})
	for _, test := range []struct {
		limits Limits
		what   string
		size   int
	}{
		{Limits{Message: len(wire) - 1}, "message", len(wire)},
		{Limits{Field: 59}, "data_header", 60},
		{Limits{Field: 49}, "data_header", 60}, // the header comes first in the stock form
		{Limits{Message: len(wire), Field: 60}, "", 0},
	} {
		var in In
		if err := New(test.limits).Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, &in); err != nil {
			t.Fatal(err)
		}
		var tooLarge *TooLargeError
		if test.what == "" {
			if in.Err != nil {
				t.Errorf("%+v: %v", test.limits, in.Err)
			}
		} else if !errors.As(in.Err, &tooLarge) || tooLarge.What != test.what || tooLarge.Size != test.size {
			t.Errorf("%+v: %v", test.limits, in.Err)
		}
		in.Reset()
	}
}

func TestDescriptorsThatMergeStayWithinTheLimit(t *testing.T) {
	var wire []byte
	for range 100 {
		wire = append(wire, 0x0a, 10, 0x12, 8, 1, 2, 3, 4, 5, 6, 7, 8)
	}
	var in In
	New(Limits{Field: 500}).unmarshalInto(t, wire, &in)
	var tooLarge *TooLargeError
	if !errors.As(in.Err, &tooLarge) || tooLarge.What != "flight_descriptor" {
		t.Fatal(in.Err)
	}
}

func (c *Codec) unmarshalInto(t *testing.T, wire []byte, in *In) {
	t.Helper()
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, in); err != nil {
		t.Fatal(err)
	}
}

func TestAdmitIsAskedOnceAndMayRefuse(t *testing.T) {
	noLeaks(t)
	wire := mustMarshal(&afl.FlightData{DataBody: []byte("first")})
	wire = append(wire, mustMarshal(&afl.FlightData{DataBody: []byte("second")})...)
	var asked []int
	in := In{Admit: func(n int) error { asked = append(asked, n); return nil }}
	c := New(Limits{})
	c.unmarshalInto(t, wire, &in)
	if len(asked) != 1 || asked[0] != len("second") || string(in.Body.Bytes()) != "second" {
		t.Fatalf("asked %v", asked)
	}
	in.Reset()
	full := errors.New("full")
	in.Admit = func(int) error { return full }
	c.unmarshalInto(t, wire, &in)
	if !errors.Is(in.Err, full) || in.Body != nil {
		t.Fatalf("err %v", in.Err)
	}
}

func TestTakeBodyOutlivesReset(t *testing.T) {
	noLeaks(t)
	var in In
	New(Limits{}).unmarshalInto(t, mustMarshal(&afl.FlightData{DataBody: []byte("body")}), &in)
	body := in.TakeBody()
	in.Reset()
	if string(body.Bytes()) != "body" {
		t.Fatal("the body is gone")
	}
	body.Release()
}

func TestAMessageIsSentOnce(t *testing.T) {
	owner := &countingOwner{}
	out := &Out{Header: []byte("h"), Body: [][]byte{make([]byte, 2000)}, Owner: owner}
	c := New(Limits{})
	data, err := c.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Marshal(out); err == nil {
		t.Fatal("sent twice")
	}
	data.Free()
	if owner.released != 1 {
		t.Fatalf("released %d times", owner.released)
	}
}

// TestMessagesThatTheTransportLosesAreReleased drops a message without Free, as grpc-go does when its stream is gone.
func TestMessagesThatTheTransportLosesAreReleased(t *testing.T) {
	released := make(chan struct{}, 1)
	lose := func() {
		out := &Out{Body: [][]byte{make([]byte, 5000), make([]byte, 5000)}, Owner: ownerFunc(func() { released <- struct{}{} })}
		data, err := New(Limits{}).Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		data[1].Free() // one part left, the rest did not
	}
	lose()
	for range 1000 {
		runtime.GC()
		select {
		case <-released:
			return
		default:
		}
	}
	t.Fatal("never released")
}

type ownerFunc func()

func (f ownerFunc) Release() { f() }

// deadStream fails before it looks at the message, as a stream does that is over.
type deadStream struct{}

func (deadStream) SendMsg(any) error { return errors.New("over") }

func TestSendReleasesWhatADeadStreamNeverSaw(t *testing.T) {
	owner := &countingOwner{}
	if err := Send(deadStream{}, &Out{Header: []byte("h"), Owner: owner}); err == nil {
		t.Fatal("no error")
	}
	if owner.released != 1 {
		t.Fatalf("released %d times", owner.released)
	}
}

func TestPutResult(t *testing.T) {
	c := New(Limits{})
	for _, text := range []string{"", "x", strings.Repeat("answer", 1000)} {
		data, err := c.Marshal(&PutResult{Metadata: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		var stockRead afl.PutResult
		if err := c.Unmarshal(data, &stockRead); err != nil || string(stockRead.AppMetadata) != text {
			t.Fatalf("stock reads %q: %v", stockRead.AppMetadata, err)
		}
		stockWrote, err := c.Marshal(&stockRead)
		if err != nil {
			t.Fatal(err)
		}
		var got PutResult
		if err := c.Unmarshal(stockWrote, &got); err != nil || string(got.Metadata) != text {
			t.Fatalf("got %q: %v", got.Metadata, err)
		}
	}
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer([]byte{0x0a, 5, 1})}, new(PutResult)); err == nil {
		t.Fatal("a cut answer was taken")
	}
}

func TestBodiesStartOn64Bytes(t *testing.T) {
	noLeaks(t)
	for _, n := range []int{1, 63, 1000, 1 << 20} {
		var in In
		New(Limits{}).unmarshalInto(t, mustMarshal(&afl.FlightData{DataBody: make([]byte, n)}), &in)
		if !aligned(in.Body) {
			t.Errorf("a body of %d bytes is not aligned", n)
		}
		in.Reset()
	}
}

// FuzzPutResult reads any bytes as an answer: what is taken is what the stock codec reads.
func FuzzPutResult(f *testing.F) {
	f.Add([]byte{0x0a, 2, 'h', 'i'})
	f.Add([]byte{0x0a, 1, 'a', 0x0a, 1, 'b'})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		var got PutResult
		gotErr := New(Limits{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, &got)
		var want afl.PutResult
		wantErr := proto.Unmarshal(data, &want)
		if errors.Is(gotErr, errGroup) && wantErr == nil {
			return // deeper than we follow
		}
		if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !bytes.Equal(got.Metadata, want.AppMetadata) {
			t.Fatalf("we say %q, %v; the stock codec says %q, %v", got.Metadata, gotErr, want.AppMetadata, wantErr)
		}
	})
}
