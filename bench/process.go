package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// process is a server that was started for a job.
type process struct {
	name    string
	address string // host:port
	http    string // host:port, if it was asked for
	cmd     *exec.Cmd
	ended   chan struct{} // closed when it has ended
	log     string        // where its standard error goes
}

// startTime is how long a server may take to tell its address.
const startTime = 60 * time.Second

// start starts a program and waits until it has printed its address, the first group of the pattern, and the one for
// HTTP, if a second pattern is given.
func (b *bench) start(ctx context.Context, name string, patterns []*regexp.Regexp, program string, args ...string) (*process, error) {
	p := &process{name: name, ended: make(chan struct{}), log: filepath.Join(b.dir, name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer closeRead(log)
	p.cmd = exec.Command(program, args...) // ends by stop, not by the context: it is asked before it is killed
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	found := make(chan []string, 1)
	go func() {
		defer close(p.ended)
		found <- findAll(out, patterns)
		_, _ = io.Copy(io.Discard, out)
		_ = p.cmd.Wait()
	}()
	b.processes = append(b.processes, p)
	select {
	case addresses := <-found:
		if len(addresses) < len(patterns) {
			break
		}
		p.address = addresses[0]
		if len(addresses) > 1 {
			p.http = addresses[1]
		}
		return p, nil
	case <-p.ended:
	case <-time.After(startTime):
	case <-ctx.Done():
	}
	p.kill()
	said, _ := os.ReadFile(p.log)
	return nil, fmt.Errorf("%s told no address; it said: %s", name, said)
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

// stop asks the process to end, and kills it if it does not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		p.kill()
	}
}

// kill is kill -9. It returns when the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// announced is how our own children tell their address.
var announced = []*regexp.Regexp{regexp.MustCompile(`^ready (\S+)$`)}

// child starts this program again as one of its servers.
func (b *bench) child(ctx context.Context, name string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.start(ctx, name, announced, self, append([]string{childWord}, args...)...)
}

// childWord as first argument makes this program one of the servers.
const childWord = "serve"

// serve is what a child does until it is asked to end.
func serve(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	announce := func(address string) { fmt.Printf("ready %s\n", address) }
	if len(args) == 0 {
		return fmt.Errorf("%s needs the name of a server", childWord)
	}
	var err error
	switch args[0] {
	case "stock":
		err = serveStock(ctx, args[1], announce)
	case "passthrough":
		err = servePassthrough(ctx, announce)
	case "tcp":
		err = serveTCP(ctx, announce)
	case "pebble":
		err = servePebble(ctx, args[1], announce)
	case "quiver":
		err = serveQuiver(ctx, args[1], args[2], announce)
	default:
		return fmt.Errorf("there is no server %q", args[0])
	}
	if ctx.Err() != nil {
		return nil // asked to end
	}
	return err
}
