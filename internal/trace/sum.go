package trace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// Waited is the Number of a span of Communication that says for how many microseconds of it somebody waited, and could do nothing else.
const Waited = "waited"

// Sum is what a rank's spans come to.
type Sum struct {
	Rank, Calls int
	Bytes       int64         // that the rank gave to others
	Waited      time.Duration // for calls
	Lasted      time.Duration // from the first span's beginning to the last one's end

	first, last float64
}

// Sums adds up the spans in a file that this package has written, by rank.
func Sums(path string) (list []Sum, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			Ph      string
			Pid     int
			Ts, Dur float64
			Args    struct {
				Bytes  int64
				Waited *float64
			}
		}
		// A rank that was ended leaves a part of a line, and names of rows have other arguments.
		if json.Unmarshal(bytes.TrimSuffix(lines.Bytes(), []byte(",")), &e) != nil || e.Ph != "X" {
			continue
		}
		i := slices.IndexFunc(list, func(s Sum) bool { return s.Rank == e.Pid })
		if i < 0 {
			i, list = len(list), append(list, Sum{Rank: e.Pid, first: e.Ts})
		}
		s := &list[i]
		s.first, s.last = min(s.first, e.Ts), max(s.last, e.Ts+e.Dur)
		s.Lasted = micro(s.last - s.first)
		if e.Args.Waited != nil {
			s.Calls++
			s.Bytes += e.Args.Bytes
			s.Waited += micro(*e.Args.Waited)
		}
	}
	slices.SortFunc(list, func(a, b Sum) int { return a.Rank - b.Rank })
	return list, lines.Err()
}

func micro(n float64) time.Duration { return time.Duration(n * float64(time.Microsecond)) }
