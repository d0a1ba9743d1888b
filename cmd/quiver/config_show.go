package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quiverlog/quiver/internal/tabular"
)

// newConfig shows what settings come to on this machine.
func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config show|explain",
		Short: "What the settings are here, and where each value comes from; needs no server",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShow(), newConfigExplain())
	return cmd
}

func newConfigShow() *cobra.Command {
	return newConfigVerb(&cobra.Command{
		Use:   "show",
		Short: "Every setting with its value and where that comes from",
		Example: `  quiver config show
  quiver config show --config /etc/quiver/quiver.yaml -o json`,
		Long: `Show what 'quiver server' and the client verbs would go by here: every setting, its value, and whether that comes from
the environment, a configuration file, or is the default. Unknown keys and values that cannot be are errors, as at a start.`,
		Args: arguments(),
	}, func(c *call, values []settled, _ []string) error {
		g := newGrid("key", textColumn, "value", textColumn, "from", textColumn)
		for _, v := range values {
			g.add(v.name, v.value, v.from)
		}
		return c.print(g)
	})
}

func newConfigExplain() *cobra.Command {
	return newConfigVerb(&cobra.Command{
		Use:     "explain KEY",
		Short:   "What a setting means, its default, its flag and variable, and its value here",
		Example: "  quiver config explain put-memory",
		Args:    arguments("KEY"),
	}, func(c *call, values []settled, args []string) error {
		i := slices.IndexFunc(values, func(v settled) bool { return v.name == args[0] })
		if i < 0 {
			return notFoundError{fmt.Errorf("there is no setting %q%s", args[0], didYouMean(args[0], settingNames()))}
		}
		v := values[i]
		g := newGrid("key", textColumn, "meaning", textColumn, "value", textColumn, "from", textColumn, "default", textColumn, "flag", textColumn, "variable", textColumn)
		g.add(v.name, v.about, v.value, v.from, v.byDefault, "--"+v.name, variableOf(v.name))
		return c.print(g)
	})
}

// settled is a setting with what it comes to.
type settled struct {
	setting
	value     string
	from      string // a variable, a file, or "default"
	byDefault string
}

// newConfigVerb completes a verb that is about the settings.
func newConfigVerb(cmd *cobra.Command, run func(c *call, values []settled, args []string) error) *cobra.Command {
	c := &call{cmd: cmd}
	flags := cmd.Flags()
	flags.StringVarP(&c.output, "output", "o", "", "table, json, ndjson, csv, arrow or parquet; a terminal gets table, a pipe ndjson")
	flags.BoolVarP(&c.quiet, "quiet", "q", false, "no summary")
	configFlag(flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if c.output != "" {
			if _, err := tabular.ParseOutput(c.output); err != nil {
				return usageError{fmt.Errorf("--output: %s", detail(err))}
			}
		}
		file, _ := flags.GetString("config")
		values, err := settle(file)
		if err != nil {
			return err
		}
		return run(c, values, args)
	}
	return cmd
}

// settle finds out what every setting comes to, as the verbs that have it do: servers first.
func settle(file string) ([]settled, error) {
	var all []*pflag.FlagSet
	for _, cmd := range []*cobra.Command{newServer(), newScan()} {
		if err := cmd.Flags().Set("config", file); err != nil {
			return nil, err
		}
		if err := configure(cmd); err != nil {
			return nil, err
		}
		all = append(all, cmd.Flags())
	}
	named, inFile, err := readConfig(all[0])
	if err != nil {
		return nil, err
	}
	values := make([]settled, 0, len(settings))
	for _, s := range settings {
		i := slices.IndexFunc(all, func(flags *pflag.FlagSet) bool { return flags.Lookup(s.name) != nil })
		if i < 0 {
			continue // of a verb that neither has
		}
		flag := all[i].Lookup(s.name)
		v := settled{setting: s, value: flag.Value.String(), from: "default", byDefault: flag.DefValue}
		_, variable := os.LookupEnv(variableOf(s.name))
		_, key := inFile[s.name]
		switch {
		case !flag.Changed:
		case variable:
			v.from = variableOf(s.name)
		case key:
			v.from = named
		}
		if s.name == "token" && v.value != "" {
			v.value = "(set)" // it is a secret
		}
		values = append(values, v)
	}
	return values, nil
}
