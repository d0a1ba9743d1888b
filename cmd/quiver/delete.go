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
  quiver scan customers --where "city = 'Oslo'" -o arrow | quiver delete customers
  quiver delete customers moved.csv --columns city,zip    only these values go, the rows stay`,
		Args: arguments("TABLE", "[FILE…]"),
	}
	a := &appending{op: flight.OpDelete}
	a.addFlags(cmd)
	cmd.Flags().StringSliceVar(&a.columns, "columns", nil, "delete the values of these columns only, a,b; the rows stay while another column has a value")
	return a.verb(cmd)
}
