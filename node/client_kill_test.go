package node

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/fault"
)

// serveEnv makes this test's program a server on the directory that it names.
const serveEnv = "QUIVER_TEST_SERVE"

// serveUntilKilled is the whole life of such a server.
func serveUntilKilled(dir string) {
	n, err := Open(Options{Data: dir, FlightAddr: "127.0.0.1:0", DiskReserve: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(n.FlightAddr())
	err = n.Run(context.Background())
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// mortal is a server in a process of its own, which is started again whenever it was killed.
type mortal struct {
	t    *testing.T
	dir  string
	way  *proxy
	rng  *rand.Rand
	done chan struct{}

	mu      sync.Mutex // guards what follows
	process *os.Process
	over    bool
	lives   int
}

// start starts a server and leads the way to it. Where there are fault points, it kills itself at one of those that a
// group commit passes, now and then.
func (m *mortal) start() (*exec.Cmd, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"="+m.dir)
	if fault.Enabled && m.rng.IntN(2) == 0 {
		point := []string{"before-write", "before-prefix", "before-sync", "after-sync"}[m.rng.IntN(4)]
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=arrowlog.commit.%s=kill@%d", fault.Variable, point, 1+m.rng.IntN(30)))
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return cmd, nil //nolint:nilerr // it is dead already, which is what the test is about
	}
	m.way.retarget(strings.TrimSpace(addr))
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

// bury ends the last life.
func (m *mortal) bury() {
	m.mu.Lock()
	m.over = true
	m.mu.Unlock()
	m.kill()
	<-m.done
}

// TestClientExactlyOnceOverKills kills the server with SIGKILL, at any moment and at the points of a group commit, under
// an appender: every row is there once, in order.
func TestClientExactlyOnceOverKills(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	m := &mortal{t: t, dir: t.TempDir(), way: newProxy(t, "127.0.0.1:1"), rng: rand.New(rand.NewPCG(seed, 1)), done: make(chan struct{})}
	go m.run()
	defer m.bury()
	patient := flight.ClientOptions{RetryFor: 5 * time.Minute}
	c := dialTo(t, m.way.addr(), patient)
	awaitServer(t, c)
	makeTable(t, c, "events", 2)
	a, err := c.Append(t.Context(), "events", flight.AppendOptions{MaxUnacked: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	const until = 4000
	for n := int64(0); n < until; {
		batch := rows(n, min(n+1+rng.Int64N(40), until))
		n += batch.NumRows()
		if err := a.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		batch.Release()
		switch rng.IntN(30) {
		case 0:
			m.kill()
		case 1:
			if _, err := a.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.kill()
		}
	}
	totals, err := a.Close(t.Context())
	if err != nil || totals.Rows != until {
		t.Fatalf("%+v, %v", totals, err)
	}
	m.mu.Lock()
	lives := m.lives
	m.mu.Unlock()
	t.Logf("%d lives, %d batches that were there already", lives, totals.Duplicates)
	if lives < 2 {
		t.Error("nothing was killed")
	}
	awaitServer(t, c) // it may have been killed when all was durable
	wantUpTo(t, numbersOf(t, c, "events"), until)
}

// awaitServer asks until there is a server that answers.
func awaitServer(t *testing.T, c *flight.Client) {
	t.Helper()
	for _, err := c.Tables(t.Context(), ""); err != nil; _, err = c.Tables(t.Context(), "") {
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}
