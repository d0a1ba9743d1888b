package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quiverlog/quiver/internal/fault"
	"github.com/quiverlog/quiver/internal/fs"
	"github.com/quiverlog/quiver/node"
)

// serveEnv makes this test's program the server that is tortured.
const serveEnv = "QUIVER_TORTURE_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) == "" {
		code := m.Run()
		http.DefaultClient.CloseIdleConnections()
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}
	if fault.Listing() {
		fmt.Println(strings.Join(fault.Names(), "\n"))
		return
	}
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve is the whole life of such a server, which takes the flags of quiver dev.
func serve(args []string) error {
	if err := fault.Setup(); err != nil {
		return err
	}
	o := node.Options{Now: fault.Clock(), FS: fs.Ordered()}
	flags := flag.NewFlagSet("dev", flag.ContinueOnError)
	flags.StringVar(&o.Data, "data", "", "")
	flags.StringVar(&o.FlightAddr, "flight-addr", "", "")
	flags.StringVar(&o.HTTPAddr, "http-addr", "", "")
	flags.Int64Var(&o.DiskReserve, "disk-reserve", -1, "")
	flags.DurationVar(&o.DrainTime, "drain-time", 0, "")
	flags.String("log-format", "", "")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	n, err := node.Open(o)
	if err != nil {
		return err
	}
	return errors.Join(n.Run(ctx), n.Close())
}

// TestRun is a short run, always of one seed: a few kills and a round that is judged, with nothing found.
func TestRun(t *testing.T) {
	t.Setenv(serveEnv, "1")
	faults := "kill,term,pause,torn,flip"
	if fault.Enabled {
		faults += ",point,clock"
	}
	var out strings.Builder
	dir := t.TempDir()
	err := run(t.Context(), []string{"-binary", os.Args[0], "-out", dir + "/out", "-duration", "3s", "-kills", "12", "-seed", "7", "-faults", faults}, &out)
	t.Log(out.String())
	if err != nil {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-duration", "2m", "-seed", "7"})
	if err != nil || o.duration != 2*time.Minute || o.seed != 7 || o.faults != strings.Join(allFaults, ",") {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = parse(nil); err != nil || o.seed == 0 {
		t.Errorf("%+v, %v", o, err)
	}
	for args, want := range map[string]string{"-faults kill,flood": `"flood"`, "now": `"now"`} {
		if _, err := parse(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
