package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quiverlog/quiver/internal/fault"
)

// trouble is what the disk of a server does for a part of its life, on order: see fs.Ordered.
type trouble struct {
	orders []string      // each without its path
	below  string        // the part of the data that has it: log, kv, meta; "": all of it
	span   time.Duration // how long the orders stand
}

// ordersFile is where a server that is to have trouble finds its orders.
func (n *nemesis) ordersFile() string { return n.server.data + ".orders" }

// drawTrouble makes a life in which the disk gets into trouble.
func (n *nemesis) drawTrouble(kind string) life {
	t := &trouble{span: 200*time.Millisecond + time.Duration(n.random.IntN(1500))*time.Millisecond}
	t.below = pick(n.random, "log", "log", "kv", "meta", "")
	hit := 1 + int(n.random.ExpFloat64()*4)
	switch kind {
	case faultSync:
		t.orders = []string{fmt.Sprintf(pick(n.random, "sync=error@%d", "sync=error@%d", "write=error@%d"), hit)}
	case faultSlow:
		t.orders = []string{fmt.Sprintf("sync=slow@%dms", 20+n.random.IntN(pick(n.random, 100, 400, 2000)))}
	case faultFull:
		t.orders = pick(n.random, []string{"write=full"}, []string{"usage=full"}, []string{"write=full", "usage=full"})
	}
	return life{kind: kind, trouble: t, fails: kind != faultSlow, env: []string{fault.DiskVariable + "=" + n.ordersFile()}}
}

// suffer has the disk of the server that runs get into trouble and out of it, and judges how the server takes it.
func (n *nemesis) suffer(t *trouble) error {
	n.wait(time.Duration(n.random.IntN(300)) * time.Millisecond)
	lines := slices.Clone(t.orders)
	for i := range lines {
		lines[i] += " " + filepath.Join(n.server.data, t.below)
	}
	fresh := n.ordersFile() + ".new"
	if err := errors.Join(os.WriteFile(fresh, []byte(strings.Join(lines, "\n")), 0o644), os.Rename(fresh, n.ordersFile())); err != nil {
		return err
	}
	n.wait(t.span)
	if n.server.running() && n.random.IntN(4) == 0 {
		n.look()
	}
	if err := os.Remove(n.ordersFile()); err != nil {
		return err
	}
	done, err := n.done()
	if err != nil || len(done) == 0 || !n.server.running() || n.over() {
		return err
	}
	n.judgeTrouble(done)
	return nil
}

// judgeTrouble judges a server whose trouble is over, by what the trouble was.
func (n *nemesis) judgeTrouble(done []string) {
	if fences(done) {
		n.expectFence(done)
	} else {
		n.expectHealed(done)
	}
}

// troubles are what became of orders, in the words of the report.
var troubles = map[string]string{
	"sync=error": "failed syncs", "sync=slow": "slow syncs", "write=error": "failed writes", "write=full": "writes without room", "usage=full": "looks at a full disk",
}

// done gives what became of the orders of a life, and counts it.
func (n *nemesis) done() ([]string, error) {
	path := n.ordersFile() + fault.DoneSuffix
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range lines {
		what, _, _ := strings.Cut(line, " ")
		n.count(troubles[what], 1)
	}
	return lines, errors.Join(err, os.Remove(path))
}

// fences tells that what was done has to fence the disk: a segment of a log could not be written or synced.
func fences(done []string) bool {
	return slices.ContainsFunc(done, func(line string) bool {
		return strings.Contains(line, "=error ") && strings.HasSuffix(line, ".arrows")
	})
}

// mayFence tells that what was done may fence it: something else of the logs failed, a directory or a cache.
func mayFence(done []string) bool {
	return slices.ContainsFunc(done, func(line string) bool {
		return strings.Contains(line, "=error ") && strings.Contains(line+"/", "/log/") // it may be the directory itself
	})
}

// settleWithin is how long a server may take to notice that its disk failed, or to be well again once that is over.
const settleWithin = 30 * time.Second

// until waits until something is so, the server ends or the run does, and tells whether it is.
func (n *nemesis) until(so func() bool) bool {
	for end := time.Now().Add(n.settle); !so(); n.wait(10 * time.Millisecond) {
		if time.Now().After(end) || !n.server.running() || n.over() {
			return false
		}
	}
	return true
}

// fenced tells that the server says its disk is fenced.
func (n *nemesis) fenced() bool { return strings.Contains(n.unready(), "the disk is fenced") }

// expectFence expects that the server says its disk is fenced, that it then acknowledges nothing, and goes on so.
func (n *nemesis) expectFence(done []string) {
	if !n.until(n.fenced) {
		if n.server.running() && !n.over() {
			n.violate("fence: the disk failed (%s) and the server does not say so within %v", done[0], n.settle)
		}
		return
	}
	for range 2 {
		if err := n.put(); err == nil {
			n.violate("fence: the disk failed (%s), and a put was acknowledged afterwards", done[0])
		}
		n.wait(100 * time.Millisecond)
	}
	if n.server.running() && !n.over() && !n.fenced() {
		n.violate("fence: the disk failed (%s), and the server takes it for sound again: %s", done[0], n.unready())
	}
	n.count("disks fenced", 1)
}

// unready gives what /readyz says; "": it was not reached.
func (n *nemesis) unready() string {
	ctx, cancel := context.WithTimeout(n.ctx, probeWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.server.http+"/readyz", nil)
	if err != nil {
		return ""
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer answer.Body.Close() //nolint:errcheck // it is read to its end, or not at all
	text, _ := io.ReadAll(answer.Body)
	return strings.TrimSpace(string(text))
}

// working is what clients do all the time on a server that is well, by what of it is counted.
var working = []string{"puts acknowledged", "upserts acknowledged", "increments", "lookups", "cursor commits"}

// expectHealed expects that all work goes on by itself, in the same life, once the trouble is over.
func (n *nemesis) expectHealed(done []string) {
	before := n.counted()
	stands, fenced := "", false
	healed := n.until(func() bool {
		if fenced = mayFence(done) && n.fenced(); fenced {
			return true
		}
		now := n.counted()
		stands = ""
		for _, what := range working {
			if now[what] == before[what] {
				stands = what
			}
		}
		return stands == ""
	})
	switch {
	case fenced:
		n.expectFence(done)
	case healed:
		n.count("disks healed", 1)
	case n.server.running() && !n.over():
		n.violate("stuck: the disk was in trouble (%s) and is well since %v, and there are no new %s; /readyz says %s",
			done[0], n.settle, stands, n.unready())
	}
}
