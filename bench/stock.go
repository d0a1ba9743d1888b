package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	afl "github.com/apache/arrow-go/v18/arrow/flight"
	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// stockServer is S: what one writes in an afternoon with arrow-go. A put becomes an IPC file, synced once at its end;
// a get reads an IPC file and sends its batches, less the columns nobody asked for. The path ["acks", name] is a put
// that is acknowledged batch by batch: all such streams append to one file and share its syncs.
type stockServer struct {
	afl.BaseFlightServer
	dir  string
	acks *sharedFile
}

// stockTicket is what S and C are asked for.
type stockTicket struct {
	Path    string   `json:"path"` // an IPC file
	Columns []string `json:"columns,omitempty"`
}

// DoGet sends a file.
func (s *stockServer) DoGet(ticket *afl.Ticket, stream afl.FlightService_DoGetServer) error {
	var want stockTicket
	if err := json.Unmarshal(ticket.GetTicket(), &want); err != nil {
		return err
	}
	var w *afl.Writer
	defer func() {
		if w != nil {
			_ = w.Close()
		}
	}()
	return eachBatch(want.Path, func(batch arrow.RecordBatch) (bool, error) {
		if want.Columns != nil {
			batch = project(batch, want.Columns)
			defer batch.Release()
		}
		if w == nil {
			w = afl.NewRecordWriter(stream, aipc.WithSchema(batch.Schema()))
		}
		return true, w.Write(batch)
	})
}

// project gives the columns of a batch, in the order of its schema.
func project(batch arrow.RecordBatch, columns []string) arrow.RecordBatch {
	var fields []arrow.Field
	var arrays []arrow.Array
	for i, field := range batch.Schema().Fields() {
		if slices.Contains(columns, field.Name) {
			fields = append(fields, field)
			arrays = append(arrays, batch.Column(i))
		}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, batch.NumRows())
}

// DoPut writes a file, or rows into the shared one.
func (s *stockServer) DoPut(stream afl.FlightService_DoPutServer) error {
	r, err := afl.NewRecordReader(stream)
	if err != nil {
		return err
	}
	defer r.Release()
	path := r.LatestFlightDescriptor().GetPath()
	if len(path) == 2 && path[0] == "acks" {
		return s.putAcked(r, stream)
	}
	if len(path) == 0 {
		return errors.New("a put needs a path")
	}
	return s.putFile(r, stream, filepath.Join(s.dir, filepath.Base(path[len(path)-1])+".arrow"))
}

// putFile writes the stream into a file, syncs it, acknowledges it and removes it again.
func (s *stockServer) putFile(r *afl.Reader, stream afl.FlightService_DoPutServer, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(path)
	}()
	w, err := aipc.NewFileWriter(f, aipc.WithSchema(r.Schema()))
	if err != nil {
		return err
	}
	for r.Next() {
		if err := w.Write(r.RecordBatch()); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return err
	}
	return stream.Send(&afl.PutResult{AppMetadata: []byte("durable")})
}

// putAcked appends each batch to the shared file and acknowledges it once it is synced.
func (s *stockServer) putAcked(r *afl.Reader, stream afl.FlightService_DoPutServer) error {
	for r.Next() {
		if err := s.acks.append(r.RecordBatch()); err != nil {
			return err
		}
		if err := stream.Send(&afl.PutResult{AppMetadata: []byte("durable")}); err != nil {
			return err
		}
	}
	if err := r.Err(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// sharedFile is an IPC stream that many append to. One sync serves all who wrote before it.
type sharedFile struct {
	mu      sync.Mutex // guards w, file and written
	file    *os.File
	w       *aipc.Writer
	written int

	syncing sync.Mutex // held by who syncs
	synced  int        // guarded by syncing
}

func (f *sharedFile) append(batch arrow.RecordBatch) error {
	number, err := f.write(batch)
	if err != nil {
		return err
	}
	f.syncing.Lock()
	defer f.syncing.Unlock()
	if f.synced >= number {
		return nil
	}
	f.mu.Lock()
	covered := f.written
	f.mu.Unlock()
	if err := unix.Fdatasync(int(f.file.Fd())); err != nil {
		return err
	}
	f.synced = covered
	return nil
}

func (f *sharedFile) write(batch arrow.RecordBatch) (number int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.w == nil {
		f.w = aipc.NewWriter(f.file, aipc.WithSchema(batch.Schema()))
	}
	f.written++
	return f.written, f.w.Write(batch)
}

// serveStock is the server of S. It ends with the context.
func serveStock(ctx context.Context, dir string, announce func(address string)) error {
	file, err := os.Create(filepath.Join(dir, "acks.arrows"))
	if err != nil {
		return err
	}
	defer closeRead(file)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage)) // nothing else differs from the defaults
	afl.RegisterFlightServiceServer(s, &stockServer{dir: dir, acks: &sharedFile{file: file}})
	context.AfterFunc(ctx, s.Stop)
	announce(listener.Addr().String())
	return s.Serve(listener)
}
