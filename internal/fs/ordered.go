//go:build fault

package fs

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/quiverlog/quiver/internal/fault"
)

// Ordered is the machine's file system under the orders of the file that QUIVER_FAULT_DISK names; nil: it names none.
// The file is read before every change of the disk, so that orders come and go while the program runs: who gives one
// renames a file over it, who takes all back removes it. Each line is an order for what lies below a path:
//
//	sync=error@3 /data/log     the third sync fails with EIO, and what it should have made durable is lost
//	sync=slow@200ms /data      every sync takes so much longer
//	write=error@3 /data/log    the third write fails with EIO
//	write=full /data/kv        nothing can be written, allocated or created: ENOSPC
//	usage=full /data           the disk says that no byte of it is free
//
// What was done is noted in a file beside it, named with fault.DoneSuffix, a line each: "sync=error /data/log/…". An order
// that cannot be read ends the program: a test that breaks nothing must not pass.
func Ordered() FS {
	path := os.Getenv(fault.DiskVariable)
	if path == "" {
		return nil
	}
	o := &orders{path: path}
	return WithErrors(&forgetful{FS: Disk(), orders: o}, o.meet)
}

// orders are what one file orders.
type orders struct {
	path string

	mu   sync.Mutex // guards what follows
	text string     // of the file, as it was read last
	all  []*order
}

// order is one line.
type order struct {
	what  string        // sync, write, usage
	how   string        // error, slow, full
	count int64         // error: which operation fails, from 1
	delay time.Duration // slow
	below string        // path
	met   int64         // operations
}

// orderOf reads a line.
func orderOf(line string) (*order, error) {
	act, below, _ := strings.Cut(line, " ")
	what, how, _ := strings.Cut(act, "=")
	how, arg, _ := strings.Cut(how, "@")
	o := &order{what: what, how: how, below: below}
	var err error
	switch what + "=" + how {
	case "sync=error", "write=error":
		if o.count, err = strconv.ParseInt(arg, 10, 64); err == nil && o.count < 1 {
			err = errors.New("they are counted from 1")
		}
	case "sync=slow":
		o.delay, err = time.ParseDuration(arg)
	case "write=full", "usage=full":
	default:
		err = errors.New("there is no such order")
	}
	if err == nil && below == "" {
		err = errors.New("the path is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("order %q for the disk: %w", line, err)
	}
	return o, nil
}

// covers tells whether an operation is one that the order is about.
func (o *order) covers(op Op, name string) bool {
	if !strings.HasPrefix(name, o.below) {
		return false
	}
	switch o.what {
	case "sync":
		return op == OpSync || op == OpSyncDir
	case "write":
		return op == OpWrite || o.how == "full" && (op == OpAllocate || op == OpCreate || op == OpMkdir)
	default:
		return op == OpUsage
	}
}

// readLocked gives the orders that are in force.
func (o *orders) readLocked() []*order {
	text, err := os.ReadFile(o.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		panic(fmt.Sprintf("fs: read orders: %v", err))
	}
	if string(text) == o.text {
		return o.all
	}
	o.text, o.all = string(text), nil
	for line := range strings.Lines(o.text) {
		order, err := orderOf(strings.TrimSpace(line))
		if err != nil {
			panic("fs: " + err.Error())
		}
		o.all = append(o.all, order)
	}
	return o.all
}

// meet does to an operation what is ordered.
func (o *orders) meet(op Op, name string) error {
	if !op.Changes() {
		return nil
	}
	delay, err := o.judge(op, name)
	time.Sleep(delay) // the disk is slow
	return err
}

// judge gives what is to become of an operation, and notes it.
func (o *orders) judge(op Op, name string) (delay time.Duration, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, order := range o.readLocked() {
		if !order.covers(op, name) {
			continue
		}
		order.met++
		switch {
		case order.how == "slow":
			delay += order.delay
		case order.how == "full":
			err = &os.PathError{Op: op.String(), Path: name, Err: syscall.ENOSPC}
		case order.met == order.count:
			err = &os.PathError{Op: op.String(), Path: name, Err: syscall.EIO}
		default:
			continue
		}
		o.noteLocked(order.what + "=" + order.how + " " + name)
	}
	return delay, err
}

// full tells whether a disk is to say that it has no room.
func (o *orders) full(name string) bool {
	_, err := o.judge(OpUsage, name)
	return err != nil
}

func (o *orders) noteLocked(line string) {
	f, err := os.OpenFile(o.path+fault.DoneSuffix, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(line + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		panic(fmt.Sprintf("fs: note what became of an order: %v", err))
	}
}
