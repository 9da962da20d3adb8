package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"criticrm/cuda"
	"criticrm/version"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, compiler and platform",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := fmt.Sprintf("criticrm %s %s %s/%s", version.String(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			if cuda.Built {
				text += " CUDA " + cuda.Toolkit()
			}
			fmt.Fprintln(cmd.OutOrStdout(), text)
			return nil
		},
	}
}
