package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

//go:embed pyarrow_client.py
var clientScript string

//go:embed pyarrow_server.py
var serverScript string

// findPython gives an interpreter that has pyarrow: $QUIVER_PYTHON, or the one in .venv. "" if there is none.
func findPython(ctx context.Context) string {
	python := os.Getenv("QUIVER_PYTHON")
	if python == "" {
		python = ".venv/bin/python"
	}
	if exec.CommandContext(ctx, python, "-c", "import pyarrow.flight").Run() != nil {
		return ""
	}
	return python
}

// pyarrow is a client process that takes commands.
type pyarrow struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytesLog
}

// bytesLog keeps the last words of a process.
type bytesLog struct{ text []byte }

func (l *bytesLog) Write(p []byte) (int, error) {
	l.text = append(l.text, p...)
	return len(p), nil
}

// newPyarrow starts the client.
func newPyarrow(python string) (*pyarrow, error) {
	c := &pyarrow{cmd: exec.Command(python, "-u", "-c", clientScript)}
	c.cmd.Stderr = &c.stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start pyarrow: %w", err)
	}
	return c, nil
}

// kill ends the client at once, whatever it does.
func (c *pyarrow) kill() { _ = c.cmd.Process.Kill() }

// close ends the client.
func (c *pyarrow) close() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// pyTook is what a command took, as the Python process measured it.
type pyTook struct {
	Seconds  float64 `json:"seconds"`
	CPU      float64 `json:"cpu"`
	Rows     int64   `json:"rows"`
	Messages int     `json:"messages"`
	Times    []int64 `json:"times"` // ns of each request, of commands that time them
	Error    string  `json:"error"`
}

// percentiles are those of the requests that were timed.
func (t *pyTook) percentiles() metrics {
	times := newHistogram()
	for _, ns := range t.Times {
		times.record(time.Duration(ns))
	}
	m := metrics{}
	times.report(m)
	return m
}

// do runs one command.
func (c *pyarrow) do(command map[string]any) (took pyTook, err error) {
	text, err := json.Marshal(command)
	if err != nil {
		return took, err
	}
	if _, err := c.in.Write(append(text, '\n')); err != nil {
		return took, err
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		_ = c.cmd.Wait()
		return took, fmt.Errorf("the pyarrow client ended: %s", c.stderr.text)
	}
	if err := json.Unmarshal(line, &took); err != nil {
		return took, err
	}
	if took.Error != "" {
		return took, errors.New("pyarrow: " + took.Error)
	}
	return took, nil
}
