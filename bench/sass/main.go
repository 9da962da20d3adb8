// Command sass reads the compiled CUDA kernels, checks what the compiler made of them, and prints the table of bench/RESULTS.md:
//
//	go run ./bench/sass [-all] [-tools DIR] build/cuda/lib/libcriticrm_cuda.a
//
// No kernel may use local memory (spilled registers, arrays with indices unknown at compile time); what else a kernel must show stands
// in expect.go. The tools cuobjdump and nvdisasm come from DIR, or from PATH.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	all := flag.Bool("all", false, "print every instantiation, not only those of the fast paths")
	tools := flag.String("tools", "", "folder of cuobjdump and nvdisasm")
	flag.Parse()
	if err := run(*tools, flag.Arg(0), *all); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(tools, library string, all bool) error {
	library, err := filepath.Abs(library)
	if err != nil {
		return err
	}
	if tools != "" {
		if tools, err = filepath.Abs(tools); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp("", "sass")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	list, err := extract(tools, library, tmp)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b kernel) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(order(a.Arch), order(b.Arch)))
	})
	fmt.Print(table(list, all))
	bad := check(list, expectations)
	for _, b := range bad {
		fmt.Fprintln(os.Stderr, "sass:", b)
	}
	if len(bad) > 0 {
		return fmt.Errorf("sass: %d of what is expected of %d kernels does not hold", len(bad), len(list))
	}
	fmt.Printf("\n%d kernels (%d for each architecture), no local memory, all as expected.\n", len(list), len(list)/max(1, len(archs(list))))
	return nil
}

func order(arch string) int {
	n := 0
	fmt.Sscanf(arch, "%d", &n)
	return n
}

func archs(list []kernel) []string {
	var a []string
	for _, k := range list {
		if !slices.Contains(a, k.Arch) {
			a = append(a, k.Arch)
		}
	}
	slices.SortFunc(a, func(a, b string) int { return cmp.Compare(order(a), order(b)) })
	return a
}

// table has a line for each kernel, with the architectures' figures side by side where they differ.
func table(list []kernel, all bool) string {
	var b strings.Builder
	names := archs(list)
	fmt.Fprintf(&b, "| kernel | threads | registers %s | shared, KB | warps of 64 | HMMA | instructions for each | LDSM | LDGSTS | 16-byte loads · stores | narrower |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
		strings.Join(names, " · "))
	for i := 0; i < len(list); {
		group := list[i:]
		if n := slices.IndexFunc(group, func(k kernel) bool { return k.Name != group[0].Name }); n > 0 {
			group = group[:n]
		}
		i += len(group)
		e := find(expectations, group[0].Name)
		if !all && (e != nil && e.Quiet) {
			continue
		}
		dynamic := 0
		if e != nil {
			dynamic = e.Shared
		}
		each := func(f func(k kernel) string) string {
			var s []string
			for _, k := range group {
				s = append(s, f(k))
			}
			if len(slices.Compact(slices.Clone(s))) == 1 {
				return s[0]
			}
			return strings.Join(s, " · ")
		}
		number := func(f func(k kernel) int) string { return each(func(k kernel) string { return fmt.Sprint(f(k)) }) }
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", group[0].Name, group[0].Threads,
			number(func(k kernel) int { return k.Registers }),
			each(func(k kernel) string { return fmt.Sprintf("%.3g", float64(k.Shared+dynamic)/1024) }),
			number(func(k kernel) int { return blocks(k, dynamic) * ((k.Threads + 31) / 32) }),
			number(func(k kernel) int { return k.Count.HMMA }),
			each(func(k kernel) string {
				if k.Count.Looped == 0 {
					return ""
				}
				return fmt.Sprintf("%.2f", k.Count.each())
			}),
			number(func(k kernel) int { return k.Count.LDSM }),
			number(func(k kernel) int { return k.Count.LDGSTS }),
			each(func(k kernel) string { return fmt.Sprintf("%d+%d", k.Count.Load16, k.Count.Store16) }),
			each(func(k kernel) string { return fmt.Sprintf("%d+%d", k.Count.Load, k.Count.Store) }))
	}
	return b.String()
}

// blocks is how many blocks fit on a multiprocessor at a time (CUDA C++ Programming Guide, technical specifications by compute
// capability: 64 warps, 32 blocks, 65536 registers in portions of 256 for a warp; shared memory in portions of 128 bytes, and 1 KB of
// the system's for each block).
func blocks(k kernel, dynamic int) int {
	if k.Threads == 0 {
		return 0
	}
	shared := 228 << 10
	if strings.HasPrefix(k.Arch, "8") {
		shared = 164 << 10
	}
	warps := (k.Threads + 31) / 32
	n := min(64/warps, 32)
	if k.Registers > 0 {
		n = min(n, 65536/((k.Registers*32+255)/256*256)/warps)
	}
	return min(n, shared/((k.Shared+dynamic+127)/128*128+1024))
}
