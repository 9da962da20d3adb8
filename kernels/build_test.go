//go:build !cuda

package kernels_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// compileAll makes an object of each source, as many at a time as there are processors.
func compileAll(t *testing.T, dir string, sources []string, compile func(source, object string) error) (objects map[string]string) {
	objects = map[string]string{}
	errs := make([]error, len(sources))
	var all sync.WaitGroup
	free := make(chan bool, runtime.GOMAXPROCS(0))
	for i, source := range sources {
		object := filepath.Join(dir, filepath.Base(source)+".o")
		objects[source] = object
		all.Go(func() {
			free <- true
			errs[i] = compile(source, object)
			<-free
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return objects
}

func link(t *testing.T, program string, objects []string, flags ...string) string {
	args := append(append([]string{"-o", program}, objects...), flags...)
	if out, err := exec.Command("g++", append(args, "-lpthread", "-ldl")...).CombinedOutput(); err != nil {
		t.Fatalf("link: %v\n%s", err, out)
	}
	return program
}
