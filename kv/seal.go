package kv

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/quiverlog/quiver/internal/fs"
)

// The seal of a checkpoint is a text. A line for each file: its name, its size and, but for tables, whose blocks have
// checksums of their own, the CRC32C of its bytes. The last line is the CRC32C of the text before it.
//
//	quiver kv checkpoint 1
//	17
//	000012.sst 40961
//	MANIFEST-000010 523 5f0c44e1
//	…
//	c0ffee00
const (
	sealFile    = "SEAL"
	sealHead    = "quiver kv checkpoint 1"
	sealSum     = 9 // bytes of the last line
	tableSuffix = ".sst"
)

// seal is what the seal of a checkpoint says.
type seal struct {
	number serial
	files  []sealedFile
}

// sealedFile is one file of a checkpoint.
type sealedFile struct {
	name string
	size int64
	sum  uint32 // not of tables
}

func (f *sealedFile) table() bool { return strings.HasSuffix(f.name, tableSuffix) }

// errSeal means that a checkpoint is not what its seal says, or has none.
var errSeal = errors.New("kv: the checkpoint is not as it was sealed")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *seal) encode() []byte {
	b := fmt.Appendf(nil, "%s\n%d\n", sealHead, s.number)
	for i := range s.files {
		f := &s.files[i]
		b = fmt.Appendf(b, "%s %d", f.name, f.size)
		if !f.table() {
			b = fmt.Appendf(b, " %08x", f.sum)
		}
		b = append(b, '\n')
	}
	return fmt.Appendf(b, "%08x\n", crc32.Checksum(b, castagnoli))
}

// parseSeal reads a seal. The error is errSeal.
func parseSeal(b []byte) (*seal, error) {
	body := string(b[:max(0, len(b)-sealSum)])
	if string(b[len(body):]) != fmt.Sprintf("%08x\n", crc32.Checksum([]byte(body), castagnoli)) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errSeal)
	}
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if len(lines) < 2 || lines[0] != sealHead {
		return nil, fmt.Errorf("%w: it is of another version", errSeal)
	}
	n, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || n < 1 {
		return nil, fmt.Errorf("%w: its number is %q", errSeal, lines[1])
	}
	s := &seal{number: serial(n)}
	for _, line := range lines[2:] {
		f, err := parseSealed(line)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
	}
	return s, nil
}

func parseSealed(line string) (sealedFile, error) {
	bad := fmt.Errorf("%w: a line is %q", errSeal, line)
	words := strings.Split(line, " ")
	if len(words) < 2 || words[0] == "" || words[0] == "." || words[0] == ".." || strings.ContainsAny(words[0], `/\`) {
		return sealedFile{}, bad
	}
	f := sealedFile{name: words[0]}
	var err error
	if f.size, err = strconv.ParseInt(words[1], 10, 64); err != nil || f.size < 0 {
		return sealedFile{}, bad
	}
	if f.table() != (len(words) == 2) || len(words) > 3 {
		return sealedFile{}, bad
	}
	if !f.table() {
		sum, err := strconv.ParseUint(words[2], 16, 32)
		if err != nil {
			return sealedFile{}, bad
		}
		f.sum = uint32(sum)
	}
	return f, nil
}

// writeSeal seals the files of a directory, durably.
func writeSeal(fsys fs.FS, dir string, n serial) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	s := &seal{number: n}
	for _, name := range names {
		f := sealedFile{name: name}
		if err := f.look(fsys, dir); err != nil {
			return err
		}
		s.files = append(s.files, f)
	}
	return fs.WriteFile(fsys, fsys.PathJoin(dir, sealFile), s.encode())
}

// look finds size and checksum of the file.
func (f *sealedFile) look(fsys fs.FS, dir string) error {
	path := fsys.PathJoin(dir, f.name)
	if f.table() {
		info, err := fsys.Stat(path)
		if err == nil {
			f.size = info.Size()
		}
		return err
	}
	b, err := fs.ReadFile(fsys, path)
	f.size, f.sum = int64(len(b)), crc32.Checksum(b, castagnoli)
	return err
}

// checkSeal compares the files of a directory with their seal.
func checkSeal(fsys fs.FS, dir string, n serial) (*seal, error) {
	b, err := fs.ReadFile(fsys, fsys.PathJoin(dir, sealFile))
	if err != nil {
		return nil, err
	}
	s, err := parseSeal(b)
	if err != nil {
		return nil, err
	}
	if s.number != n {
		return nil, fmt.Errorf("%w: it is number %d, not %d", errSeal, s.number, n)
	}
	for i := range s.files {
		found := sealedFile{name: s.files[i].name}
		if err := found.look(fsys, dir); err != nil {
			return nil, err
		}
		if found != s.files[i] {
			return nil, fmt.Errorf("%w: file %s", errSeal, found.name)
		}
	}
	return s, nil
}
