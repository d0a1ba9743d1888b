package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quiverlog/quiver"
)

// usageTemplate shows examples first. Its flags say nothing about the values a switch takes: naming it is enough.
const usageTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} VERB [flags]

Verbs:{{range .Commands}}{{if or .IsAvailableCommand (eq .Name "help")}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}

See '{{.CommandPath}} help VERB' for more about a verb.{{else}}{{.UseLine}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | plainSwitches | trimTrailingWhitespaces}}{{end}}
`

func init() {
	const values = "[=true|false]"
	cobra.AddTemplateFunc("plainSwitches", func(usages string) string {
		return strings.ReplaceAll(usages, values, strings.Repeat(" ", len(values)))
	})
}

// newHelp is the verb that shows the help of another one, and refuses one that there is not.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Show this, or the help of a verb",
		RunE: func(cmd *cobra.Command, args []string) error {
			verb, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) == 0 {
				return verb.Help()
			}
			return noArguments(cmd.Root(), args)
		},
	}
}

// helpFor is the call that shows the help of a verb; that of help itself is the list of verbs.
func helpFor(cmd *cobra.Command) string {
	if cmd.Name() == "help" {
		return cmd.CommandPath()
	}
	return strings.Replace(cmd.CommandPath(), cmd.Root().Name(), cmd.Root().Name()+" help", 1)
}

// noArguments refuses arguments of a verb that takes none, and unknown verbs, naming the nearest known one.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return usageError{fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0])}
	}
	var verbs []string
	for _, verb := range cmd.Commands() {
		verbs = append(verbs, verb.Name())
	}
	return usageError{fmt.Errorf("unknown verb %q%s", args[0], didYouMean(args[0], verbs))}
}

// suggestFlag adds the nearest known flag to pflag's complaint about an unknown one, also to one with a single dash.
func suggestFlag(cmd *cobra.Command, err error) error {
	name, found := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !found {
		if _, name, found = strings.Cut(err.Error(), " in -"); !found {
			return err
		}
	}
	var known []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { known = append(known, flag.Name) })
	if nearest := quiver.Nearest(name, known); nearest != "" {
		return fmt.Errorf("%w; did you mean %q?", err, "--"+nearest)
	}
	return err
}

func didYouMean(word string, known []string) string {
	if nearest := quiver.Nearest(word, known); nearest != "" {
		return fmt.Sprintf("; did you mean %q?", nearest)
	}
	return ""
}
