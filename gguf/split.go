package gguf

// A model in several files, as llama-gguf-split writes it: each is a GGUF file with some of the tensors, and the first has the metadata.

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
)

// Keys of a split model's files, and how many there may be.
const (
	splitCount   = "split.count"
	splitNumber  = "split.no" // from 0
	splitTensors = "split.tensors.count"
	maxParts     = 1000
)

var partName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})(\.(?i:gguf))$`)

// Parts gives the names of all files of a split model by that of its first, NAME-00001-of-0000N.gguf; of any other name that name alone.
func Parts(path string) []string {
	dir, base := filepath.Split(path)
	m := partName.FindStringSubmatch(base)
	if m == nil {
		return []string{path}
	}
	first, _ := strconv.Atoi(m[2]) // five digits
	count, _ := strconv.Atoi(m[3])
	if first != 1 || count < 2 || count > maxParts {
		return []string{path}
	}
	paths := []string{path}
	for i := 2; i <= count; i++ {
		paths = append(paths, dir+fmt.Sprintf("%s-%05d-of-%s%s", m[1], i, m[3], m[4]))
	}
	return paths
}

// Names gives the files that the model lies in: one, or those of a split model.
func (f *File) Names() []string {
	names := []string{f.Path}
	for _, o := range f.others {
		names = append(names, o.Path)
	}
	return names
}

// openOthers opens the other files of a split model and takes their tensors.
func (f *File) openOthers() error {
	m := &Fields{Meta: f.Meta}
	count, number := m.Whole(splitCount, 1, 0, maxParts), m.Whole(splitNumber, 0, 0, maxParts)
	total := m.Whole(splitTensors, 0, 0, maxTensors)
	if m.Err != nil || count < 2 {
		return m.Err
	}
	paths := Parts(f.Path)
	switch {
	case number != 0:
		return fmt.Errorf("this is part %d of a model in %d files: give the first of them, whose name ends in -00001-of-%05d.gguf", number+1, count, count)
	case int64(len(paths)) != count:
		return fmt.Errorf("this is the first of %d files of a model, but its name does not end in -00001-of-%05d.gguf: rename them as they were", count, count)
	}
	for i, path := range paths[1:] {
		o, err := openOne(path)
		if err != nil {
			return fmt.Errorf("part %d of %d: %w", i+2, count, err)
		}
		f.others = append(f.others, o)
		if err := f.take(o, i+1, count); err != nil {
			return fmt.Errorf("part %s: %w", path, err)
		}
	}
	if total > 0 && total != int64(len(f.tensors)) {
		return fmt.Errorf("metadata %q: %d tensors, but its %d files have %d: they are not of one model", splitTensors, total, count, len(f.tensors))
	}
	return nil
}

// take adds the tensors of a part.
func (f *File) take(o *File, part int, count int64) error {
	m := &Fields{Meta: o.Meta}
	n, is := m.Whole(splitCount, -1, 0, maxParts), m.Whole(splitNumber, -1, 0, maxParts)
	if m.Err != nil {
		return m.Err
	}
	if n != count || is != int64(part) {
		return fmt.Errorf("this is part %d of %d by its metadata, want %d of %d", is+1, n, part+1, count)
	}
	for _, t := range o.tensors {
		if _, twice := f.byName[t.Name]; twice {
			return fmt.Errorf("tensor %s appears twice", quote(t.Name))
		}
		t.part = part
		f.byName[t.Name] = len(f.tensors)
		f.tensors = append(f.tensors, t)
	}
	return nil
}
