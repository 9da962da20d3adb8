package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"

	"criticrm/strictjson"
)

// State is all that a training run needs to go on as if it had never stopped.
type State struct {
	Step    int64           // optimizer steps done
	Tensors []TensorData    // weights, master weights, moments; names are unique, order is kept
	Meta    json.RawMessage // everything else: config, position in the data, random streams; stored compactly

	// Read, where it is given, is where Save has the content of Tensors from, in place of their Data, so that never all of it is in
	// memory: it fills dst with the bytes of Tensors[i] from begin on, whole elements. It is called on Save's goroutine, once for each
	// byte and in order. Its error ends the save.
	Read func(dst []byte, i int, begin int64) error
}

// check is all that the tensors must satisfy to be saved.
func (s *State) check() error {
	infos := make([]TensorInfo, len(s.Tensors))
	for i, t := range s.Tensors {
		infos[i] = t.TensorInfo
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

const defaultFileRaw = 64 << 20 // raw bytes of a data file: enough to run near full speed, small enough for parallel work

// job is a data file to be made.
type job struct {
	name   string
	raw    int64
	pieces []Piece
	from   []int    // the tensor of each piece
	data   [][]byte // the bytes of each piece, element order, once read has been called
}

// file is a data file that has been made.
type file struct {
	info   FileInfo
	stored []byte
}

// plan checks the state and cuts it into files of at most fileRaw bytes each.
func plan(s *State, fileRaw int64) ([]job, json.RawMessage, error) {
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
		total, _ := t.Bytes() // checked above
		for begin := int64(0); begin == 0 || begin < total; {
			if len(jobs) == 0 || jobs[len(jobs)-1].raw+8 > fileRaw { // no room for one element
				jobs = append(jobs, job{name: fmt.Sprintf("tensors-%05d.zst", len(jobs))})
			}
			j := &jobs[len(jobs)-1]
			n := min(total-begin, (fileRaw-j.raw)/8*8)
			j.pieces = append(j.pieces, Piece{t.Name, t.DType, shape, j.raw, begin, n})
			j.from = append(j.from, i)
			j.raw += n
			if begin += n; total == 0 {
				break
			}
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

// read gets the bytes of the pieces.
func (j *job) read(s *State) error {
	for i, p := range j.pieces {
		if s.Read == nil {
			j.data = append(j.data, s.Tensors[j.from[i]].Data[p.Begin:p.Begin+p.Bytes])
			continue
		}
		b := make([]byte, p.Bytes)
		if err := s.Read(b, j.from[i], p.Begin); err != nil {
			return err
		}
		j.data = append(j.data, b)
	}
	return nil
}

// encode makes the file: planes, hash, frame, hash. The bytes depend on nothing but the job.
func (j *job) encode() file {
	raw := make([]byte, j.raw)
	var cuts []int
	for i, p := range j.pieces {
		splitPlanes(raw[p.Offset:p.Offset+p.Bytes], j.data[i], p.DType)
		cuts = planeCuts(cuts, int(p.Offset), int(p.Bytes), p.DType)
	}
	j.data = nil // not needed again, and large
	stored := encodeFrame(make([]byte, 0, j.raw/4*3+1024), raw, cuts)
	return file{stored: stored, info: FileInfo{
		Name: j.name, Stored: int64(len(stored)), StoredSHA256: sha256Hex(stored),
		Raw: j.raw, RawSHA256: sha256Hex(raw), Tensors: slices.Clone(j.pieces),
	}}
}

// inOrder runs work(0 … n-1) on several goroutines, a few ahead of use, and hands the results to use in order; prepare (nil: nothing)
// comes before work. It stops at the first error of prepare or use, which are called on this goroutine only: they may panic (a simulated
// crash does) and leave nothing behind that waits.
func inOrder[T any](n int, prepare func(i int) error, work func(i int) T, use func(i int, v T) error) error {
	ahead := min(n, runtime.GOMAXPROCS(0))
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
		if i+ahead < n {
			if err := start(i + ahead); err != nil {
				return err
			}
		}
		if err := use(i, v); err != nil {
			return err
		}
	}
	return nil
}
