// Package cuda opens NVIDIA devices as a [kernels.Device]: it finds them, keeps a stream on the device's primary context, hands out
// its memory from a pool, and copies through pinned buffers so that nobody waits for an upload.
//
// It does so in programs built with the tag cuda, which need the CUDA headers and libraries to build (make cuda) and a driver
// only when a device is opened. In all others [Open] and [Devices] say how to get one.
package cuda

import (
	"fmt"
	"io"
	"strings"

	"criticrm/kernels"
)

// defaultWorkspace gives cuBLASLt, which gets half of it, the 32 MiB that its algorithms for large devices ask for, to the byte, beside
// what the ops keep for themselves.
const defaultWorkspace = 64<<20 + 64<<10

// Options of a device. The zero Options are meant for everybody but tests.
type Options struct {
	Workspace int // bytes of device memory for the kernels' own use; 0: 64 MiB and a little
}

// Info describes a device.
type Info struct {
	Ordinal      int
	Name         string
	Major, Minor int // compute capability
	Memory       int // bytes
	Driver       int // the newest CUDA version that the driver knows, 12040 for 12.4
	fault        string
}

// Err says why the device cannot be used, nil if it can.
func (d Info) Err() error {
	if d.fault == "" {
		return nil
	}
	return fmt.Errorf("cuda:%d (%s): %s", d.Ordinal, d.Name, d.fault)
}

func (d Info) String() string {
	return fmt.Sprintf("cuda:%d %s, compute capability %d.%d, %s, driver for CUDA %s", d.Ordinal, d.Name, d.Major, d.Minor, Size(d.Memory), version(d.Driver))
}

// oldest are the lowest versions that will do: of the device's architecture, of the driver, and of a driver for CUDA 13 and newer, which
// does not run on older ones.
const (
	oldestMajor    = 8
	oldestDriver   = 12040
	oldestDriver13 = 13000
)

func version(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

// judge says what is wrong with a device for a program built with a version of CUDA.
func judge(d Info, built int) string {
	driver, update := oldestDriver, "update the driver"
	if built >= oldestDriver13 {
		driver, update = oldestDriver13, "update the driver to 580 or newer, or build with a toolkit of CUDA 12: CUDA_HOME=<its folder> make cuda"
	}
	switch {
	case d.Driver < driver:
		return fmt.Sprintf("the driver is for CUDA %s, this program is built with CUDA %s and needs a driver for CUDA %s or newer: %s",
			version(d.Driver), version(built), version(driver), update)
	case d.Major < oldestMajor:
		return fmt.Sprintf("compute capability %d.%d is too old, 8.0 (Ampere) or newer is needed: take another device", d.Major, d.Minor)
	}
	return ""
}

// Size writes bytes for people.
func Size(n int) string {
	for _, u := range []struct {
		shift int
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n >= 1<<u.shift {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(int(1)<<u.shift), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// StatsOf gives the statistics of a device that Open has opened; ok is false for others.
func StatsOf(d *kernels.Device) (s Stats, ok bool) {
	m, ok := d.Memory().(interface{ Stats() Stats })
	if ok {
		s = m.Stats()
	}
	return s, ok
}

// Write writes the statistics as a table.
func (s Stats) Write(w io.Writer) error {
	var largest []string
	for _, r := range s.Largest {
		text := Size(r.Bytes)
		if r.Times > 1 {
			text += fmt.Sprintf(" × %d", r.Times)
		}
		largest = append(largest, text)
	}
	_, err := fmt.Fprintf(w, `device memory       now        most
  in use     %10s  %10s
  reserved   %10s  %10s   in %d segments
  kept       %10s
  %d requests, the largest: %s
`, Size(s.Allocated), Size(s.HighAllocated), Size(s.Reserved), Size(s.HighReserved), s.Segments, Size(s.Reserved-s.Allocated), s.Requests, strings.Join(largest, ", "))
	return err
}

// full is the error of a device without room for a request.
type full struct {
	device      string
	asked       int
	free, total int   // of the device
	mine        Stats // of this process
}

func (e full) Error() string {
	return fmt.Sprintf("%s: asked for %s; the device has %s free of %s, this process uses %s and keeps %s in pieces that are too small: "+
		"in training lower --max_tokens_per_batch or use --gradient_checkpointing, in generation lower --max_sequences",
		e.device, Size(e.asked), Size(e.free), Size(e.total), Size(e.mine.Allocated), Size(e.mine.Reserved-e.mine.Allocated))
}
