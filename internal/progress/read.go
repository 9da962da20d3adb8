package progress

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Read tells that so many rows of a file have been read, which lie in done of its bytes; of is how many those are, 0 if nobody knows. The
// first call of a stage begins it, Close ends it. A file that is read within the first seconds is not spoken of where nobody looks.
func (m *Meter) Read(stage string, rows int, done, of int64) {
	if stage != m.stage {
		m.Close()
		m.stage, m.start, m.last = stage, m.now(), m.now()
		if IsTerminal(m.w) {
			most := of
			if of == 0 {
				most = -1
			}
			m.bar = progressbar.NewOptions64(most, progressbar.OptionSetWriter(m.w), progressbar.OptionShowBytes(true), progressbar.OptionShowCount(),
				progressbar.OptionSetPredictTime(false), progressbar.OptionFullWidth(), progressbar.OptionSetDescription(stage))
		}
		return
	}
	if m.bar == nil && !m.late() || m.bar != nil && m.now().Sub(m.last) < redraw {
		return
	}
	m.last = m.now()
	seconds := m.now().Sub(m.start).Seconds()
	speed := fmt.Sprintf("%d rows, %.0f a second", rows, float64(rows)/seconds)
	if m.bar != nil {
		m.bar.Describe(stage + " " + speed)
		_ = m.bar.Set64(done) // a bar that cannot be drawn must not stop a run
		return
	}
	text := fmt.Sprintf("%s: %s, %.1f MiB", stage, speed, float64(done)/(1<<20))
	if of > 0 && done > 0 {
		text += fmt.Sprintf(" of %.1f, %s left", float64(of)/(1<<20), Round(time.Duration(float64(of-done)/float64(done)*seconds*float64(time.Second))))
	}
	fmt.Fprintln(m.w, text)
}
