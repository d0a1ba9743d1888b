package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"time"

	afl "github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/quiverlog/quiver/node"
)

// quiverServer is the server under test, with a stock client for its actions.
type quiverServer struct {
	*process
	data    string
	control *grpc.ClientConn
}

// printed finds the addresses in what `quiver dev` prints.
var printed = []*regexp.Regexp{regexp.MustCompile(`grpc://(\S+)`), regexp.MustCompile(`http://([^\s/]+)`)}

// startBinary starts the server's own program.
func (b *bench) startBinary(ctx context.Context, name, data string) (*process, error) {
	return b.start(ctx, name, printed, b.binary, "dev", "--data", data, "--flight-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0")
}

// quiverOn starts the server on a directory: the binary, or this program where a profile is wanted or there is no binary.
func (b *bench) quiverOn(ctx context.Context, name, data string) (*quiverServer, error) {
	var p *process
	var err error
	if b.binary != "" && b.profiles == "" {
		p, err = b.startBinary(ctx, name, data)
	} else {
		profile := ""
		if b.profiles != "" {
			profile = filepath.Join(b.profiles, b.job+"-"+name)
		}
		p, err = b.child(ctx, name, "quiver", data, profile)
	}
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &quiverServer{process: p, data: data, control: conn}, nil
}

// serveQuiver opens a node in this process and runs it until the context ends. It writes a CPU profile if one is
// wanted.
func serveQuiver(ctx context.Context, data, profile string, announce func(address string)) (err error) {
	n, err := node.Open(node.Options{Data: data, FlightAddr: "127.0.0.1:0", CreateTables: true, Version: "bench"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if profile != "" {
		f, err := os.Create(profile + ".pprof")
		if err != nil {
			return err
		}
		defer closeRead(f)
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	announce(n.FlightAddr())
	return n.Run(ctx)
}

// act runs an action and gives its results, decoded.
func (q *quiverServer) act(ctx context.Context, name string, body map[string]any) ([]map[string]any, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	stream, err := afl.NewFlightServiceClient(q.control).DoAction(ctx, &afl.Action{Type: name, Body: text})
	if err != nil {
		return nil, err
	}
	var results []map[string]any
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return results, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", name, text, err)
		}
		var decoded map[string]any
		if err := json.Unmarshal(r.GetBody(), &decoded); err != nil {
			return nil, err
		}
		results = append(results, decoded)
	}
}

// drop drops a table.
func (q *quiverServer) drop(ctx context.Context, table string) error {
	_, err := q.act(ctx, "table.drop", map[string]any{"table": table, "if_exists": true})
	return err
}

// storedBytes is what the segments of a table's buckets hold, zeros behind the last batch left out.
func (q *quiverServer) storedBytes() (total int64, groups []int64, err error) {
	paths, err := filepath.Glob(filepath.Join(q.data, "log", "*", "*", "*", "*.arrows"))
	if err != nil {
		return 0, nil, err
	}
	for _, path := range paths {
		g, err := groupSizes(path)
		if err != nil {
			return 0, nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, n := range g {
			total += n
		}
		groups = append(groups, g...)
	}
	return total, groups, nil
}

// waitReady polls an HTTP address until it answers 200.
func waitReady(ctx context.Context, address string) error {
	client := http.Client{Timeout: time.Second}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(request)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}
