package flight

import (
	"errors"
	"strings"
	"testing"

	"github.com/quiverlog/quiver"
)

// wantError checks reason and text of an error.
func wantError(t testing.TB, err error, reason quiver.Reason, parts ...string) {
	t.Helper()
	var e *quiver.Error
	if !errors.As(err, &e) {
		t.Errorf("got %v, want %s", err, reason)
		return
	}
	if e.Reason != reason {
		t.Errorf("got %v, want %s", err, reason)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not tell %q", err, part)
		}
	}
}
