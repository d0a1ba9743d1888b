package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/quiverlog/quiver/arrowlog/record"
	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/node"
)

// serve starts a node with data in a directory, "" for memory, and points verbs to it.
func serve(t *testing.T, data string) *flight.Client {
	t.Helper()
	n, err := node.Open(node.Options{Data: data, Memory: data == "", FlightAddr: "127.0.0.1:0", CreateTables: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	client, err := flight.Dial(n.FlightAddr(), flight.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		stop()
		<-ended
		_ = n.Close()
	})
	t.Setenv("QUIVER_SERVER", n.FlightAddr())
	return client
}

func mustInvoke(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := invoke(t.Context(), args...)
	if code != exitDone {
		t.Fatalf("quiver %s: exit code %d, %s", strings.Join(args, " "), code, stderr)
	}
	return stdout, stderr
}

// TestResumeOverKills kills an append with --resume, as by kill -9, whenever some more rows are stored, and starts it
// again: in the end every row is stored once.
func TestResumeOverKills(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	client := serve(t, "")
	const rows = 60_000
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "a.csv"), filepath.Join(dir, "b.ndjson")}
	writeRows(t, files[0], rows)
	writeRows(t, files[1], rows)
	mustInvoke(t, "table", "create", "t", "--schema", "id int64, file string", "--bucket-key", "id", "--buckets", "3")
	args := append([]string{"append", "t"}, files...)
	args = append(args, "--resume", filepath.Join(dir, "state"), "--batch-rows", "100")
	kills := 0
	points := []string{"quiver.append.before-state", "quiver.append.after-state"}
	for done := false; !done; {
		cmd := exec.CommandContext(t.Context(), "quiver", args...)
		atPoint := fault.Enabled && kills < len(points)
		if atPoint {
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s=kill@1", fault.Variable, points[kills]))
		}
		var talk bytes.Buffer
		cmd.Stderr = &talk
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		target := stored(t, client) + 1 + random.Int64N(rows/4)
		killed := false
		for waiting := true; waiting; {
			select {
			case err := <-ended:
				waiting = false
				if done = err == nil; atPoint {
					if kills++; done {
						t.Fatal("it was not killed at its fault point")
					}
				} else if !done && !killed {
					t.Fatalf("%v: %s", err, talk.String())
				}
			default:
				if !atPoint && !killed && stored(t, client) >= target {
					killed = cmd.Process.Kill() == nil
					kills++
				}
			}
		}
	}
	t.Logf("%d kills", kills)
	if kills == 0 {
		t.Error("it was never killed")
	}
	seen := map[string]int{}
	scanner, err := client.Scan(t.Context(), flight.ScanCommand{Table: flight.Named("t")})
	if err != nil {
		t.Fatal(err)
	}
	defer scanner.Close()
	for scanner.Next() {
		batch := scanner.Batch()
		for i := range int(batch.NumRows()) {
			seen[batch.Column(0).ValueStr(i)+batch.Column(1).ValueStr(i)]++
		}
	}
	if err := scanner.Err(); err != nil || len(seen) != 2*rows {
		t.Fatalf("%d different rows of %d, %v", len(seen), 2*rows, err)
	}
	for row, n := range seen {
		if n != 1 {
			t.Fatalf("row %s is stored %d times", row, n)
		}
	}
	// Once more there is nothing left, and other files are refused.
	if _, talk := mustInvoke(t, args...); !strings.Contains(talk, "nothing is left to do") {
		t.Error(talk)
	}
	if code, _, talk := invoke(t.Context(), "append", "t", files[1], "--resume", filepath.Join(dir, "state")); code != exitFailed || !strings.Contains(talk, "name the same files") {
		t.Error(code, talk)
	}
}

// stored counts the rows of table t.
func stored(t *testing.T, client *flight.Client) (rows int64) {
	t.Helper()
	offsets, err := client.Offsets(t.Context(), "t", flight.Position{Kind: flight.Latest})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range offsets {
		rows += int64(row.Offset)
	}
	return rows
}

// writeRows writes a file of rows, with its name in each.
func writeRows(t *testing.T, path string, rows int) {
	t.Helper()
	var text strings.Builder
	name := filepath.Base(path)
	csv := strings.HasSuffix(name, ".csv")
	if csv {
		text.WriteString("id,file\n")
	}
	for i := range rows {
		if csv {
			fmt.Fprintf(&text, "%d,%s\n", i, name)
		} else {
			fmt.Fprintf(&text, "{\"id\":%d,\"file\":%q}\n", i, name)
		}
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTailFollows shows rows as they come, and ends well when it is interrupted.
func TestTailFollows(t *testing.T) {
	serve(t, "")
	file := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(file, []byte("n\n1\n2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustInvoke(t, "append", "t", file, "--create")
	for _, format := range []string{"ndjson", "table"} {
		ctx, interrupt := context.WithCancel(t.Context())
		out, talk := &lines{more: make(chan struct{}, 1)}, &bytes.Buffer{}
		ended := make(chan int, 1)
		go func() { ended <- run(ctx, []string{"tail", "t", "-n", "1", "-f", "-o", format}, out, talk) }()
		out.find(`(2)`)
		mustInvoke(t, "append", "t", file)
		out.find(`2[^1]*(1)`)
		interrupt()
		if code := <-ended; code != exitDone || !strings.Contains(talk.String(), " in ") {
			t.Errorf("exit code %d, %s", code, talk)
		}
	}
}

// gone is a pipe whose reader has seen enough.
type gone struct{ io.Writer }

func (gone) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

// TestBrokenPipes end verbs quietly.
func TestBrokenPipes(t *testing.T) {
	serve(t, "")
	mustInvoke(t, "demo", "--rows", "100", "--rate", "1m/s")
	for _, format := range []string{"table", "json", "ndjson", "csv", "arrow", "parquet"} {
		var talk bytes.Buffer
		if code := run(t.Context(), []string{"scan", "bids", "-o", format}, gone{}, &talk); code != exitDone || talk.Len() > 0 {
			t.Errorf("%s: exit code %d, %s", format, code, talk.String())
		}
	}
}

// TestDumpSegment reads a segment while its server runs.
func TestDumpSegment(t *testing.T) {
	data := t.TempDir()
	serve(t, data)
	mustInvoke(t, "demo", "--rows", "100", "--rate", "1m/s")
	segments, err := filepath.Glob(filepath.Join(data, "log", "*", "*", "*", "*.arrows"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	out, _ := mustInvoke(t, "dump-segment", segments[0], "-o", "json")
	var batches []struct {
		From, Until, Rows int64
		Codec             string
		Producers         string
	}
	if err := json.Unmarshal([]byte(out), &batches); err != nil || len(batches) == 0 {
		t.Fatal(err, out)
	}
	for i, b := range batches {
		if b.Until-b.From != b.Rows || i == 0 && b.From != 0 || i > 0 && b.From != batches[i-1].Until {
			t.Error(b)
		}
	}
	if last := batches[len(batches)-1]; last.Until != 100 {
		t.Error(last)
	}
	out, _ = mustInvoke(t, "dump-segment", segments[0], "--rows", "-o", "csv")
	if lines := strings.Count(out, "\n"); lines != 101 || !strings.HasPrefix(out, "auction,bidder,price") {
		t.Errorf("%d lines: %.100s", lines, out)
	}
	out, _ = mustInvoke(t, "dump-segment", segments[0], "-o", "table")
	if !strings.HasPrefix(out, "segment of table 1, partition 0, bucket 0\n  base offset 0, schema 1: auction int64") {
		t.Errorf("%.300s", out)
	}
	if code, _, talk := invoke(t.Context(), "dump-segment", filepath.Join(data, "LOCK")); code != exitFailed || !strings.Contains(talk, "is no segment") {
		t.Error(code, talk)
	}
	if code, _, talk := invoke(t.Context(), "dump-segment", filepath.Join(data, "nothing")); code != exitFailed || !strings.Contains(talk, "there is no file") {
		t.Error(code, talk)
	}
}

// TestVerify checks a directory while a server holds it, when it is down, and when it is damaged.
func TestVerify(t *testing.T) {
	data := t.TempDir()
	t.Run("while it is in use", func(t *testing.T) {
		serve(t, data)
		mustInvoke(t, "demo", "--rows", "100", "--rate", "1m/s")
		code, _, talk := invoke(t.Context(), "verify", data)
		if code != exitFailed || !strings.Contains(talk, "is in use by another process: stop it, or verify a copy") {
			t.Error(code, talk)
		}
	})
	code, out, talk := invoke(t.Context(), "verify", data)
	if code != exitDone || out != "" || !strings.Contains(talk, "1 table, 1 log, 1 segment, 100 rows in logs") || !strings.Contains(talk, data+" is sound") {
		t.Error(code, out, talk)
	}
	segments, err := filepath.Glob(filepath.Join(data, "log", "*", "*", "*", "*.arrows"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	damage(t, segments[0])
	if code, out, talk = invoke(t.Context(), "verify", data, "-o", "json"); code != exitFailed || !strings.Contains(talk, "1 finding in "+data) {
		t.Error(code, talk)
	}
	var findings []struct {
		Kind, File, Problem, Effect string
		Table, Bucket, From, Until  int64
		BytesFrom                   int64 `json:"bytes_from"`
		BytesUntil                  int64 `json:"bytes_until"`
	}
	if err := json.Unmarshal([]byte(out), &findings); err != nil || len(findings) != 1 {
		t.Fatal(err, out)
	}
	f := findings[0]
	if f.Kind != "segment" || f.File != segments[0] || f.Table != 1 || f.From != 0 || f.Until <= 0 || f.BytesUntil <= f.BytesFrom || f.Effect == "" {
		t.Errorf("%+v", f)
	}
	if _, out, _ = invoke(t.Context(), "verify", data, "-o", "table"); !strings.HasPrefix(out, "segment: "+segments[0]+", bytes [") {
		t.Error(out)
	}
	for _, dir := range []string{filepath.Join(data, "nothing"), t.TempDir()} {
		if code, _, talk := invoke(t.Context(), "verify", dir); code != exitNotFound || !strings.Contains(talk, "there is no data directory at "+dir) {
			t.Error(code, talk)
		}
	}
	if code, _, talk := invoke(t.Context(), "verify", data, "-o", "yaml"); code != exitUsage || !strings.Contains(talk, "--output") {
		t.Error(code, talk)
	}
}

// damage inverts a bit of the first batch of a segment.
func damage(t *testing.T, segment string) {
	t.Helper()
	data, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	head, ok := record.PeekPrefix(data)
	if !ok {
		t.Fatal("no segment")
	}
	data[head+100] ^= 1
	if err := os.WriteFile(segment, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
