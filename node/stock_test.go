package node

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"github.com/quiverlog/quiver/internal/fs"
)

// These are the wire cases that differ by client, with arrow-go's stock one: it copies the first batch's app_metadata
// onto the schema message, takes messages of 4 MiB by default, and sees details that pyarrow hides.

func TestStockMetadataOfBatches(t *testing.T) {
	r := start(t, fs.NewMem())
	granted, err := r.action(t.Context(), "writer.init", "")
	if err != nil {
		t.Fatal(err)
	}
	var writer struct {
		ID    uint64 `json:"writer_id"`
		Epoch int    `json:"writer_epoch"`
	}
	if err := json.Unmarshal([]byte(granted[0]), &writer); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time all of it is a repeat
		command, _ := json.Marshal(map[string]any{"put": "events", "writer_id": writer.ID, "writer_epoch": writer.Epoch})
		stream, err := r.client.DoPut(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w := afl.NewRecordWriter(stream, aipc.WithSchema(numbers))
		w.SetFlightDescriptor(&afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: command})
		for i, metadata := range []string{`{"sequence":5}`, `{"sequence":6}`} {
			if err := w.WriteWithAppMetadata(rows(int64(10*i), int64(10*i+10)), []byte(metadata)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), stream.CloseSend()); err != nil {
			t.Fatal(err)
		}
		last := ""
		for {
			answer, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			last = string(answer.AppMetadata)
		}
		if !strings.HasPrefix(last, `{"batches":2,"rows":20,"sequence":6,`) {
			t.Errorf("the last answer is %s", last)
		}
	}
	if got, err := r.get(t.Context(), `{"table":"events"}`); err != nil || len(got) != 20 {
		t.Errorf("%d rows, %v", len(got), err)
	}
}

func TestStockClientTakesEveryMessage(t *testing.T) {
	r := start(t, fs.NewMem())
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewInt64Builder(memory.DefaultAllocator)
	defer b.Release()
	const many = 2 << 20
	for n := range int64(many) {
		b.Append(n)
	}
	column := b.NewArray()
	defer column.Release()
	if _, err := r.put(t.Context(), map[string]any{"put": "events"}, array.NewRecordBatch(schema, []arrow.Array{column}, many)); err != nil {
		t.Fatal(err)
	}
	got, err := r.get(t.Context(), `{"table":"events"}`)
	if err != nil || len(got) != many || got[many-1] != many-1 {
		t.Fatalf("%d rows, %v", len(got), err)
	}
}

func TestStockClientSeesDetails(t *testing.T) {
	r := start(t, fs.NewMem())
	if _, err := r.put(t.Context(), map[string]any{"put": "events"}, rows(0, 10)); err != nil {
		t.Fatal(err)
	}
	_, err := r.get(t.Context(), `{"table":"events","from":{"offset":11}}`)
	var info *errdetails.ErrorInfo
	for _, detail := range status.Convert(err).Details() {
		info, _ = detail.(*errdetails.ErrorInfo)
	}
	if info == nil || info.Reason != "OFFSET_OUT_OF_RANGE" || info.Metadata["earliest"] != "0" || info.Metadata["latest"] != "10" {
		t.Errorf("%v, details %v", err, info)
	}
	_, err = r.put(t.Context(), map[string]any{"put": "events", "expect_offset": 3}, rows(0, 1))
	for _, detail := range status.Convert(err).Details() {
		info, _ = detail.(*errdetails.ErrorInfo)
	}
	if info == nil || info.Reason != "EXPECTED_OFFSET_MISMATCH" || info.Metadata["durable_batches"] != "0" || info.Metadata["outcome"] != "not done" {
		t.Errorf("%v, details %v", err, info)
	}
}

func TestStockPlansAndPolls(t *testing.T) {
	r := start(t, fs.NewMem())
	if _, err := r.put(t.Context(), map[string]any{"put": "events"}, rows(0, 10)); err != nil {
		t.Fatal(err)
	}
	path := &afl.FlightDescriptor{Type: afl.DescriptorPATH, Path: []string{"default", "events"}}
	info, err := r.client.GetFlightInfo(t.Context(), path)
	if err != nil || info.TotalRecords != 10 || len(info.Endpoint) != 1 {
		t.Fatal(info, err)
	}
	schema, err := afl.DeserializeSchema(info.Schema, memory.DefaultAllocator)
	if err != nil || !schema.Equal(numbers) {
		t.Fatal(schema, err)
	}
	if got, err := r.get(t.Context(), string(info.Endpoint[0].Ticket.Ticket)); err != nil || len(got) != 10 {
		t.Fatalf("%d rows, %v", len(got), err)
	}

	first, err := r.client.PollFlightInfo(t.Context(), path)
	if err != nil || first.Info.TotalRecords != 10 || first.FlightDescriptor == nil {
		t.Fatal(first, err)
	}
	polled := make(chan *afl.PollInfo, 1)
	go func() {
		next, err := r.client.PollFlightInfo(t.Context(), first.FlightDescriptor)
		if err != nil {
			t.Error(err)
		}
		polled <- next
	}()
	if _, err := r.put(t.Context(), map[string]any{"put": "events"}, rows(10, 13)); err != nil {
		t.Fatal(err)
	}
	next := <-polled
	if next.GetInfo().GetTotalRecords() != 3 {
		t.Fatalf("the second poll tells %v", next)
	}
	if got, err := r.get(t.Context(), string(next.Info.Endpoint[0].Ticket.Ticket)); err != nil || len(got) != 3 || got[0] != 10 {
		t.Fatalf("%v, %v", got, err)
	}
}
