// Command sbom says what a release is made of: it reads the modules that were built into a program from the program itself and writes
// a bill of materials (CycloneDX 1.5, JSON) to standard output, and the licences of the modules into a folder.
//
//	go run ./internal/sbom -licenses DIR -native "glibc 2.36" -native "libstdc++ 12.2.0" bin/criticrm
//
// The time is SOURCE_DATE_EPOCH's, so that the same program gives the same bytes.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "sbom: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	set := flag.NewFlagSet("sbom", flag.ContinueOnError)
	licenses := set.String("licenses", "", "folder for the licences of the modules")
	var native []string
	set.Func("native", "a C or C++ library that is linked in, as \"name version\"", func(s string) error {
		if _, _, ok := strings.Cut(s, " "); !ok {
			return errors.New(`want "name version"`)
		}
		native = append(native, s)
		return nil
	})
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() != 1 {
		return errors.New("want one program")
	}
	made, err := epoch(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(set.Arg(0))
	if err != nil {
		return err
	}
	if *licenses != "" {
		if err := copyLicenses(*licenses, info); err != nil {
			return err
		}
	}
	program, err := os.ReadFile(set.Arg(0))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(program)
	out, err := json.MarshalIndent(bill(info, native, hex.EncodeToString(sum[:]), made), "", "  ")
	if err != nil {
		return err
	}
	fmt.Println(string(out))
	return nil
}

func epoch(text string) (time.Time, error) {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: set it to the seconds of the commit's time", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// These are CycloneDX's words.
type document struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Purl       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// bill has the program, the modules in it with the sums of go.sum, Go's own library, and the native libraries.
func bill(info *debug.BuildInfo, native []string, sha256 string, made time.Time) document {
	program := component{Type: "application", Ref: info.Main.Path, Name: info.Main.Path, Version: info.Main.Version,
		Hashes: []hash{{"SHA-256", sha256}}}
	for _, s := range info.Settings {
		program.Properties = append(program.Properties, property{"go:build:" + s.Key, s.Value})
	}
	d := document{Format: "CycloneDX", Spec: "1.5", Version: 1,
		Metadata: metadata{made.Format(time.RFC3339), program}}
	add := func(c component) {
		c.Type, c.Ref = "library", c.Name+"@"+c.Version
		d.Components = append(d.Components, c)
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		add(component{Name: m.Path, Version: m.Version, Purl: "pkg:golang/" + m.Path + "@" + m.Version, Properties: []property{{"go:sum", m.Sum}}})
	}
	version := strings.TrimPrefix(info.GoVersion, "go")
	add(component{Name: "std", Version: version, Purl: "pkg:golang/std@" + version})
	for _, n := range native {
		name, version, _ := strings.Cut(n, " ")
		add(component{Name: name, Version: version})
	}
	return d
}

// copyLicenses puts what each module calls licence, copying or notice into dir/module@version, and Go's own licence into dir/go.
// A module without one is an error: what may be passed on is not known.
func copyLicenses(dir string, info *debug.BuildInfo) error {
	for _, m := range info.Deps {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", m.Path).Output()
		if err != nil {
			return fmt.Errorf("go list -m %s: %w", m.Path, err)
		}
		if err := copyFrom(strings.TrimSpace(string(out)), filepath.Join(dir, filepath.FromSlash(m.Path)+"@"+m.Version)); err != nil {
			return err
		}
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	return copyFrom(strings.TrimSpace(string(out)), filepath.Join(dir, "go"))
}

func copyFrom(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	found := 0
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !(strings.HasPrefix(name, "LICEN") || strings.HasPrefix(name, "COPYING") || strings.HasPrefix(name, "NOTICE") || strings.HasPrefix(name, "PATENTS")) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), text, 0o644); err != nil {
			return err
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("%s has no licence", from)
	}
	return nil
}
