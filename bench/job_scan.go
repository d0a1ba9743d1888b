package main

import (
	"context"
	"net"
)

// The arms of J3.
const (
	scanWide      = "wide100: Quiver, pyarrow"
	scanWideStock = "wide100: S, pyarrow"
	scanWideC     = "wide100: C, pyarrow"
	scanBid       = "bid: Quiver, pyarrow"
	scanBidStock  = "bid: S, pyarrow"
	scanBidC      = "bid: C, pyarrow"
	scanGo        = "bid: Quiver, Go client"
	scanDecoded   = "bid: Quiver, Go client, decoded"
	scanG         = "G"
	scanT         = "T"
)

// runScan is J3.
func runScan(ctx context.Context, b *bench, r *result) error {
	wide, err := b.data(wide100(8192, b.size(128, 1)))
	if err != nil {
		return err
	}
	bids, err := b.data(bid(b.size(65_536, 8192), b.size(32, 2)))
	if err != nil {
		return err
	}
	bed, err := newScanBed(ctx, b, wide, bids)
	if err != nil {
		return err
	}
	arms, err := bed.scanArms(ctx, wide, bids)
	if err != nil {
		return err
	}
	if r.Arms, err = b.takeTurns(ctx, r.Job, arms); err != nil {
		return err
	}
	r.Notes = []string{
		describe(wide) + "; " + describe(bids) + ".",
		"Quiver and S read files in the page cache, C sends batches that lie in its memory. The Go client looks at each message's offsets and drops it, or decodes it with one copy.",
		"G sends as many bytes in messages as large as Quiver's, T as many bytes in writes of 256 KiB, both from 256 MiB of memory.",
	}
	return nil
}

// floorBed are the servers of G and T, and what they are to send.
type floorBed struct {
	passthrough, tcp *process
	messages, size   int
}

// scanArms are J3's arms.
func (bed *scanBed) scanArms(ctx context.Context, wide, bids *datafile) ([]arm, error) {
	readWide, readBids := read{file: wide, times: 1}, read{file: bids, times: 2}
	arms := []arm{
		{scanGo, bed.golang(readBids, getRaw)},
		{scanDecoded, bed.golang(readBids, bed.decoded)},
	}
	floors, err := bed.scanFloors(ctx, readBids)
	if err != nil {
		return nil, err
	}
	arms = append(arms, floors...)
	if bed.client == nil {
		return arms, nil
	}
	return append(arms,
		arm{scanWide, bed.py(bed.quiver.process, readWide, readWide.quiverTicket())},
		arm{scanWideStock, bed.py(bed.stock, readWide, readWide.stockTicket())},
		arm{scanWideC, bed.py(bed.memory, readWide, readWide.stockTicket())},
		arm{scanBid, bed.py(bed.quiver.process, readBids, readBids.quiverTicket())},
		arm{scanBidStock, bed.py(bed.stock, readBids, readBids.stockTicket())},
		arm{scanBidC, bed.py(bed.memory, readBids, readBids.stockTicket())},
	), nil
}

// scanFloors are G and T, for as many bytes as a read takes.
func (bed *scanBed) scanFloors(ctx context.Context, rd read) ([]arm, error) {
	seen, err := getRaw(ctx, bed.conn, rd.quiverTicket())
	if err != nil {
		return nil, err
	}
	f := floorBed{messages: seen.messages - 1, size: int(seen.bytes) / (seen.messages - 1)} // the schema aside
	if f.passthrough, err = bed.child(ctx, "passthrough", "passthrough"); err != nil {
		return nil, err
	}
	if f.tcp, err = bed.child(ctx, "tcp", "tcp"); err != nil {
		return nil, err
	}
	rawConn, err := dial(f.passthrough.address)
	if err != nil {
		return nil, err
	}
	tcpConn, err := net.Dial("tcp", f.tcp.address)
	if err != nil {
		return nil, err
	}
	scratch := make([]byte, tcpWrite)
	times, rows := bed.size(rd.times, 1), int64(rd.file.rows())
	return []arm{
		{scanG, func(ctx context.Context) (metrics, error) {
			m, err := metered(f.passthrough, rd.gb(), func() (work, error) {
				return timedOften(times, rows, func() error {
					_, err := passthroughGet(ctx, rawConn, f.messages, f.size)
					return err
				})
			})
			if err == nil {
				m[messageKB] = float64(f.size) / 1e3
			}
			return m, err
		}},
		{scanT, func(context.Context) (metrics, error) {
			return metered(f.tcp, rd.gb(), func() (work, error) {
				return timedOften(times, rows, func() error { return tcpGet(tcpConn, seen.bytes, scratch) })
			})
		}},
	}, nil
}

// judgeScan judges J3.
func judgeScan(r *result) {
	r.about("beside G and T")
	r.atLeast(0.9, r.ratio(gbPerSec, scanGo, scanG), "full scan, Go client, of G")
	r.atLeast(0.65, r.ratio(gbPerSec, scanGo, scanT), "full scan, Go client, of T")
	r.atLeast(0.9, r.ratio(gbPerSec, scanDecoded, scanG), "full scan, Go client with one-copy decoding, of G")
	for _, set := range []struct{ name, quiver, stock, memory string }{
		{"wide100", scanWide, scanWideStock, scanWideC}, {"bid", scanBid, scanBidStock, scanBidC},
	} {
		r.about("beside S and C")
		r.atLeast(2, r.ratio(gbPerSec, set.quiver, set.stock), "full scan of "+set.name+", pyarrow, of S")
		r.atLeast(1, r.ratio(gbPerSec, set.quiver, set.memory), "full scan of "+set.name+", pyarrow, of C")
		r.about("server CPU")
		r.atMost(0.4, r.ratio(serverCPU, set.quiver, set.stock), "server CPU, "+set.name+", of S")
		r.atMost(1, r.ratio(serverCPU, set.quiver, set.memory), "server CPU, "+set.name+", of C")
	}
	r.about("beside the peers")
	r.atLeast(2*0.517, r.series(scanBid, gbPerSec), "GB/s, bid, pyarrow, beside 2 × pyfluss's 0.517")
	r.atLeast(4*0.517, r.series(scanGo, gbPerSec), "GB/s, bid, Go client, beside 4 × pyfluss's 0.517")
	r.atLeast(5*1.6e6, r.series(scanBid, rowsPerSec), "rows/s, bid, pyarrow, beside 5 × Fluss's row scan in Java (1.6 M)")
}
