package node

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/quiverlog/quiver/internal/fault"
)

// serveEnv makes this test's program a server on the directory that it names, and serveAddrEnv at that address.
const (
	serveEnv     = "QUIVER_TEST_SERVE"
	serveAddrEnv = "QUIVER_TEST_SERVE_ADDR"
)

// serveUntilKilled is the whole life of such a server.
func serveUntilKilled(dir string) {
	n, err := Open(Options{Data: dir, FlightAddr: os.Getenv(serveAddrEnv), DiskReserve: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(n.FlightAddr())
	err = n.Run(context.Background())
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// mortal is a server in a process of its own, which is started again at the same address whenever it was killed.
type mortal struct {
	t      *testing.T
	dir    string
	addr   string
	rng    *rand.Rand
	points []string // fault points at which it kills itself now and then, where there are any
	died   func()   // called when a life is over, before the next one begins; nil: nothing is
	done   chan struct{}

	mu      sync.Mutex // guards what follows
	process *os.Process
	over    bool
	lives   int
}

// commitPoints are those that a group commit passes.
var commitPoints = []string{"arrowlog.commit.before-write", "arrowlog.commit.before-prefix", "arrowlog.commit.before-sync", "arrowlog.commit.after-sync"}

// live begins the first life; the test's end ends the last one.
func live(t *testing.T, seed uint64, points []string, died func()) *mortal {
	t.Helper()
	m := &mortal{t: t, dir: t.TempDir(), addr: freeAddr(t), rng: rand.New(rand.NewPCG(seed, 1)), points: points, died: died, done: make(chan struct{})}
	go m.run()
	t.Cleanup(m.bury)
	return m
}

// freeAddr gives an address that nobody listens at, with a port below those that the system gives out by itself: between
// two lives, no listener or connection of others gets it.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			_ = listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// start starts a server.
func (m *mortal) start() (*exec.Cmd, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+m.dir, serveAddrEnv+"="+m.addr)
	if fault.Enabled && m.rng.IntN(2) == 0 {
		point := m.points[m.rng.IntN(len(m.points))]
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%s=kill@%d", fault.Variable, point, 1+m.rng.IntN(30)))
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, _ = bufio.NewReader(out).ReadString('\n') // it listens, or is dead already, which is what the test is about
	return cmd, nil
}

// run starts one life after the other.
func (m *mortal) run() {
	defer close(m.done)
	for {
		cmd, err := m.start()
		if err != nil {
			m.t.Error(err)
			return
		}
		m.mu.Lock()
		m.process = cmd.Process
		m.lives++
		over := m.over
		m.mu.Unlock()
		if over {
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
		if m.died != nil {
			m.died()
		}
		if over {
			return
		}
	}
}

// kill ends the present life with SIGKILL.
func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process != nil {
		_ = m.process.Kill()
	}
}

// count is how many lives there were.
func (m *mortal) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lives
}

// bury ends the last life.
func (m *mortal) bury() {
	m.mu.Lock()
	m.over = true
	m.mu.Unlock()
	m.kill()
	<-m.done
}
