package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quiverlog/quiver"
)

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

// suggestFlag adds the nearest known flag to pflag's complaint about an unknown one.
func suggestFlag(cmd *cobra.Command, err error) error {
	name, found := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !found {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { known = append(known, flag.Name) })
	return fmt.Errorf("%w%s", err, didYouMean(name, known))
}

func didYouMean(word string, known []string) string {
	if nearest := quiver.Nearest(word, known); nearest != "" {
		return fmt.Sprintf("; did you mean %q?", nearest)
	}
	return ""
}
