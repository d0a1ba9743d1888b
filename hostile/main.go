package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// options say how long, and with what.
type options struct {
	binary string
	rounds int
	calm   time.Duration
	attack time.Duration
	seed   uint64
	out    string
	docs   string
	only   string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 5 && args[0] == "attack" {
		return attackFor(ctx, args[1:], out)
	}
	var o options
	flags := flag.NewFlagSet("hostile", flag.ContinueOnError)
	flags.StringVar(&o.binary, "binary", "bin/quiver", "the server")
	flags.IntVar(&o.rounds, "rounds", 5, "turns of calm and attack")
	flags.DurationVar(&o.calm, "calm", 10*time.Second, "of one turn")
	flags.DurationVar(&o.attack, "attack", 10*time.Second, "of one turn")
	flags.Uint64Var(&o.seed, "seed", 0, "of the attackers; 0: of the clock")
	flags.StringVar(&o.out, "out", "", "file for the report, JSON")
	flags.StringVar(&o.docs, "docs", "", "page whose table is written anew")
	flags.StringVar(&o.only, "only", "", "attacks whose name contains this")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	report, err := play(ctx, o)
	if err != nil {
		return fmt.Errorf("seed %d: %w", o.seed, err)
	}
	return report.write(o, out)
}

// attackFor is the process of the attackers: attack ADDRESS SECONDS SEED ONLY.
func attackFor(ctx context.Context, args []string, out io.Writer) error {
	d, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	runAttacks(ctx, args[0], seed, args[3], out)
	return nil
}

// play runs the phases, and fails if the server died, took more memory than it may, or the tenant lost anything.
func play(ctx context.Context, o options) (*report, error) {
	dir, err := os.MkdirTemp("", "quiver-hostile-")
	if err != nil {
		return nil, err
	}
	s, err := startServer(ctx, o.binary, dir)
	if err != nil {
		return nil, err
	}
	r, err := phases(ctx, o, s)
	stopped := s.stop()
	if err := errors.Join(err, stopped); err != nil {
		return nil, fmt.Errorf("%w; data and log are in %s", err, dir)
	}
	return r, os.RemoveAll(dir)
}

func phases(ctx context.Context, o options, s *server) (*report, error) {
	t, err := newTenant(ctx, s.address)
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, t.client); err != nil {
		return nil, err
	}
	if _, err := t.run(ctx, time.Second); err != nil { // warm
		return nil, err
	}
	r := newReport(o)
	for range o.rounds {
		if err := r.phase(ctx, s, t, "calm", o.calm); err != nil {
			return nil, err
		}
		if err := attackedPhase(ctx, o, s, t, r); err != nil {
			return nil, err
		}
		if err := s.lives(); err != nil {
			return nil, err
		}
	}
	if err := t.check(ctx); err != nil {
		return nil, err
	}
	return r, r.judge(s)
}

// attackedPhase runs the attackers beside the tenant.
func attackedPhase(ctx context.Context, o options, s *server, t *tenant, r *report) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append(idle(), self, "attack", s.address, o.attack.String(), strconv.FormatUint(o.seed, 10), o.only)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var counts strings.Builder
	cmd.Stdout, cmd.Stderr = &counts, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	failed := r.phase(ctx, s, t, "attack", o.attack)
	if err := errors.Join(failed, cmd.Wait()); err != nil {
		return err
	}
	r.count(counts.String())
	r.busy("attackers", cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), o.attack)
	return nil
}

// idle is the command that runs another one only on processors that nobody else wants: the attackers are on machines of
// their own, and what is measured is what they make the server do. Where there is none it goes after everybody else.
func idle() []string {
	if _, err := exec.LookPath("chrt"); err == nil {
		return []string{"chrt", "-i", "0"}
	}
	return []string{"nice", "-n", "19"}
}

// fill makes the tables that are attacked.
func fill(ctx context.Context, client *flight.Client) error {
	columns := []quiver.ColumnSpec{{Name: "n", Type: "int64", Nullable: new(bool)}, {Name: "text", Type: "string"}}
	for _, name := range []string{"filled", "attacked"} {
		if _, err := client.CreateTable(ctx, flight.TableCreate{Table: flight.Named(name), Schema: flight.SchemaWord{Columns: columns}}); err != nil {
			return err
		}
	}
	a, err := client.Append(ctx, "filled", flight.AppendOptions{})
	if err != nil {
		return err
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "text", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	for range 20 {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for n := range 2000 {
			b.Field(0).(*array.Int64Builder).Append(int64(n))
			b.Field(1).(*array.StringBuilder).Append(strings.Repeat("a text ", 200))
		}
		batch := b.NewRecordBatch()
		err := a.Append(ctx, batch)
		batch.Release()
		b.Release()
		if err != nil {
			return err
		}
	}
	_, err = a.Close(ctx)
	return err
}
