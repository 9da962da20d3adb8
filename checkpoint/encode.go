package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"criticrm/strictjson"
)

// State is all that a training run needs to go on as if it had never stopped.
type State struct {
	Step    int64           // optimizer steps done
	Tensors []TensorData    // weights, master weights, moments; names are unique, order is kept
	Meta    json.RawMessage // everything else: config, position in the data, random streams; stored compactly

	// Ranges, where it is given, says which bytes of each of Tensors are here: from the first number up to the second. Names may be repeated then: it is for
	// WritePart.
	Ranges [][2]int64

	// Read, where it is given, is where Save has the content of Tensors from, in place of their Data, so that never all of it is in
	// memory: it fills dst with the bytes of Tensors[i] from begin on, whole elements and a few megabytes. It is called on Save's goroutine, once for each
	// byte and in order. Its error ends the save.
	Read func(dst []byte, i int, begin int64) error
}

// check is all that the tensors must satisfy to be saved.
func (s *State) check() error {
	var infos []TensorInfo
	seen := map[string]bool{}
	for _, t := range s.Tensors {
		if s.Ranges == nil || !seen[t.Name] {
			infos = append(infos, t.TensorInfo)
		}
		seen[t.Name] = true
	}
	if err := checkTensors(infos); err != nil || s.Read != nil {
		return err
	}
	for _, t := range s.Tensors {
		if err := t.checkData(t.Data); err != nil {
			return err
		}
	}
	return nil
}

// defaultFileRaw is how many raw bytes a data file has: enough to run near full speed, little enough for parallel work in little memory.
const defaultFileRaw = 32 << 20

// job is a data file to be made.
type job struct {
	name   string
	raw    int64
	pieces []Piece
	from   []int  // the tensor of each piece
	planes []byte // the raw bytes, once read has been called
}

// file is a data file that has been made.
type file struct {
	info   FileInfo
	stored []byte
}

// plan checks the state and cuts it into files of at most fileRaw bytes each, whose names begin with prefix.
func plan(s *State, fileRaw int64, prefix string) ([]job, json.RawMessage, error) {
	if s.Step < 0 {
		return nil, nil, fmt.Errorf("step %d is negative", s.Step)
	}
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	meta, err := compactMeta(s.Meta)
	if err != nil {
		return nil, nil, err
	}
	var jobs []job
	for i := range s.Tensors {
		t := &s.Tensors[i]
		shape := t.Shape
		if shape == nil {
			shape = []int64{}
		}
		begin, end := int64(0), int64(0)
		end, _ = t.Bytes() // checked above
		if s.Ranges != nil {
			begin, end = s.Ranges[i][0], s.Ranges[i][1]
		}
		for first := true; first || begin < end; first = false {
			if len(jobs) == 0 || jobs[len(jobs)-1].raw+8 > fileRaw { // no room for one element
				jobs = append(jobs, job{name: fmt.Sprintf("%stensors-%05d.zst", prefix, len(jobs))})
			}
			j := &jobs[len(jobs)-1]
			n := min(end-begin, (fileRaw-j.raw)/8*8)
			j.pieces = append(j.pieces, Piece{t.Name, t.DType, shape, j.raw, begin, n})
			j.from = append(j.from, i)
			j.raw += n
			begin += n
		}
	}
	return jobs, meta, nil
}

func compactMeta(meta json.RawMessage) (json.RawMessage, error) {
	if len(meta) == 0 {
		return nil, nil
	}
	if len(meta) > maxState {
		return nil, fmt.Errorf("meta has %d bytes, limit %d", len(meta), maxState)
	}
	if err := strictjson.Read(meta, (*strictjson.Reader).Skip); err != nil {
		return nil, fmt.Errorf("meta: %w", err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, meta); err != nil {
		return nil, fmt.Errorf("meta: %w", err)
	}
	return b.Bytes(), nil
}

// read gets the bytes of the pieces, as planes.
func (j *job) read(s *State, free *buffers) error {
	j.planes = free.get(int(j.raw))
	if s.Read != nil && free.part == nil {
		free.part = make([]byte, readChunk)
	}
	for i, p := range j.pieces {
		planes := j.planes[p.Offset : p.Offset+p.Bytes]
		if s.Read == nil {
			splitPlanes(planes, s.Tensors[j.from[i]].Data[p.Begin:p.Begin+p.Bytes], p.DType, 0)
			continue
		}
		for at := int64(0); at < p.Bytes; at += readChunk {
			b := free.part[:min(readChunk, p.Bytes-at)]
			if err := s.Read(b, j.from[i], p.Begin+at); err != nil {
				return err
			}
			splitPlanes(planes, b, p.DType, int(at/dtypeSize(p.DType)))
		}
	}
	return nil
}

// encode makes the file: hash, frame, hash. The bytes depend on nothing but the job.
func (j *job) encode(free *buffers) file {
	raw := j.planes
	j.planes = nil
	var cuts []int
	for _, p := range j.pieces {
		cuts = planeCuts(cuts, int(p.Offset), int(p.Bytes), p.DType)
	}
	stored := encodeFrame(free.get(frameMax(len(raw), len(cuts)))[:0], raw, cuts)
	f := file{stored: stored, info: FileInfo{
		Name: j.name, Stored: int64(len(stored)), StoredSHA256: sha256Hex(stored),
		Raw: j.raw, RawSHA256: sha256Hex(raw), Tensors: slices.Clone(j.pieces),
	}}
	free.put(raw)
	return f
}

// buffers is memory of a save or load that is used again, so that what is taken is what is in use.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
	part []byte // of job.read
}

// get gives n bytes of any content.
func (b *buffers) get(n int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	best := -1
	for i, x := range b.free {
		if cap(x) >= n && (best < 0 || cap(x) < cap(b.free[best])) {
			best = i
		}
	}
	if best < 0 {
		if most := frameMax(defaultFileRaw, 4096); n > readChunk && n < most {
			return make([]byte, n, most) // fits any file
		}
		return make([]byte, n)
	}
	x := b.free[best]
	b.free = slices.Delete(b.free, best, best+1)
	return x[:n]
}

// put gives bytes back.
func (b *buffers) put(x []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, x)
}

// SaveMemory is how many bytes of the host's memory a save or a load takes at most, beside the state and the coders' own, which are small.
func SaveMemory() uint64 { return uint64(2*(workers()+1)*frameMax(defaultFileRaw, 4096) + readChunk) }

// workers is how many files are encoded or decoded at once: more than disks can follow, and bounded in memory.
func workers() int { return min(runtime.GOMAXPROCS(0), 8) }

// inOrder runs work(0 … n-1) on several goroutines, a few ahead of use, and hands the results to use in order; prepare (nil: nothing)
// comes before work. It stops at the first error of prepare or use, which are called on this goroutine only: they may panic (a simulated
// crash does) and leave nothing behind that waits.
func inOrder[T any](n int, prepare func(i int) error, work func(i int) T, use func(i int, v T) error) error {
	ahead := min(n, workers())
	results := make([]chan T, n)
	start := func(i int) error {
		if prepare != nil {
			if err := prepare(i); err != nil {
				return err
			}
		}
		results[i] = make(chan T, 1)
		go func() { results[i] <- work(i) }()
		return nil
	}
	for i := range ahead {
		if err := start(i); err != nil {
			return err
		}
	}
	for i := range n {
		v := <-results[i]
		results[i] = nil
		var next error
		if i+ahead < n {
			next = start(i + ahead)
		}
		if err := use(i, v); err != nil { // of what comes first
			return err
		}
		if next != nil {
			return next
		}
	}
	return nil
}
