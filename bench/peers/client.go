package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// order is what a client is to do: names and values without tabs or line ends.
type order map[string]string

// with is the order with more fields.
func (o order) with(more order) order {
	all := order{}
	for _, part := range []order{o, more} {
		for name, value := range part {
			all[name] = value
		}
	}
	return all
}

// line is the order as it is sent.
func (o order) line() string {
	fields := make([]string, 0, len(o))
	for name, value := range o {
		fields = append(fields, name+"="+value)
	}
	slices.Sort(fields)
	return strings.Join(fields, "\t") + "\n"
}

// answer is what an order came to, as the client measured it.
type answer struct {
	Seconds  float64 `json:"seconds"`
	Rows     int64   `json:"rows"`
	Messages int64   `json:"messages"`
	Failed   int64   `json:"failed"`
	Misses   int64   `json:"misses"`
	Times    []int64 `json:"times"` // ns of each request, of orders that time them
	Error    string  `json:"error"`
}

// parseAnswer reads an answer; one that tells an error is one.
func parseAnswer(line []byte) (a answer, err error) {
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("answer %.100q: %w", line, err)
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// client is a process that carries out orders.
type client struct {
	*process
	in  io.WriteCloser
	out *bufio.Reader
}

// newClient starts a client.
func (p *peers) newClient(name string, cmd *exec.Cmd) (*client, error) {
	c := &client{}
	var err error
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	reader, writer := io.Pipe()
	cmd.Stdout = writer
	c.out = bufio.NewReaderSize(reader, 1<<20)
	if c.process, err = p.launcher.start(p.dir, name, cmd); err != nil {
		return nil, err
	}
	go func() {
		<-c.ended
		_ = writer.Close()
	}()
	return c, nil
}

// close lets the client end.
func (c *client) close() {
	if c == nil {
		return
	}
	_ = c.in.Close()
	select {
	case <-c.ended:
	case <-time.After(5 * time.Second):
		c.kill()
	}
}

// orderTime bounds every order.
const orderTime = 3 * time.Minute

// do carries out one order. A client that takes too long, or whose run is over, is killed.
func (c *client) do(ctx context.Context, o order) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	if _, err := io.WriteString(c.in, o.line()); err != nil {
		return a, fmt.Errorf("%s has ended: %s", c.name, c.said())
	}
	kill := context.AfterFunc(ctx, func() { _ = c.cmd.Process.Kill() })
	line, err := c.out.ReadBytes('\n')
	kill()
	if err != nil {
		return a, errors.Join(fmt.Errorf("%s ended during %q: %s", c.name, o.line(), c.said()), context.Cause(ctx))
	}
	if a, err = parseAnswer(line); err != nil {
		return a, fmt.Errorf("%s, %q: %w", c.name, o.line(), err)
	}
	return a, nil
}

// longestTime is the longest duration that percentiles can tell; longer ones count as that.
const longestTime = time.Minute

// percentiles are those of times in nanoseconds.
func percentiles(times []int64) metrics {
	h := hdrhistogram.New(1000, int64(longestTime), 3)
	for _, ns := range times {
		_ = h.RecordValue(min(max(ns, 0), int64(longestTime))) // it is in range
	}
	ms := func(ns int64) float64 { return float64(ns) / 1e6 }
	return metrics{
		p50: ms(h.ValueAtQuantile(50)), p99: ms(h.ValueAtQuantile(99)), p999: ms(h.ValueAtQuantile(99.9)),
		worst: ms(h.Max()), requests: float64(len(times)),
	}
}
