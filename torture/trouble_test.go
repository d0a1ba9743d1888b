package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestTroubles judges servers that are made up: what they say of themselves after a disk failed, and what they do.
func TestTroubles(t *testing.T) {
	const fence = `the disk is fenced: sync: input/output error`
	dir := []string{"sync=error d/log/7/-1/0"}
	log, rows := []string{"sync=error d/log/7/-1/0/0.arrows"}, []string{"write=error d/kv/db/000004.sst"}
	refused := errors.New("LEADER_NOT_AVAILABLE")
	for _, c := range []struct {
		what  string
		done  []string
		ready []string // what it says, one after the other; the last one for ever
		put   error
		works []string // what goes on
		want  string   // what is found; "": nothing
	}{
		{"it fences itself", log, []string{"ok", fence}, refused, nil, ""},
		{"it does not notice", log, []string{"ok"}, refused, nil, "does not say so"},
		{"it takes puts behind the fence", log, []string{fence}, nil, nil, "was acknowledged afterwards"},
		{"it takes the disk for sound again", log, []string{fence, "ok"}, refused, nil, "takes it for sound again"},
		{"a directory of its logs fails and it fences itself", dir, []string{fence}, refused, nil, ""},
		{"a directory of its logs fails and it takes puts behind the fence", dir, []string{fence}, nil, nil, "was acknowledged afterwards"},
		{"the directory of all logs fails and it fences itself", []string{"sync=error d/log"}, []string{fence}, refused, nil, ""},
		{"its rows fail, and it fences the logs", rows, []string{fence}, refused, nil, "no new"},
		{"its rows fail and all goes on", rows, []string{"ok"}, refused, working, ""},
		{"its rows fail and lookups do not go on", rows, []string{"ok"}, refused, slices.DeleteFunc(slices.Clone(working), func(s string) bool { return s == "lookups" }), "no new lookups"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var asked atomic.Int64
			http := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n := min(int(asked.Add(1)), len(c.ready))
				_, _ = w.Write([]byte(c.ready[n-1]))
			}))
			defer http.Close()
			w := newWorld(t.Context(), "")
			defer w.stop()
			settle := time.Minute
			if strings.Contains(c.want, "does not") || strings.Contains(c.want, "no new") {
				settle = 50 * time.Millisecond // it is waited for in vain
			}
			n := &nemesis{world: w, settle: settle, put: func() error { return c.put },
				server: &server{http: strings.TrimPrefix(http.URL, "http://"), cmd: &exec.Cmd{}, exited: make(chan struct{})}}
			going := make(chan struct{})
			go func() {
				defer close(going)
				for w.ctx.Err() == nil {
					for _, what := range c.works {
						w.count(what, 1)
					}
					n.wait(time.Millisecond)
				}
			}()
			n.judgeTrouble(c.done)
			w.stop()
			<-going
			found := strings.Join(w.violations, "; ")
			if (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}
