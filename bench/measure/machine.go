package measure

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine says where a result was taken and with what.
type Machine struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	MemoryGB float64           `json:"memory_gb"`
	Kernel   string            `json:"kernel"`
	Disk     string            `json:"disk"` // file system of the data directory
	Versions map[string]string `json:"versions"`
}

// DescribeMachine asks the machine, its Python (if any) and the program's own build.
func DescribeMachine(ctx context.Context, python, dir string) Machine {
	m := Machine{CPU: cpuModel(), Cores: runtime.NumCPU(), Disk: fileSystem(dir), Versions: map[string]string{"go": runtime.Version()}}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryGB = float64(info.Totalram*uint64(info.Unit)) / 1e9
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range build.Deps {
			switch dep.Path {
			case "github.com/apache/arrow-go/v18":
				m.Versions["arrow-go"] = dep.Version
			case "google.golang.org/grpc":
				m.Versions["grpc-go"] = dep.Version
			}
		}
	}
	if python != "" {
		script := "import pyarrow, platform; print(pyarrow.__version__, platform.python_version())"
		if out, err := exec.CommandContext(ctx, python, "-c", script).Output(); err == nil {
			if fields := strings.Fields(string(out)); len(fields) == 2 {
				m.Versions["pyarrow"], m.Versions["python"] = fields[0], fields[1]
			}
		}
	}
	return m
}

func cpuModel() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer closeRead(file)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// fileSystem names the type of a directory's file system.
func fileSystem(dir string) string {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return "unknown"
	}
	switch s.Type {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	}
	return fmt.Sprintf("type %x", s.Type)
}

// Commit is the revision of the working tree, marked where there is more in it; the results themselves do not count.
func Commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(out))
	changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs").Output()
	if err != nil || len(changed) > 0 {
		name += "-dirty"
	}
	return name
}
