package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/quiverlog/quiver"
	"github.com/quiverlog/quiver/node"
)

// verifyWithin is how long a look at the data directory between two lives may take; one between two rounds has no limit.
const verifyWithin = 10 * time.Second

// verify reads the whole data directory of a server that is down, as "quiver verify" does. Whatever it finds that is not
// the doing of a flipped bit is a contradiction: no way to end, and no operation that failed, leaves damage behind.
func (n *nemesis) verify(ctx context.Context) ([]quiver.Finding, error) {
	v, err := node.Verify(ctx, node.VerifyOptions{Data: n.server.data})
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		n.count("verifications cut short", 1)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n.count("verifications", 1)
	n.count("bytes verified", v.Bytes)
	for _, f := range v.Findings {
		if !n.flipped.explain(f, n.server.data) {
			n.violate("verify: %s", f)
		}
	}
	return v.Findings, nil
}

// verifySome does that between two lives, now and then.
func (n *nemesis) verifySome() error {
	if n.random.IntN(100) >= 6 {
		return nil
	}
	ctx, cancel := context.WithTimeout(n.ctx, verifyWithin)
	defer cancel()
	_, err := n.verify(ctx)
	return err
}

// found notes a file in which a bit was flipped just now, and expects that it is found.
func (n *nemesis) found(path string) error {
	if err := n.flipped.add(path); err != nil {
		return err
	}
	found, err := n.verify(n.ctx)
	if err != nil || n.over() {
		return err
	}
	if !slices.ContainsFunc(found, func(f quiver.Finding) bool { return f.File == path }) {
		n.violate("verify: a bit of %s is flipped, and what was found is %v", path, found)
	}
	return nil
}

// flips are the files in which bits are flipped.
type flips struct {
	paths map[string]bool // segments, indexes, state files
	rows  []os.FileInfo   // tables of the store of rows, which have several names and are moved
}

// explain tells that a finding comes of a flipped bit: it names the file, or what was told is that rows do not fold while
// there is a damaged table of the store, be it in the store, in a checkpoint of it, or in one that was moved aside.
func (f *flips) explain(found quiver.Finding, data string) bool {
	if f.paths[found.File] {
		return true
	}
	if found.Kind != quiver.FindingRows || len(f.rows) == 0 {
		return false
	}
	explained := false
	for _, dir := range []string{"kv", "kv-checkpoint"} {
		_ = filepath.WalkDir(filepath.Join(data, dir), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() { // what is gone explains nothing
				info, err := entry.Info()
				explained = explained || err == nil && slices.ContainsFunc(f.rows, func(r os.FileInfo) bool { return os.SameFile(r, info) })
			}
			return nil
		})
	}
	return explained
}

// add notes that bits of a file are flipped.
func (f *flips) add(path string) error {
	if filepath.Ext(path) != ".sst" {
		f.paths[path] = true
		return nil
	}
	info, err := os.Stat(path)
	if err == nil {
		f.rows = append(f.rows, info)
	}
	return err
}
