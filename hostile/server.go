package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What the server is given: the budgets add up to less than the memory.
const (
	goLimit    = "256MiB"
	rssLimit   = 256 << 20 // of the whole process: what the runtime holds, and the program's text on top
	maxMessage = 4 << 20
)

var serverFlags = []string{
	"--max-message", strconv.Itoa(maxMessage), "--put-memory", strconv.Itoa(12 << 20), "--receive-memory", strconv.Itoa(16 << 20),
	"--send-memory", strconv.Itoa(12 << 20), "--row-memory", strconv.Itoa(12 << 20), "--max-calls", "600", "--max-connections", "150",
}

// server is the process under attack.
type server struct {
	cmd    *exec.Cmd
	log    *os.File
	exited chan error

	address, http string
}

var printed = regexp.MustCompile(`(grpc|http)://([^\s/]+)`)

// startServer starts the binary on a directory of its own and waits until it is ready.
func startServer(ctx context.Context, binary, dir string) (*server, error) {
	s := &server{exited: make(chan error, 1)}
	var err error
	if s.log, err = os.Create(filepath.Join(dir, "server.log")); err != nil {
		return nil, err
	}
	args := append([]string{"dev", "--data", filepath.Join(dir, "data"), "--flight-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"}, serverFlags...)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Env = append(os.Environ(), "GOMEMLIMIT="+goLimit)
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for (s.address == "" || s.http == "") && lines.Scan() {
		for _, found := range printed.FindAllStringSubmatch(lines.Text(), -1) {
			if found[1] == "grpc" {
				s.address = found[2]
			} else {
				s.http = found[2]
			}
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, out)
		s.exited <- s.cmd.Wait()
	}()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		if answer, err := http.Get("http://" + s.http + "/readyz"); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				tick.Stop()
				return s, nil
			}
		}
		select {
		case <-tick.C:
		case err := <-s.exited:
			return nil, fmt.Errorf("the server ended: %w; its log is %s", err, s.log.Name())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), s.cmd.Process.Kill())
		}
	}
}

// lives tells whether the process has not ended.
func (s *server) lives() error {
	select {
	case err := <-s.exited:
		s.exited <- err
		return fmt.Errorf("the server ended: %w; its log is %s", err, s.log.Name())
	default:
		return nil
	}
}

// stop ends the process with SIGTERM.
func (s *server) stop() error {
	defer func() { _ = s.log.Close() }()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return <-s.exited
}

// metrics reads the server's counters and gauges without labels.
func (s *server) metrics() (map[string]float64, error) {
	answer, err := http.Get("http://" + s.http + "/metrics")
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	found := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil {
			found[name] = n
		}
	}
	return found, lines.Err()
}
