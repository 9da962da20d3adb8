package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"criticrm/cuda"
)

// version is the program's version and the commit it was built from, where the build knows it.
func version() string {
	v := "0.1.0"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v += "+" + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, compiler and platform",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := fmt.Sprintf("criticrm %s %s %s/%s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			if cuda.Built {
				text += " CUDA " + cuda.Toolkit()
			}
			fmt.Fprintln(cmd.OutOrStdout(), text)
			return nil
		},
	}
}
