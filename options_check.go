package quiver

import (
	"maps"
	"slices"
)

// parseOptions reads the options of a table and checks them against each other, its keys and its columns. All faults
// are named in one error, BAD_OPTION.
func (t *Table) parseOptions(set map[string]string) (Options, error) {
	var faults faultList
	o, err := parseOptions(set, &faults)
	if err != nil {
		return Options{}, err
	}
	t.checkOptions(&o, &faults)
	if err := faults.error(BadOption); err != nil {
		return Options{}, err
	}
	return o, nil
}

// checkOptions names what does not fit the table.
func (t *Table) checkOptions(o *Options, faults *faultList) {
	for _, name := range o.Statistics {
		if _, ok := t.Schema.ByName(name); !ok {
			faults.add("option statistics: there is no column %s%s", quote(name), suggest(name, t.Schema.Names()))
		}
	}
	t.checkMerging(o, faults)
	if o.RoundRobin && len(t.BucketKey) > 0 {
		faults.add("option bucket.assignment: the bucket key decides a row's bucket, so it cannot be round-robin")
	}
	if !o.CreateOnWrite && !t.Partitioned() {
		faults.add("option partition.create-on-write: the table is not partitioned")
	}
	if text := o.set["partition.auto"]; o.Auto.Unit == "" && text != "" && text != "none" {
		return // it was refused already
	}
	if o.Auto.Unit == "" {
		for _, name := range []string{"partition.time-zone", "partition.precreate", "partition.retain"} {
			if text, given := o.set[name]; given && text != optionTable[optionIndex(name)].usual {
				faults.add("option %s: it needs partition.auto", name)
			}
		}
		return
	}
	if _, err := t.timeKey(o.Auto.Unit); err != nil {
		faults.add("option partition.auto: %v", err)
	}
}

// StatisticsColumns gives the columns that have statistics in the batch header; nil stands for all of them.
func (t *Table) StatisticsColumns() []ColumnID {
	if t.Options.Statistics == nil {
		return nil
	}
	ids := make([]ColumnID, 0, len(t.Options.Statistics))
	for _, name := range t.Options.Statistics {
		if c, ok := t.Schema.ByName(name); ok {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// alterOptions gives the options that are set with some changed: reset ones are left out, and take their default. What
// cannot be altered is a fault.
func alterOptions(old map[string]string, set map[string]string, reset []string, faults *faultList) map[string]string {
	changed := maps.Clone(old)
	if changed == nil {
		changed = map[string]string{}
	}
	for _, name := range slices.Sorted(slices.Values(reset)) {
		if _, both := set[name]; both {
			faults.add("option %s is both set and reset", quote(name))
		}
		switch i := optionIndex(name); {
		case i >= 0 && optionTable[i].fixed && optionTable[i].in(old) != optionTable[i].usual:
			faults.add("option %s: it is decided when the table is created", name)
		case i < 0 && old[name] == "":
			faults.add("there is no option %s%s", quote(name), suggest(name, optionNames()))
		}
		delete(changed, name)
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if i := optionIndex(name); i >= 0 && optionTable[i].fixed && set[name] != optionTable[i].in(old) {
			faults.add("option %s: it is decided when the table is created", name)
			continue
		}
		changed[name] = set[name]
	}
	return changed
}

// in is the value that the option has where others, or it, are set.
func (o *option) in(set map[string]string) string {
	if text, given := set[o.name]; given {
		return text
	}
	return o.usual
}

func optionIndex(name string) int {
	return slices.IndexFunc(optionTable, func(known option) bool { return known.name == name })
}

// follow gives the columns that options name the names they have by now, and leaves out those that are gone.
func (o Options) follow(before, now *Schema) Options {
	var names []string
	for _, name := range o.Statistics {
		c, _ := before.ByName(name)
		if still, kept := now.Column(c.ID); kept {
			names = append(names, still.Field.Name)
		}
	}
	if o.Statistics == nil || slices.Equal(names, o.Statistics) {
		return o
	}
	o.Statistics = append([]string{}, names...)
	o.set = maps.Clone(o.set)
	o.set["statistics"] = formatNames(o.Statistics)
	return o
}
