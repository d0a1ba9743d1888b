package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	aipc "github.com/apache/arrow-go/v18/arrow/ipc"
)

// damage does to the files of a server that is down what disks do: now and then.
func (n *nemesis) damage() error {
	switch x := n.random.IntN(100); {
	case x < 6 && n.faults[faultTorn]:
		return n.tear()
	case x < 11 && n.faults[faultFlip]:
		return n.flip()
	case x < 13 && n.faults[faultCache]:
		return n.flipCache()
	}
	return nil
}

// files lists files of the logs of the tables that there are; those of dropped ones mean nothing.
func (n *nemesis) files(pattern string) (found []string, err error) {
	for _, id := range n.tables {
		paths, err := filepath.Glob(filepath.Join(n.server.data, "log", strconv.FormatUint(uint64(id), 10), "*", "*", pattern))
		if err != nil {
			return nil, err
		}
		found = append(found, paths...)
	}
	return found, nil
}

// segments lists the segments of all logs, by their directory, in order.
func (n *nemesis) segments() (map[string][]string, error) {
	paths, err := n.files("*.arrows")
	logs := map[string][]string{}
	for _, p := range paths {
		logs[filepath.Dir(p)] = append(logs[filepath.Dir(p)], p)
	}
	for _, log := range logs {
		slices.Sort(log)
	}
	return logs, err
}

// tear leaves garbage behind the last batch of some logs, as a group leaves it that was being written: its first bytes
// are not there. Nothing that was acknowledged is touched.
func (n *nemesis) tear() error {
	logs, err := n.segments()
	if err != nil {
		return err
	}
	for _, dir := range sortedKeys(logs) {
		if n.random.IntN(2) == 0 {
			continue
		}
		path := logs[dir][len(logs[dir])-1]
		end, err := endOfBatches(path)
		if err != nil {
			return fmt.Errorf("unreadable: a segment of a server that is down: %s: %w", path, err)
		}
		garbage := make([]byte, 1+n.random.IntN(5000))
		for i := range garbage {
			garbage[i] = byte(n.random.Uint32())
		}
		if err := writeAt(path, garbage, end+8); err != nil {
			return err
		}
		n.count("torn tails", 1)
	}
	return nil
}

// counting counts what is read.
type counting struct {
	io.Reader
	n int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

// endOfBatches finds where the last message of a segment ends, by the stock reader of Arrow streams.
func endOfBatches(path string) (end int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // it was read only
	in := &counting{Reader: f}
	r := aipc.NewMessageReader(in)
	defer r.Release()
	for {
		_, err := r.Message()
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return 0, err
		}
		end = in.n
	}
}

func writeAt(path string, data []byte, at int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, at)
	return errors.Join(err, f.Close())
}

// flip flips a bit of a closed segment and lets the server live with that: whoever reads is to be refused, or shown what
// was put, never anything else. Then the bit is set right, so that everything is there again.
func (n *nemesis) flip() error {
	logs, err := n.segments()
	if err != nil {
		return err
	}
	var closed []string
	for _, dir := range sortedKeys(logs) {
		closed = append(closed, logs[dir][:len(logs[dir])-1]...)
	}
	if len(closed) == 0 {
		return nil
	}
	path := pick(n.random, closed...)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	at, bit := n.random.IntN(len(data)), byte(1)<<n.random.IntN(8)
	if err := writeAt(path, []byte{data[at] ^ bit}, int64(at)); err != nil {
		return err
	}
	n.setDamaged(true)
	n.count("flipped bits", 1)
	if err := n.found(path); err != nil {
		return err
	}
	if err := n.live(life{kind: faultFlip}); err != nil {
		return err
	}
	n.look()
	n.wait(time.Duration(n.random.IntN(500)) * time.Millisecond)
	if !n.server.running() {
		n.violate("died: a flipped bit of %s ended the server with %v", path, n.server.cmd.ProcessState)
	}
	n.server.kill()
	n.count("kills", 1)
	if err := writeAt(path, data[at:at+1], int64(at)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	delete(n.flipped.paths, path)
	// What was written about the damaged segment is a cache of it.
	return n.forget(path)
}

// forget removes the caches of a segment that was damaged and is well again.
func (n *nemesis) forget(segment string) error {
	err := os.Remove(segment[:len(segment)-len(".arrows")] + ".index")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// flipCache flips a bit of a file that can be made again: an index, a state file, a table of the store of rows.
func (n *nemesis) flipCache() error {
	files, err := filepath.Glob(filepath.Join(n.server.data, "kv", "db", "*.sst"))
	if err != nil {
		return err
	}
	for _, pattern := range []string{"*.index", "*.state"} {
		found, err := n.files(pattern)
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil
	}
	path := pick(n.random, files...)
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return err
	}
	at, bit := n.random.IntN(len(data)), byte(1)<<n.random.IntN(8)
	n.rotten = n.rotten || filepath.Ext(path) == ".sst"
	n.count("flipped bits in caches", 1)
	if err := writeAt(path, []byte{data[at] ^ bit}, int64(at)); err != nil {
		return err
	}
	return n.found(path)
}
