//go:build fault

package fault

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestArm(t *testing.T) {
	before := Hits("fault.test.one")
	boom := errors.New("boom")
	disarm := Arm("fault.test.one", At(2, func() error { return boom }))
	mustPanic(t, "arming twice", func() { Arm("fault.test.one", func() error { return nil }) })
	for i, want := range []error{nil, boom, nil} {
		if err := pointOne.Hit(); !errors.Is(err, want) {
			t.Errorf("hit %d gave %v, want %v", i+1, err, want)
		}
		if err := pointTwo.Hit(); err != nil {
			t.Errorf("the other point gave %v", err)
		}
	}
	disarm()
	disarm() // harmless
	if err := pointOne.Hit(); err != nil {
		t.Errorf("disarmed, the point gave %v", err)
	}
	if got := Hits("fault.test.one") - before; got != 4 {
		t.Errorf("%d hits were counted, want 4", got)
	}
	mustPanic(t, "arming what is not there", func() { Arm("fault.test.none", nil) })
}

func TestWrongOrdersAreRefused(t *testing.T) {
	for orders, want := range map[string]string{
		"fault.test.none=kill@1":                          `no point is named "fault.test.none"; this program has: fault.test.one`,
		"fault.test.one":                                  "is not <point>=kill@<n>",
		"fault.test.one=kill":                             "is not <point>=kill@<n>",
		"fault.test.one=kill@0":                           "with n from 1",
		"fault.test.one=kill@x":                           "with n from 1",
		"fault.test.one=explode@1":                        `not "explode"`,
		"fault.test.one=error@1,":                         "is not <point>=kill@<n>",
		"fault.test.one=error@1,fault.test.one=error@2":   "named twice",
		"fault.test.one=error@1,fault.test.three=error@2": "no point is named",
	} {
		t.Setenv(Variable, orders)
		if err := Setup(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", orders, err, want)
		}
		if err := pointOne.Hit(); err != nil {
			t.Errorf("%s was refused but armed a point", orders)
		}
	}
}

func TestClock(t *testing.T) {
	t.Setenv(ClockVariable, "")
	if Clock() != nil {
		t.Error("no steps were asked for")
	}
	t.Setenv(ClockVariable, "-26h,3h")
	off := time.Until(Clock()()).Round(time.Hour)
	if off != -26*time.Hour && off != 3*time.Hour {
		t.Errorf("the clock is off by %v", off)
	}
	t.Setenv(ClockVariable, "3h,soon")
	mustPanic(t, "an offset that is none", func() { Clock() })
}

// TestEnvironment runs this test binary again, as a program with orders.
func TestEnvironment(t *testing.T) {
	if os.Getenv(Variable) != "" {
		program()
		return
	}
	for orders, want := range map[string]string{
		"fault.test.two=error@3":                        "12",
		"fault.test.one=error@1":                        "",
		"fault.test.one=error@9, fault.test.two=kill@2": "1",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestEnvironment$")
		cmd.Env = append(os.Environ(), Variable+"="+orders)
		out, err := cmd.Output()
		got, _, _ := strings.Cut(string(out), "\n")
		if got != want {
			t.Errorf("%s: the program got to %q, want %q", orders, got, want)
		}
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if killed != strings.Contains(orders, "kill") {
			t.Errorf("%s: the program ended with %v", orders, err)
		}
	}
}

// program counts aloud until a point fails.
func program() {
	if err := Setup(); err != nil {
		panic(err)
	}
	for i := '1'; i <= '9'; i++ {
		if err := errors.Join(pointOne.Hit(), pointTwo.Hit()); err != nil {
			if !errors.Is(err, ErrInjected) {
				panic(err)
			}
			break
		}
		os.Stdout.WriteString(string(i))
	}
	os.Stdout.WriteString("\n")
}
