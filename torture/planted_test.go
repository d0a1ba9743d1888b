//go:build planted

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quiverlog/quiver/internal/planted"
)

// proof is what finds a planted bug: a torture run, or a test of a package. What kill -9 cannot show, since the page cache
// outlives the process, crash tests on a memory file system show.
type proof struct {
	pkg string // of the test; "": a torture run finds it
	run string // the test
}

var proofs = map[planted.Bug]proof{
	planted.AckBeforeSync:        {"./arrowlog", "TestCrashAfterEveryChange"},
	planted.AnswerBeforeDurable:  {},
	planted.PrefixFirst:          {"./arrowlog", "TestEveryFaultPoint"},
	planted.SyncRetried:          {"./arrowlog", "TestErrorAtEveryOperation"},
	planted.UnknownToldRefused:   {"./arrowlog", "TestErrorAtEveryOperation|TestEveryFaultPoint|TestFailedSync"},
	planted.TornTailKept:         {"./arrowlog", "TestCrashAfterEveryChange|TestScripts"},
	planted.UnitHalfShown:        {"./arrowlog", "TestLeadCuts|TestCrashAfterEveryChange"},
	planted.MergedSequenceLost:   {},
	planted.WritersForgotten:     {},
	planted.ColumnUnchecked:      {},
	planted.EpochUnfenced:        {"./tablet", "TestWriterRules|TestFencedWriterOfNothing"},
	planted.RepeatAfterCondition: {},
	planted.OverlayNotFolded:     {},
	planted.ReplayFromEnd:        {},
	planted.DeleteNotCounted:     {},
	planted.NumbersNotReserved:   {},
	planted.UpdateBeforeStale:    {},
	planted.RetentionPassesRows:  {"./tablet", "TestRetentionKeepsWhatRowsNeed"},
	planted.MetadataUnsynced:     {"./coordinator/metastore", "Crash"},
	planted.LookupStale:          {},
	planted.VersionIgnored:       {},
	planted.CursorEverywhere:     {},
	planted.SyncBelieved:         {},
	planted.FullFences:           {},
	planted.FirstReplaced:        {},
	planted.FilterSkipsSingle:    {},
}

// foundWithin is how long a torture run may take to find a bug.
const foundWithin = 10 * time.Minute

// TestPlanted breaks the server by one bug after the other and expects that it is found.
func TestPlanted(t *testing.T) {
	for _, bug := range planted.Bugs {
		p, ok := proofs[bug]
		if !ok {
			t.Errorf("nothing is said to find %s", bug)
			continue
		}
		t.Run(string(bug), func(t *testing.T) {
			began := time.Now()
			by, err := p.find(t, bug)
			if err != nil {
				t.Fatalf("%s was not found: %v", bug, err)
			}
			t.Logf("found after %.1f s by %s", time.Since(began).Seconds(), by)
		})
	}
}

// find gives what found the bug.
func (p proof) find(t *testing.T, bug planted.Bug) (by string, err error) {
	if p.pkg == "" {
		return tortureFinds(t, bug)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-tags=fault,planted", "-short", "-count=1", "-run", p.run, p.pkg)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), planted.Variable+"="+string(bug))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return "", errors.Join(err, errors.New("its test passes:\n"+string(out)))
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "--- FAIL") {
			return p.pkg + " " + strings.TrimSpace(line), nil
		}
	}
	return "", errors.New("its test does not run:\n" + string(out))
}

// tortureFinds runs until there is a contradiction.
func tortureFinds(t *testing.T, bug planted.Bug) (by string, err error) {
	t.Setenv(serveEnv, "1")
	var out strings.Builder
	err = run(t.Context(), []string{"-binary", os.Args[0], "-out", filepath.Join(t.TempDir(), "out"), "-duration", foundWithin.String(),
		"-round", "8s", "-planted", string(bug)}, &out)
	if err == nil || !strings.Contains(err.Error(), "contradictions") {
		return "", errors.Join(err, errors.New(out.String()))
	}
	text := out.String()
	return "torture: " + strings.TrimSpace(text[strings.LastIndex(text, "\n\n")+2:]), nil
}
