package main

import (
	"bufio"
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
	Load, Store        int // global memory in anything smaller, in the loops that also load 16-byte words, if there are any
	Local              int // local memory
	Looped, Issued     int // HMMA in the innermost loops that have any, and the instructions of a warp that goes through each once
}

// each gives the instructions that are issued for each HMMA of the loops.
func (c counts) each() float64 { return float64(c.Issued) / float64(c.Looped) }

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
	found, err := resources(f, part[2])
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
func resources(f *elf.File, arch string) (map[string]kernel, error) {
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
			if !strings.HasPrefix(arch, "8") {
				k.Shared -= 1024 // the system's
			}
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

var (
	instruction = regexp.MustCompile(`^\s*/\*[0-9a-f]+\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*)`)
	predicate   = regexp.MustCompile(`\bU?P\w+,`) // BRA.U UP0, …
	label       = regexp.MustCompile(`^(\.L_\w+):`)
	target      = regexp.MustCompile("`\\((\\.L_\\w+)\\)")
)

// disassembly counts the instructions of each section .text.<kernel>.
func disassembly(text []byte) map[string]counts {
	all := map[string]counts{}
	var code []line
	name, lines := "", bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	end := func() {
		if len(code) > 0 {
			all[name] = count(code)
		}
		code = nil
	}
	for lines.Scan() {
		text := lines.Text()
		if section, ok := strings.CutPrefix(text, ".text."); ok {
			end()
			name = strings.TrimSuffix(section, ":")
		} else if m := label.FindStringSubmatch(text); m != nil {
			code = append(code, line{label: m[1]})
		} else if m := instruction.FindStringSubmatch(text); m != nil {
			l := line{op: m[2]}
			if to := target.FindStringSubmatch(m[3]); to != nil && strings.HasPrefix(l.op, "BRA") {
				l.to = to[1]
			}
			leaves := l.to != "" || l.op == "EXIT" || strings.HasPrefix(l.op, "RET")
			l.ends = leaves && m[1] == "" && !predicate.MatchString(m[3])
			code = append(code, l)
		}
	}
	end()
	return all
}

// line is a label or an instruction, which may be a branch; what stands below one that ends is reached from elsewhere.
type line struct {
	label, op, to string
	ends          bool
}

// span is a loop: the lines from a label to a branch back to it.
type span struct{ from, to int }

func count(code []line) (c counts) {
	at := map[string]int{}
	for i, l := range code {
		if l.label != "" {
			at[l.label] = i
		}
	}
	var loops []span // backward branches
	for i, l := range code {
		if to, ok := at[l.to]; ok && to < i {
			loops = append(loops, span{to, i})
		}
	}
	hot := map[span]bool{} // innermost loops that load 16 bytes; the whole code where there is none
	for i, l := range code {
		if kind, wide := memory(l.op); kind == 'L' && wide {
			inner := span{0, len(code)}
			for _, s := range loops {
				if s.from <= i && i <= s.to && s.to-s.from < inner.to-inner.from {
					inner = s
				}
			}
			hot[inner] = true
		}
	}
	if len(hot) > 1 {
		delete(hot, span{0, len(code)})
	}
	for i, l := range code {
		inside := len(hot) == 0
		for s := range hot {
			inside = inside || s.from <= i && i <= s.to
		}
		c.add(l.op, inside)
	}
	products := slices.DeleteFunc(slices.Clone(loops), func(s span) bool {
		return !slices.ContainsFunc(code[s.from:s.to], func(l line) bool { return kindOf(l.op) == "HMMA" })
	})
	for i, s := range products {
		if !slices.ContainsFunc(products[i+1:], func(t span) bool { return s == t }) &&
			!slices.ContainsFunc(products, func(t span) bool { return s != t && s.from <= t.from && t.to <= s.to }) {
			looped, issued := through(code, at, s)
			c.Looped, c.Issued = c.Looped+looped, c.Issued+issued
		}
	}
	return c
}

func kindOf(op string) string {
	name, _, _ := strings.Cut(op, ".")
	return name
}

// through gives the HMMA and the instructions of the way through a loop that has the most HMMA, then the most copies to shared memory,
// then the fewest instructions: that of a tile which needs no mask and raises no maximum, while the next one is fetched.
func through(code []line, at map[string]int, loop span) (products, issued int) {
	type way struct{ products, copies, issued int }
	better := func(a, b way) bool {
		return cmp.Or(a.products-b.products, a.copies-b.copies, b.issued-a.issued) > 0
	}
	ways := map[int]way{loop.from: {}}
	for i := loop.from; i <= loop.to; i++ {
		w, reached := ways[i]
		if !reached {
			continue
		}
		l := code[i]
		if l.op != "" {
			w.issued++
		}
		switch kindOf(l.op) {
		case "HMMA":
			w.products++
		case "LDGSTS":
			w.copies++
		}
		if i == loop.to {
			return w.products, w.issued
		}
		next := []int{i + 1}
		if l.ends {
			next = nil
		}
		if to, ok := at[l.to]; ok {
			next = append(next, to)
		}
		for _, j := range next {
			if old, ok := ways[j]; j > i && (!ok || better(w, old)) {
				ways[j] = w
			}
		}
	}
	return 0, 0
}

// memory says whether an instruction loads (L) or stores (S) global memory, and whether 16 bytes.
func memory(op string) (kind byte, wide bool) {
	name, rest, _ := strings.Cut(op, ".")
	switch name {
	case "LDG", "LD":
		kind = 'L'
	case "STG", "ST":
		kind = 'S'
	}
	return kind, strings.Contains(rest, "128")
}

func (c *counts) add(op string, hot bool) {
	switch kind, wide := memory(op); {
	case kind == 'L' && wide:
		c.Load16++
	case kind == 'S' && wide:
		c.Store16++
	case kind == 'L' && hot:
		c.Load++
	case kind == 'S' && hot:
		c.Store++
	}
	switch kindOf(op) {
	case "HMMA": // HFMA2.MMA moves a constant
		c.HMMA++
	case "LDSM":
		c.LDSM++
	case "LDGSTS":
		c.LDGSTS++
	case "LDL", "STL":
		c.Local++
	}
}

var (
	arguments = regexp.MustCompile(`\(.*$`)
	cast      = regexp.MustCompile(`\([a-z][\w ]*\)(-?\d|true|false)`) // of a template argument, to an enum too
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
		n = cast.ReplaceAllString(n, "$1")
		names[i] = strings.ReplaceAll(arguments.ReplaceAllString(n, ""), ", ", ",")
	}
	return names, nil
}
