package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

//go:embed clients.py
var clientsScript string

// pyarrow is a process of producers that speak through pyarrow. They keep notes of their own, in files.
type pyarrow struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	exited chan struct{}
	said   string // file of what it printed
	notes  []string
}

// firstPyarrow is the number of the first client in Python; those in Go are below.
const firstPyarrow = 100

// startPyarrow starts one plain and one sequenced producer.
func (r *round) startPyarrow() (*pyarrow, error) {
	p := &pyarrow{exited: make(chan struct{}), said: filepath.Join(r.dir, "pyarrow.txt")}
	p.cmd = exec.Command(r.options.python, "-u", "-c", clientsScript, r.addr, r.table(tableLog),
		strconv.FormatUint(r.seed, 10)+"/"+strconv.Itoa(r.number), r.dir)
	for i := range 2 {
		path := filepath.Join(r.dir, fmt.Sprint("pyarrow-", firstPyarrow+i, historySuffix))
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return nil, err
		}
		p.notes = append(p.notes, path)
	}
	said, err := os.Create(p.said)
	if err != nil {
		return nil, err
	}
	defer said.Close() //nolint:errcheck // the process has its own
	p.cmd.Stdout, p.cmd.Stderr = said, said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // its state is asked for
		close(p.exited)
	}()
	return p, nil
}

// finish lets the producers come to their ends.
func (p *pyarrow) finish() error {
	_ = p.in.Close() // it ends when it sees that
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-p.exited:
	case <-t.C:
		p.kill()
		return broken("stuck: the producers in Python do not come to their ends on a server that is well; they said %s", p.said)
	}
	if !p.cmd.ProcessState.Success() {
		said, _ := os.ReadFile(p.said)
		return broken("pyarrow: %s", tail(said, 2000))
	}
	return nil
}

func (p *pyarrow) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// tail is the end of a text.
func tail(text []byte, most int) string {
	return string(text[max(0, len(text)-most):])
}
