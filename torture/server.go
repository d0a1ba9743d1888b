package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is the program under test: one process after the other on one data directory, at one address.
type server struct {
	binary string
	data   string
	log    string // file that all lives write their log to
	flight string // host:port
	http   string
	env    []string // of all lives

	cmd    *exec.Cmd
	exited chan struct{} // closed once the process has ended
}

// newServer picks an address and a place for the data.
func newServer(binary, dir string, random *rand.Rand) (*server, error) {
	flight, err := freeAddress(random)
	if err != nil {
		return nil, err
	}
	http, err := freeAddress(random)
	return &server{binary: binary, data: filepath.Join(dir, "data"), log: filepath.Join(dir, "server.log"), flight: flight, http: http}, err
}

// freeAddress finds a port that nobody listens on, below those that systems hand out by themselves: it must stay free
// while the server is down.
func freeAddress(random *rand.Rand) (string, error) {
	var last error
	for range 100 {
		addr := "127.0.0.1:" + strconv.Itoa(15_000+random.IntN(15_000))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("no port is free: %w", last)
}

// errDied means that the server killed itself at a fault point before it was ready.
var errDied = errors.New("the server died before it was ready")

// readyWithin is how long a start may take.
const readyWithin = 60 * time.Second

// start starts the next life and waits until it is ready.
func (s *server) start(ctx context.Context, l life) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process has its own
	s.cmd = exec.Command(s.binary, slices.Concat([]string{"dev", "--data", s.data, "--flight-addr", s.flight, "--http-addr", s.http,
		"--log-format", "json", "--drain-time", "5s"}, l.flags)...)
	s.cmd.Env = append(append(os.Environ(), s.env...), l.env...)
	s.cmd.Stderr = log
	// The harness may be killed: its server must not outlive it.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait() // how it ended is asked for by code
		close(exited)
	}(s.cmd, s.exited)
	return s.ready(ctx)
}

// ready waits until the server says that it is.
func (s *server) ready(ctx context.Context) error {
	deadline := time.Now().Add(readyWithin)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-s.exited:
			if s.killed() {
				return errDied
			}
			return fmt.Errorf("the server ended with %v while it started; its log is %s", s.cmd.ProcessState, s.log)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		answer, err := http.Get("http://" + s.http + "/readyz")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server is not ready after %v; its log is %s", readyWithin, s.log)
		}
	}
}

// killed tells whether the process that ended was killed with SIGKILL.
func (s *server) killed() bool {
	status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// running tells whether the process has not ended.
func (s *server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// signal sends a signal to a running process.
func (s *server) signal(sig syscall.Signal) {
	if s.running() {
		_ = s.cmd.Process.Signal(sig) // it may have ended just now
	}
}

// kill ends the process at once.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	s.signal(syscall.SIGKILL)
	<-s.exited
}

// abort ends the process by a signal at which it writes down what its goroutines do.
func (s *server) abort() {
	s.signal(syscall.SIGQUIT)
	<-s.exited
}

// drainWithin is how long a server may take to end after SIGTERM.
const drainWithin = 30 * time.Second

// stop ends the process with SIGTERM and gives its exit code; -1: by a signal.
func (s *server) stop() (code int, err error) {
	s.signal(syscall.SIGTERM)
	t := time.NewTimer(drainWithin)
	defer t.Stop()
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-t.C:
		s.abort()
		return 0, fmt.Errorf("stuck: the server runs on for %v after SIGTERM", drainWithin)
	}
}

// points lists the fault points of the program; none: it was built without.
func (s *server) points() ([]string, error) {
	cmd := exec.Command(s.binary)
	cmd.Env = append(os.Environ(), "QUIVER_FAULT=list")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the fault points of %s: %w", s.binary, err)
	}
	var names []string
	for _, name := range strings.Fields(string(out)) {
		if strings.Contains(name, ".") && !strings.HasPrefix(name, "quiver.append.") { // those are of a client
			names = append(names, name)
		}
	}
	return names, nil
}
