package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program runs examples/sales_per_minute.py, the real one, over and over: it is killed with SIGKILL after a while, and
// another one takes its place.
type program struct {
	*client
	command []string
	said    string // file of what all of them printed
}

// newProgram makes it; c gives it a random stream and an end.
func (r *round) newProgram(c *client) *program {
	return &program{client: c, command: []string{r.options.python, "-u", r.options.job, "--server", r.addr}, said: filepath.Join(r.dir, "job.txt")}
}

// run has one process after the other.
func (p *program) run() {
	defer close(p.over)
	for !p.ends() {
		if err := p.life(); err != nil {
			p.violate("%s: %v", p.name, err)
			return
		}
	}
}

// life is one process. One that ends by itself was refused something that faults make, or it is a contradiction.
func (p *program) life() error {
	said, err := os.OpenFile(p.said, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer said.Close() //nolint:errcheck // the process has its own
	info, err := said.Stat()
	if err != nil {
		return err
	}
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its state is asked for
		close(exited)
	}()
	t := time.NewTimer(time.Duration((0.5 + p.random.ExpFloat64()*3) * float64(time.Second)))
	defer t.Stop()
	killed := true
	select {
	case <-exited:
		killed = false
	case <-t.C:
	case <-p.ending:
	case <-p.ctx.Done():
	}
	_ = cmd.Process.Kill() // it may have ended
	<-exited
	text, err := os.ReadFile(p.said)
	if err != nil {
		return err
	}
	told := string(text[info.Size():])
	p.count("batches counted by the example", int64(strings.Count(told, "counted to offset")))
	if killed {
		p.count("kills of the example", 1)
		return nil
	}
	if !p.excused(told) {
		return broken("job: the example ended by itself, with %v; it said:\n%s", cmd.ProcessState, tail([]byte(told), 2000))
	}
	return nil
}

// excused tells that what a program said at its end is an error that faults make.
func (p *program) excused(told string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, reason := range []string{"DISK_FULL: ", "OVERLOADED: ", "injected fault"} {
		if strings.Contains(told, reason) {
			return true
		}
	}
	return p.damaged && strings.Contains(told, "CORRUPT_RANGE: ")
}
