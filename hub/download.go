package hub

// Files of a commit, from the hub into the cache: what is there is not fetched, what is there in part goes on, what is not what the hub says it
// is does not stay.

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"criticrm/checkpoint"
)

// maxAnswer bounds an answer of the hub that is JSON, in bytes.
const maxAnswer = 64 << 20

// json asks the endpoint for an object, and gives the address of the next page.
func (c *conn) json(ctx context.Context, n Name, address string, into any) (next string, err error) {
	err = c.repeat(ctx, n.Repo, func() (bool, error) {
		ctx, silent := c.watch(ctx)
		defer silent.stop()
		a, err := c.get(ctx, address, 0)
		if err != nil {
			return false, silent.reason(err)
		}
		if a.StatusCode != http.StatusOK {
			return false, c.refused(n, "", a)
		}
		defer a.Body.Close()
		b, err := io.ReadAll(io.LimitReader(silent.over(a.Body), maxAnswer+1))
		switch {
		case err != nil:
			return false, silent.reason(&failure{err: fmt.Errorf("%s: %w", c.host, err), again: true})
		case len(b) > maxAnswer:
			return false, fail("%s: an answer over %d bytes", c.host, maxAnswer)
		}
		if err := json.Unmarshal(b, into); err != nil {
			return false, fail("%s: no answer of a hub: %v (is HF_ENDPOINT right, or is there a login page on the way?)", c.host, err)
		}
		next = nextPage(a.Header.Get("Link"))
		return true, nil
	})
	return next, err
}

// nextPage reads a Link header: <https://…>; rel="next".
func nextPage(link string) string {
	for _, one := range strings.Split(link, ",") {
		address, rel, _ := strings.Cut(one, ";")
		if strings.Contains(rel, `rel="next"`) {
			return strings.Trim(strings.TrimSpace(address), "<>")
		}
	}
	return ""
}

// head asks which commit the revision is.
func (c *conn) head(ctx context.Context, n Name) (string, error) {
	if commitID.MatchString(n.Revision) {
		return n.Revision, nil
	}
	var info struct {
		SHA string `json:"sha"`
	}
	if _, err := c.json(ctx, n, c.api(n, "revision", n.Revision), &info); err != nil {
		return "", err
	}
	if !commitID.MatchString(info.SHA) {
		return "", fail("%s: no answer of a hub: the commit of %s is %.60q", c.host, n.Repo, info.SHA)
	}
	return info.SHA, nil
}

func (c *conn) api(n Name, what, revision string) string {
	return fmt.Sprintf("%s/api/%s/%s/%s/%s", c.hub.Endpoint, n.Kind, n.Repo, what, url.PathEscape(revision))
}

// maxPages bounds a list of files; a page has about a thousand.
const maxPages = 1000

// list asks for the files of the commit, unless they are known, and keeps the list.
func (c *conn) list(ctx context.Context, s *snapshot) error {
	if s.tree != nil {
		return nil
	}
	t := tree{}
	var odd []string
	address := c.api(s.name, "tree", s.commit) + "?recursive=true&expand=false"
	for page := 0; address != ""; page++ {
		var items []struct {
			Type, Path, OID string
			Size            int64
			LFS             *struct {
				OID  string
				Size int64
			}
			XetHash string
		}
		next, err := c.json(ctx, s.name, address, &items)
		if err != nil {
			return err
		}
		for _, it := range items {
			if it.Type != "file" {
				continue
			}
			e := entry{Size: it.Size, BlobID: it.OID, XetHash: it.XetHash}
			if it.LFS != nil {
				e.LFSSHA256, e.LFSSize = it.LFS.OID, &it.LFS.Size
			}
			err := e.check()
			if err == nil && !filepath.IsLocal(it.Path) {
				err = errors.New("it leads elsewhere")
			}
			if err != nil {
				return fail("%s: its list of files has %.80q, which no file of a hub is like: %v", c.host, it.Path, err)
			}
			if !isInside(it.Path) {
				odd = append(odd, strconv.Quote(it.Path))
				continue
			}
			t[it.Path] = e
		}
		if address = next; next == "" {
			break
		}
		u, err := c.home.Parse(next)
		if err != nil || u.Host != c.host || u.Scheme != c.home.Scheme || page == maxPages {
			return fail("%s: its list of files goes on at %.80q, which is not followed", c.host, next)
		}
		address = u.String()
	}
	if s.tree = t; len(odd) > 0 { // the list is not whole, so it is not kept
		c.hub.say("%s: left out for their names: %s", s.name.Repo, few(odd))
		return nil
	}
	return s.keepTree()
}

// atOnce is how many files are fetched side by side.
const atOnce = 4

// fetch gets those of the files that are not there. The list of the commit's files must be known, and have them.
func (c *conn) fetch(ctx context.Context, s *snapshot, files []string) error {
	files, err := s.missing(files)
	if err != nil || len(files) == 0 {
		return err
	}
	bar := &meter{hub: c.hub, what: s.name.Repo}
	for _, file := range files {
		got, err := s.fetched(s.tree[file])
		if err != nil {
			return err
		}
		bar.total, bar.done = bar.total+s.tree[file].size(), bar.done+got
	}
	if free, err := checkpoint.Free(c.hub.Cache); err == nil && free < uint64(bar.total-bar.done) {
		return fmt.Errorf("hub: %s: %s are to be downloaded, and the disk of %s has %s left: make room, or set HF_HOME to another disk",
			s.name, checkpoint.MiB(uint64(bar.total-bar.done)), c.hub.Cache, checkpoint.MiB(free))
	}
	c.hub.say("%s: downloading %s (%s) of commit %.12s into %s", s.name.Repo, count(len(files), "file"), checkpoint.MiB(uint64(bar.total-bar.done)), s.commit, s.repo.dir)
	bar.add(0)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	errs := make([]error, len(files))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, file := range files {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-slots }()
			if errs[i] = c.file(ctx, s, file, bar); errs[i] != nil {
				stop(errs[i]) // the others end where they are, and go on there
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// partial is where a file is while it is fetched.
func partial(blob string) string { return blob + ".incomplete" }

// fetched is how many bytes of a file are there.
func (s *snapshot) fetched(e entry) (int64, error) {
	for _, path := range [...]string{s.blob(e.hash()), partial(s.blob(e.hash()))} {
		info, err := os.Stat(path)
		if err == nil {
			return min(info.Size(), e.size()), nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return 0, fmt.Errorf("hub: %w", err)
		}
	}
	return 0, nil
}

// file gets one file.
func (c *conn) file(ctx context.Context, s *snapshot, file string, bar *meter) error {
	e := s.tree[file]
	blob := s.blob(e.hash())
	release, err := c.hub.hold(ctx, s.lock(e.hash()), file)
	if err != nil {
		return err
	}
	defer release()
	info, err := os.Stat(blob)
	if err != nil || info.Size() != e.size() {
		if err := os.MkdirAll(filepath.Dir(blob), 0o777); err != nil {
			return fmt.Errorf("hub: %w", err)
		}
		if err := c.download(ctx, s, file, bar); err != nil {
			return full(err, s, file)
		}
	}
	return s.link(file, e.hash())
}

// full says more of a disk that is.
func full(err error, s *snapshot, file string) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("hub: %s: %s: %w: make room on the disk of %s, or set HF_HOME to another one; what has come stays, and the same command goes on",
			s.name, file, err, s.hub.Cache)
	}
	return err
}

// download gets a blob: into a file beside it, and under its name when it is what the hub says.
func (c *conn) download(ctx context.Context, s *snapshot, file string, bar *meter) error {
	e := s.tree[file]
	path := partial(s.blob(e.hash()))
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	defer out.Close()
	for again := false; ; again = true {
		old, err := c.fill(ctx, s, file, out, bar)
		if err != nil {
			return named(s.name, file, err)
		}
		is, err := verify(out, e)
		if err == nil && is == e.hash() {
			break
		}
		if err == nil && old && !again { // what was there before was of another file, or damaged
			c.hub.say("%s: %s: what an earlier download has left is damaged: from the start", s.name.Repo, file)
			err = out.Truncate(0)
			bar.add(-e.size())
			if err == nil {
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("hub: %w", err)
		}
		return errors.Join(fmt.Errorf("hub: %s: %s has come whole, but its hash is %.16s… and the hub says %.16s…: it was changed on the way, or the server is damaged: nothing is kept of it; try again, or elsewhere",
			s.name, file, is, e.hash()), os.Remove(path))
	}
	if err := out.Sync(); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	if err := os.Rename(path, s.blob(e.hash())); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	return nil
}

// named gives an error of a request the name that it was for; those of the user's wish to stop, and of files, pass.
func named(n Name, file string, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	return fmt.Errorf("hub: %s: %s: %w", n, file, err)
}

// fill gets what is missing of a file. old says that some of it was there before.
func (c *conn) fill(ctx context.Context, s *snapshot, file string, out *os.File, bar *meter) (old bool, err error) {
	e := s.tree[file]
	address := c.page(s.name) + "/resolve/" + s.commit + "/" + escape(file)
	first := true
	err = c.repeat(ctx, file, func() (gotOn bool, err error) {
		info, err := out.Stat()
		if err != nil {
			return false, err
		}
		had := info.Size()
		if had > e.size() {
			bar.add(-e.size())
			if had, err = 0, out.Truncate(0); err != nil {
				return false, err
			}
		}
		if old, first = old || first && had > 0, false; had == e.size() {
			return true, nil
		}
		has, err := c.rest(ctx, s, file, address, out, had, bar)
		return has-had >= progress, err
	})
	return old, err
}

func escape(file string) string {
	segments := strings.Split(file, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	return strings.Join(segments, "/")
}

// rest asks for a file from a byte on, and gives how many are there afterwards.
func (c *conn) rest(ctx context.Context, s *snapshot, file, address string, out *os.File, had int64, bar *meter) (has int64, err error) {
	e := s.tree[file]
	ctx, silent := c.watch(ctx)
	defer silent.stop()
	a, err := c.get(ctx, address, had)
	if err != nil {
		return had, silent.reason(err)
	}
	switch {
	case a.StatusCode == http.StatusOK && had > 0: // it knows no ranges
		bar.add(-had)
		had = 0
	case a.StatusCode == http.StatusRequestedRangeNotSatisfiable && had > 0:
		a.Body.Close()
		bar.add(-had)
		return 0, errors.Join(out.Truncate(0), &failure{err: fmt.Errorf("%s: has no more of it than %d bytes", a.Request.URL.Host, had), again: true})
	case a.StatusCode == http.StatusPartialContent && had > 0:
		if start, ok := rangeStart(a.Header.Get("Content-Range")); !ok || start != had {
			a.Body.Close()
			return had, fail("%s: asked for bytes from %d on, it sends %.60q", a.Request.URL.Host, had, a.Header.Get("Content-Range"))
		}
	case a.StatusCode != http.StatusOK:
		return had, c.refused(s.name, file, a)
	}
	defer a.Body.Close()
	switch {
	case a.commit != "" && a.commit != s.commit:
		return had, fail("%s: asked for commit %.12s, it sends %.60q", c.host, s.commit, a.commit)
	case e.LFSSHA256 != "" && sha256ID.MatchString(a.etag) && a.etag != e.LFSSHA256:
		return had, fail("%s: the list of files has sha256 %.16s…, the file %.16s…", c.host, e.LFSSHA256, a.etag)
	}
	if err := out.Truncate(had); err != nil {
		return had, err
	}
	has, err = copyTo(out, had, e.size(), silent.over(a.Body), bar)
	var w *os.PathError
	switch {
	case errors.As(err, &w):
		return has, err
	case err != nil:
		return has, silent.reason(&failure{err: fmt.Errorf("%s: %w after %d of %d bytes", a.Request.URL.Host, err, has, e.size()), again: true})
	case has < e.size():
		return has, &failure{err: fmt.Errorf("%s: the answer ends after %d of %d bytes", a.Request.URL.Host, has, e.size()), again: true}
	}
	return has, nil
}

// rangeStart reads "bytes 100-199/200".
func rangeStart(header string) (start int64, ok bool) {
	_, err := fmt.Sscanf(header, "bytes %d-", &start)
	return start, err == nil
}

// errMore says that a file is longer than the hub has said.
var errMore = errors.New("more comes than the hub has said")

// copyTo writes what comes behind the bytes that are there.
func copyTo(out *os.File, has, want int64, from io.Reader, bar *meter) (int64, error) {
	buffer := make([]byte, 1<<20)
	for {
		n, err := from.Read(buffer)
		if int64(n) > want-has {
			return has, errMore
		}
		if n > 0 {
			written, werr := out.WriteAt(buffer[:n], has)
			has += int64(written)
			bar.add(int64(written))
			if werr != nil {
				return has, werr
			}
		}
		if err == io.EOF {
			return has, nil
		}
		if err != nil {
			return has, err
		}
	}
}

// verify gives the hash of a whole file, of the kind that its name is: sha256 of the bytes, or git's.
func verify(f *os.File, e entry) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	var h hash.Hash
	if h = sha256.New(); e.LFSSHA256 == "" {
		h = sha1.New()
		fmt.Fprintf(h, "blob %d\x00", info.Size())
	}
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// meter adds up what comes of several files.
type meter struct {
	hub         *Hub
	what        string
	mu          sync.Mutex
	done, total int64
}

func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.done += n; m.hub.Progress != nil {
		m.hub.Progress(m.what, m.done, m.total)
	}
}

// silence ends a request in which nothing comes for too long.
type silence struct {
	timer *time.Timer
	after time.Duration
	stop  func()
	ctx   context.Context
}

var errSilent = errors.New("nothing has come")

// watch begins a request, whose headers have a patience of their own.
func (c *conn) watch(ctx context.Context) (context.Context, *silence) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &silence{after: c.hub.Stall, ctx: ctx}
	s.timer = time.AfterFunc(c.hub.HeaderTimeout*2, func() { cancel(errSilent) })
	s.stop = func() { s.timer.Stop(); cancel(nil) }
	return ctx, s
}

// over is a body that is listened to.
func (s *silence) over(body io.Reader) io.Reader {
	s.timer.Reset(s.after)
	return readerFunc(func(b []byte) (int, error) {
		n, err := body.Read(b)
		s.timer.Reset(s.after)
		return n, err
	})
}

// reason is err, or the silence that it comes of.
func (s *silence) reason(err error) error {
	if errors.Is(context.Cause(s.ctx), errSilent) {
		return &failure{err: fmt.Errorf("nothing has come for %v", s.after), again: true}
	}
	if cause := context.Cause(s.ctx); cause != nil {
		return cause
	}
	return err
}

type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
