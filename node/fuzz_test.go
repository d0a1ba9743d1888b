package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
	"unicode/utf8"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/quiverlog/quiver/internal/fs"
)

// fuzzed starts a node with a log table, a partitioned and a keyed one, for targets that speak to it.
func fuzzed(f *testing.F) *running {
	f.Helper()
	r := start(f, fs.NewMem())
	for _, body := range []string{
		`{"table":"log","schema":[{"name":"n","type":"int64"},{"name":"text","type":"string"}],"buckets":2}`,
		`{"table":"parted","schema":[{"name":"dt","type":"string"},{"name":"n","type":"int64"}],"partition_by":["dt"]}`,
		`{"table":"keyed","schema":[{"name":"id","type":"int64","nullable":false},{"name":"d","type":"decimal128(9, 2)"},{"name":"l","type":"list<item: string>"}],"primary_key":["id"]}`,
	} {
		if _, err := r.action(f.Context(), "table.create", body); err != nil {
			f.Fatal(err)
		}
	}
	return r
}

// told fails the test if an error has no reason, or is one of a server that failed.
func told(t *testing.T, err error) {
	t.Helper()
	switch code := status.Code(err); {
	case err == nil, errors.Is(err, io.EOF):
	case code == codes.DeadlineExceeded, code == codes.Canceled: // a follower, which has no end
	case code == codes.Internal, code == codes.Unknown, len(status.Convert(err).Details()) == 0:
		t.Fatalf("%v", err)
	}
}

// FuzzTicket redeems any bytes as a ticket, and plans them as a command: rows or a reason.
func FuzzTicket(f *testing.F) {
	for _, text := range []string{
		`{"table":"log"}`, `{"table":"log","bucket":1,"columns":["n"],"from":{"offset":0},"until":{"offset":5},"filter":"n > 1 and text like 'a%'","limit":3}`,
		`{"table":"parted","partition":"dt=2026","from":{"timestamp":1763800000000}}`, `{"table":"keyed","key_range":{"from":[1],"until":["2"]},"order":"key"}`,
		`{"table":"keyed","read":"table+log","system_columns":["__offset"]}`, `{"lookup":"keyed","keys":[[1],["2"]],"columns":["d"]}`,
		`{"lookup":"keyed","keys":[[1e3],[null],[true]],"prefix":true,"min_offsets":{"0":0}}`, `{"put":"log"}`, `log`, `[]`,
	} {
		f.Add([]byte(text))
	}
	r := fuzzed(f)
	f.Fuzz(func(t *testing.T, ticket []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		stream, err := r.client.DoGet(ctx, &afl.Ticket{Ticket: ticket})
		for err == nil {
			_, err = stream.Recv()
		}
		told(t, err)
		_, err = r.client.GetFlightInfo(ctx, &afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: ticket})
		told(t, err)
		listing, err := r.client.ListFlights(ctx, &afl.Criteria{Expression: ticket})
		for err == nil {
			_, err = listing.Recv()
		}
		told(t, err)
	})
}

// FuzzAction sends any bytes to any action. What is taken changes tables and must leave a node that verifies.
func FuzzAction(f *testing.F) {
	for name, body := range map[string]string{
		"table.create": `{"table":"a","schema":[{"name":"n","type":"int64"}],"options":{"retention.time":"7d"}}`, "table.describe": `{"table":"log"}`,
		"table.alter": `{"table":"log","changes":[{"add":{"name":"x","type":"int32","default":0}}]}`, "table.stats": `{"table":"keyed"}`,
		"log.offsets": `{"table":"log","at":"latest"}`, "log.delete-before": `{"table":"log","offsets":{"0":0}}`, "partition.create": `{"table":"parted","partition":"dt=1"}`,
		"writer.init": `{"name":"w"}`, "cursor.commit": `{"cursor":"c","table":"log","offsets":{"0":0}}`, "database.create": `{"database":"d"}`, "no.such": ``,
	} {
		f.Add(name, []byte(body))
	}
	r := fuzzed(f)
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		if !utf8.ValidString(name) {
			return // a stock client cannot send it
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		stream, err := r.client.DoAction(ctx, &afl.Action{Type: name, Body: body})
		for err == nil {
			_, err = stream.Recv()
		}
		told(t, err)
	})
}

// FuzzPut sends any bytes as the messages of a put: the first with a good descriptor, or with any.
func FuzzPut(f *testing.F) {
	command, _ := json.Marshal(map[string]any{"put": "log"})
	good, err := proto.Marshal(&afl.FlightDescriptor{Type: afl.DescriptorCMD, Cmd: command})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte("header"), []byte("header"), []byte("body"), []byte(`{"sequence":1}`))
	f.Add([]byte{8, 1, 0x1a, 3, 'l', 'o', 'g'}, []byte{}, []byte{}, []byte{}, []byte(`{"flush":1}`))
	r := fuzzed(f)
	f.Fuzz(func(t *testing.T, descriptor, schema, header, body, metadata []byte) {
		var d afl.FlightDescriptor
		if proto.Unmarshal(descriptor, &d) != nil {
			return // a stock client cannot send it; FuzzIn of the codec reads such bytes
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		put, err := r.client.DoPut(ctx)
		if err != nil {
			t.Fatal(err)
		}
		exchange, err := r.client.DoExchange(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, stream := range []interface {
			Send(*afl.FlightData) error
			CloseSend() error
			RecvMsg(any) error
		}{put, exchange} {
			_ = stream.Send(&afl.FlightData{FlightDescriptor: &d, DataHeader: schema})
			_ = stream.Send(&afl.FlightData{DataHeader: header, DataBody: body, AppMetadata: metadata})
			_ = stream.CloseSend()
			for err = nil; err == nil; {
				err = stream.RecvMsg(new(afl.FlightData)) // of the answer of a put the first field is read, too
			}
			told(t, err)
		}
	})
}

// FuzzHTTP asks the HTTP port for anything: it answers, and never with the error of a handler that failed.
func FuzzHTTP(f *testing.F) {
	for _, path := range []string{"/livez", "/readyz", "/metrics?name[]=x", "/version", "/", "/debug/pprof/", "/debug/pprof/heap?debug=1", "/../../etc/passwd", "/%2e%2e/", "//", "/debug/pprof/cmdline"} {
		f.Add("GET", path, "text/plain", "127.0.0.1:1")
	}
	f.Add("POST", "/metrics", "application/openmetrics-text", "192.0.2.1:1")
	f.Add("GET", "/debug/pprof/heap", "*/*", "[::1]:9")
	r := start(f, fs.NewMem())
	handler := r.newHTTP()
	f.Fuzz(func(t *testing.T, method, path, accept, remote string) {
		request, err := http.NewRequest(method, "http://quiver"+path, nil)
		if err != nil || request.URL.Query().Has("seconds") || len(request.URL.Path) > len("/debug/pprof") &&
			(request.URL.Path[len(request.URL.Path)-1] == 'e') { // profile and trace run for seconds
			return
		}
		request.RemoteAddr = remote
		request.Header["Accept"] = []string{accept}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code >= 500 && answer.Code != http.StatusServiceUnavailable {
			t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
		}
	})
}
