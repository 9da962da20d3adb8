package stage

// A stage's rows in parts, each made by a run of its own, on other machines perhaps, and put together behind it.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"criticrm/checkpoint"
	"criticrm/safefile"
)

// Shard is one of Of parts of an input, each of consecutive records, as long as the others but for one record.
type Shard struct {
	Index int `json:"index"` // from 0
	Of    int `json:"of"`
}

// ParseShard reads "2/8".
func ParseShard(text string) (s Shard, err error) {
	index, of, ok := strings.Cut(text, "/")
	s.Index, err = strconv.Atoi(index)
	if err == nil {
		s.Of, err = strconv.Atoi(of)
	}
	if !ok || err != nil || !s.valid() {
		return Shard{}, fmt.Errorf("shard %.40q: want the number of a part and how many there are, as 0/4 to 3/4", text)
	}
	return s, nil
}

// valid bounds what numbers may say.
func (s *Shard) valid() bool { return s.Of >= 1 && s.Of <= 1<<20 && s.Index >= 0 && s.Index < s.Of }

// String is the part as people say it.
func (s *Shard) String() string {
	if s == nil {
		return "all records"
	}
	return fmt.Sprintf("part %d/%d", s.Index, s.Of)
}

// Path is where a part of an output lies.
func (s Shard) Path(out string) string {
	ext := filepath.Ext(out)
	return fmt.Sprintf("%s.shard-%d-of-%d%s", strings.TrimSuffix(out, ext), s.Index, s.Of, ext)
}

// span is which of n records are the part's: [first, end).
func (s *Shard) span(n int) (first, end int) {
	if s == nil {
		return 0, n
	}
	return n * s.Index / s.Of, n * (s.Index + 1) / s.Of
}

// parts finds the parts of an output.
func parts(out string) ([]Shard, error) {
	ext := filepath.Ext(out)
	name := regexp.MustCompile("^" + regexp.QuoteMeta(strings.TrimSuffix(filepath.Base(out), ext)) + `\.shard-(\d+)-of-(\d+)` + regexp.QuoteMeta(ext) + "$")
	entries, err := os.ReadDir(filepath.Dir(out))
	if err != nil {
		return nil, err
	}
	of, found := 0, map[int]bool{}
	for _, e := range entries {
		m := name.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		s, err := ParseShard(m[1] + "/" + m[2])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if of > 0 && s.Of != of {
			return nil, fmt.Errorf("there are parts of %d and of %d beside each other: remove those that are not meant", min(of, s.Of), max(of, s.Of))
		}
		of, found[s.Index] = s.Of, true
	}
	if of == 0 {
		return nil, fmt.Errorf("there is no %s", filepath.Base(Shard{0, 2}.Path(out)))
	}
	list := make([]Shard, of)
	for i := range list {
		if list[i] = (Shard{i, of}); !found[i] {
			return nil, fmt.Errorf("part %s is missing", filepath.Base(list[i].Path(out)))
		}
	}
	return list, nil
}

// Merge puts the parts of an output together, in order. What it writes is what one run without parts writes, its sidecar too; the parts stay.
// restart replaces an earlier output.
func Merge(out string, restart bool) (records, shards int, err error) {
	records, shards, err = merge(out, restart)
	if err != nil {
		err = fmt.Errorf("merge: %s: %w", out, err)
	}
	return records, shards, err
}

func merge(out string, restart bool) (records, shards int, err error) {
	list, err := parts(out)
	if err != nil {
		return 0, 0, err
	}
	if _, err := os.Lstat(out); !restart && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, errors.New("it is there already: remove it, choose another name or restart")
	}
	var whole *sidecar
	for _, s := range list {
		side, err := readSidecar(s.Path(out))
		if err != nil {
			return 0, 0, err
		}
		name := filepath.Base(s.Path(out))
		switch {
		case !side.Complete:
			return 0, 0, fmt.Errorf("%s is not complete: finish the stage that writes it first", name)
		case side.Shard == nil || *side.Shard != s:
			return 0, 0, fmt.Errorf("%s says that it is another part", filepath.Base(SidecarPath(name)))
		}
		first, end := s.span(side.Input.Records)
		if side.Done != end-first {
			return 0, 0, fmt.Errorf("%s has %d rows, and the part has %d", name, side.Done, end-first)
		}
		if whole == nil {
			whole = new(*side)
			continue
		}
		side.Shard = whole.Shard
		if what := whole.differs(side); what != "" {
			return 0, 0, fmt.Errorf("%s is not of the same work as part 0: %s", name, what)
		}
	}
	whole.Shard, whole.Done = nil, whole.Input.Records
	if err := join(out, list, whole); err != nil {
		return 0, 0, err
	}
	return whole.Done, len(list), nil
}

// join writes the rows of the parts, which must be as their sidecars say, and then the state.
func join(out string, list []Shard, whole *sidecar) (err error) {
	to, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(to.Name()) // it is out by then, or not wanted
	defer to.Close()
	if err := to.Chmod(0o644); err != nil {
		return err
	}
	sum := sha256.New()
	whole.Bytes = 0
	for _, s := range list {
		n, err := copyPart(io.MultiWriter(to, sum), s.Path(out))
		if err != nil {
			return err
		}
		whole.Bytes += n
	}
	whole.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if err := to.Sync(); err != nil {
		return err
	}
	b, err := json.MarshalIndent(whole, "", "  ")
	if err == nil {
		err = os.RemoveAll(SidecarPath(out)) // an old one must not speak of the new file
	}
	if err == nil {
		err = os.Rename(to.Name(), out)
	}
	if err == nil {
		err = checkpoint.WriteFileAtomic(SidecarPath(out), append(b, '\n'))
	}
	return err
}

// copyPart copies a part.
func copyPart(to io.Writer, path string) (n int64, err error) {
	side, err := readSidecar(path)
	if err != nil {
		return 0, err
	}
	in, err := safefile.Open(path)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	own := sha256.New()
	if n, err = io.Copy(io.MultiWriter(to, own), in); err != nil {
		return n, err
	}
	if got := hex.EncodeToString(own.Sum(nil)); got != side.SHA256 {
		return n, fmt.Errorf("%s is not as its stage has left it (sha256 %.12s…, %s says %.12s…)", filepath.Base(path), got, filepath.Base(SidecarPath(path)), side.SHA256)
	}
	return n, nil
}
