// Package scripts holds the tests of set-up: it runs in a copy of the repository's scripts, with a PATH that has what the case says.
package scripts

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

const basics = "sh sed sort head tail cut tr mktemp mkdir rm mv ln cp chmod find cat wc id uname sha256sum readlink dirname grep env"

// machine is a copy of the scripts and a folder of programs, PATH's only one.
type machine struct {
	t            *testing.T
	root, path   string
	version, zip string // of the Go that fetch-go.sh names; where a proxy has it
	proxy        string // GOPROXY
}

func newMachine(t *testing.T, programs ...string) *machine {
	t.Helper()
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("no Go is fetched for this architecture")
	}
	dir := t.TempDir()
	m := &machine{t: t, root: filepath.Join(dir, "root"), path: filepath.Join(dir, "path")}
	for _, name := range []string{"lib.sh", "setup.sh", "fetch-go.sh", "chromium.sh", "gsm8k.sh"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m.write(filepath.Join(m.root, "scripts", name), string(text))
	}
	m.write(filepath.Join(m.root, "go.mod"), "module x\n\ngo 1.26.0\n")
	for _, name := range append(strings.Fields(basics), programs...) {
		at, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("this machine has no %s", name)
		}
		if name == "python3" { // which may be a script that looks for the real one on PATH
			out, err := exec.Command(at, "-c", "import sys; print(sys.executable, end='')").Output()
			if err != nil {
				t.Skipf("python3 does not run: %v", err)
			}
			at = string(out)
			m.program(name, "exec '"+at+"' \"$@\"\n") // not a link, by which it would not find its library
			continue
		}
		if err := os.MkdirAll(m.path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at, filepath.Join(m.path, name)); err != nil {
			t.Fatal(err)
		}
	}
	m.gcc("", "12")
	m.version = regexp.MustCompile(`(?m)^go_version=(.*)$`).FindStringSubmatch(m.read("scripts/fetch-go.sh"))[1]
	m.zip = "/golang.org/toolchain/@v/v0.0.1-go" + m.version + ".linux-" + runtime.GOARCH + ".zip"
	return m
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	_ = os.Remove(path) // it may be a link
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

// program puts a program in place that is not this machine's.
func (m *machine) program(name, script string) {
	m.t.Helper()
	m.write(filepath.Join(m.path, name), "#!/bin/sh\n"+script)
}

func (m *machine) gcc(suffix, version string) {
	m.program("gcc"+suffix, "echo "+version+"\n")
	m.program("g++"+suffix, "echo "+version+"\n")
}

// goProgram is a stand-in for Go as far as set-up asks it.
func goProgram(version string) string {
	return "[ \"$1\" != version ] || echo go version go" + version + " linux/x\n"
}

// toolchain is a module like Go's, and fetch-go.sh is told its checksum.
func (m *machine) toolchain() []byte {
	m.t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{
		"bin/go": "#!/bin/sh\n" + goProgram(m.version), "bin/gofmt": "#!/bin/sh\n", "pkg/tool/linux_x/compile": "#!/bin/sh\n",
		"src/_go.mod": "module std\n", "src/cmd/_go.mod": "module cmd\n", "lib/large": strings.Repeat("0123456789", 10000),
	} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "golang.org/toolchain@v0.0.1-go" + m.version + ".linux-" + runtime.GOARCH + "/" + name, Method: zip.Store})
		if err != nil {
			m.t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		m.t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	fetch := regexp.MustCompile(`(?m)^(go_sha256_\w+)=.*$`).ReplaceAllString(m.read("scripts/fetch-go.sh"), "$1="+hex.EncodeToString(sum[:]))
	m.write(filepath.Join(m.root, "scripts", "fetch-go.sh"), fetch)
	return b.Bytes()
}

// serve is a proxy that has the zip; where cut is set, the connection ends in the middle.
func (m *machine) serve(data []byte, cut bool) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != m.zip {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		if cut {
			_, _ = w.Write(data[:len(data)/2])
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(data)
	}))
	m.t.Cleanup(s.Close)
	return s.URL
}

// setUp runs set-up and gives what it says.
func (m *machine) setUp() (string, error) {
	c := exec.Command("sh", "scripts/setup.sh")
	c.Dir = m.root
	tools := filepath.Join(m.root, "build", "bin") // a make that was started by make has it twice
	c.Env = []string{"PATH=" + tools + ":" + tools + ":" + m.path, "HOME=" + m.root, "GOPROXY=" + m.proxy}
	out, err := c.CombinedOutput()
	return string(out), err
}

// refused wants set-up to fail with all of these words, and to leave nothing of Go behind.
func (m *machine) refused(words ...string) {
	m.t.Helper()
	out, err := m.setUp()
	if err == nil {
		m.t.Errorf("set-up ends well, saying\n%s", out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			m.t.Errorf("set-up does not say %q, but\n%s", w, out)
		}
	}
	left, err := filepath.Glob(filepath.Join(m.root, "build", "*"))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, l := range left {
		if filepath.Base(l) != "bin" {
			m.t.Errorf("%s is left", l)
		}
	}
	if _, err := os.Lstat(filepath.Join(m.root, "build", "bin", "go")); err == nil {
		m.t.Error("build/bin has a Go")
	}
}

// fetched wants set-up to end with the Go of the proxy in build.
func (m *machine) fetched() {
	m.t.Helper()
	out, err := m.setUp()
	if err != nil {
		m.t.Fatalf("%v:\n%s", err, out)
	}
	if !strings.Contains(out, "setup: fetching Go "+m.version) {
		m.t.Errorf("set-up does not say what it fetches:\n%s", out)
	}
	said, err := exec.Command(filepath.Join(m.root, "build", "bin", "go"), "version").CombinedOutput()
	if err != nil || !strings.Contains(string(said), m.version) {
		m.t.Errorf("build/bin/go: %v, %s", err, said)
	}
	if got := m.read("build/go" + m.version + "/src/cmd/go.mod"); got != "module cmd\n" {
		m.t.Errorf("src/cmd/go.mod is %q", got)
	}
	if info, err := os.Stat(filepath.Join(m.root, "build", "go"+m.version, "pkg/tool/linux_x/compile")); err != nil || info.Mode()&0o111 == 0 {
		m.t.Errorf("the compiler cannot be executed: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(m.root, "build", "fetching*")); left != nil {
		m.t.Errorf("%v is left", left)
	}
	if out, err := m.setUp(); err != nil || out != "" {
		m.t.Errorf("a second set-up has more to do: %v, %s", err, out)
	}
}

// Each kind of machine that can fetch at all.
var ways = map[string][]string{"curl": {"curl", "unzip"}, "wget": {"wget", "unzip"}, "python3": {"python3"}}

func TestGoIsFetched(t *testing.T) {
	for name, programs := range ways {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, programs...)
			m.proxy = m.serve(m.toolchain(), false)
			m.fetched()
		})
	}
}

func TestCutDownload(t *testing.T) {
	for name, programs := range ways {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, programs...)
			m.proxy = m.serve(m.toolchain(), true)
			m.refused("setup: ")
		})
	}
}

// A proxy that has another zip, whole: nothing of it is unpacked, and no other proxy is asked.
func TestWrongChecksum(t *testing.T) {
	m := newMachine(t, "python3")
	wrong := sha256.Sum256([]byte("wrong"))
	m.toolchain()
	m.proxy = m.serve([]byte("wrong"), false) + "|http://127.0.0.1:1"
	m.refused("golang.org/toolchain@v0.0.1-go"+m.version+".linux-"+runtime.GOARCH, "is not what it should be", "5 bytes with sha256 "+hex.EncodeToString(wrong[:]))
}

func TestProxyList(t *testing.T) {
	m := newMachine(t, "python3")
	data := m.toolchain()
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	m.proxy = strings.Replace(empty.URL, "//", "//user:secret@", 1) + "|" + empty.URL + "/," + m.serve(data, false) + ",off"
	out, _ := m.setUp()
	if strings.Contains(out, "secret") {
		t.Errorf("set-up shows a password:\n%s", out)
	}
	if err := os.RemoveAll(filepath.Join(m.root, "build")); err != nil {
		t.Fatal(err)
	}
	m.fetched()
}

func TestProxyOff(t *testing.T) {
	m := newMachine(t, "python3")
	m.proxy = "off," + m.serve(m.toolchain(), false)
	m.refused("cannot be fetched from GOPROXY (off,")
}

// A folder as the proxy, and Go's own cache, need no program that fetches.
func TestProxyOfFiles(t *testing.T) {
	m := newMachine(t, "curl", "unzip")
	data := m.toolchain()
	dir := t.TempDir()
	m.write(dir+m.zip, string(data))
	m.proxy = "file://" + dir
	m.fetched()

	m = newMachine(t, "curl", "unzip")
	m.write(filepath.Join(m.root, "go/pkg/mod/cache/download")+m.zip, string(m.toolchain()))
	m.proxy = "off"
	m.fetched()
}

func TestNothingToFetchWith(t *testing.T) {
	m := newMachine(t)
	m.proxy = "http://127.0.0.1:1"
	m.refused("setup: missing: what Go is fetched with. There is no apt-get here: install the equivalent of: curl unzip\n")

	m.program("apt-get", "exit 1\n")
	m.program("id", "echo 1000\n")
	m.refused("Run: sudo apt-get update && sudo apt-get install -y curl unzip\n")

	if _, err := os.Stat("/etc/ssl/certs/ca-certificates.crt"); err != nil {
		m.proxy = "https://127.0.0.1:1"
		m.refused("sudo apt-get install -y curl unzip ca-certificates\n")
	}
	for _, name := range []string{"gcc", "g++"} {
		if err := os.Remove(filepath.Join(m.path, name)); err != nil {
			t.Fatal(err)
		}
	}
	m.proxy = "off"
	m.refused("a C++ compiler, g++ 12 or newer; what Go is fetched with", "curl unzip\n")
}

// The machine's own Go and compilers are used where they are new enough, also when they come later.
func TestWhichGo(t *testing.T) {
	m := newMachine(t, "curl", "unzip")
	m.proxy = m.serve(m.toolchain(), false)
	for _, old := range []string{"1.19.8", "1.26rc1", "1.25.9"} {
		m.program("go", goProgram(old))
		if err := os.RemoveAll(filepath.Join(m.root, "build")); err != nil {
			t.Fatal(err)
		}
		m.fetched()
	}
	m.program("go", goProgram("1.27.1"))
	if out, err := m.setUp(); err != nil || out != "" {
		t.Errorf("%v, %s", err, out)
	}
	if _, err := os.Lstat(filepath.Join(m.root, "build", "bin", "go")); err == nil {
		t.Error("build/bin still has the fetched Go where the machine's is new enough")
	}
}

func TestWhichCompiler(t *testing.T) {
	m := newMachine(t)
	m.program("go", goProgram("1.26.0"))
	m.gcc("", "11")
	m.gcc("-13", "13.2.0")
	if out, err := m.setUp(); err != nil || out != "" {
		t.Fatalf("%v, %s", err, out)
	}
	for _, name := range []string{"g++", "gcc", "c++", "cc"} {
		out, err := exec.Command(filepath.Join(m.root, "build", "bin", name)).Output()
		if err != nil || string(out) != "13.2.0\n" {
			t.Errorf("build/bin/%s: %v, %s", name, err, out)
		}
	}
	m.gcc("", "14")
	if out, err := m.setUp(); err != nil || out != "" {
		t.Fatalf("%v, %s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(m.root, "build", "bin", "*")); left != nil {
		t.Errorf("%v is left where the machine's compiler is new enough", left)
	}
}

// The Go that is fetched is one that go.mod takes.
func TestFetchedGoIsNewEnough(t *testing.T) {
	m := newMachine(t)
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	oldest := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(mod)
	if oldest == nil {
		t.Fatal("go.mod names no Go")
	}
	out, err := exec.Command("sh", "-c", fmt.Sprintf("printf '%%s\\n' %s %s | sort -V | head -n 1", oldest[1], m.version)).Output()
	if err != nil || strings.TrimSpace(string(out)) != string(oldest[1]) {
		t.Errorf("Go %s is fetched, go.mod wants %s: %v", m.version, oldest[1], err)
	}
}
