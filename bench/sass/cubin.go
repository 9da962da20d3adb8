package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// kernel is one kernel as it was compiled for one architecture.
type kernel struct {
	Name      string // file.kernel<template arguments>
	Arch      string // 80, 90a, …
	Threads   int    // of __launch_bounds__, 0 without
	Registers int    // per thread
	Stack     int    // bytes per thread: spills and local arrays
	Shared    int    // bytes per block, without the dynamic part
	Divisions int    // subroutines for 64-bit division that it calls
	Count     counts
}

// counts are the instructions that tell how a kernel was compiled.
type counts struct {
	HMMA, LDSM, LDGSTS int // matrix instructions, matrix loads from shared memory, asynchronous copies to it
	Load16, Store16    int // global memory in 16-byte words
	Load, Store        int // global memory in anything smaller
	Local              int // local memory
}

// extract gives all kernels of a library. tools is the folder of cuobjdump and nvdisasm, or "" for those on PATH.
func extract(tools, library, tmp string) ([]kernel, error) {
	cmd := exec.Command(filepath.Join(tools, "cuobjdump"), "-xelf", "all", library)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("sass: cuobjdump %s: %v\n%s", library, err, out)
	}
	files, err := filepath.Glob(filepath.Join(tmp, "*.cubin"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("sass: %s holds no machine code for a GPU", library)
	}
	var all []kernel
	for _, file := range files {
		found, err := kernelsOf(tools, file)
		if err != nil {
			return nil, fmt.Errorf("sass: %s: %w", filepath.Base(file), err)
		}
		all = append(all, found...)
	}
	return all, nil
}

var cubinName = regexp.MustCompile(`^(.*)\.sm_(\w+)\.cubin$`)

func kernelsOf(tools, file string) ([]kernel, error) {
	part := cubinName.FindStringSubmatch(filepath.Base(file))
	if part == nil {
		return nil, fmt.Errorf("the name is not FILE.sm_ARCH.cubin")
	}
	f, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := resources(f)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	text, err := exec.Command(filepath.Join(tools, "nvdisasm"), "-c", file).Output()
	if err != nil {
		return nil, fmt.Errorf("nvdisasm: %w", err)
	}
	count := disassembly(text)
	var mangled []string
	for name := range found {
		mangled = append(mangled, name)
	}
	readable, err := demangle(mangled)
	if err != nil {
		return nil, err
	}
	var list []kernel
	for i, name := range mangled {
		k := found[name]
		k.Name, k.Arch, k.Count = part[1]+"."+readable[i], part[2], count[name]
		list = append(list, k)
	}
	return list, nil
}

// Attributes of the sections .nv.info and .nv.info.<kernel>: a byte of format, a byte of name, 16 bits of value or, in format 4,
// of the value's size.
const (
	withSize   = 4
	maxThreads = 0x05 // three numbers
	frameSize  = 0x11 // symbol, bytes
	registers  = 0x2f // symbol, number
)

func attributes(data []byte, order binary.ByteOrder, f func(name byte, value []uint32)) error {
	for len(data) >= 4 {
		format, name, n := data[0], data[1], 0
		if format == withSize {
			n = int(order.Uint16(data[2:]))
		}
		if data = data[4:]; n > len(data) {
			return fmt.Errorf("attribute %#x is cut off", name)
		}
		var value []uint32
		for i := 0; i+4 <= n; i += 4 {
			value = append(value, order.Uint32(data[i:]))
		}
		f(name, value)
		data = data[n:]
	}
	return nil
}

// resources reads what the compiler says of each kernel, by mangled name.
func resources(f *elf.File) (map[string]kernel, error) {
	symbols, err := f.Symbols()
	if err != nil {
		return nil, err
	}
	found := map[string]kernel{}
	for _, s := range f.Sections {
		name, ok := strings.CutPrefix(s.Name, ".nv.info.")
		if !ok {
			continue
		}
		data, err := s.Data()
		if err != nil {
			return nil, err
		}
		var k kernel
		if err := attributes(data, f.ByteOrder, func(a byte, v []uint32) {
			if a == maxThreads && len(v) == 3 {
				k.Threads = int(v[0] * v[1] * v[2])
			}
		}); err != nil {
			return nil, err
		}
		if shared := f.Section(".nv.shared." + name); shared != nil {
			k.Shared = int(shared.Size)
		}
		for _, s := range symbols {
			if int(s.Section) < len(f.Sections) && f.Sections[s.Section].Name == ".text."+name && strings.Contains(s.Name, "_sm20_") &&
				strings.HasSuffix(s.Name, "64") {
				k.Divisions++ // $__internal_0_$__cuda_sm20_div_s64 and the like
			}
		}
		found[name] = k
	}
	info := f.Section(".nv.info")
	if info == nil {
		return found, nil
	}
	data, err := info.Data()
	if err != nil {
		return nil, err
	}
	return found, attributes(data, f.ByteOrder, func(a byte, v []uint32) {
		if len(v) != 2 || v[0] == 0 || int(v[0]) > len(symbols) {
			return
		}
		name := symbols[v[0]-1].Name // Symbols leaves the first, empty one out
		k, ok := found[name]
		switch {
		case !ok:
			return
		case a == registers:
			k.Registers = int(v[1])
		case a == frameSize:
			k.Stack = int(v[1])
		}
		found[name] = k
	})
}

var instruction = regexp.MustCompile(`^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)`)

// disassembly counts the instructions of each section .text.<kernel>.
func disassembly(text []byte) map[string]counts {
	all := map[string]counts{}
	name, lines := "", bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if section, ok := strings.CutPrefix(line, ".text."); ok {
			name = strings.TrimSuffix(section, ":")
			continue
		}
		m := instruction.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := all[name]
		c.add(m[1])
		all[name] = c
	}
	return all
}

func (c *counts) add(op string) {
	kind, rest, _ := strings.Cut(op, ".")
	wide := strings.Contains(rest, "128")
	switch kind {
	case "HMMA":
		c.HMMA++
	case "HFMA2": // HFMA2.MMA moves a constant: not a matrix instruction
	case "LDSM":
		c.LDSM++
	case "LDGSTS":
		c.LDGSTS++
	case "LDL", "STL":
		c.Local++
	case "LDG", "LD":
		if wide {
			c.Load16++
		} else {
			c.Load++
		}
	case "STG", "ST":
		if wide {
			c.Store16++
		} else {
			c.Store++
		}
	}
}

var (
	arguments = regexp.MustCompile(`\(.*$`)
	cast      = regexp.MustCompile(`\((?:int|bool|unsigned int|long)\)`)
)

// demangle gives readable names: without namespaces, return type and arguments.
func demangle(mangled []string) ([]string, error) {
	cmd := exec.Command("c++filt")
	cmd.Stdin = strings.NewReader(strings.Join(mangled, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("c++filt: %w", err)
	}
	names := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, n := range names {
		n = strings.NewReplacer("(anonymous namespace)::", "", "gpu::", "", "void ", "").Replace(n)
		n = cast.ReplaceAllString(n, "")
		names[i] = strings.ReplaceAll(arguments.ReplaceAllString(n, ""), ", ", ",")
	}
	return names, nil
}
