package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newServer is the process for production: like dev, but tables are created on purpose, and the configuration is
// usually a file's.
func newServer() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "server",
		Short:   "Start a server from a configuration file",
		Example: "  quiver server --config /etc/quiver/quiver.yaml\n  quiver server --data /var/lib/quiver --flight-addr 0.0.0.0:8815",
		Args:    noArguments,
	}
	serverFlags(cmd, false)
	return cmd
}

var roles = []string{"all", "coordinator", "tablet"}

// checkRole refuses roles of clusters, which this version does not have.
func checkRole(role string) error {
	switch role {
	case "", "all":
		return nil
	case "coordinator", "tablet":
		return fmt.Errorf("--role %s is for clusters, which this version does not have; run one process with --role all", role)
	}
	return usageError{fmt.Errorf("there is no role %q%s", role, didYouMean(role, roles))}
}
