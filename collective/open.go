package collective

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"criticrm/kernels"
)

// World is where a process stands among those that were started with it, as its launcher says.
type World struct {
	Rank, Size int
	Local      int    // number of the rank on its machine: which GPU is its; -1: the launcher does not say
	Beside     int    // ranks on this machine; 0: the launcher does not say
	Launcher   string // mpirun, srun or torchrun; "" for a process alone
}

// launchers are the variables in which they say it. Later ones are set by several launchers.
var launchers = []struct{ name, rank, size, local, beside string }{
	{"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
	{"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
	{"srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"},
	{"Hydra", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
}

// Surroundings reads the variables of the environment in which a launcher says how many ranks there are. One that is no number is an error.
func Surroundings(get func(string) string) (World, error) {
	for _, l := range launchers {
		if get(l.rank) == "" || get(l.size) == "" {
			continue
		}
		w := World{Launcher: l.name}
		for _, v := range []struct {
			name string
			to   *int
			or   int // where the launcher does not say it
		}{{l.rank, &w.Rank, 0}, {l.size, &w.Size, 0}, {l.local, &w.Local, -1}, {l.beside, &w.Beside, 0}} {
			text := get(v.name)
			if text == "" {
				*v.to = v.or
				continue
			}
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return World{}, fmt.Errorf("collective: the environment's %s is %q: want a number", v.name, text)
			}
			*v.to = n
		}
		if w.Size < 1 || w.Rank >= w.Size {
			return World{}, fmt.Errorf("collective: the environment says rank %d of %d (%s, %s)", w.Rank, w.Size, l.rank, l.size)
		}
		return w, nil
	}
	return World{Size: 1}, nil
}

// Open makes the group that the process was started in; a process that was started alone has none, and nil is one. facts are what all ranks must share:
// the program, what it was asked to do. Ranks on CPUs need Open MPI, and to be started by its mpirun or by a Slurm that starts it; ranks with a GPU each
// need NCCL, and any launcher.
func Open(dev *kernels.Device, w World, facts map[string]string, limits Limits) (*Group, error) {
	if w.Size == 1 {
		return nil, nil
	}
	if dev.Name() != "cpu" {
		return openGPUs(dev, w, facts, limits)
	}
	if w.Launcher == "Hydra" {
		return nil, errors.New("collective: this process was started by Hydra, MPICH's launcher, whose interface is another one: Open MPI is needed (apt-get install openmpi-bin), and its mpirun")
	}
	c := newControl(w.Rank, limits, facts)
	m, err := c.openMPI(w)
	if err != nil {
		return nil, err
	}
	g := &Group{rank: w.Rank, size: w.Size, dev: dev, move: m, control: c}
	if err := g.meet(m); err != nil {
		m.end(true)
		return nil, err
	}
	return g, nil
}

// openMPI opens the library, which must say of the process what its launcher does.
func (c *control) openMPI(w World) (*mpi, error) {
	m, rank, size, err := openMPI(c.limits.Meet)
	if errors.Is(err, errNotStarted) {
		return nil, &Error{unknown, true, fmt.Sprintf("%s: %v within %v: one of them is stopped or stuck, before they have met", c.self.name(), err, c.limits.Meet)}
	}
	if err != nil {
		return nil, fmt.Errorf("collective: %s: %w", c.self.name(), err)
	}
	if rank != w.Rank || size != w.Size {
		return nil, fmt.Errorf("collective: %s says rank %d of %d, Open MPI rank %d of %d: start the ranks with Open MPI's mpirun, or with criticrm's --nproc", w.Launcher, w.Rank, w.Size, rank, size)
	}
	m.lost = c.failed
	return m, nil
}

// invitation is how rank 0 is reached.
type invitation struct {
	Addresses []string
	Token     string
	Error     string
}

// hostBytes and invitationBytes are what a host's name and an invitation may take.
const hostBytes, invitationBytes = 256, 1024

// meet makes the connections beside the library's own, which carries the invitation.
func (g *Group) meet(m *mpi) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	hosts := make([]byte, hostBytes*g.size)
	pin.Pin(&hosts[0])
	copy(hosts[hostBytes*g.rank:], g.control.self.Host)
	s := span{}
	for r := range g.size {
		s.at, s.n = append(s.at, hostBytes*r), append(s.n, hostBytes)
	}
	if err := g.early(func() (done, error) { return m.gather(unsafe.Pointer(&hosts[0]), s) }); err != nil {
		return err
	}
	one := true
	for r := range g.size {
		one = one && slices.Equal(hosts[:hostBytes], hosts[hostBytes*r:hostBytes*(r+1)])
	}
	buf := make([]byte, invitationBytes)
	pin.Pin(&buf[0])
	var l net.Listener
	if g.rank == 0 {
		var inv invitation
		l, inv = invite(one)
		b, err := json.Marshal(inv)
		if err != nil || len(b) > len(buf) {
			b = []byte(`{"Error": "too many addresses"}`)
		}
		copy(buf, b)
	}
	if err := g.early(func() (done, error) { return m.broadcast(unsafe.Pointer(&buf[0]), len(buf), 0) }); err != nil {
		return err
	}
	var inv invitation
	if err := json.Unmarshal(buf[:slices.Index(append(buf, 0), 0)], &inv); err != nil {
		return fmt.Errorf("collective: %w", err)
	}
	if inv.Error != "" {
		return fmt.Errorf("collective: rank 0 cannot be reached: %s", inv.Error)
	}
	if g.rank == 0 {
		return g.control.accept(l, inv.Token, g.size)
	}
	return g.control.join(inv.Addresses, inv.Token)
}

// invite listens: on this machine alone where all ranks are on it.
func invite(one bool) (net.Listener, invitation) {
	host := ""
	if one {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, invitation{Error: err.Error()}
	}
	inv := invitation{Token: rand.Text()}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	names := []string{host}
	if !one {
		names = nil
		if name, err := os.Hostname(); err == nil {
			names = append(names, name)
		}
		list, _ := net.InterfaceAddrs()
		for _, a := range list {
			if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() && len(names) < 8 {
				names = append(names, ip.IP.String())
			}
		}
	}
	for _, n := range names {
		inv.Addresses = append(inv.Addresses, net.JoinHostPort(n, port))
	}
	return l, inv
}

// early makes a call before ranks can be told apart; the library's own launcher ends it if one is lost.
func (g *Group) early(begin func() (done, error)) error {
	finished, err := begin()
	if err != nil {
		return fmt.Errorf("collective: %w", err)
	}
	start := time.Now()
	for wait := newPatience(); ; wait.turn() {
		switch ok, err := finished(); {
		case err != nil:
			return fmt.Errorf("collective: %w", err)
		case ok:
			return nil
		case time.Since(start) > g.control.limits.Meet:
			return &Error{unknown, true, fmt.Sprintf("%s: not all %d ranks have come within %v, before they have met", g.control.self.name(), g.size, g.control.limits.Meet)}
		}
	}
}

// Fail ends the group because of an error of this rank, of which the others hear, and gives it. An error that came from the group is no news.
func (g *Group) Fail(err error) error {
	var known *Error
	if g.Size() > 1 && !errors.As(err, &known) {
		g.control.lose(&Error{g.rank, false, fmt.Sprintf("%s has failed: %v", g.control.self.name(), err)})
	}
	return err
}
