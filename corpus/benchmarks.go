package corpus

// Public benchmarks, by the hashes of their prompts.

import (
	"embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

//go:embed benchmarks
var embedded embed.FS

// Benchmark is one whose prompts are known by their hashes.
type Benchmark struct {
	Name       string   `json:"name"`
	Repository string   `json:"repository"` // owner/name
	Commit     string   `json:"commit"`
	Date       string   `json:"date"` // of the commit
	Licence    string   `json:"licence"`
	Files      []string `json:"files"`           // patterns of paths in the repository
	Fields     []string `json:"fields"`          // of a row, that are prompts
	Lacks      string   `json:"lacks,omitempty"` // what is not in the files
	Prompts    int      `json:"prompts"`         // distinct ones
	SHA256     string   `json:"sha256"`          // of the file of hashes
	Note       string   `json:"note,omitempty"`
}

// Unknown is a benchmark whose prompts could not be had.
type Unknown struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// Manifest is benchmarks/manifest.json.
type Manifest struct {
	Benchmarks []Benchmark `json:"benchmarks"`
	Unknown    []Unknown   `json:"unknown"`
}

// ManifestName is the list's place in the folder.
const ManifestName = "manifest.json"

// File is the name of a benchmark's hashes in the folder.
func (b *Benchmark) File() string { return b.Name + ".bin" }

// Benchmarks is the list of those that are known.
func Benchmarks() Manifest {
	var m Manifest
	b, err := embedded.ReadFile("benchmarks/" + ManifestName)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		panic("corpus: the embedded list of benchmarks cannot be read")
	}
	return m
}

// magic begins a file of fingerprints; its last byte is the version of Normal and of the format.
var magic = [8]byte{'c', 'r', 'm', 'p', 'r', 'n', 't', 1}

// maxFingerprints bounds a file of them.
const maxFingerprints = 1 << 24

// AppendFingerprints writes a file of fingerprints: the magic bytes, their number (8 bytes, little endian), and the numbers in ascending order,
// likewise. The list is sorted in place and written without repetitions.
func AppendFingerprints(dst []byte, list []uint64) []byte {
	slices.Sort(list)
	list = slices.Compact(list)
	dst = append(dst, magic[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(list)))
	for _, v := range list {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	return dst
}

// ParseFingerprints reads such a file, of which nothing is trusted.
func ParseFingerprints(b []byte) ([]uint64, error) {
	if len(b) < 16 || [8]byte(b[:8]) != magic {
		return nil, errors.New("not a file of fingerprints of this version")
	}
	n := binary.LittleEndian.Uint64(b[8:])
	if n > maxFingerprints || uint64(len(b)) != 16+8*n {
		return nil, fmt.Errorf("says that it has %d fingerprints, and has %d bytes", n, len(b))
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = binary.LittleEndian.Uint64(b[16+8*i:])
		if i > 0 && list[i] <= list[i-1] {
			return nil, fmt.Errorf("fingerprint %d is not above the one before it", i)
		}
	}
	return list, nil
}

// benchmarkTable says which benchmarks have a prompt, as indices into the list.
func benchmarkTable(list []Benchmark) map[uint64][]uint8 {
	table := map[uint64][]uint8{}
	for i := range list {
		b, err := embedded.ReadFile("benchmarks/" + list[i].File())
		var prints []uint64
		if err == nil {
			prints, err = ParseFingerprints(b)
		}
		if err != nil {
			panic("corpus: the embedded fingerprints of a benchmark cannot be read")
		}
		for _, v := range prints {
			table[v] = append(table[v], uint8(i))
		}
	}
	return table
}

// Match is what of a benchmark was found in files.
type Match struct {
	Name    string   `json:"name"`
	Of      int      `json:"of"`      // prompts that the benchmark has
	Prompts int      `json:"prompts"` // of them, are in the files
	Rows    int      `json:"rows"`    // with one of them
	First   []string `json:"first"`   // of these rows, as file:line
}

// maxFirst bounds Match.First.
const maxFirst = 3

// match looks a record's prompt up, and its last turn.
func (x *Index) match(m *measured, file string) {
	var hit [256]bool
	for _, print := range []uint64{m.Sketch.Fingerprint, m.Last} {
		for _, i := range x.table[print] {
			if key := [2]uint64{uint64(i), print}; !x.matched[key] {
				x.matched[key] = true
				x.matches[i].Prompts++
			}
			if hit[i] {
				continue
			}
			hit[i] = true
			x.matches[i].Rows++
			if len(x.matches[i].First) < maxFirst {
				x.matches[i].First = append(x.matches[i].First, m.Seen.Place(file).String())
			}
		}
	}
}

// Matches are the benchmarks of which something was found.
func (x *Index) Matches() (list []Match) {
	for i, m := range x.matches {
		if m.Rows > 0 {
			m.Name, m.Of = x.list[i].Name, x.list[i].Prompts
			list = append(list, m)
		}
	}
	return list
}
