//go:build !planted

package planted

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlantedCodeIsLeftOut asks the compiler: Is is inlined, so that what stands behind it is dead. And the program of
// a caller does not hold what stands there.
func TestPlantedCodeIsLeftOut(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "can inline Is") {
		t.Errorf("the compiler does not inline Is:\n%s", out)
	}
	for tags, want := range map[string]bool{"": false, "planted": true} {
		program := filepath.Join(t.TempDir(), "caller")
		out, err := exec.CommandContext(t.Context(), "go", "build", "-tags="+tags, "-o", program, "./testdata/caller").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		code, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(code), "the bug was here"); got != want {
			t.Errorf("with the tags %q the code of the bug is in the program: %v, want %v", tags, got, want)
		}
	}
}
