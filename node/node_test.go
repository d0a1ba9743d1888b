package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quiverlog/quiver/internal/buf"
	"github.com/quiverlog/quiver/internal/fs"
)

func sequence(from, until int64) []int64 {
	var out []int64
	for n := from; n < until; n++ {
		out = append(out, n)
	}
	return out
}

func TestPutStopGet(t *testing.T) {
	held := buf.Live() // of a stream of an earlier test that was cut, which the collector may still have to see
	fsys := fs.NewMem()
	first := start(t, fsys)
	if _, err := first.put(t.Context(), map[string]any{"put": "events"}, rows(0, 1000), rows(1000, 1500)); err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := start(t, fsys)
	got, err := second.get(t.Context(), `{"table":"events"}`)
	if err != nil || !slices.Equal(got, sequence(0, 1500)) {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	if open := fsys.OpenFiles(); len(open) > 0 {
		t.Errorf("files left open: %v", open)
	}
	if n := buf.Live(); n > held {
		t.Errorf("%d buffers are still held", n-held)
	}
}

func TestAnswersAreCumulative(t *testing.T) {
	r := start(t, fs.NewMem())
	answers, err := r.put(t.Context(), map[string]any{"put": "events"}, rows(0, 10), rows(10, 30))
	if err != nil || len(answers) == 0 {
		t.Fatal(answers, err)
	}
	last := answers[len(answers)-1]
	if !strings.HasPrefix(last, `{"batches":2,"rows":30,"ranges":[`) {
		t.Errorf("the last answer is %s", last)
	}
}

func TestProducersKeepTheirOrder(t *testing.T) {
	const producers, batches, perBatch = 30, 8, 5
	r := start(t, fs.NewMem())
	if _, err := r.action(t.Context(), "table.create", `{"table":"events","buckets":3,"schema":[{"name":"n","type":"int64","nullable":false},{"name":"text","type":"string"}]}`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for p := range int64(producers) {
		wg.Go(func() {
			for b := range int64(batches) {
				from := p*1_000_000 + b*perBatch
				if _, err := r.put(t.Context(), map[string]any{"put": "events", "bucket": p % 3}, rows(from, from+perBatch)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := r.get(t.Context(), `{"table":"events"}`)
	if err != nil || len(got) != producers*batches*perBatch {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	last := map[int64]int64{}
	for _, n := range got {
		p := n / 1_000_000
		if want := last[p]; n%1_000_000 != want {
			t.Fatalf("producer %d: row %d came where %d was due", p, n%1_000_000, want)
		}
		last[p]++
	}
}

func TestARefusedBatchStopsTheStream(t *testing.T) {
	r := start(t, fs.NewMem())
	if _, err := r.put(t.Context(), map[string]any{"put": "events"}, rows(0, 10)); err != nil {
		t.Fatal(err)
	}
	_, err := r.put(t.Context(), map[string]any{"put": "events", "expect_offset": 5}, rows(10, 20))
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "EXPECTED_OFFSET_MISMATCH: ") {
		t.Fatal(err)
	}
	for _, part := range []string{"durable: 0 batches, 0 rows", "rest: not appended"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told: %v", part, err)
		}
	}
}

func TestFollowEndsWhenTheServerDrains(t *testing.T) {
	r := start(t, fs.NewMem())
	if _, err := r.put(t.Context(), map[string]any{"put": "events"}, rows(0, 10)); err != nil {
		t.Fatal(err)
	}
	followed := make(chan error, 1)
	go func() {
		_, err := r.get(context.Background(), `{"table":"events","follow":true}`)
		followed <- err
	}()
	r.service.Drain()
	if err := <-followed; status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "SERVER_DRAINING") {
		t.Fatal(err)
	}
	if _, err := r.put(t.Context(), map[string]any{"put": "events"}, rows(0, 1)); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "SERVER_DRAINING") {
		t.Fatal(err)
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	fsys := fs.NewMem()
	start(t, fsys)
	_, err := tryStart(fsys)
	if err == nil || !strings.Contains(err.Error(), "/data is in use by another process") {
		t.Fatal(err)
	}
}

// TestADirectoryThatCannotBeTaken shows that what is wrong with it is told as it is.
func TestADirectoryThatCannotBeTaken(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "LOCK"), 0o700); err != nil { // nobody can open it to write
		t.Fatal(err)
	}
	for data, say := range map[string]string{file: "not a directory; give another --data", taken: "write to the data directory"} {
		_, err := Open(Options{Data: data, FlightAddr: "127.0.0.1:0"})
		if err == nil || !strings.Contains(err.Error(), say) || strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", data, err)
		}
	}
}

func TestOptionsNameAllFaults(t *testing.T) {
	_, err := Open(Options{MaxMessage: 1, PutMemory: 1})
	for _, part := range []string{"data directory", "Flight address", "largest message", "memory for puts"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not named in: %v", part, err)
		}
	}
}

func TestWritersAcrossRestarts(t *testing.T) {
	fsys := fs.NewMem()
	seen := map[string]bool{}
	for life := range 3 {
		r := start(t, fsys)
		named, err := r.action(t.Context(), "writer.init", `{"name":"loader"}`)
		if err != nil || named[0] != fmt.Sprintf(`{"writer_id":%s,"writer_epoch":%d}`, idOf(named[0]), life) && life > 0 {
			t.Fatal(named, err)
		}
		for range 5 {
			row, err := r.action(t.Context(), "writer.init", "")
			if err != nil || seen[row[0]] {
				t.Fatalf("%v was given before, %v", row, err)
			}
			seen[row[0]] = true
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// idOf takes the id out of a writer.init row.
func idOf(row string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(row, `{"writer_id":`), ",")
	return id
}
