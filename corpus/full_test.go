package corpus

import (
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What a check keeps for the next run is given up where it has no room.
func TestCheckWithoutRoomForItsState(t *testing.T) {
	mnt := t.TempDir()
	if err := syscall.Mount("tmpfs", mnt, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	defer syscall.Unmount(mnt, syscall.MNT_DETACH)
	in := file(t, "in.jsonl", manyRows(0, 20000)...)
	want, err := Check(t.Context(), []string{in}, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := 0
	o := Options{StateDir: filepath.Join(mnt, "state"), Progress: func(p Position) {
		if p.Rows == 0 && p.Read == 0 {
			began++
		}
	}}
	if err := os.Mkdir(o.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := Check(t.Context(), []string{in}, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if inJSON(t, got) != inJSON(t, want) {
		t.Error("another report than with room")
	}
	if left, err := filepath.Glob(o.StateDir + "/*.part*"); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if began < 2 {
		t.Errorf("the check began %d times: the disk was not full", began)
	}
}

func inJSON(t *testing.T, r *Report) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
