package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/flight"
)

// newTableAlter changes a table: all the changes given, in their order, or none.
func newTableAlter() *cobra.Command {
	cmd := &cobra.Command{Use: "alter TABLE", Short: "Change columns and options of a table, all at once or not at all", Args: arguments("TABLE"),
		Example: `  quiver table alter shop.orders --add 'note string default ''none'' after price' --drop remark
  quiver table alter shop.orders --rename price=amount --widen 'amount decimal128(18, 2)'
  quiver table alter shop.orders --move 'note first' --set retention.time=30d --reset compression`}
	var changes []flight.TableChange
	flags := cmd.Flags()
	for _, kind := range []struct {
		name, usage string
		parse       func(string) (flight.TableChange, error)
	}{
		{"add", "a column: 'note string default 0 after price', or '… first'", parseAdd},
		{"drop", "a column that goes; nested ones by a dotted path", func(text string) (flight.TableChange, error) { return flight.TableChange{Drop: text}, nil }},
		{"rename", "a column's new name: OLD=NEW", parseRename},
		{"widen", "a column's larger type: 'id int64', or 'id null' to let it be null", parseWiden},
		{"move", "a column's new place: 'note after price', or 'note first'", parseMove},
		{"set", "an option of the table: retention.time=7d", parseSet},
		{"reset", "an option that goes back to its default", func(text string) (flight.TableChange, error) {
			return flight.TableChange{Reset: []string{text}}, nil
		}},
		{"comment", "what the table is for", func(text string) (flight.TableChange, error) { return flight.TableChange{Comment: &text}, nil }},
	} {
		flags.Var(&changeFlag{&changes, kind.parse}, kind.name, kind.usage)
	}
	return verb(cmd, func(ctx context.Context, c *call, args []string) error {
		if len(changes) == 0 {
			return usageError{errors.New("quiver table alter: no change is given")}
		}
		rows, err := results[flight.TableDescription](ctx, c, flight.ActionTableAlter, flight.TableAlter{Table: flight.Named(args[0]), Changes: changes})
		if err == nil && len(rows) == 1 {
			c.sum("altered table %s: schema %d", rows[0].Table, rows[0].SchemaID)
		}
		return err
	})
}

// changeFlag gathers changes over several flags, in the order in which they are given.
type changeFlag struct {
	changes *[]flight.TableChange
	parse   func(string) (flight.TableChange, error)
}

func (f *changeFlag) String() string { return "" }
func (f *changeFlag) Type() string   { return "string" }
func (f *changeFlag) Set(text string) error {
	change, err := f.parse(text)
	if err == nil {
		*f.changes = append(*f.changes, change)
	}
	return err
}

// cutPlace takes "first" or "after NAME" off the end of a change.
func cutPlace(text string) (rest, after string, first bool) {
	text = strings.TrimSpace(text)
	if rest, ok := strings.CutSuffix(text, " first"); ok {
		return rest, "", true
	}
	i := strings.LastIndex(text, " after ")
	if i < 0 {
		return text, "", false
	}
	name := strings.TrimSpace(text[i+len(" after "):])
	if strings.Contains(name, " ") && !strings.HasPrefix(name, `"`) {
		return text, "", false
	}
	return text[:i], strings.Trim(name, `"`), false
}

func parseAdd(text string) (flight.TableChange, error) {
	rest, after, first := cutPlace(text)
	column, err := parseColumn(rest)
	if err != nil {
		return flight.TableChange{}, err
	}
	return flight.TableChange{Add: &quiver.AddColumn{Name: column.Name, Type: column.Type, Nullable: column.Nullable, Default: column.Default, After: after, First: first}}, nil
}

func parseRename(text string) (flight.TableChange, error) {
	from, to, ok := strings.Cut(text, "=")
	if !ok || from == "" || to == "" {
		return flight.TableChange{}, fmt.Errorf("write OLD=NEW")
	}
	return flight.TableChange{Rename: &quiver.RenameColumn{From: from, To: to}}, nil
}

func parseWiden(text string) (flight.TableChange, error) {
	if name, ok := strings.CutSuffix(strings.TrimSpace(text), " null"); ok && !strings.Contains(name, " ") {
		return flight.TableChange{Widen: &quiver.WidenColumn{Name: name, Nullable: true}}, nil
	}
	column, err := parseColumn(text)
	if err != nil {
		return flight.TableChange{}, err
	}
	return flight.TableChange{Widen: &quiver.WidenColumn{Name: column.Name, Type: column.Type, Nullable: column.Nullable != nil && *column.Nullable}}, nil
}

func parseMove(text string) (flight.TableChange, error) {
	name, after, first := cutPlace(text)
	if after == "" && !first {
		return flight.TableChange{}, fmt.Errorf("write 'NAME after OTHER' or 'NAME first'")
	}
	return flight.TableChange{Move: &quiver.MoveColumn{Name: strings.Trim(name, `"`), After: after, First: first}}, nil
}

func parseSet(text string) (flight.TableChange, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return flight.TableChange{}, fmt.Errorf("write NAME=VALUE")
	}
	return flight.TableChange{Set: map[string]string{name: value}}, nil
}
