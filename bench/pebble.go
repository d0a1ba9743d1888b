package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// pebbleOrder is what K is asked to do, one JSON line each; it answers with a pebbleTook.
type pebbleOrder struct {
	Do    string `json:"do"`    // "upsert", "get", or "drop" of a database
	Store string `json:"store"` // the database, which is made if it is not there

	File string `json:"file"` // upsert: the rows
	Look bool   `json:"look"` // upsert: the row of each key is read before it is replaced

	Keys    int64  `json:"keys"`    // get: below which they are
	Batch   int    `json:"batch"`   // get: keys of a request
	Batches int    `json:"batches"` // get: requests of a caller
	Callers int    `json:"callers"` // get
	Sorted  bool   `json:"sorted"`  // get: a request's keys are sorted and found by one iterator
	Seed    uint64 `json:"seed"`    // get
}

// pebbleTook is what it took.
type pebbleTook struct {
	Seconds float64 `json:"seconds"`
	Rows    int64   `json:"rows"`
	Times   metrics `json:"times"` // get: percentiles of the requests
	Error   string  `json:"error"`
}

// pebbleServer is K: databases of bare Pebble, with the settings that Quiver's rows have, but with a write-ahead log of
// their own that is synced after each batch.
type pebbleServer struct {
	dir    string
	stores map[string]*pebble.DB
	caches map[string]*pebble.Cache
	rows   map[string][]pebbleBatch // by file
}

// pebbleBatch is the rows of a batch as they are stored: an id, big-endian, and the other values one behind the other.
type pebbleBatch struct{ keys, values [][]byte }

// servePebble answers one connection after the other until the context ends.
func servePebble(ctx context.Context, dir string, announce func(address string)) (err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	s := &pebbleServer{dir: dir, stores: map[string]*pebble.DB{}, caches: map[string]*pebble.Cache{}, rows: map[string][]pebbleBatch{}}
	defer func() {
		for name := range s.stores {
			err = errors.Join(err, s.drop(name))
		}
	}()
	announce(listener.Addr().String())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		err = s.serve(conn)
		stop()
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// serve answers one connection until its end.
func (s *pebbleServer) serve(conn net.Conn) error {
	defer closeRead(conn)
	out := json.NewEncoder(conn)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		var order pebbleOrder
		err := json.Unmarshal(lines.Bytes(), &order)
		var took pebbleTook
		if err == nil {
			took, err = s.do(&order)
		}
		if err != nil {
			took.Error = err.Error()
		}
		if err := out.Encode(took); err != nil {
			return err
		}
	}
	return nil
}

func (s *pebbleServer) do(order *pebbleOrder) (pebbleTook, error) {
	switch order.Do {
	case "upsert":
		return s.upsert(order)
	case "get":
		return s.get(order)
	case "drop":
		return pebbleTook{}, s.drop(order.Store)
	}
	return pebbleTook{}, fmt.Errorf("there is no order %q for K", order.Do)
}

// open gives a database.
func (s *pebbleServer) open(name string) (*pebble.DB, error) {
	if db := s.stores[name]; db != nil {
		return db, nil
	}
	const memtableBytes, memtables, blockBytes, indexBytes, filterBits = 32 << 20, 4, 16 << 10, 256 << 10, 10
	const cacheBytes = 64<<20 + memtables*memtableBytes // memtables are taken off it
	cache := pebble.NewCache(cacheBytes)
	o := &pebble.Options{
		Cache: cache, MemTableSize: memtableBytes, MemTableStopWritesThreshold: memtables, Logger: quietPebble{},
		L0CompactionThreshold: 4, L0StopWritesThreshold: 64, MaxOpenFiles: 1000, FormatMajorVersion: pebble.FormatWALSyncChunks,
	}
	for i := range o.Levels {
		o.Levels[i] = pebble.LevelOptions{BlockSize: blockBytes, IndexBlockSize: indexBytes, FilterPolicy: bloom.FilterPolicy(filterBits)}
	}
	db, err := pebble.Open(filepath.Join(s.dir, "pebble-"+name), o)
	if err != nil {
		cache.Unref()
		return nil, err
	}
	s.stores[name], s.caches[name] = db, cache
	return db, nil
}

// quietPebble keeps what Pebble has to say in good health to itself.
type quietPebble struct{}

func (quietPebble) Infof(string, ...any)              {}
func (quietPebble) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (quietPebble) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// drop closes a database and removes it.
func (s *pebbleServer) drop(name string) error {
	db := s.stores[name]
	if db == nil {
		return nil
	}
	err := db.Close()
	s.caches[name].Unref()
	delete(s.stores, name)
	delete(s.caches, name)
	return errors.Join(err, os.RemoveAll(filepath.Join(s.dir, "pebble-"+name)))
}

// upsert writes the rows of a file, each batch of it as a batch of Pebble's, synced.
func (s *pebbleServer) upsert(order *pebbleOrder) (took pebbleTook, err error) {
	batches, err := s.load(order.File)
	if err != nil {
		return took, err
	}
	db, err := s.open(order.Store)
	if err != nil {
		return took, err
	}
	began := time.Now()
	for i := range batches {
		if err := upsertPebble(db, &batches[i], order.Look); err != nil {
			return took, err
		}
		took.Rows += int64(len(batches[i].keys))
	}
	took.Seconds = time.Since(began).Seconds()
	return took, nil
}

func upsertPebble(db *pebble.DB, rows *pebbleBatch, look bool) error {
	b := db.NewBatch()
	for i, key := range rows.keys {
		if look {
			if _, closer, err := db.Get(key); err == nil {
				_ = closer.Close()
			} else if !errors.Is(err, pebble.ErrNotFound) {
				return err
			}
		}
		if err := b.Set(key, rows.values[i], nil); err != nil {
			return err
		}
	}
	return errors.Join(b.Commit(pebble.Sync), b.Close())
}

// load reads a file's rows, once.
func (s *pebbleServer) load(path string) ([]pebbleBatch, error) {
	if rows, ok := s.rows[path]; ok {
		return rows, nil
	}
	var batches []pebbleBatch
	err := eachBatch(path, func(batch arrow.RecordBatch) (bool, error) {
		batches = append(batches, pebbleRows(batch))
		return true, nil
	})
	s.rows[path] = batches
	return batches, err
}

// pebbleRows encodes a batch of D5.
func pebbleRows(batch arrow.RecordBatch) pebbleBatch {
	n := int(batch.NumRows())
	rows := pebbleBatch{keys: make([][]byte, n), values: make([][]byte, n)}
	le := binary.LittleEndian
	for i := range n {
		rows.keys[i] = pebbleKey(batch.Column(0).(*array.Int64).Value(i))
		v := le.AppendUint64(nil, uint64(batch.Column(1).(*array.Int64).Value(i)))
		v = append(v, arrow.Float64Traits.CastToBytes(batch.Column(2).(*array.Float64).Float64Values()[i:i+1])...)
		for _, c := range []int{3, 4} {
			text := batch.Column(c).(*array.String).Value(i)
			v = append(le.AppendUint32(v, uint32(len(text))), text...)
		}
		v = le.AppendUint64(v, uint64(batch.Column(5).(*array.Timestamp).Value(i)))
		rows.values[i] = le.AppendUint32(v, uint32(batch.Column(6).(*array.Int32).Value(i)))
	}
	return rows
}

func pebbleKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// get looks random keys up, which are all there.
func (s *pebbleServer) get(order *pebbleOrder) (took pebbleTook, err error) {
	db, err := s.open(order.Store)
	if err != nil {
		return took, err
	}
	find := getPebble
	if order.Sorted {
		find = seekPebble
	}
	times := newHistogram()
	errs := make([]error, order.Callers)
	var wg sync.WaitGroup
	began := time.Now()
	for c := range order.Callers {
		wg.Go(func() {
			own := newHistogram()
			rng := rand.New(rand.NewPCG(order.Seed, uint64(c)))
			keys := make([][]byte, order.Batch)
			for i := range keys {
				keys[i] = make([]byte, 8)
			}
			for range order.Batches {
				for i := range keys {
					binary.BigEndian.PutUint64(keys[i], uint64(rng.Int64N(order.Keys)))
				}
				start := time.Now()
				if errs[c] = find(db, keys); errs[c] != nil {
					return
				}
				own.record(time.Since(start))
			}
			times.merge(own)
		})
	}
	wg.Wait()
	took.Seconds = time.Since(began).Seconds()
	took.Rows = int64(order.Callers) * int64(order.Batches) * int64(order.Batch)
	took.Times = metrics{}
	times.report(took.Times)
	return took, errors.Join(errs...)
}

// getPebble finds keys one by one.
func getPebble(db *pebble.DB, keys [][]byte) error {
	for _, key := range keys {
		_, closer, err := db.Get(key)
		if err != nil {
			return err
		}
		_ = closer.Close()
	}
	return nil
}

// seekPebble finds keys in their order, with one iterator.
func seekPebble(db *pebble.DB, keys [][]byte) error {
	slices.SortFunc(keys, bytes.Compare)
	it, err := db.NewIter(nil)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !it.SeekPrefixGE(key) {
			return errors.Join(pebble.ErrNotFound, it.Close())
		}
	}
	return it.Close()
}

// pebbleClient asks K.
type pebbleClient struct {
	*process
	conn net.Conn
	out  *json.Encoder
	in   *json.Decoder
}

// pebbleOn starts K on the scratch directory.
func (b *bench) pebbleOn(ctx context.Context) (*pebbleClient, error) {
	p, err := b.child(ctx, "pebble", "pebble", b.dir)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	return &pebbleClient{p, conn, json.NewEncoder(conn), json.NewDecoder(conn)}, nil
}

func (c *pebbleClient) do(order pebbleOrder) (took pebbleTook, err error) {
	if err := c.out.Encode(order); err != nil {
		return took, err
	}
	if err := c.in.Decode(&took); err != nil {
		return took, err
	}
	if took.Error != "" {
		err = fmt.Errorf("%s by K: %s", order.Do, took.Error)
	}
	return took, err
}

// work is an order as work that can be metered.
func (c *pebbleClient) work(order pebbleOrder) (work, metrics, error) {
	took, err := c.do(order)
	return work{seconds: took.Seconds, rows: took.Rows}, took.Times, err
}
