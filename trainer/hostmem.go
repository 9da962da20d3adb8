package trainer

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// freeMemory is how much memory of the host this process can still take, in bytes, as the system and the process's control group tell;
// known is false where neither does.
func freeMemory() (left uint64, known bool) { return freeMemoryIn(os.DirFS("/")) }

func freeMemoryIn(root fs.FS) (left uint64, known bool) {
	if kib, ok := fieldOf(root, "proc/meminfo", "MemAvailable:"); ok {
		left, known = kib<<10, true
	}
	own, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(own)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/")
		if !ok {
			continue
		}
		// A limit may stand at any level above; in a container the group's own path may be missing, and the top is ours.
		for dir := path.Join("sys/fs/cgroup", name); strings.HasPrefix(dir, "sys/fs/cgroup"); dir = path.Dir(dir) {
			limit, ok1 := numberIn(root, path.Join(dir, "memory.max"))
			used, ok2 := numberIn(root, path.Join(dir, "memory.current"))
			if !ok1 || !ok2 {
				continue
			}
			cache, _ := fieldOf(root, path.Join(dir, "memory.stat"), "inactive_file") // is given back when it is wanted
			if free := limit - min(limit, used-min(used, cache)); !known || free < left {
				left, known = free, true
			}
		}
	}
	return left, known
}

func numberIn(root fs.FS, name string) (uint64, bool) {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64) // no limit is the word max
	return n, err == nil
}

// fieldOf is the number behind a word at the beginning of a line.
func fieldOf(root fs.FS, name, word string) (uint64, bool) {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == word {
			n, err := strconv.ParseUint(f[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
