package quiver

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a machine may have none

	"github.com/apache/arrow-go/v18/arrow"
)

// The units of automatic partitions.
const (
	Hour    = "hour"
	Day     = "day"
	Month   = "month"
	Quarter = "quarter"
	Year    = "year"
)

var autoUnits = []string{Hour, Day, Month, Quarter, Year}

// Bounds of automatic partitions.
const (
	maxPrecreate = 1000
	maxRetain    = 100_000
	// RetainAll as AutoPartition.Retain keeps every partition.
	RetainAll = -1
)

// AutoPartition says which partitions are made and dropped by the clock.
//
// The period of a partition is told by its value in the table's time key: the one partition column that is a date or
// a timestamp, or else, if there is only one, the string or integer column. Per type it is written
//
//	date       the first day of the period; not for hours
//	timestamp  the first instant of the period in Zone; without a zone of its own: what the clock in Zone reads then
//	string     2026-11-22-10, 2026-11-22, 2026-11, 2026-Q4, 2026; read also without what is between the digits
//	integers   2026112210, 20261122, 202611, 20264, 2026
//
// and any date or timestamp within the period belongs to it, so that partitions by day can be kept by month. Values
// that name no period (null, another text) are never dropped.
type AutoPartition struct {
	Unit      string         // "hour", "day", "month", "quarter", "year"; "": none are made
	Zone      *time.Location // where periods begin
	Precreate int            // periods made ahead, the current one included
	Retain    int            // periods kept before the current one; RetainAll: all
}

func (a *AutoPartition) parseUnit(text string) error {
	if text == "none" {
		a.Unit = ""
		return nil
	}
	if !slices.Contains(autoUnits, text) {
		words := append([]string{"none"}, autoUnits...)
		return fmt.Errorf("%s is none of %s%s", quote(text), strings.Join(words, ", "), suggest(text, words))
	}
	a.Unit = text
	return nil
}

func (a *AutoPartition) parseZone(text string) error {
	zone, err := time.LoadLocation(text)
	if err != nil || text == "" || text == "Local" {
		return fmt.Errorf("%s is no time zone such as UTC or Europe/Berlin", quote(text))
	}
	a.Zone = zone
	return nil
}

func (a *AutoPartition) parseRetain(text string) error {
	if text == "none" {
		a.Retain = RetainAll
		return nil
	}
	return parseCount(&a.Retain, text, maxRetain)
}

// timeKey finds the partition column that tells a partition's time, by its place in PartitionBy.
func (t *Table) timeKey(unit string) (int, error) {
	if !t.Partitioned() {
		return 0, fmt.Errorf("the table is not partitioned")
	}
	var timed, plain []int
	for i, id := range t.PartitionBy {
		switch c, _ := t.Schema.Column(id); {
		case isOneOf(c.Field.Type, arrow.DATE32, arrow.DATE64, arrow.TIMESTAMP):
			timed = append(timed, i)
		case isOneOf(c.Field.Type, arrow.STRING, arrow.LARGE_STRING) || arrow.IsInteger(c.Field.Type.ID()):
			plain = append(plain, i)
		}
	}
	if len(timed) == 0 {
		timed = plain
	}
	if len(timed) != 1 {
		return 0, fmt.Errorf("it needs one date or timestamp among the partition columns, or else one string or integer; there are %d", len(timed))
	}
	c, _ := t.Schema.Column(t.PartitionBy[timed[0]])
	_, date := c.Field.Type.(*arrow.Date32Type)
	_, date64 := c.Field.Type.(*arrow.Date64Type)
	if (date || date64) && unit == Hour {
		return 0, fmt.Errorf("column %s is a date, which tells no hour", quote(c.Field.Name))
	}
	end := time.Date(2100, 12, 31, 23, 0, 0, 0, time.UTC)
	if arrow.IsInteger(c.Field.Type.ID()) && periodValue(c.Field.Type, unit, end) == nil {
		return 0, fmt.Errorf("column %s of type %s is too small for a number such as %s", quote(c.Field.Name),
			shortType(c.Field.Type), periodDigits(unit, end))
	}
	return timed[0], nil
}

// startOf gives the beginning of the period that holds an instant, in the zone.
func (a *AutoPartition) startOf(t time.Time) time.Time {
	t = t.In(a.Zone)
	year, month, day := t.Date()
	switch a.Unit {
	case Hour:
		// An hour that a clock shows twice is two periods, as instants are: so not by time.Date.
		return t.Add(-time.Duration(t.Minute())*time.Minute - time.Duration(t.Second())*time.Second - time.Duration(t.Nanosecond()))
	case Day:
		return time.Date(year, month, day, 0, 0, 0, 0, a.Zone)
	case Month:
		return time.Date(year, month, 1, 0, 0, 0, 0, a.Zone)
	case Quarter:
		return time.Date(year, (month-1)/3*3+1, 1, 0, 0, 0, 0, a.Zone)
	}
	return time.Date(year, 1, 1, 0, 0, 0, 0, a.Zone)
}

// step gives the beginning of the period n behind the one that begins at t, before it if n is negative.
func (a *AutoPartition) step(t time.Time, n int) time.Time {
	year, month, day := t.In(a.Zone).Date()
	switch a.Unit {
	case Hour:
		return t.Add(time.Duration(n) * time.Hour)
	case Day:
		return time.Date(year, month, day+n, 0, 0, 0, 0, a.Zone)
	case Month:
		return time.Date(year, month+time.Month(n), 1, 0, 0, 0, 0, a.Zone)
	case Quarter:
		return time.Date(year, month+time.Month(3*n), 1, 0, 0, 0, 0, a.Zone)
	}
	return time.Date(year+n, 1, 1, 0, 0, 0, 0, a.Zone)
}

// periodValue writes a period that begins at t, on the clock of its zone, as a value of the time key; nil if the type
// cannot hold it.
func periodValue(dt arrow.DataType, unit string, t time.Time) any {
	switch dt := dt.(type) {
	case *arrow.StringType, *arrow.LargeStringType:
		return periodText(unit, t)
	case *arrow.Date32Type, *arrow.Date64Type:
		value, _ := parseValue(dt, jsonText(t.Format(dateLayout)))
		return value
	case *arrow.TimestampType:
		layout := time.RFC3339
		if dt.TimeZone == "" {
			layout = dateLayout + "T" + clockLayout
		}
		value, _ := parseValue(dt, jsonText(t.Format(layout)))
		return value
	}
	value, err := parseValue(dt, []byte(periodDigits(unit, t)))
	if err != nil {
		return nil
	}
	return value
}

func periodText(unit string, t time.Time) string {
	switch unit {
	case Hour:
		return t.Format("2006-01-02-15")
	case Day:
		return t.Format("2006-01-02")
	case Month:
		return t.Format("2006-01")
	case Quarter:
		return fmt.Sprintf("%s-Q%d", t.Format("2006"), (t.Month()-1)/3+1)
	}
	return t.Format("2006")
}

// periodDigits writes a period in digits alone, which order as time does.
func periodDigits(unit string, t time.Time) string {
	return strings.NewReplacer("-", "", "Q", "").Replace(periodText(unit, t))
}

// period reads the beginning of the period that a value of the time key names, or false if it names none.
func (a *AutoPartition) period(dt arrow.DataType, value any) (time.Time, bool) {
	switch v := value.(type) {
	case nil:
		return time.Time{}, false
	case arrow.Date32:
		return a.onClock(time.Unix(int64(v)*daySeconds, 0)), true
	case arrow.Date64:
		return a.onClock(time.UnixMilli(int64(v))), true
	case arrow.Timestamp:
		t := dt.(*arrow.TimestampType)
		if t.TimeZone == "" {
			return a.onClock(v.ToTime(t.Unit)), true
		}
		return a.startOf(v.ToTime(t.Unit)), true
	}
	text := fmt.Sprint(value)
	if strings.HasPrefix(text, "-") {
		return time.Time{}, false
	}
	digits := strings.NewReplacer("-", "", "Q", "", "T", "", " ", "").Replace(text)
	layouts := map[string]string{Hour: "2006010215", Day: "20060102", Month: "200601", Quarter: "2006", Year: "2006"}
	quarter := 1
	if a.Unit == Quarter && len(digits) == 5 && digits[4] >= '1' && digits[4] <= '4' {
		quarter, digits = int(digits[4]-'0'), digits[:4]
	} else if a.Unit == Quarter {
		return time.Time{}, false
	}
	t, err := time.ParseInLocation(layouts[a.Unit], digits, a.Zone)
	if err != nil {
		return time.Time{}, false
	}
	return a.latest(t.AddDate(0, 3*(quarter-1), 0)), true
}

// onClock gives the period of a reading of the clock in the zone; t has it as if it were UTC.
func (a *AutoPartition) onClock(t time.Time) time.Time {
	t = t.UTC()
	return a.latest(a.startOf(time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, a.Zone)))
}

// latest gives, of two hours that the clock shows alike, the later one: rows of both are in one partition.
func (a *AutoPartition) latest(t time.Time) time.Time {
	if again := t.Add(time.Hour); a.Unit == Hour && again.In(a.Zone).Hour() == t.In(a.Zone).Hour() {
		return again
	}
	return t
}

// AutoPartitions says which partitions the clock wants made and dropped, as of now: for the current period and those
// to be made ahead one partition for each combination of the other partition columns' values that a partition which
// is kept has. What is to be made has canonical names, in order of time; at most limit of both are given.
func (t *Table) AutoPartitions(now time.Time, limit int) (create []string, drop []Partition) {
	auto := &t.Options.Auto
	key, err := t.timeKey(auto.Unit)
	if auto.Unit == "" || err != nil {
		return nil, nil
	}
	current := auto.startOf(now)
	kept := t.keptFrom(now)
	others := map[string][]any{} // the other columns' values, by partition name with the time key as null
	if len(t.PartitionBy) == 1 {
		others[""] = []any{nil}
	}
	c, _ := t.Schema.Column(t.PartitionBy[key])
	for _, p := range t.Partitions {
		_, values, err := t.ParsePartition(p.Name)
		if err != nil {
			continue
		}
		start, timed := auto.period(c.Field.Type, values[key])
		if timed && start.Before(kept) {
			drop = append(drop, p)
			continue
		}
		if len(t.PartitionBy) > 1 && timed {
			values[key] = nil
			if name, err := t.PartitionName(values); err == nil {
				others[name] = values
			}
		}
	}
	slices.SortStableFunc(drop, func(a, b Partition) int { return cmp.Compare(a.ID, b.ID) })
	drop = drop[:min(len(drop), limit)]
	return t.missingPeriods(current, key, others, limit-len(drop)), drop
}

// missingPeriods names the partitions from the current period on that do not exist.
func (t *Table) missingPeriods(current time.Time, key int, others map[string][]any, limit int) (names []string) {
	auto := &t.Options.Auto
	c, _ := t.Schema.Column(t.PartitionBy[key])
	combinations := slices.Sorted(maps.Keys(others))
	made := map[string]bool{}
	for n := range auto.Precreate {
		value := periodValue(c.Field.Type, auto.Unit, auto.step(current, n))
		if value == nil {
			return names
		}
		for _, combination := range combinations {
			if len(names) >= limit {
				return names
			}
			values := slices.Clone(others[combination])
			values[key] = value
			name, err := t.PartitionName(values)
			if _, exists := t.Partition(name); err != nil || exists || made[name] {
				continue
			}
			made[name] = true
			names = append(names, name)
		}
	}
	return names
}

// keptFrom gives the beginning of the oldest period that partition.retain keeps; the zero time if it keeps all.
func (t *Table) keptFrom(now time.Time) time.Time {
	auto := &t.Options.Auto
	if auto.Unit == "" || auto.Retain == RetainAll {
		return time.Time{}
	}
	return auto.step(auto.startOf(now), -auto.Retain)
}

// Expired says whether a partition with these values would be dropped at once, since partition.retain keeps none as old.
func (t *Table) Expired(values []any, now time.Time) bool {
	auto := &t.Options.Auto
	key, err := t.timeKey(auto.Unit)
	if auto.Unit == "" || err != nil {
		return false
	}
	c, _ := t.Schema.Column(t.PartitionBy[key])
	start, timed := auto.period(c.Field.Type, values[key])
	return timed && start.Before(t.keptFrom(now))
}
