package collective

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Beside the bytes of tensors, ranks tell rank 0 where they are, over a TCP connection each, and rank 0 tells them who has failed. The
// libraries that move tensors wait for ever for a rank that does not come, and do not say which.

// Error is why a group has failed: what a rank did or said.
type Error struct {
	Rank int    // whose fault it is; -1: nobody knows
	Lost bool   // it is gone, stopped or stuck, and has said nothing: another try may go well
	Text string // names it with its host and process
}

func (e *Error) Error() string { return "collective: " + e.Text }

// unknown is the rank of an Error of which nobody knows.
const unknown = -1

// Teller is the rank that tells people of it, for all.
func (e *Error) Teller() int {
	switch {
	case !e.Lost:
		return e.Rank
	case e.Rank == 0:
		return 1
	}
	return 0
}

// beat is how often each side is heard; a connection that is silent longer than Limits.Silence is lost.
const beat = 500 * time.Millisecond

// message is one line of the conversation, as JSON.
type message struct {
	// A rank's first.
	Token string            `json:"token,omitempty"`
	Rank  int               `json:"rank"`
	Host  string            `json:"host,omitempty"`
	PID   int               `json:"pid,omitempty"`
	Facts map[string]string `json:"facts,omitempty"`
	ID    []byte            `json:"id,omitempty"` // in rank 0's answer: by which ranks with GPUs find each other

	At     *place `json:"at,omitempty"`     // where a rank is
	Bye    bool   `json:"bye,omitempty"`    // it ends as it should
	Talk   *talk  `json:"talk,omitempty"`   // of a call that shares bytes of the host
	Failed *Error `json:"failed,omitempty"` // of either side
}

// place is where a rank is: in its Call-th call, or behind it.
type place struct {
	Call   int64         `json:"call"`
	What   string        `json:"what"`
	Past   uint64        `json:"past"` // a hash of all calls up to it
	Inside bool          `json:"inside"`
	For    time.Duration `json:"for"` // how long it has been there
}

func (p place) String() string {
	switch {
	case p.Call == 0:
		return "when last heard of, it had made no call"
	case p.Inside:
		return fmt.Sprintf("when last heard of, it was in call %d (%s)", p.Call, p.What)
	}
	return fmt.Sprintf("when last heard of, it had made call %d (%s)", p.Call, p.What)
}

// control is one rank's end.
type control struct {
	rank   int
	limits Limits
	self   message // host and process
	peers  []*peer // at rank 0: all others; elsewhere: rank 0

	mu      sync.Mutex
	err     error
	at      place
	since   time.Time
	closing bool
	report  func(*Error) // called once, when the group fails, at the rank that tells of it; may be nil
	loss    func()       // called once, when the group fails; may be nil
	stop    chan struct{}
	done    sync.WaitGroup
}

// peer is a connection to another rank.
type peer struct {
	message
	conn  net.Conn
	write sync.Mutex
	heard time.Time // under control.mu, as the rest
	at    place
	bye   bool
	talks []talk // that nobody has taken yet
}

func (m message) name() string { return fmt.Sprintf("rank %d (%s, process %d)", m.Rank, m.Host, m.PID) }

func newControl(rank int, limits Limits, facts map[string]string) *control {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	return &control{rank: rank, limits: limits, self: message{Rank: rank, Host: host, PID: os.Getpid(), Facts: facts}, stop: make(chan struct{}), since: time.Now()}
}

// accept waits, at rank 0, for all others.
func (c *control) accept(l net.Listener, token string, size int) error {
	defer l.Close()
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(c.limits.Meet))
	missing := map[int]bool{}
	for r := 1; r < size; r++ {
		missing[r] = true
	}
	for len(missing) > 0 {
		conn, err := l.Accept()
		if err != nil {
			list := slices.Sorted(maps.Keys(missing))
			return &Error{list[0], true, fmt.Sprintf("%s: rank %v did not come within %v, before they have met: %v", c.self.name(), list, c.limits.Meet, err)}
		}
		p, err := c.hello(conn, token)
		if err != nil || !missing[p.Rank] {
			conn.Close() // a stranger
			continue
		}
		delete(missing, p.Rank)
		c.peers = append(c.peers, p)
	}
	for _, p := range c.peers {
		if differs := differences(c.self.Facts, p.Facts); differs != "" {
			e := &Error{p.Rank, false, fmt.Sprintf("%s does not run what %s runs: %s", p.name(), c.self.name(), differs)}
			c.tell(message{Failed: e})
			return e
		}
	}
	c.tell(message{Host: c.self.Host, PID: c.self.PID, ID: c.self.ID})
	c.watch()
	return nil
}

func (c *control) hello(conn net.Conn, token string) (*peer, error) {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // a stranger may say nothing
	p := &peer{conn: conn, heard: time.Now()}
	err := json.NewDecoder(oneByte{conn}).Decode(&p.message)
	_ = conn.SetDeadline(time.Time{})
	if err == nil && subtle.ConstantTimeCompare([]byte(p.Token), []byte(token)) != 1 {
		err = errors.New("another token")
	}
	return p, err
}

// oneByte reads no more than a decoder needs: what follows the first message is read by another.
type oneByte struct{ net.Conn }

func (c oneByte) Read(b []byte) (int, error) { return c.Conn.Read(b[:min(1, len(b))]) }

// join finds rank 0, at one of its addresses, which may not be there yet.
func (c *control) join(addresses []string, token string) error {
	var conn net.Conn
	var err error
	for start := time.Now(); conn == nil; {
		for _, a := range addresses {
			if conn, err = net.DialTimeout("tcp", a, c.limits.Meet/2); err == nil {
				break
			}
		}
		if err != nil && time.Since(start) > c.limits.Meet {
			return fmt.Errorf("collective: rank 0 cannot be reached at %s within %v: %w", strings.Join(addresses, " or "), c.limits.Meet, err)
		}
		if err != nil {
			time.Sleep(beat / 5)
		}
	}
	p := &peer{conn: conn, heard: time.Now()}
	c.peers = []*peer{p}
	hello := c.self
	hello.Token = token
	if err := p.send(hello); err != nil {
		return fmt.Errorf("collective: rank 0: %w", err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * c.limits.Meet)) // all others have to come first
	if err := json.NewDecoder(oneByte{conn}).Decode(&p.message); err != nil {
		return fmt.Errorf("collective: rank 0 did not answer: %w", err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	if p.Failed != nil {
		return p.Failed
	}
	c.watch()
	return nil
}

// differences says which facts two ranks do not share.
func differences(a, b map[string]string) string {
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	var list []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if a[k] != b[k] {
			list = append(list, fmt.Sprintf("%s is %q there and %q here", k, b[k], a[k]))
		}
	}
	return strings.Join(list, "; ")
}

func (p *peer) send(m message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	p.write.Lock()
	defer p.write.Unlock()
	_ = p.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	_, err = p.conn.Write(append(b, '\n'))
	return err
}

func (c *control) tell(m message) {
	m.Rank = c.rank
	for _, p := range c.peers {
		_ = p.send(m) // one that does not take it is found lost by what it does not say
	}
}

// watch listens to all peers, and is heard.
func (c *control) watch() {
	for _, p := range c.peers {
		p.heard = time.Now()
		c.done.Go(func() { c.listen(p) })
	}
	c.done.Go(func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-c.stop:
				return
			case <-tick.C:
				now := time.Now()
				if now.Sub(last) > c.limits.Silence/2 {
					c.slept(now)
				}
				last = now
				c.tell(message{At: new(c.place())})
				c.judge(now)
			}
		}
	})
}

// slept is called when this process has been stopped for a while: what it has not heard meanwhile says nothing.
func (c *control) slept(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		p.heard = now
	}
}

func (c *control) place() place {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	at.For = time.Since(c.since)
	return at
}

func (c *control) listen(p *peer) {
	d := json.NewDecoder(p.conn)
	for {
		var m message
		err := d.Decode(&m)
		c.mu.Lock()
		p.heard = time.Now()
		p.bye = p.bye || m.Bye
		if m.At != nil {
			p.at = *m.At
		}
		if m.Talk != nil {
			p.talks = append(p.talks, *m.Talk)
		}
		over := p.bye || c.closing
		c.mu.Unlock()
		switch {
		case err != nil && over:
			return
		case err != nil:
			c.lose(&Error{p.Rank, true, fmt.Sprintf("%s is gone: its process has ended, or the connection to it has (%v); %s", p.name(), err, p.at)})
			return
		case m.Failed != nil:
			c.lose(m.Failed)
		}
	}
}

// judge looks for ranks that are silent, and, at rank 0, for one that does not come to where others wait.
func (c *control) judge(now time.Time) {
	c.mu.Lock()
	var lost *Error
	for _, p := range c.peers {
		if quiet := now.Sub(p.heard); quiet > c.limits.Silence && !p.bye && !c.closing {
			lost = &Error{p.Rank, true, fmt.Sprintf("%s was not heard of for %v: it is stopped, or its machine is gone; %s", p.name(), quiet.Round(time.Second), p.at)}
		}
	}
	if lost == nil && c.rank == 0 {
		lost = c.apart()
	}
	if lost == nil && c.rank == 0 {
		lost = c.laggard(now)
	}
	c.mu.Unlock()
	if lost != nil {
		c.lose(lost)
	}
}

// apart is a rank that makes another call than rank 0 in its place.
func (c *control) apart() *Error {
	for _, p := range c.peers {
		if p.at.Call == c.at.Call && p.at.differs(c.at) != "" {
			return &Error{p.Rank, false, fmt.Sprintf("%s %s, %s %s: the ranks have come apart", p.name(), c.at.differs(p.at), c.self.name(), c.at.made())}
		}
	}
	return nil
}

// stuck is a call in which all ranks are, and that does not end.
func (c *control) stuck(own place) *Error {
	for _, p := range c.peers {
		if p.bye || !p.at.Inside || p.at.Call != own.Call || p.at.For < 2*c.limits.Call {
			return nil
		}
	}
	if !own.Inside || own.For < 2*c.limits.Call {
		return nil
	}
	return &Error{c.rank, true, fmt.Sprintf("all ranks wait in call %d (%s) since %v: what is between them moves no data", own.Call, own.What, own.For.Round(time.Second))}
}

func (c *control) laggard(now time.Time) *Error {
	type where struct {
		message
		at place
	}
	own := c.at
	own.For = now.Sub(c.since)
	all := []where{{c.self, own}}
	for _, p := range c.peers {
		if !p.bye {
			all = append(all, where{p.message, p.at})
		}
	}
	if stuck := c.stuck(own); stuck != nil {
		return stuck
	}
	last := slices.MinFunc(all, func(a, b where) int { return int(a.at.Call - b.at.Call) })
	for _, w := range all {
		if w.at.Inside && w.at.Call > last.at.Call && w.at.For > c.limits.Call {
			return &Error{last.Rank, true, fmt.Sprintf("%s does not come to call %d (%s), where %s waits since %v; %s",
				last.name(), w.at.Call, w.at.What, w.name(), w.at.For.Round(time.Second), last.at)}
		}
	}
	return nil
}

// lose makes e the group's end, here and at the ranks that this one talks to. The first reason stays.
func (c *control) lose(e *Error) {
	c.mu.Lock()
	first := c.err == nil && !c.closing
	if first {
		c.err = e
	}
	loss, report := c.loss, c.report
	c.mu.Unlock()
	if !first {
		return
	}
	c.tell(message{Failed: e})
	if report != nil && e.Teller() == c.rank {
		report(e)
	}
	if loss != nil {
		loss()
	}
}

// atLoss has f called when the group fails, or now if it has.
func (c *control) atLoss(f func()) {
	c.mu.Lock()
	c.loss = f
	failed := c.err != nil
	c.mu.Unlock()
	if failed {
		f()
	}
}

func (c *control) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// OnFailure has report called when the group fails, at one rank: at once, since a launcher gives the others little time when one has died. What the
// group's calls and Fail give afterwards is then known.
func (g *Group) OnFailure(report func(*Error)) {
	if g.Size() > 1 {
		g.control.mu.Lock()
		defer g.control.mu.Unlock()
		g.control.report = report
	}
}

// Failed is why the group has failed; nil: it has not.
func (g *Group) Failed() error {
	if g.Size() == 1 {
		return nil
	}
	return g.control.failed()
}

// enter says that the rank begins a call.
func (c *control) enter(what string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprint(h, c.at.Past, what)
	c.at, c.since = place{Call: c.at.Call + 1, What: what, Past: h.Sum64()}, time.Now()
	return c.err
}

// wait says that the rank does nothing but wait for the calls that it has begun.
func (c *control) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at.Inside, c.since = true, time.Now()
}

func (c *control) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at.Inside, c.since = false, time.Now()
}

// close ends the conversation.
func (c *control) close() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	close(c.stop)
	c.tell(message{Bye: true})
	for _, p := range c.peers {
		if t, ok := p.conn.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
		_ = p.conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	}
	c.done.Wait()
	for _, p := range c.peers {
		p.conn.Close()
	}
}
