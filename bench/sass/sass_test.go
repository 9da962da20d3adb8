package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Branch targets are quoted with backquotes, here with '.
var listing = strings.ReplaceAll(`
	.target	sm_80
//--------------------- .text._Z1kPf              --------------------------
	.section	.text._Z1kPf,"ax",@progbits
.text._Z1kPf:
        /*0000*/                   IMAD.MOV.U32 R1, RZ, RZ, c[0x0][0x28] ;
        /*0010*/              @!P0 LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
        /*0020*/             @!UP0 LDG.E.U16 R8, desc[UR4][R2.64] ;
        /*0030*/                   LDGSTS.E.BYPASS.128 [R3], [R4.64] ;
.L_x_1:
        /*0040*/                   LDSM.16.MT88.4 R8, [R9] ;
        /*0050*/                   HMMA.16816.F32.BF16 R4, R8, R12, R4 ;
        /*0060*/                   HFMA2.MMA R5, -RZ, RZ, 0, 0 ;
        /*0070*/                   STG.E.128 desc[UR4][R2.64], R4 ;
        /*0080*/                   LDG.E R7, desc[UR4][R2.64] ;
        /*0090*/               @P0 BRA '(.L_x_1) ;
        /*00a0*/                   LDG.E R7, desc[UR4][R2.64] ;
.text._Z1lPf:
        /*0000*/                   LDG.E R7, desc[UR4][R2.64] ;
        /*0010*/                   STG.E R7, desc[UR4][R2.64] ;
.L_x_2:
        /*0020*/                   LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
        /*0030*/                   LDG.E.64 R4, desc[UR4][R2.64] ;
.L_x_3:
        /*0040*/                   FADD R4, R4, R4 ;
        /*0050*/               @P1 BRA '(.L_x_3) ;
        /*0060*/               @P0 BRA '(.L_x_2) ;
        /*0070*/                   LDG.E.U8 R4, desc[UR4][R2.64] ;
.text._Z1mPf:
        /*0000*/                   STL.64 [R1], R2 ;
        /*0010*/                   LDL R2, [R1] ;
        /*0020*/                   STG.E desc[UR4][R2.64], R4 ;
.text._Z1nPf:
.L_x_4:
        /*0000*/                   FADD R4, R4, R4 ;
.L_x_5:
        /*0010*/                   LDGSTS.E.BYPASS.128 [R3], [R4.64] ;
        /*0020*/               @P0 BRA '(.L_x_6) ;
        /*0030*/                   FSEL R4, R4, R5, P1 ;
        /*0040*/                   FSEL R4, R4, R5, P1 ;
        /*0050*/                   BRA '(.L_x_7) ;
.L_x_6:
        /*0060*/                   FADD R4, R4, R4 ;
.L_x_7:
        /*0070*/                   BRA.U UP0, '(.L_x_8) ;
        /*0080*/                   HMMA.16816.F32.BF16 R4, R8, R12, R4 ;
        /*0090*/                   HMMA.16816.F32.BF16 R4, R8, R12, R4 ;
.L_x_8:
        /*00a0*/               @P1 BRA '(.L_x_5) ;
        /*00b0*/               @P2 BRA '(.L_x_4) ;
        /*00c0*/                   EXIT ;
`, "'", "`")

func TestDisassembly(t *testing.T) {
	want := map[string]counts{
		"_Z1kPf": {HMMA: 1, LDSM: 1, LDGSTS: 1, Load16: 1, Load: 3, Store16: 1, Looped: 1, Issued: 6}, // the wide load is in no loop: the whole kernel
		"_Z1lPf": {Load16: 1, Load: 1},
		"_Z1mPf": {Local: 2, Store: 1},
		"_Z1nPf": {HMMA: 2, LDGSTS: 1, Looped: 2, Issued: 7}, // the way around the two FSEL, in the inner loop
	}
	if d := cmp.Diff(want, disassembly([]byte(listing))); d != "" {
		t.Error(d)
	}
}

// The figures are those of NVIDIA's occupancy calculator.
func TestBlocks(t *testing.T) {
	for _, c := range []struct {
		k       kernel
		dynamic int
		want    int
	}{
		{kernel{Arch: "80", Threads: 256, Registers: 32}, 0, 8},
		{kernel{Arch: "80", Threads: 256, Registers: 33}, 0, 6},
		{kernel{Arch: "90a", Threads: 256, Registers: 255}, 0, 1},
		{kernel{Arch: "90a", Threads: 32, Registers: 16}, 0, 32},
		{kernel{Arch: "80", Threads: 128, Registers: 128}, 65536, 2},
		{kernel{Arch: "90a", Threads: 128, Registers: 128, Shared: 512}, 65536, 3},
	} {
		if got := blocks(c.k, c.dynamic); got != c.want {
			t.Errorf("%+v with %d bytes of dynamic shared memory: %d blocks, want %d", c.k, c.dynamic, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	good := kernel{Name: "a.f<float,4>", Arch: "80", Threads: 256, Registers: 32, Count: counts{Load16: 2, Store16: 1, Load: 1}}
	tensor := kernel{Name: "a.g", Arch: "80", Threads: 128, Registers: 128, Count: counts{HMMA: 4, LDSM: 4, LDGSTS: 1, Looped: 4, Issued: 12}}
	expected := []expectation{{Name: `a\.f<float,\d>`, Wide: true, Narrow: 1, Blocks: 8}, {Name: `a\.g`, Tensor: true, Issue: 3, Async: true}}
	if bad := check([]kernel{good, tensor}, expected); len(bad) > 0 {
		t.Fatal(bad)
	}
	for want, change := range map[string]func(f, g *kernel){
		"local memory":      func(f, _ *kernel) { f.Stack = 8 },
		"__launch_bounds__": func(f, _ *kernel) { f.Threads = 0 },
		"no line":           func(f, _ *kernel) { f.Name = "a.h" },
		"want at most 1":    func(f, _ *kernel) { f.Count.Load = 2 },
		"0 loads":           func(f, _ *kernel) { f.Count.Load16 = 0 },
		"divides":           func(f, _ *kernel) { f.Divisions = 1 },
		"want 8":            func(f, _ *kernel) { f.Registers = 40 },
		"GeForce has":       func(f, _ *kernel) { f.Shared = 99<<10 + 1 },
		"0 HMMA":            func(_, g *kernel) { g.Count.HMMA = 0 },
		"3 for each":        func(_, g *kernel) { g.Count.Issued = 13 },
		"0 LDSM":            func(_, g *kernel) { g.Count.LDSM = 0 },
		"0 LDGSTS":          func(_, g *kernel) { g.Count.LDGSTS = 0 },
		"4 HMMA: want none": func(f, _ *kernel) { f.Count.HMMA = 4 },
		"name like a":       func(_, g *kernel) { g.Name = "a.f<float,8>" },
	} {
		f, g := good, tensor
		change(&f, &g)
		if bad := strings.Join(check([]kernel{f, g}, expected), "\n"); !strings.Contains(bad, want) {
			t.Errorf("want %q, got %q", want, bad)
		}
	}
}
