package model

// Several adapters over the weights of one base.

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// borrows says whether parameters of a kind are another model's (Options.Over).
func (m *Model) borrows(kind ParamKind) bool {
	return m.opt.Over != nil && kind != Head && kind != Adapter
}

// checkOver says whether a model with a configuration can stand on another one.
func (o *Options) checkOver(c Config, adapted bool) error {
	nf4 := o.NF4 || c.quantised
	switch base := o.Over; {
	case base == nil:
		return nil
	case !adapted:
		return errors.New("model: only an adapter can share the weights of an open model")
	case o.Train || base.opt.Train:
		return errors.New("model: weights that are trained cannot be shared")
	case base.opt.LoRA != nil:
		return errors.New("model: the open model is an adapter itself: share its base")
	case o.DType != base.opt.DType || nf4 != base.opt.NF4:
		return fmt.Errorf("model: the open base has weights of %v (4 bits: %v), and the adapter wants %v (4 bits: %v): open both in one way", base.opt.DType, base.opt.NF4, o.DType, nf4)
	case !reflect.DeepEqual(computed(c), computed(base.Config)):
		return fmt.Errorf("model: the adapter's base has another %s than the open model", ConfigFile)
	}
	return nil
}

// computed is a configuration without what the forward pass does not depend on.
func computed(c Config) Config {
	c.EOSTokenIDs, c.PadTokenID = nil, nil
	return c
}

// lender gives the weights of the model below in the order of each, and their parameters; low-rank adapters stay the borrower's.
func (m *Model) lender() func(w *weight, parts []part) []*Param {
	base := m.opt.Over
	if base == nil {
		return nil
	}
	var lent []*weight
	base.each(func(w *weight, kind ParamKind, _ int, _ ...part) {
		if kind != Head {
			lent = append(lent, w)
		}
	})
	return func(w *weight, parts []part) (params []*Param) {
		low := w.low
		*w, lent = *lent[0], lent[1:]
		w.low = low
		for _, p := range parts {
			i := slices.IndexFunc(base.params, func(q *Param) bool { return q.Name == p.name })
			params = append(params, base.params[i])
		}
		return params
	}
}
