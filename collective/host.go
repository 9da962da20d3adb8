package collective

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"criticrm/internal/trace"
)

// Bytes of the host go over the control's connections, by way of rank 0: they are few, no device has to be waited for, and ranks that make different
// calls are told apart.

// talk is what a rank gives to a call, or, in rank 0's answer, what all have given.
type talk struct {
	place
	Data [][]byte `json:"data"`
}

// talk gives each rank's bytes to all, in the order of the ranks.
func (g *Group) talk(what string, own []byte) ([][]byte, error) {
	if g.Size() == 1 {
		return [][]byte{own}, nil
	}
	if err := g.dev.Fault(); err != nil {
		return nil, err
	}
	if err := g.control.enter(what); err != nil {
		return nil, err
	}
	g.control.wait()
	span := trace.BeginCall(what)
	all, err := g.control.talk(g.size, own)
	span.End()
	if err == nil {
		g.control.leave()
	}
	return all, err
}

func (c *control) talk(size int, own []byte) ([][]byte, error) {
	mine := talk{c.place(), [][]byte{own}}
	if c.rank > 0 {
		_ = c.peers[0].send(message{Rank: c.rank, Talk: &mine}) // a connection that has ended is found by who listens to it
		answer, err := c.heardFrom(c.peers[0])
		return answer.Data, err
	}
	all := make([][]byte, size)
	all[0] = own
	for _, p := range c.peers {
		x, err := c.heardFrom(p)
		if err != nil {
			return nil, err
		}
		if why := mine.differs(x.place); why != "" {
			e := &Error{p.Rank, false, fmt.Sprintf("%s %s, %s %s: the ranks have come apart", p.name(), why, c.self.name(), mine.place.made())}
			c.lose(e)
			return nil, e
		}
		all[p.Rank] = x.Data[0]
	}
	mine.Data = all
	c.tell(message{Talk: &mine})
	return all, nil
}

// heardFrom waits for what a peer gives to the call.
func (c *control) heardFrom(p *peer) (talk, error) {
	for wait := newPatience(); ; wait.turn() {
		c.mu.Lock()
		err := c.err
		var got []talk
		if len(p.talks) > 0 {
			got, p.talks = p.talks[:1:1], p.talks[1:]
		}
		c.mu.Unlock()
		switch {
		case len(got) > 0:
			return got[0], nil
		case err != nil:
			return talk{}, err
		}
	}
}

func (p place) made() string { return fmt.Sprintf("makes call %d (%s)", p.Call, p.What) }

// differs says what another rank does instead, or nothing.
func (p place) differs(x place) string {
	switch {
	case x.Call != p.Call || x.What != p.What:
		return x.made()
	case x.Past != p.Past:
		return "has made other calls before call " + fmt.Sprint(x.Call)
	}
	return ""
}

// errEnded is the error of a transport that was ended because the group has failed.
var errEnded = errors.New("the group has ended")

// broken is the error of a call that the transport could not make.
func (g *Group) broken(what string, err error) error {
	if errors.Is(err, errEnded) {
		if known := g.control.failed(); known != nil {
			return known
		}
	}
	return g.Fail(fmt.Errorf("collective: %s: %w", what, err))
}

// Tell gives the bytes of rank 0 to all.
func (g *Group) Tell(what string, b []byte) ([]byte, error) {
	if g.Rank() > 0 {
		b = nil
	}
	all, err := g.talk(what, b)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// Texts gives each rank's text to all, in the order of the ranks.
func (g *Group) Texts(what, own string) ([]string, error) {
	all, err := g.talk(what, []byte(own))
	texts := make([]string, len(all))
	for r := range all {
		texts[r] = string(all[r])
	}
	return texts, err
}

// Agree is an error at the ranks where the text is not that of rank 0, and then at all.
func (g *Group) Agree(what, text string) error {
	first, err := g.Tell(what, []byte(text))
	if err == nil && string(first) != text {
		err = g.Fail(fmt.Errorf("collective: rank %d: %s is %.200q here and %.200q at rank 0", g.rank, what, text, first))
	}
	return err
}

// Share gives each rank's numbers to all, in the order of the ranks. All give as many.
func (g *Group) Share(what string, own []float64) ([][]float64, error) {
	var b []byte
	for _, x := range own {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	all, err := g.talk(what, b)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(all))
	for r, b := range all {
		if len(b) != 8*len(own) {
			return nil, g.Fail(fmt.Errorf("collective: %s: rank %d gives %d numbers, rank %d %d", what, r, len(b)/8, g.rank, len(own)))
		}
		for ; len(b) > 0; b = b[8:] {
			out[r] = append(out[r], math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	}
	return out, nil
}
