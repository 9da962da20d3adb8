package record

// Records of two rows that stand one behind the other.

import "errors"

// join makes a record of the one that waits and that of a row, if they belong together; else the row's waits for the next one.
func (p *part) join(f *found) {
	if len(f.list) == 0 {
		return
	}
	before, next := p.half, f.list[0]
	f.list, p.half = nil, next
	if before == nil {
		return
	}
	rec, err := p.schema.join(before, next)
	if err == AsideAlone {
		f.err = err
		return
	}
	p.half = nil
	if err == nil {
		err = rec.readsBack(p.r.columns)
	}
	var why aside
	switch {
	case err == nil:
		f.list = []*Record{rec}
	case errors.As(err, &why):
		f.err = why
	default:
		f.err = p.fault(place{before.Line, before.Row}, -1, "%v", err)
	}
}
