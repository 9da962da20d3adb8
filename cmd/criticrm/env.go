package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"

	"criticrm/cuda"
	"criticrm/version"
)

func newEnv() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Say what a bug report should hold: versions, machine, devices",
		Long: `env prints the program's version and how it was built, the machine's system, processor and memory, and its NVIDIA devices with their driver.
It holds no paths, names or addresses.`,
		Example: "  criticrm env",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "criticrm:  %s\n", version.String())
			fmt.Fprintf(w, "built:     %s %s/%s%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, buildSettings())
			fmt.Fprintf(w, "system:    %s, kernel %s\n", field("/etc/os-release", "PRETTY_NAME", "="), kernelRelease())
			fmt.Fprintf(w, "processor: %s, %d threads, %s\n", field("/proc/cpuinfo", "model name", ":"), runtime.NumCPU(), strings.Join(instructionSets(), " "))
			fmt.Fprintf(w, "memory:    %s, %s available\n", field("/proc/meminfo", "MemTotal", ":"), field("/proc/meminfo", "MemAvailable", ":"))
			if cuda.Built {
				fmt.Fprintf(w, "CUDA:      built with %s\n", cuda.Toolkit())
			}
			writeDevices(w)
			return nil
		},
	}
}

// writeDevices lists the NVIDIA devices, with what is wrong with those that cannot be used.
func writeDevices(w io.Writer) {
	list, err := cuda.Devices()
	if err != nil {
		fmt.Fprintf(w, "cuda: %v\n", err)
	}
	for _, d := range list {
		if err := d.Err(); err != nil {
			fmt.Fprintln(w, err)
		} else {
			fmt.Fprintln(w, d)
		}
	}
}

// buildSettings are the settings of the build that change a program.
func buildSettings() (text string) {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return ""
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "-tags", "CGO_ENABLED", "CGO_CFLAGS", "CGO_CXXFLAGS", "GOAMD64", "GOARM64", "-race", "-asan":
			if s.Value != "" {
				text += " " + s.Key + "=" + s.Value
			}
		}
	}
	return text
}

// field is the value of the first line of a system file that begins with a name.
func field(path, name, separator string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), separator); ok && strings.TrimSpace(key) == name {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return "unknown"
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// instructionSets are those that the CPU's kernels look for.
func instructionSets() (sets []string) {
	for _, s := range []struct {
		name string
		has  bool
	}{
		{"AVX2", cpu.X86.HasAVX2}, {"FMA", cpu.X86.HasFMA}, {"AVX-512", cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512CD},
		{"NEON", cpu.ARM64.HasASIMD},
	} {
		if s.has {
			sets = append(sets, s.name)
		}
	}
	if len(sets) == 0 {
		return []string{"no vector extensions beyond the baseline"}
	}
	return sets
}
