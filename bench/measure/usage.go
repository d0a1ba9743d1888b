package measure

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of /proc times, 1/100 s on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// CPUTime is the CPU time that all threads of a process took so far. It is what /proc/PID/stat tells, from the
// process's clock, which counts nanoseconds and not ticks.
func CPUTime(pid int) (time.Duration, error) {
	const schedulerClock = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &t); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// Held is the memory of a process, in bytes.
type Held struct {
	Resident int64 // now
	Peak     int64 // since ResetPeak
}

// ReadMemory reads /proc/PID/status.
func ReadMemory(pid int) (m Held, err error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m, err
	}
	defer closeRead(file)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			m.Resident = kib << 10
		case "VmHWM:":
			m.Peak = kib << 10
		}
	}
	return m, nil
}

// ResetPeak makes the peak of a process count from now on, where the kernel lets us.
func ResetPeak(pid int) { _ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) }

// Load is what the whole machine did so far.
type Load struct {
	busy   time.Duration // CPU time of everything, steal included
	ours   time.Duration // of this program and what it started
	kernel time.Duration // of the kernel's own threads: writeback of what we wrote is among them
	at     time.Time
}

// ReadLoad adds up /proc.
func ReadLoad() (l Load, err error) {
	l.at = time.Now()
	if l.busy, err = busyTime(); err != nil {
		return l, err
	}
	entries, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return l, err
	}
	for _, path := range entries {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		p, ok := parseStat(string(text))
		switch {
		case !ok:
		case p.id == os.Getpid() || p.parent == os.Getpid():
			l.ours += p.cpu + p.children
		case p.id == kernelThreads || p.parent == kernelThreads:
			l.kernel += p.cpu
		}
	}
	return l, nil
}

// kernelThreads is the parent of the kernel's threads.
const kernelThreads = 2

// busyTime is the time of all CPUs that was not idle, from /proc/stat.
func busyTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var busy int64
	for i, field := range strings.Fields(line) {
		const idle, wait, guest = 4, 5, 9
		if ticks, err := strconv.ParseInt(field, 10, 64); err == nil && i != idle && i != wait && i < guest {
			busy += ticks
		}
	}
	return time.Duration(busy) * clockTick, nil
}

// stat is what matters of /proc/PID/stat.
type stat struct {
	id, parent    int
	cpu, children time.Duration // its own, and that of ended children it waited for
}

// parseStat takes a line of /proc/PID/stat apart; the name in parentheses may hold anything.
func parseStat(line string) (s stat, ok bool) {
	open, shut := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || shut < open {
		return s, false
	}
	s.id, _ = strconv.Atoi(strings.TrimSpace(line[:open]))
	fields := strings.Fields(line[shut+1:])
	const parent, user, system, userChildren, systemChildren = 1, 11, 12, 13, 14
	if len(fields) <= systemChildren {
		return s, false
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(fields[i], 10, 64); return n }
	s.parent = int(number(parent))
	s.cpu = time.Duration(number(user)+number(system)) * clockTick
	s.children = time.Duration(number(userChildren)+number(systemChildren)) * clockTick
	return s, true
}

// Foreign is the share of one CPU that other programs took between two readings.
func Foreign(before, after Load) float64 {
	wall := after.at.Sub(before.at)
	if wall <= 0 {
		return 0
	}
	others := (after.busy - before.busy) - (after.ours - before.ours) - (after.kernel - before.kernel)
	return max(0, float64(others)/float64(wall))
}
