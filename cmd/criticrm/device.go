package main

import (
	"fmt"
	"io"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"criticrm/cuda"
	"criticrm/device"
	"criticrm/kernels"
)

// deviceFlags say what a command computes on.
type deviceFlags struct {
	name    string
	threads int
	report  bool
}

func (d *deviceFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&d.name, "device", kernels.AutoDevice, kernels.DeviceHelp)
	f.IntVar(&d.threads, "threads", 0, "CPU threads; 0: all cores; never changes a result")
	bindReport(f, &d.report)
}

func bindReport(f *pflag.FlagSet, report *bool) {
	f.BoolVar(report, "memory_report", false, "say at the end how much memory was used")
}

// open opens the device; close frees it, after the report.
func (d *deviceFlags) open(stderr io.Writer) (dev *kernels.Device, close func(), err error) {
	if _, _, err := kernels.ParseDevice(d.name); err != nil {
		return nil, nil, inputError{fmt.Errorf("--device: %w", err)}
	}
	if dev, err = device.Open(d.name, d.threads, stderr); err != nil {
		return nil, nil, begin(err)
	}
	return dev, func() {
		if d.report {
			memoryReport(stderr, dev)
		}
		dev.Close()
	}, nil
}

func memoryReport(w io.Writer, dev *kernels.Device) {
	if s, ok := cuda.StatsOf(dev); ok {
		_ = s.Write(w)
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		fmt.Fprintf(w, "host memory: %.1f MiB at most\n", float64(u.Maxrss)/1024)
	}
}

// completeDevice offers the names of devices to the shell.
func completeDevice(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names := []cobra.Completion{"auto", "cpu", "cuda"}
	list, _ := cuda.Devices()
	for _, d := range list {
		names = append(names, fmt.Sprintf("cuda:%d\t%s", d.Ordinal, d.Name))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func newDevices() *cobra.Command {
	return &cobra.Command{
		Use:     "devices",
		Short:   "List what --device can name on this machine",
		Long:    "devices lists the CPU and the NVIDIA devices of this machine, with what is wrong with those that cannot be used.",
		Example: "  criticrm devices",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := cmd.OutOrStdout()
			fmt.Fprintln(w, "cpu")
			writeDevices(w)
			return nil
		},
	}
}
