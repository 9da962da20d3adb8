package scripts

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The tests are run without a browser where none can be had, and say so; one that is there, or can be installed, needs no words.
func TestChromiumIsTried(t *testing.T) {
	const without = "the layout of reports is not looked at"
	for _, x := range []struct {
		name, aptGet string // what apt-get does; "": there is none
		found        bool
		want         string
	}{
		{"found", "exit 9", true, ""},
		{"no apt-get", "", false, without},
		{"no package", `[ "$1" = update ] || exit 100`, false, without},
		{"installed", `[ "$1" = update ] || touch "$0.called"`, false, "installing chromium"},
	} {
		m := newMachine(t, "touch")
		m.program("id", "echo 0\n")
		m.program("grep", "exit 1\n") // no Ubuntu
		if x.aptGet != "" {
			m.program("apt-get", x.aptGet+"\n")
		}
		if x.found {
			m.program("chromium", "")
		}
		c := exec.Command("sh", "scripts/chromium.sh", "--try")
		c.Dir, c.Env = m.root, []string{"PATH=" + m.path, "HOME=" + m.root}
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), x.want) || x.want == "" && len(out) > 0 {
			t.Errorf("%s: %v: %s", x.name, err, out)
		}
		if called, _ := filepath.Glob(filepath.Join(m.path, "*.called")); (len(called) > 0) != (x.name == "installed") || len(called) > 0 && strings.Contains(string(out), without) {
			t.Errorf("%s: %v: %s", x.name, called, out)
		}
	}
}
