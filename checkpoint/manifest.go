package checkpoint

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"

	"criticrm/checkpoint/vfs"
	"criticrm/strictjson"
)

// Versions of the directory layout, the manifest and the data files. In version 1 the pieces of a tensor follow each other, and what one process writes is
// of it; in version 2, which several processes write together, they stand in any order.
const (
	formatWhole   = 1
	formatParts   = 2
	formatVersion = formatParts // the newest that this program reads
)

const manifestName = "manifest.json"

// Manifest lists the files of a checkpoint. It is written last; its file ends with a line that holds the SHA-256 of all
// bytes above it, as a JSON string, so that JSON tools that take several values can read it.
type Manifest struct {
	Format int             `json:"format"`         // layout version
	Step   int64           `json:"step"`           // optimizer step
	Files  []FileInfo      `json:"files"`          // data files in order
	Meta   json.RawMessage `json:"meta,omitempty"` // State.Meta
}

// FileInfo describes a data file: one zstd frame.
type FileInfo struct {
	Name         string  `json:"name"`
	Stored       int64   `json:"stored"`        // bytes in the file
	StoredSHA256 string  `json:"stored_sha256"` // of them
	Raw          int64   `json:"raw"`           // bytes when decompressed
	RawSHA256    string  `json:"raw_sha256"`    // of them
	Tensors      []Piece `json:"tensors"`       // what these bytes are, without gaps
}

// Piece is a tensor, or a range of one that is larger than a file may be, stored as planes (see planes.go).
type Piece struct {
	Name   string  `json:"name"`
	DType  string  `json:"dtype"`
	Shape  []int64 `json:"shape"`
	Offset int64   `json:"offset"` // where its planes begin in the raw bytes of the file
	Begin  int64   `json:"begin"`  // where its bytes begin in the tensor
	Bytes  int64   `json:"bytes"`
}

// Sizes gives the bytes of all data files, stored and raw.
func (m *Manifest) Sizes() (stored, raw int64) {
	for i := range m.Files {
		stored += m.Files[i].Stored
		raw += m.Files[i].Raw
	}
	return stored, raw
}

func sha256Hex(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// encode gives the bytes of manifest.json: one line for each file, canonical JSON in it.
func (m *Manifest) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\"format\":%d,\"step\":%d,\"files\":[", m.Format, m.Step)
	for i := range m.Files {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(jsonText(&m.Files[i]))
	}
	b.WriteString("\n]")
	if len(m.Meta) > 0 {
		b.WriteString(",\n\"meta\":")
		b.Write(m.Meta)
	}
	b.WriteString("}\n")
	fmt.Fprintf(&b, "\"sha256:%s\"\n", sha256Hex(b.Bytes()))
	return b.Bytes()
}

// hashLine is the length of the last line: quotes, "sha256:", 64 digits, newline.
const hashLine = 1 + 7 + 64 + 1 + 1

var (
	errSelfHash = errors.New("its own checksum does not match")
	dataName    = regexp.MustCompile(`^[a-z0-9-]+\.zst$`)
)

// parseManifest checks the manifest's own hash first, then its form, then that its pieces make whole tensors.
func parseManifest(b []byte) (*Manifest, error) {
	if len(b) <= hashLine {
		return nil, errSelfHash
	}
	body, last := b[:len(b)-hashLine], string(b[len(b)-hashLine:])
	if last != "\"sha256:"+sha256Hex(body)+"\"\n" || body[len(body)-1] != '\n' {
		return nil, errSelfHash
	}
	if err := strictjson.Read(body, (*strictjson.Reader).Skip); err != nil {
		return nil, err
	}
	var v struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	if v.Format > formatVersion {
		return nil, fmt.Errorf("format %d is newer than this program knows (%d); use a newer version of it", v.Format, formatVersion)
	}
	if v.Format < 1 {
		return nil, fmt.Errorf("format: got %d, want 1..%d", v.Format, formatVersion)
	}
	m := &Manifest{}
	if err := json.Unmarshal(body, m); err != nil {
		return nil, err
	}
	return m, m.check()
}

func (m *Manifest) check() error {
	if m.Step < 0 {
		return fmt.Errorf("step: got %d, want ≥ 0", m.Step)
	}
	if len(m.Files) > maxDataFiles {
		return fmt.Errorf("%d files, limit %d", len(m.Files), maxDataFiles)
	}
	names, tensors := map[string]bool{}, map[string]bool{}
	var open *Piece // the piece before
	parts := map[string][]*Piece{}
	for i := range m.Files {
		f := &m.Files[i]
		if !dataName.MatchString(f.Name) || names[f.Name] {
			return fmt.Errorf("file name %s is not allowed here", quote(f.Name))
		}
		names[f.Name] = true
		if f.Stored < 0 || f.Raw < 0 || f.Raw > maxFileRaw || f.Stored > 2*maxFileRaw {
			return fmt.Errorf("file %s: sizes %d and %d are out of range", f.Name, f.Stored, f.Raw)
		}
		at := int64(0)
		for k := range f.Tensors {
			p := &f.Tensors[k]
			err := p.inside()
			if err == nil && m.Format == formatWhole {
				err = p.follows(open, tensors)
			}
			if err != nil {
				return fmt.Errorf("file %s: %w", f.Name, err)
			}
			parts[p.Name] = append(parts[p.Name], p)
			if p.Offset != at || p.Bytes > f.Raw-at {
				return fmt.Errorf("file %s: tensor %s is not where it should be", f.Name, quote(p.Name))
			}
			at += p.Bytes
			open = p
		}
		if at != f.Raw {
			return fmt.Errorf("file %s: tensors have %d bytes of %d", f.Name, at, f.Raw)
		}
	}
	if m.Format == formatWhole {
		if open != nil && !open.closes() {
			return fmt.Errorf("tensor %s is not complete", quote(open.Name))
		}
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if err := covered(parts[name]); err != nil {
			return err
		}
	}
	return nil
}

// covered says whether pieces are, in some order, a whole tensor.
func covered(list []*Piece) error {
	slices.SortFunc(list, func(a, b *Piece) int { return cmp.Compare(a.Begin, b.Begin) })
	for i, p := range list {
		end := int64(0)
		if i > 0 {
			before := list[i-1]
			end = before.Begin + before.Bytes
			if before.DType != p.DType || shapeText(before.Shape) != shapeText(p.Shape) {
				return fmt.Errorf("tensor %s: its pieces have different types or shapes", quote(p.Name))
			}
		}
		if p.Begin != end {
			return fmt.Errorf("tensor %s: a piece begins at byte %d, the one before it ends at %d", quote(p.Name), p.Begin, end)
		}
	}
	if last := list[len(list)-1]; !last.closes() {
		return fmt.Errorf("tensor %s is not complete", quote(last.Name))
	}
	return nil
}

// inside checks a piece by itself.
func (p *Piece) inside() error {
	if err := checkName(p.Name); err != nil {
		return err
	}
	t := TensorInfo{p.Name, p.DType, p.Shape}
	total, err := t.Bytes()
	if err != nil || len(p.Shape) > maxDims {
		return fmt.Errorf("tensor %s: bad dtype or shape", quote(p.Name))
	}
	size := dtypeSize(p.DType)
	if p.Bytes < 0 || p.Begin < 0 || p.Begin > total || p.Bytes > total-p.Begin || p.Bytes%size != 0 || p.Begin%size != 0 {
		return fmt.Errorf("tensor %s: bytes %d from %d are not inside it", quote(p.Name), p.Bytes, p.Begin)
	}
	return nil
}

// follows checks that a piece continues the tensor of the piece before or begins a new one.
func (p *Piece) follows(before *Piece, seen map[string]bool) error {
	if p.Begin > 0 {
		if before == nil || before.Name != p.Name || before.DType != p.DType ||
			shapeText(before.Shape) != shapeText(p.Shape) || before.Begin+before.Bytes != p.Begin {
			return fmt.Errorf("tensor %s: begins at byte %d", quote(p.Name), p.Begin)
		}
		return nil
	}
	if seen[p.Name] || before != nil && !before.closes() {
		return fmt.Errorf("tensor %s appears twice, or the one before is not complete", quote(p.Name))
	}
	seen[p.Name] = true
	return nil
}

// closes says whether the piece is the last of its tensor.
func (p *Piece) closes() bool {
	total, err := TensorInfo{p.Name, p.DType, p.Shape}.Bytes()
	return err == nil && p.Begin+p.Bytes == total
}

var stepName = regexp.MustCompile(`^step-(\d{8,18})(?:-r(\d{1,6}))?$`)

// stepOf takes the step and the repetition out of a directory's name.
func stepOf(name string) (step int64, repeat int, ok bool) {
	m := stepName.FindStringSubmatch(name)
	if m == nil {
		return 0, 0, false
	}
	step, err := strconv.ParseInt(m[1], 10, 64)
	if m[2] != "" {
		repeat, _ = strconv.Atoi(m[2])
	}
	return step, repeat, err == nil
}

func stepDir(step int64, repeat int) string {
	if repeat > 1 {
		return fmt.Sprintf("step-%08d-r%d", step, repeat)
	}
	return fmt.Sprintf("step-%08d", step)
}

// readManifest reads the manifest of the checkpoint directory dir and compares its step with the directory's name.
func readManifest(fsys vfs.FS, dir string) (*Manifest, error) {
	shown := path.Base(dir) + "/" + manifestName
	b, err := vfs.ReadFile(fsys, join(dir, manifestName), maxManifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path.Base(dir), shorter(err))
	}
	m, err := parseManifest(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	if step, _, ok := stepOf(path.Base(dir)); ok && step != m.Step {
		return nil, fmt.Errorf("%s: is of step %d", shown, m.Step)
	}
	return m, nil
}

// shorter leaves the base of the file name in an error of vfs; the directory is said before it.
func shorter(err error) error {
	var ve *vfs.Error
	if errors.As(err, &ve) {
		return &vfs.Error{Op: ve.Op, Name: path.Base(ve.Name), Err: ve.Err}
	}
	return err
}
