package vfstest

import (
	"bytes"
	"math/rand/v2"
)

// Model says which of the changes that were not yet synced a crash keeps.
type Model int

const (
	KeepNone  Model = iota // only what was synced
	KeepAll                // everything, as after a kill of the process
	Prefix                 // the first n changes, in the order in which they were made
	Subset                 // each change or not, with even odds: a rename may survive the data it names
	Torn                   // everything, but the last write is cut at a 512-byte sector
	MetaFirst              // names and sizes survive, unsynced content reads as zeros
	Models                 // how many there are
)

func (m Model) String() string {
	return [...]string{"none", "all", "prefix", "subset", "torn", "meta-first"}[m]
}

const sector = 512 // bytes a disk writes as one

// Crash gives a disk as a power cut at this moment may leave it. The Sim itself stays as it is, so that one moment can
// be looked at under every model; its locks do not survive.
func (s *Sim) Crash(m Model, rng *rand.Rand) *Sim {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &Sim{locked: map[string]bool{}, cap: s.cap}
	twin := make(map[*inode]*inode, len(s.inodes))
	for _, ino := range s.inodes {
		t := &inode{dir: ino.dir, disk: ino.disk}
		if ino.dir {
			t.diskEntries = make(map[string]*inode, len(ino.diskEntries))
		}
		twin[ino] = c.add(t)
	}
	for _, ino := range s.inodes {
		for name, e := range ino.diskEntries {
			twin[ino].diskEntries[name] = twin[e]
		}
	}
	for _, ch := range surviving(s.pending, m, rng) {
		ch.moved(twin).apply()
	}
	for _, t := range c.inodes {
		t.data = t.disk
		if t.dir {
			t.entries = make(map[string]*inode, len(t.diskEntries))
			for name, e := range t.diskEntries {
				t.entries[name] = e
			}
		}
	}
	return c
}

// moved is the change, on the inodes of the copy.
func (c *change) moved(twin map[*inode]*inode) *change {
	t := &change{off: c.off, data: c.data, size: c.size, file: twin[c.file]}
	for _, e := range c.set {
		moved := entry{dir: twin[e.dir], name: e.name}
		if e.ino != nil {
			moved.ino = twin[e.ino]
		}
		t.set = append(t.set, moved)
	}
	return t
}

func surviving(pending []*change, m Model, rng *rand.Rand) []*change {
	switch m {
	case KeepNone:
		return nil
	case Prefix:
		return pending[:rng.IntN(len(pending)+1)]
	case Subset:
		var kept []*change
		for _, c := range pending {
			if rng.IntN(2) == 0 {
				kept = append(kept, c)
			}
		}
		return kept
	case Torn:
		return torn(pending, rng)
	case MetaFirst:
		kept := make([]*change, len(pending))
		for i, c := range pending {
			kept[i] = c
			if c.set == nil && c.off >= 0 {
				kept[i] = &change{file: c.file, off: c.off, data: make([]byte, len(c.data))}
			}
		}
		return kept
	}
	return pending // KeepAll
}

// torn cuts the last write: some sectors of it arrive, the rest is zeros, or was never there.
func torn(pending []*change, rng *rand.Rand) []*change {
	for i := len(pending) - 1; i >= 0; i-- {
		c := pending[i]
		if c.set != nil || c.off < 0 {
			continue
		}
		keep := rng.IntN(len(c.data)/sector+1) * sector
		data := bytes.Clone(c.data[:keep])
		if rng.IntN(2) == 0 {
			data = append(data, make([]byte, len(c.data)-keep)...)
		}
		kept := append([]*change(nil), pending...)
		kept[i] = &change{file: c.file, off: c.off, data: data}
		return kept
	}
	return pending
}
