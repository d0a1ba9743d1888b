package main

import "context"

// The arms of J4.
const (
	projectFull     = "all columns: S"
	projectTen      = "10 of 100: Quiver"
	projectTenStock = "10 of 100: S"
	projectTenC     = "10 of 100: C"
	projectOne      = "1 of 100: Quiver"
	projectOneStock = "1 of 100: S"
	projectOneC     = "1 of 100: C"
	projectInt      = "one int32: Quiver"
	projectIntC     = "one int32: C"
	projectTenGo    = "10 of 100: Quiver, Go client"
	projectOneGo    = "1 of 100: Quiver, Go client"
	projectIntGo    = "one int32: Quiver, Go client"
	projectOmbInt   = "int32, 1 of 20: Quiver"
	projectOmbText  = "utf8, 1 of 20: Quiver"
)

// runProject is J4.
func runProject(ctx context.Context, b *bench, r *result) error {
	wide, err := b.data(wide100(8192, b.size(128, 1)))
	if err != nil {
		return err
	}
	ints, err := b.data(int32s(b.size(1<<20, 1<<16), b.size(64, 1)))
	if err != nil {
		return err
	}
	omb, err := b.data(omb20(b.size(65_536, 4096), b.size(32, 1), shortTexts))
	if err != nil {
		return err
	}
	bed, err := newScanBed(ctx, b, wide, ints, omb)
	if err != nil {
		return err
	}
	full := read{file: wide, times: 1}
	ten := read{file: wide, columns: tenColumns, times: 4}
	one := read{file: wide, columns: oneColumn, times: 20}
	whole := read{file: ints, times: 2}
	ombInt := read{file: omb, columns: []string{"i3"}, times: 10}
	ombText := read{file: omb, columns: []string{"s3"}, times: 4}
	arms := []arm{
		{projectTenGo, bed.golang(ten, bed.decoded)},
		{projectOneGo, bed.golang(one, bed.decoded)},
		{projectIntGo, bed.golang(whole, bed.decoded)},
	}
	if b.client != nil {
		arms = append(arms,
			arm{projectFull, bed.py(bed.stock, full, full.stockTicket())},
			arm{projectTen, bed.py(bed.quiver.process, ten, ten.quiverTicket())},
			arm{projectTenStock, bed.py(bed.stock, read{file: wide, columns: tenColumns, times: 1}, ten.stockTicket())},
			arm{projectTenC, bed.py(bed.memory, ten, ten.stockTicket())},
			arm{projectOne, bed.py(bed.quiver.process, one, one.quiverTicket())},
			arm{projectOneStock, bed.py(bed.stock, read{file: wide, columns: oneColumn, times: 1}, one.stockTicket())},
			arm{projectOneC, bed.py(bed.memory, one, one.stockTicket())},
			arm{projectInt, bed.py(bed.quiver.process, whole, whole.quiverTicket())},
			arm{projectIntC, bed.py(bed.memory, whole, whole.stockTicket())},
			arm{projectOmbInt, bed.py(bed.quiver.process, ombInt, ombInt.quiverTicket())},
			arm{projectOmbText, bed.py(bed.quiver.process, ombText, ombText.quiverTicket())},
		)
	}
	if r.Arms, err = b.takeTurns(ctx, r.Job, arms); err != nil {
		return err
	}
	r.Notes = []string{
		describe(wide) + "; " + describe(ints) + "; " + describe(omb) + ", the rows that pyfluss was measured with. The client is pyarrow unless said.",
		"Logical bytes are those of the columns read, counted as equal shares of a row. Short reads are done several times in a row and their mean is one sample.",
	}
	return nil
}

// judgeProject judges J4.
func judgeProject(r *result) {
	r.about("beside S")
	r.atLeast(10, r.ratio(rowsPerSec, projectTen, projectFull), "10 of 100 columns, rows/s, of the full read by S")
	r.atLeast(60, r.ratio(rowsPerSec, projectOne, projectFull), "1 of 100 columns, rows/s, of the full read by S")
	r.about("beside C")
	r.atLeast(1, r.ratio(rowsPerSec, projectTen, projectTenC), "10 of 100 columns, of C")
	r.atLeast(2, r.ratio(rowsPerSec, projectOne, projectOneC), "1 of 100 columns, of C")
	r.about("one column of numbers")
	r.atLeast(200e6, r.series(projectInt, rowsPerSec), "one int32, rows/s")
	r.about("beside the peers")
	r.atLeast(4*48e6, r.series(projectOmbInt, rowsPerSec), "1 of 20 columns, int32, rows/s, beside 4 × pyfluss's 48 M")
	r.atLeast(4*15e6, r.series(projectOmbText, rowsPerSec), "1 of 20 columns, utf8, rows/s, beside 4 × pyfluss's 15 M")
	r.atLeast(100*2e6, r.series(projectOmbInt, rowsPerSec), "1 of 20 columns, int32, rows/s, beside 100 × Kafka's 2.0 M")
}
