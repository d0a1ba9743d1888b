package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver/flight"
	"github.com/quiverlog/quiver/internal/tabular"
)

// call is one call of a verb that talks to a server: its flags, its connection, its output.
type call struct {
	server  string
	token   string
	tlsCA   string
	timeout time.Duration
	output  string
	quiet   bool
	verbose bool
	noColor bool

	cmd    *cobra.Command
	client *flight.Client
}

const (
	defaultServer = "127.0.0.1:" + defaultPort
	defaultPort   = "8815"
)

// verb makes a client verb of a command: its flags, and what runs it once the connection is made.
func verb(cmd *cobra.Command, run func(ctx context.Context, c *call, args []string) error) *cobra.Command {
	c := &call{cmd: cmd}
	c.flags()
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if err := c.open(); err != nil {
			return err
		}
		started := time.Now()
		err = errors.Join(run(cmd.Context(), c, args), c.client.Close())
		if c.verbose {
			c.say("%s took %s against %s", cmd.CommandPath(), time.Since(started).Round(time.Millisecond), c.server)
		}
		return err
	}
	return cmd
}

func (c *call) flags() {
	f := c.cmd.Flags()
	f.StringVar(&c.server, "server", defaultServer, "the server, HOST:PORT (QUIVER_SERVER)")
	f.StringVar(&c.token, "token", "", "what to authenticate with (QUIVER_TOKEN)")
	f.StringVar(&c.tlsCA, "tls-ca", "", "file with the certificates to check the server's one by; turns TLS on (QUIVER_TLS_CA)")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "how long the server may take to answer (QUIVER_TIMEOUT)")
	f.StringVarP(&c.output, "output", "o", "", "table, json, ndjson, csv, arrow or parquet; a terminal gets table, a pipe ndjson (QUIVER_OUTPUT)")
	f.BoolVarP(&c.quiet, "quiet", "q", false, "no progress and no summary")
	f.BoolVarP(&c.verbose, "verbose", "v", false, "tell more on stderr")
	f.BoolVar(&c.noColor, "no-color", false, "write no colours (NO_COLOR)")
	configFlag(f)
}

// serverOf is the server that a command was to talk to.
func serverOf(cmd *cobra.Command) string {
	if server, err := cmd.Flags().GetString("server"); err == nil {
		return server
	}
	return defaultServer
}

// open takes the settings and makes the client. It does not connect yet.
func (c *call) open() error {
	if err := configure(c.cmd); err != nil {
		return err
	}
	if c.output != "" {
		if _, err := tabular.ParseOutput(c.output); err != nil {
			return usageError{fmt.Errorf("--output: %s", detail(err))}
		}
	}
	if c.timeout <= 0 {
		return usageError{fmt.Errorf("--timeout %s: it must be longer than nothing", c.timeout)}
	}
	options := flight.ClientOptions{Token: c.token, UserAgent: "quiver/" + version}
	if c.tlsCA != "" {
		trusted, err := readCertificates(c.tlsCA)
		if err != nil {
			return err
		}
		options.TLS = &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
	}
	address, err := dialAddress(c.server)
	if err != nil {
		return err
	}
	client, err := flight.Dial(address, options)
	c.client = client
	return err
}

// dialAddress makes HOST:PORT of what --server says: grpc:// in front of it, which 'quiver dev' prints, may stay, and the
// port may be left out.
func dialAddress(server string) (string, error) {
	address := strings.TrimSuffix(strings.TrimPrefix(server, "grpc://"), "/")
	if scheme, _, found := strings.Cut(address, "://"); found || address == "" {
		what := fmt.Sprintf("it does not speak %s, ", scheme)
		if !found {
			what = ""
		}
		return "", usageError{fmt.Errorf("--server %s: %swrite HOST:PORT, such as %s", server, what, defaultServer)}
	}
	if strings.Contains(address, ":") && !strings.HasSuffix(address, "]") {
		return address, nil
	}
	return address + ":" + defaultPort, nil
}

func readCertificates(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--tls-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--tls-ca: %s has no certificate in PEM", file)
	}
	return pool, nil
}

// ask bounds the time of one question to the server.
func (c *call) ask(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.timeout)
}

// begin bounds the time until a stream has begun: the function given back says that it has.
func (c *call) begin(ctx context.Context) (_ context.Context, begun func(), cancel func()) {
	ctx, stop := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.timeout, func() { stop(context.DeadlineExceeded) })
	return ctx, func() { timer.Stop() }, func() { timer.Stop(); stop(context.Canceled) }
}

// results runs an action and gives its results.
func results[R any](ctx context.Context, c *call, action string, body any) ([]R, error) {
	ctx, cancel := c.ask(ctx)
	defer cancel()
	return flight.Do[R](ctx, c.client, action, body)
}

// say tells something on stderr.
func (c *call) say(format string, args ...any) {
	fmt.Fprintf(c.cmd.ErrOrStderr(), format+"\n", args...)
}

// sum tells how a verb ended, unless it was asked to be quiet.
func (c *call) sum(format string, args ...any) {
	if !c.quiet {
		c.say(format, args...)
	}
}

// yesFlag adds -y to a destructive verb.
func yesFlag(cmd *cobra.Command) {
	cmd.Flags().BoolP("yes", "y", false, "do not ask")
}

// confirm asks on a terminal whether to go on; where nobody can be asked, -y has to be given.
func (c *call) confirm(question string) error {
	if yes, _ := c.cmd.Flags().GetBool("yes"); yes {
		return nil
	}
	in, ok := c.cmd.InOrStdin().(*os.File)
	if !ok || !isTerminal(in) {
		return usageError{fmt.Errorf("%s asks before it goes on, and nobody is there to answer; add -y", c.cmd.CommandPath())}
	}
	fmt.Fprintf(c.cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}

// arguments checks how many arguments a verb got: each name stands for one, "[NAME]" may be missing, "NAME…" for any number.
func arguments(names ...string) cobra.PositionalArgs {
	least, most := 0, len(names)
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "["):
		default:
			least++
		}
		if strings.Contains(name, "…") {
			most = 1 << 20
		}
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usageError{fmt.Errorf("%s: %s is missing", cmd.CommandPath(), names[len(args)])}
		case len(args) > most:
			return usageError{fmt.Errorf("%s takes %s, got %q too", cmd.CommandPath(), strings.Join(names, " "), args[most])}
		}
		return nil
	}
}
