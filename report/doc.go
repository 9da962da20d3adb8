// Package report makes one HTML file of a run, of a scored file, or of several runs side by side: it needs no network, runs no script and
// is readable on a phone.
//
//	criticrm's run directory   recipe.yaml, data.json, model (a link into the best round), and parts: round-1, round-2, …, base, bt, cloud
//	  a part                   1-critiques.jsonl, 2-filtered.jsonl, 3-refined.jsonl, train/metrics.jsonl, eval.jsonl, valid.jsonl
//	a directory of training    recipe.yaml, metrics.jsonl, and eval.jsonl if somebody has put it there
//	a scored file              what score and eval leave
//
// Every figure is measured again from the records and the lines of metrics.jsonl; summaries that lie beside them are not read. What is not
// there is left out with a line that names the file. The same files give the same bytes, but for a page with Refresh, which has the time.
package report

// Options are the settings of Make and Compare. How records are measured is, where it is not given here, as the section eval of the run's
// recipe says, else as measure.DefaultEvalOptions.
type Options struct {
	Draws    int     // bootstrap draws; 0: not given
	Level    float64 // of the intervals; 0: not given
	Seed     *uint64 // of the draws
	Curve    []int   // numbers of critiques to average
	Category string  // field of the records that results are split by; "": not given, and then category, else subset

	Wrong      int // pairs on which the model is wrong that are shown, the worst first
	Critiques  int // critiques of a response that are shown
	Characters int // of a text that are shown

	Refresh int // of a training that is running: after how many seconds the page loads itself again; it shows the training alone; 0: it does not
}

// DefaultOptions shows 20 pairs with four critiques a side, and 2000 characters of a text.
func DefaultOptions() Options { return Options{Wrong: 20, Critiques: 4, Characters: 2000} }

// Report is a finished page.
type Report struct {
	HTML    []byte
	Lead    []string // what the page says first
	Missing []string // what is left out, and why
}
