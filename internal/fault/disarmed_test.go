//go:build !fault

package fault

import (
	"os/exec"
	"strings"
	"testing"
)

func TestOrdersNeedTheTag(t *testing.T) {
	t.Setenv(Variable, "fault.test.one=kill@1")
	if err := Setup(); err == nil || !strings.Contains(err.Error(), "-tags fault") {
		t.Errorf("orders to a program that cannot follow them: %v", err)
	}
	t.Setenv(Variable, "")
	t.Setenv(DiskVariable, "orders")
	if err := Setup(); err == nil || !strings.Contains(err.Error(), "-tags fault") {
		t.Errorf("orders for the disk of a program that cannot follow them: %v", err)
	}
	if pointOne.Hit() != nil || pointTwo.Hit() != nil {
		t.Error("a hit failed")
	}
}

// TestHitCostsNothing asks the compiler: Hit must be inlined into its callers.
func TestHitCostsNothing(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "can inline Point.Hit") {
		t.Errorf("the compiler does not inline Hit:\n%s", out)
	}
}
