package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/quiverlog/quiver/node"
)

var update = flag.Bool("update", false, "write the recorded output of testdata/*.txtar anew")

// TestMain makes the test binary the program too, so that scripts run it in a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"quiver": main})
}

// TestScripts runs testdata/*.txtar. Each has a node of its own, in this process, which verbs find by QUIVER_SERVER.
//
// Besides testscript's own commands there is
//
//	code N quiver …     the program ends with exit code N
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", UpdateScripts: *update, RequireExplicitExec: false,
		Setup: func(env *testscript.Env) error {
			n, err := startNode(env)
			if err != nil {
				return err
			}
			env.Setenv("QUIVER_SERVER", n.FlightAddr())
			env.Setenv("QUIVER_HTTP", n.HTTPAddr())
			env.Setenv("NO_COLOR", "1")
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": expectCode},
	})
}

// startNode serves until the script ends.
func startNode(env *testscript.Env) (*node.Node, error) {
	n, err := node.Open(node.Options{Memory: true, FlightAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", CreateTables: true, DrainTime: time.Second})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	env.Defer(func() {
		stop()
		<-ended
		_ = n.Close()
	})
	return n, nil
}

// expectCode runs the program and compares its exit code.
func expectCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program …")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit interface{ ExitCode() int }
		if !asExit(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func asExit(err error, to *interface{ ExitCode() int }) bool {
	e, ok := err.(interface{ ExitCode() int })
	*to = e
	return ok
}

// TestExampleConfiguration compares the documented example with the settings there are, and reads it with every key
// turned on.
func TestExampleConfiguration(t *testing.T) {
	const path = "../../docs/quiver.yaml"
	if *update {
		if err := os.WriteFile(path, []byte(exampleConfig()), 0o644); err != nil { //nolint:gosec // a page of documentation
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != exampleConfig() {
		t.Fatalf("%s is not what the settings are; go test ./cmd/quiver -run Example -update (%v)", path, err)
	}
	on := ""
	for _, s := range settings {
		on += fmt.Sprintf("%s: %s\n", s.name, s.example)
	}
	values, err := parseConfig("on", []byte(on))
	if err != nil || len(values) != len(settings) {
		t.Fatal(values, err)
	}
	root := newRoot()
	for _, s := range settings {
		known := false
		for _, name := range []string{"server", "scan"} {
			cmd, _, _ := root.Find([]string{name})
			if f := cmd.Flags().Lookup(s.name); f != nil {
				known = true
				if err := f.Value.Set(values[s.name]); err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
			}
		}
		if !known {
			t.Errorf("no verb has the setting %s", s.name)
		}
	}
}
