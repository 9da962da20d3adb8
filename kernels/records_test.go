//go:build !cuda

package kernels_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"criticrm/kernels/kerneltest"
	"criticrm/kernels/kerneltest/spec"
)

// schedule is how the software GPU runs a case (emu/device.h), as testdata/cases.h reads it.
type schedule struct {
	name                       string
	order, async, seed, shared uint64
}

// The last is a GPU with little shared memory.
var schedules = []schedule{{"forward/lazy", 0, 0, 1, 0}, {"reverse/eager", 1, 1, 2, 0}, {"random/mixed", 2, 2, 3, 99 << 10}}

// library makes records of the specification's cases, each once.
type library struct {
	header *spec.Header
	cases  []spec.Case
	lock   sync.Mutex
	made   map[string]*kerneltest.Record
}

func openLibrary(t *testing.T) *library {
	text, err := os.ReadFile("kernels.h")
	if err != nil {
		t.Fatal(err)
	}
	l := &library{made: map[string]*kerneltest.Record{}}
	if l.header, err = spec.ReadHeader(string(text)); err != nil {
		t.Fatal(err)
	}
	l.cases = slices.DeleteFunc(spec.Cases(), func(c spec.Case) bool { return c.Long || !kerneltest.Plain(c) })
	return l
}

func (l *library) record(c spec.Case) *kerneltest.Record {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.made[c.Name] == nil {
		l.made[c.Name] = kerneltest.NewRecord(l.header, c)
	}
	return l.made[c.Name]
}

// named are the cases whose names match a pattern from their beginning.
func (l *library) named(t *testing.T, pattern string) []spec.Case {
	match := regexp.MustCompile("^(?:" + pattern + ")")
	cases := slices.DeleteFunc(slices.Clone(l.cases), func(c spec.Case) bool { return !match.MatchString(c.Name) })
	if len(cases) == 0 {
		t.Fatalf("no case has a name like %s", pattern)
	}
	return cases
}

// program is one of testdata/cases_*.cc at work. Most are made to fail: they say why by fault.
type program struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.Reader
	stderr bytes.Buffer
}

func start(t *testing.T, cmd *exec.Cmd) *program {
	p := &program{cmd: cmd}
	cmd.Stderr = &p.stderr
	var err, err2 error
	p.in, err = cmd.StdinPipe()
	p.out, err2 = cmd.StdoutPipe()
	if err := errors.Join(err, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	return p
}

// ask runs a case. The fault is what the device says; no answer is an error.
func (p *program) ask(r *kerneltest.Record, s schedule) (answer []byte, fault string, err error) {
	head := binary.LittleEndian.AppendUint64(nil, s.order)
	for _, n := range []uint64{s.async, s.seed, s.shared} {
		head = binary.LittleEndian.AppendUint64(head, n)
	}
	for _, b := range [][]byte{head, r.Bytes} {
		if _, err := p.in.Write(b); err != nil {
			return nil, "", err
		}
	}
	said, err := p.data()
	if err != nil {
		return nil, "", err
	}
	answer, err = p.data()
	return answer, string(said), err
}

func (p *program) data() ([]byte, error) {
	var n uint64
	if err := binary.Read(p.out, binary.LittleEndian, &n); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err := io.ReadFull(p.out, b)
	return b, err
}

// judge runs a case and gives a line: case, schedule, and ok, wrong (with what) or error (with what).
func (p *program) judge(r *kerneltest.Record, s schedule) (line string, alive bool) {
	answer, fault, err := p.ask(r, s)
	verdict := "ok"
	switch {
	case err != nil:
		verdict = "died: " + p.end()
	case fault != "":
		verdict = "error: " + fault
	default:
		if wrong := r.Wrong(answer); wrong != "" {
			verdict = "wrong: " + wrong
		}
	}
	return fmt.Sprintf("%s\t%s\t%s\n", r.Case.Name, s.name, verdict), err == nil
}

// end waits for the program, and gives what it has written as an error, and how it failed if it did.
func (p *program) end() string {
	p.in.Close()
	_, _ = io.Copy(io.Discard, p.out)
	if err := p.cmd.Wait(); err != nil {
		return p.stderr.String() + err.Error()
	}
	return p.stderr.String()
}

// sanitized is a program that the sanitizer of older compilers wants at a fixed address, which a container may not give.
func sanitized(bin string, arg ...string) *exec.Cmd {
	if exec.Command("setarch", "-R", "true").Run() == nil {
		return exec.Command("setarch", append([]string{"-R", bin}, arg...)...)
	}
	return exec.Command(bin, arg...)
}

// underSanitizer runs cases once each and gives what the sanitizer says. Each op has a process, so that what a thread costs the sanitizer does not
// grow with the largest block of all ops. It skips the test where the sanitizer does not start.
func underSanitizer(t *testing.T, l *library, bin string, cases []spec.Case) string {
	byOp := map[string][]spec.Case{}
	for _, c := range cases {
		byOp[c.Op] = append(byOp[c.Op], c)
	}
	ops := slices.Sorted(maps.Keys(byOp))
	said := make([]string, len(ops))
	var all sync.WaitGroup
	free := make(chan bool, runtime.GOMAXPROCS(0))
	for i, op := range ops {
		p := start(t, sanitized(bin))
		all.Go(func() {
			free <- true
			said[i] = l.run(p, byOp[op])
			<-free
		})
	}
	all.Wait()
	text := strings.Join(said, "")
	if strings.Contains(text, "unexpected memory mapping") {
		t.Skipf("the thread sanitizer does not start here: %.300s", text)
	}
	return text
}

func (l *library) run(p *program, cases []spec.Case) string {
	var failed strings.Builder
	for _, c := range cases {
		_, fault, err := p.ask(l.record(c), schedules[0])
		if err != nil || fault != "" {
			fmt.Fprintf(&failed, "%s: %s%v\n", c.Name, fault, err)
		}
		if err != nil {
			break
		}
	}
	return failed.String() + p.end()
}
