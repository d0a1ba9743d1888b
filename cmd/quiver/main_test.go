package main

import (
	"bytes"
	"context"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// invoke runs the program in process.
func invoke(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, talk bytes.Buffer
	code = run(ctx, args, &out, &talk)
	return code, out.String(), talk.String()
}

func TestWrongUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		say  string
	}{
		{[]string{"vershun"}, `unknown verb "vershun"; did you mean "version"?`},
		{[]string{"version", "now"}, `quiver version takes no argument, got "now"`},
		{[]string{"dev", "--dta", "x"}, `unknown flag: --dta; did you mean "--data"?`},
		{[]string{"dev", "-data", "x"}, `did you mean "--data"?`},
		{[]string{"help", "dve"}, `unknown verb "dve"; did you mean "dev"?`},
		{[]string{"dev", "--data", "x", "--memory"}, "--data and --memory exclude each other"},
		{[]string{"dev", "--put-memory", "much"}, `"much"`},
	} {
		code, _, talk := invoke(t.Context(), c.args...)
		if code != exitUsage || !strings.Contains(talk, c.say) || !strings.Contains(talk, "quiver help") {
			t.Errorf("quiver %s: exit code %d, %s", strings.Join(c.args, " "), code, talk)
		}
	}
}

func TestWrongEnvironment(t *testing.T) {
	t.Setenv("QUIVER_PUT_MEMORY", "much")
	code, _, talk := invoke(t.Context(), "dev", "--memory")
	if code != exitUsage || !strings.Contains(talk, `QUIVER_PUT_MEMORY="much"`) {
		t.Error(code, talk)
	}
}

// TestFlagsGoBeforeTheEnvironment shows it for the two that exclude each other.
func TestFlagsGoBeforeTheEnvironment(t *testing.T) {
	t.Setenv("QUIVER_DATA", "/dev/null/of-the-environment")
	t.Setenv("QUIVER_MEMORY", "true")
	elsewhere := []string{"dev", "--flight-addr", "no-such-host.invalid:1"}
	for _, c := range []struct {
		args []string
		code int
		say  string
	}{
		{elsewhere, exitUsage, "QUIVER_DATA and QUIVER_MEMORY exclude each other"},
		{append(elsewhere, "--memory"), exitFailed, "no-such-host"},
		{append(elsewhere, "--data", "/dev/null/of-the-flag"), exitFailed, "of-the-flag"},
	} {
		if code, _, talk := invoke(t.Context(), c.args...); code != c.code || !strings.Contains(talk, c.say) {
			t.Errorf("quiver %s: exit code %d, %s", strings.Join(c.args, " "), code, talk)
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	if code, out, _ := invoke(t.Context(), "version"); code != exitDone || !strings.HasPrefix(out, "quiver ") {
		t.Error(code, out)
	}
	if code, out, _ := invoke(t.Context(), "--version"); code != exitDone || out != versionLine() {
		t.Error(code, out)
	}
	if code, out, _ := invoke(t.Context(), "help", "dev"); code != exitDone || !strings.Contains(out, "--flight-addr string") {
		t.Error(code, out)
	}
	if code, out, _ := invoke(t.Context(), "help"); code != exitDone || !strings.Contains(out, "quiver scan people") {
		t.Error(code, out)
	}
}

func TestFailures(t *testing.T) {
	code, _, talk := invoke(t.Context(), "dev", "--memory", "--flight-addr", "no-such-host.invalid:1")
	if code != exitFailed || !strings.Contains(talk, "give another --flight-addr") {
		t.Error(code, talk)
	}
}

// lines is a writer that can be waited on.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		select {
		case l.more <- struct{}{}:
		default:
		}
	}()
	return l.text.Write(p)
}

// find waits until the pattern has been written.
func (l *lines) find(pattern string) string {
	for re := regexp.MustCompile(pattern); ; <-l.more {
		l.mu.Lock()
		found := re.FindStringSubmatch(l.text.String())
		l.mu.Unlock()
		if found != nil {
			return found[1]
		}
	}
}

func TestDevServesUntilToldToStop(t *testing.T) {
	t.Setenv("QUIVER_HTTP_ADDR", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	out := &lines{more: make(chan struct{}, 1)}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"dev", "--memory", "--flight-addr", "127.0.0.1:0"}, out, &lines{more: make(chan struct{}, 1)})
	}()
	address := out.find(`http://(\S+)\n`)
	for _, path := range []string{"/livez", "/version"} {
		answer, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s", path, answer.Status)
		}
	}
	cancel()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d", code)
	}
}
