package pipeline

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"criticrm/cuda"
	"criticrm/internal/progress"
)

// What a dry run says.

// Estimate is what a run would take.
type Estimate struct {
	Lines    []EstimateLine
	Measured time.Duration // how long the work was measured
	Records  int           // of the sample
	Parsed   float64       // share of its critiques that end in a score
	Kept     float64       // share of its pairs that the filter kept
	Cut      bool          // critiques did not end within the time: their number of tokens is the most there can be

	TrainMemory int // bytes of a GPU while training; on a CPU, about those of the host
	Device      string
	DeviceHigh  int    // bytes that the sample took on the GPU; 0: a CPU
	HostHigh    int64  // bytes of host memory that it took at most
	Disk        uint64 // bytes that the run writes at most
}

// EstimateLine is one stage.
type EstimateLine struct {
	Stage   string
	Tokens  float64 // that are written, or trained on
	Seconds float64
}

// Seconds is the sum over the stages.
func (e *Estimate) Seconds() (s float64) {
	for _, l := range e.Lines {
		s += l.Seconds
	}
	return s
}

// String is for people, on one screen.
func (e *Estimate) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "measured for %v on %s, with %d rows of the data\n", e.Measured.Round(100*time.Millisecond), e.Device, e.Records)
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "stage\ttokens\ttime")
	for _, l := range e.Lines {
		fmt.Fprintf(w, "%s\t%.3g\t%s\n", l.Stage, l.Tokens, progress.Round(time.Duration(l.Seconds*float64(time.Second))))
	}
	fmt.Fprintf(w, "all\t\t%s (%.2f hours)\n", progress.Round(time.Duration(e.Seconds()*float64(time.Second))), e.Seconds()/3600)
	w.Flush()
	if e.Cut {
		b.WriteString("no critique ended within the time: the tokens are the most there can be\n")
	} else {
		fmt.Fprintf(&b, "of the sample's critiques %.0f %% end in a score; the filter keeps %.0f %% of its pairs\n", 100*e.Parsed, 100*e.Kept)
	}
	fmt.Fprintf(&b, "memory to train: %s of a GPU, or about as much of the host on a CPU\n", cuda.Size(e.TrainMemory))
	if e.DeviceHigh > 0 {
		fmt.Fprintf(&b, "memory of the GPU that the sample took: %s\n", cuda.Size(e.DeviceHigh))
	}
	fmt.Fprintf(&b, "memory of the host that the sample took: %s\n", cuda.Size(int(e.HostHigh)))
	fmt.Fprintf(&b, "disk: %s at most\n", cuda.Size(int(e.Disk)))
	return b.String()
}
