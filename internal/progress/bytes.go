package progress

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Bytes tells that done of total bytes have come, which may be fewer than before. The first call of a stage begins it, Close ends it.
func (m *Meter) Bytes(stage string, done, total int64) {
	if stage != m.stage {
		m.Close()
		m.stage, m.start, m.last, m.from = stage, m.now(), m.now(), int(done)
		if IsTerminal(m.w) {
			m.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(m.w), progressbar.OptionShowBytes(true), progressbar.OptionShowCount(),
				progressbar.OptionSetPredictTime(false), progressbar.OptionFullWidth(), progressbar.OptionSetDescription(stage))
		}
		return
	}
	if m.bar == nil && !m.late() || m.bar != nil && m.now().Sub(m.last) < redraw && done < total {
		return
	}
	m.last = m.now()
	if m.bar != nil {
		_ = m.bar.Set64(done) // a bar that cannot be drawn must not stop a run
		return
	}
	seconds := m.now().Sub(m.start).Seconds()
	rate := max(float64(done-int64(m.from))/seconds, 0)
	text := fmt.Sprintf("%s: %.1f of %.1f MiB, %.1f a second", stage, float64(done)/(1<<20), float64(total)/(1<<20), rate/(1<<20))
	if rate > 0 {
		text += fmt.Sprintf(", %s left", Round(time.Duration(float64(total-done)/rate*float64(time.Second))))
	}
	fmt.Fprintln(m.w, text)
}
