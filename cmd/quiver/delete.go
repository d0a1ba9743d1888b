package main

import (
	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver/flight"
)

// newDelete deletes rows of a primary-key table by the keys in files, or in standard input.
func newDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete TABLE [FILE…]",
		Short: "Delete rows of a table with a primary key, by the keys in files or standard input",
		Example: `  quiver delete customers gone.csv
  quiver scan customers --where "city = 'Oslo'" -o arrow | quiver delete customers`,
		Args: arguments("TABLE", "[FILE…]"),
	}
	a := &appending{op: flight.OpDelete}
	a.addFlags(cmd)
	return a.verb(cmd)
}
