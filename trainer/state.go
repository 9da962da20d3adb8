package trainer

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"criticrm/checkpoint"
	"criticrm/kernels"
	"criticrm/model"
)

// stateVersion is the version of state in checkpoints.
const stateVersion = 2 // 1: last-epoch had one decay of the learning rate

// state is what a checkpoint holds besides tensors. With the recipe it says everything about where a run stands: the data
// order, the schedules and the head's first values are functions of the recipe and Step. Thread counts, paths and the wall
// clock are not state.
type state struct {
	Version  int               `json:"version"`
	Step     int               `json:"step"`      // updates that were tried
	Updates  int64             `json:"updates"`   // updates that were made: the t of the optimizer's bias corrections
	Consumed int64             `json:"consumed"`  // examples of the order that are behind
	Tokens   int64             `json:"tokens"`    // tokens that went through the model
	Skipped  int               `json:"skipped"`   // steps without an update because a gradient was not finite or a spike
	SkipRow  int               `json:"skip_row"`  // how many of the last steps, without a gap, had a gradient that was not finite
	Dropped  int               `json:"dropped"`   // examples that were not used
	Examples int               `json:"examples"`  // length of the data set
	DataHash string            `json:"data_hash"` // of the data set, "" if it cannot tell
	Recipe   map[string]string `json:"recipe"`    // every field as text
	EvalDue  bool              `json:"eval_due"`  // the evaluation after Step is still to be made
	Device   string            `json:"device"`    // that the run was on
	Frozen   string            `json:"frozen"`    // sha256 of the weights that are not trained, "" if all are: they are not stored
	Products string            `json:"products"`  // its algorithms for matrix products, which decide about the last bits

	Spikes int       `json:"spikes,omitempty"` // of the skipped ones, those whose norm was over the limit
	Norms  []float64 `json:"norms,omitempty"`  // the last gradient norms, with skip_grad_norm_zscore

	Best *best `json:"best,omitempty"` // of the figure that is followed; nil: none is
}

// buffers lists the tensors of a parameter that this process keeps, by the role they have in a checkpoint; there are none of one that is not trained.
func buffers(p *model.Param) (list []buffer) {
	for _, o := range p.Own {
		for _, b := range []buffer{{"weight", o.W, o.Lo}, {"master", o.Master, o.Lo}, {"m", o.M, o.Lo}, {"v", o.V, o.Lo}, {"scale", o.Scale, 2 * (o.Lo / kernels.MomentBlock)}} {
			if !b.t.IsNil() {
				list = append(list, b)
			}
		}
	}
	return list
}

// roles are what buffers can be.
var roles = []string{"weight", "master", "m", "v", "scale"}

// buffer is a tensor, or a part of one: from is its first element.
type buffer struct {
	role string
	t    kernels.Tensor
	from int
}

// part are the bytes of the whole that the buffer is.
func (b buffer) part() [2]int64 {
	at := int64(b.from * b.t.Type().Size())
	return [2]int64{at, at + int64(b.t.Bytes())}
}

// stored is how a buffer's whole stands in a checkpoint: its type's name in safetensors, and its shape.
func stored(p *model.Param, b buffer) (dtype string, shape []int64) {
	if b.role == "scale" {
		return "F32", []int64{int64((p.Len() + kernels.MomentBlock - 1) / kernels.MomentBlock), 2}
	}
	return map[kernels.DType]string{kernels.F32: "F32", kernels.BF16: "BF16", kernels.U8: "U8"}[b.t.Type()], shape64(p.Shape)
}

// snapshot is everything that training changes, and nothing else: per parameter the weight as stored, the float32 master where there is one, and the
// optimizer's moments with their scales. It is read while it is saved, a few megabytes at a time, so the model must not change before that
// is done, or before copyTo is. A value that is not finite, a negative second moment and a fault of the device are an unsound: such a checkpoint must not
// replace a good one.
func snapshot(m *model.Model, st state) (*checkpoint.State, *downloads, error) {
	out := &checkpoint.State{Step: int64(st.Step)}
	r := &downloads{m: m}
	for _, p := range m.Params() {
		for _, b := range buffers(p) {
			dtype, shape := stored(p, b)
			if m.Divided() > 0 {
				out.Ranges = append(out.Ranges, b.part())
			}
			out.Tensors = append(out.Tensors, checkpoint.TensorData{TensorInfo: checkpoint.TensorInfo{Name: b.role + "/" + p.Name, DType: dtype, Shape: shape}})
			r.tensors = append(r.tensors, download{t: b.t.View(b.t.Len()), positive: b.role == "v" || b.role == "scale"})
		}
	}
	out.Read = func(dst []byte, i int, begin int64) error {
		if out.Ranges != nil {
			begin -= out.Ranges[i][0]
		}
		if err := r.read(dst, i, int(begin)); err != nil {
			return unsound{fmt.Errorf("%s: %w", out.Tensors[i].Name, err)}
		}
		return nil
	}
	meta, err := json.Marshal(st)
	out.Meta = meta
	return out, r, err
}

// unsound is an error of the run, as opposed to the disk.
type unsound struct{ error }

func (e unsound) Unwrap() error { return e.error }

// downloads are the tensors of a checkpoint.
type downloads struct {
	m       *model.Model
	tensors []download
	copy    []byte // of all of them; nil: the device has them
}

type download struct {
	t        kernels.Tensor // flat
	positive bool
	at       int // in the copy
}

// copyBytes is how large the copy of a state is.
func copyBytes(m *model.Model) (n int) {
	for _, p := range m.Params() {
		for _, b := range buffers(p) {
			n += b.t.Bytes()
		}
	}
	return n
}

// copyTo copies the state to host, from which it is read then, with beside, which may be on another goroutine than the device's, or without.
func (r *downloads) copyTo(host []byte, beside func(host []byte, src kernels.Tensor) error) error {
	at := 0
	for i := range r.tensors {
		d := &r.tensors[i]
		part := host[at : at+d.t.Bytes()]
		if beside == nil {
			r.m.Dev.DownloadBytes(part, d.t)
		} else if err := beside(part, d.t); err != nil {
			return err
		}
		d.at = at
		at += len(part)
	}
	r.copy = host
	if beside == nil {
		return r.m.Dev.Sync()
	}
	return nil
}

// read fills dst with the bytes of tensor i from begin on.
func (r *downloads) read(dst []byte, i, begin int) error {
	d := r.tensors[i]
	size := d.t.Type().Size()
	at, n := begin/size, len(dst)/size
	if r.copy != nil {
		copy(dst, r.copy[d.at+begin:])
	} else {
		r.m.Dev.DownloadBytes(dst, d.t.Rows(at, at+n))
		if err := r.m.Dev.Sync(); err != nil {
			return err
		}
	}
	if i, v := firstUnsound(dst, d.t.Type(), d.positive); i >= 0 {
		return fmt.Errorf("element %d is %v", at+i, v)
	}
	return nil
}

// firstUnsound finds the first element that is not finite, or is negative where none may be; -1: there is none.
func firstUnsound(b []byte, typ kernels.DType, positive bool) (i int, v float32) {
	const exponent, negative = 0x7f80_0000, 0x8000_0000
	size := typ.Size()
	for at := 0; at < len(b) && size > 1; at += size {
		var bits uint32
		if size == 4 {
			bits = binary.LittleEndian.Uint32(b[at:])
		} else {
			bits = uint32(binary.LittleEndian.Uint16(b[at:])) << 16
		}
		if bits&exponent == exponent || positive && bits > negative { // -0 is none
			return at / size, math.Float32frombits(bits)
		}
	}
	return -1, 0
}

// restore reads a checkpoint into the model, after a look whether the run may go on from it.
func (r *run) restore(path string) (st state, err error) {
	var to *restore
	var no error // of the run, as opposed to the files
	begin := func(m *checkpoint.Manifest) error {
		if err := json.Unmarshal(m.Meta, &st); err != nil {
			no = fmt.Errorf("trainer: resume: %s: %w", path, err)
		} else if no = st.continues(r.c, r.plan, r.hash, r.st.Frozen); no == nil && int64(st.Step) != m.Step {
			no = fmt.Errorf("trainer: resume: %s is of step %d, its state of step %d", path, m.Step, st.Step)
		}
		if no == nil {
			to, no = newRestore(r.m, m)
		}
		return no
	}
	want := func(f *checkpoint.FileInfo) bool { return slices.ContainsFunc(f.Tensors, to.wants) }
	err = checkpoint.LoadSome(path, begin, want, func(p checkpoint.Piece, data []byte) error { return to.piece(p, data) })
	switch {
	case no != nil:
		return st, no
	case err != nil:
		return st, fmt.Errorf("trainer: resume: %w", err)
	}
	return st, r.m.Dev.Sync()
}

// restore is a checkpoint on its way into a model, or into this process's parts of it, bit for bit, a file at a time.
type restore struct {
	m      *model.Model
	places map[string][]buffer // where a tensor goes
}

// newRestore looks whether a checkpoint has exactly the model's tensors.
func newRestore(m *model.Model, manifest *checkpoint.Manifest) (*restore, error) {
	have := map[string]checkpoint.Piece{}
	for _, f := range manifest.Files {
		for _, p := range f.Tensors {
			have[p.Name] = p
		}
	}
	r := &restore{m, map[string][]buffer{}}
	known := map[string]bool{}
	for _, p := range m.Params() {
		for _, role := range roles {
			known[role+"/"+p.Name] = true // of another process, where they are divided
		}
		for _, b := range buffers(p) {
			name := b.role + "/" + p.Name
			want, shape := stored(p, b)
			t, ok := have[name]
			if !ok {
				return nil, fmt.Errorf("trainer: resume: the checkpoint has no tensor %s: it is of another model or dtype", name)
			}
			if bytes, err := (checkpoint.TensorInfo{Name: name, DType: t.DType, Shape: t.Shape}).Bytes(); err != nil || t.DType != want || !slices.Equal(t.Shape, shape) || bytes < b.part()[1] {
				return nil, fmt.Errorf("trainer: resume: tensor %s is %s %v in the checkpoint, %s %v in the model", name, t.DType, t.Shape, want, shape)
			}
			r.places[name] = append(r.places[name], b)
		}
	}
	for name := range have {
		if len(r.places[name]) > 0 || m.Divided() > 0 && known[name] {
			continue
		}
		return nil, fmt.Errorf("trainer: resume: the model has no place for the checkpoint's tensor %s", name)
	}
	return r, nil
}

// piece puts a part of a tensor in its place.
func (r *restore) piece(p checkpoint.Piece, data []byte) error {
	for _, b := range r.places[p.Name] {
		here, size := b.part(), int64(b.t.Type().Size())
		lo, hi := max(here[0], p.Begin), min(here[1], p.Begin+p.Bytes)
		if lo < hi {
			flat := b.t.View(b.t.Len())
			r.m.Dev.UploadBytes(flat.Rows(int((lo-here[0])/size), int((hi-here[0])/size)), data[lo-p.Begin:hi-p.Begin])
		}
	}
	return nil
}

// wants says whether a piece has something for this process.
func (r *restore) wants(p checkpoint.Piece) bool {
	return p.Bytes == 0 || slices.ContainsFunc(r.places[p.Name], func(b buffer) bool {
		here := b.part()
		return here[0] < p.Begin+p.Bytes && p.Begin < here[1]
	})
}

func shape64(shape []int) []int64 {
	out := make([]int64, len(shape))
	for i, n := range shape {
		out[i] = int64(n)
	}
	return out
}

// recipeText is the recipe for state.Recipe.
func recipeText(c Config) map[string]string {
	out := map[string]string{}
	for _, f := range Fields() {
		out[f.Name] = f.Text(c)
	}
	return out
}

// continues says whether a run in state st may go on with this recipe and data: nil, or an error that lists every change
// that matters, old → new.
func (st *state) continues(c Config, p Plan, dataHash, frozen string) error {
	if st.Version != stateVersion {
		return fmt.Errorf("trainer: resume: the checkpoint's state has version %d, this program reads %d", st.Version, stateVersion)
	}
	var changes []string
	for _, f := range Fields() {
		was, ok := st.Recipe[f.Name]
		for _, alias := range f.Aliases { // the field's name in an earlier program
			if v, old := st.Recipe[alias]; old && !ok {
				was, ok = v, true
			}
		}
		if !ok { // of a program that had not this field
			was = f.Default
		}
		if now := f.Text(c); !f.Free && was != now {
			changes = append(changes, fmt.Sprintf("%s was %s, now %s", f.Name, was, now))
		}
	}
	if len(changes) > 0 {
		return fmt.Errorf("trainer: cannot resume: %s (use the old values, or start a new run)", strings.Join(changes, "; "))
	}
	if st.Frozen != frozen {
		return fmt.Errorf("trainer: cannot resume: the weights that are not trained are others than when the run began (sha256 %.12s → %.12s): the model must be the same", st.Frozen, frozen)
	}
	if st.DataHash != dataHash {
		return fmt.Errorf("trainer: cannot resume: the training data changed since the run began (sha256 %.12s → %.12s); records, tokenizer, chat template and critique prompt must stay as they were", st.DataHash, dataHash)
	}
	if st.Examples != p.Examples {
		return fmt.Errorf("trainer: cannot resume: the training data had %d examples, now %d", st.Examples, p.Examples)
	}
	if st.Step < 0 || st.Step > p.Total || st.Consumed != p.consumed(st.Step) {
		return fmt.Errorf("trainer: cannot resume: step %d with %d examples behind is no point of this run", st.Step, st.Consumed)
	}
	return nil
}

// roundsOtherwise lists what a run may change when it goes on as now, and what yet changes its last bits.
func (st *state) roundsOtherwise(now state) (changes []string) {
	const tokens = "max_tokens_per_batch"
	if was := st.Recipe[tokens]; was != now.Recipe[tokens] {
		changes = append(changes, fmt.Sprintf("%s was %s, now %s", tokens, was, now.Recipe[tokens]))
	}
	if st.Device != "" && st.Device != now.Device {
		changes = append(changes, fmt.Sprintf("the device was %s, now %s", st.Device, now.Device))
	}
	return changes
}

// consumed is how many examples of the order are behind after a number of updates.
func (p Plan) consumed(step int) int64 {
	if p.PerEpoch == 0 {
		return 0
	}
	epoch, k := step/p.PerEpoch, step%p.PerEpoch
	return int64(epoch)*int64(p.Examples) + int64(k)*int64(p.Batch)
}
