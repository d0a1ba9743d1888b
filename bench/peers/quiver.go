package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// quiverServer is `quiver dev` on a directory.
type quiverServer struct {
	*process
	data    string
	address string // of Flight
	http    string
}

// printed finds the addresses in what `quiver dev` prints.
var printed = []*regexp.Regexp{regexp.MustCompile(`grpc://(\S+)`), regexp.MustCompile(`http://([^\s/]+)`)}

// startTime bounds the start of any server.
const startTime = 90 * time.Second

// startQuiver starts the server and waits until it is ready.
func (p *peers) startQuiver(ctx context.Context, data string) (*quiverServer, error) {
	s := &quiverServer{data: data}
	cmd := exec.Command(p.binary, "dev", "--data", data, "--flight-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0")
	reader, writer := io.Pipe()
	cmd.Stdout = writer
	var err error
	if s.process, err = p.launcher.start(p.dir, "quiver-"+filepath.Base(data), cmd); err != nil {
		return nil, err
	}
	found := make(chan []string, 1)
	go func() {
		found <- findAll(reader, printed)
		_, _ = io.Copy(io.Discard, reader)
	}()
	go func() {
		<-s.ended
		_ = writer.Close()
	}()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	select {
	case addresses := <-found:
		if len(addresses) == len(printed) {
			s.address, s.http = addresses[0], addresses[1]
			return s, s.waitReady(ctx)
		}
	case <-ctx.Done():
	}
	s.stop()
	return nil, fmt.Errorf("quiver told no address: %s", s.said())
}

// findAll reads lines until each pattern, in order, has matched one, and gives their first groups.
func findAll(r io.Reader, patterns []*regexp.Regexp) (found []string) {
	for lines := bufio.NewScanner(r); len(found) < len(patterns) && lines.Scan(); {
		if match := patterns[len(found)].FindStringSubmatch(lines.Text()); match != nil {
			found = append(found, match[1])
		}
	}
	return found
}

// waitReady polls /readyz.
func (s *quiverServer) waitReady(ctx context.Context) error {
	asking := http.Client{Timeout: time.Second}
	defer asking.CloseIdleConnections()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.http+"/readyz", nil)
		if err != nil {
			return err
		}
		if answer, err := asking.Do(request); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("quiver is not ready: %w", err)
		}
	}
}

func (s *quiverServer) pids() []int { return []int{s.pid()} }

// quiverSystem is the server with its clients.
type quiverSystem struct {
	*quiverServer
	client *flight.Client
	python *client
}

// onQuiver gives the server, started when it is first wanted.
func (p *peers) onQuiver(ctx context.Context) (q *quiverSystem, err error) {
	if p.quiver != nil {
		return p.quiver, nil
	}
	q = &quiverSystem{}
	if q.quiverServer, err = p.startQuiver(ctx, filepath.Join(p.dir, "quiver")); err != nil {
		return nil, err
	}
	p.quiver = q
	if q.client, err = flight.Dial(q.address, flight.ClientOptions{}); err != nil {
		return nil, err
	}
	q.python, err = p.newClient("quiver-pyarrow", exec.Command(p.python, "-u", filepath.Join(p.source, "python", "quiver_client.py"), q.address))
	return q, err
}

func (q *quiverSystem) close() {
	q.python.close()
	if q.client != nil {
		_ = q.client.Close()
	}
	q.stop()
}

// create makes a table of one bucket with default options.
func (q *quiverSystem) create(ctx context.Context, table string, columns []column, key string) error {
	body := flight.TableCreate{Table: flight.Named(table)}
	for _, c := range columns {
		body.Schema.Columns = append(body.Schema.Columns, quiver.ColumnSpec{Name: c.name, Type: c.kind.quiver})
	}
	if key != "" {
		body.PrimaryKey = []string{key}
	}
	_, err := q.client.CreateTable(ctx, body)
	return err
}

func (q *quiverSystem) drop(ctx context.Context, table string) error {
	_, err := q.client.DropTable(ctx, flight.TableDrop{Table: flight.Named(table)})
	return err
}

// disk is what a table's log takes on the disk.
func (q *quiverSystem) disk(ctx context.Context, table string) (int64, error) {
	described, err := q.client.DescribeTable(ctx, table)
	if err != nil {
		return 0, err
	}
	return allocated(filepath.Join(q.data, "log", fmt.Sprint(described.TableID)))
}

// sleep waits, or ends with the context.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), context.Cause(ctx))
	}
}
