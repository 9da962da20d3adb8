package collective

import (
	"fmt"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"

	"criticrm/kernels"
)

// openGPUs makes the group of ranks with a GPU each. They meet where the launcher says, over TCP, and rank 0 gives all what NCCL needs to connect them.
func openGPUs(dev *kernels.Device, w World, facts map[string]string, limits Limits) (*Group, error) {
	lib, err := openNCCL(os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("collective: %w", err)
	}
	all := map[string]string{"NCCL": lib.String()}
	maps.Copy(all, facts)
	g := &Group{rank: w.Rank, size: w.Size, dev: dev, control: newControl(w.Rank, limits, all)}
	if w.Rank == 0 {
		if g.control.self.ID, err = lib.newID(); err != nil {
			return nil, fmt.Errorf("collective: %w", err)
		}
	}
	m, err := g.meetForGPUs(w)
	if err != nil {
		return nil, err
	}
	id := g.control.self.ID
	if w.Rank > 0 {
		id = g.control.peers[0].ID
	}
	if g.move, err = lib.engine(g, id); err != nil {
		err = g.broken("the start of NCCL", err)
		g.control.close()
		if m != nil {
			m.end(true)
		}
		return nil, err
	}
	if m != nil {
		g.move = launched{g.move, m}
	}
	return g, nil
}

// launched is a transport in a process that Open MPI's launcher waits for a word from.
type launched struct {
	transport
	m *mpi
}

func (l launched) end(failed bool) {
	l.transport.end(failed)
	l.m.end(failed)
}

// meetForGPUs connects the ranks beside NCCL. Under mpirun Open MPI carries the invitation if nobody has said where to meet; it is then to be
// ended, too.
func (g *Group) meetForGPUs(w World) (*mpi, error) {
	if w.Launcher == "mpirun" && os.Getenv("MASTER_ADDR") == "" {
		m, err := g.control.openMPI(w)
		if err != nil {
			return nil, fmt.Errorf("%w; or tell where rank 0 is: mpirun -x MASTER_ADDR -x MASTER_PORT", err)
		}
		if err := g.meet(m); err != nil {
			m.end(true)
			return nil, err
		}
		return m, nil
	}
	address, err := w.Meeting(os.Getenv)
	if err != nil {
		return nil, err
	}
	token := meetingToken(os.Getenv)
	if w.Rank > 0 {
		return nil, g.control.join([]string{address}, token)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("collective: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		host = "" // the name that others know may be of one of several networks
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("collective: rank 0 cannot listen where the ranks are to meet (MASTER_ADDR, MASTER_PORT): %w", err)
	}
	return nil, g.control.accept(l, token, g.size)
}

// meetingToken keeps ranks of other runs out: what --nproc makes up, or the number of the job.
func meetingToken(get func(string) string) string {
	for _, name := range []string{"CRITICRM_TOKEN", "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID"} {
		if v := get(name); v != "" {
			return v
		}
	}
	return ""
}

// defaultPort is where ranks meet if nobody says, as with PyTorch.
const defaultPort = 29500

// Meeting is the address where the ranks of a launcher find rank 0: MASTER_ADDR and MASTER_PORT of the environment, or, in a job of Slurm, its first
// host and a port made of its number.
func (w World) Meeting(get func(string) string) (string, error) {
	host, port := get("MASTER_ADDR"), defaultPort
	nodes := get("SLURM_STEP_NODELIST")
	if nodes == "" {
		nodes = get("SLURM_JOB_NODELIST")
	}
	switch text := get("MASTER_PORT"); {
	case host == "" && w.Launcher == "srun" && nodes != "":
		var err error
		if host, err = firstHost(nodes); err != nil {
			return "", fmt.Errorf("collective: the environment's list of nodes: %w", err)
		}
		job, _ := strconv.Atoi(get("SLURM_JOB_ID"))
		step, _ := strconv.Atoi(get("SLURM_STEP_ID"))
		port = 20000 + (job*7+step)%10000
	case host == "":
		return "", fmt.Errorf("collective: %s does not say where the %d ranks meet: set MASTER_ADDR to the host of rank 0, and MASTER_PORT to a port that is free there", w.Launcher, w.Size)
	case text != "":
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 65534 {
			return "", fmt.Errorf("collective: the environment's MASTER_PORT is %q: want a port", text)
		}
		port = n
	}
	if get("TORCHELASTIC_USE_AGENT_STORE") == "True" { // torchrun itself listens on MASTER_PORT
		port++
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// firstHost is the first of a list as Slurm writes it: node[003-010,12],other.
func firstHost(list string) (string, error) {
	before, rest, ranges := strings.Cut(list, "[")
	if name, _, several := strings.Cut(before, ","); several || !ranges {
		return name, nil
	}
	inside, after, closed := strings.Cut(rest, "]")
	number := inside
	if i := strings.IndexAny(inside, ",-"); i >= 0 {
		number = inside[:i]
	}
	after, _, _ = strings.Cut(after, ",")
	if !closed || number == "" || strings.Contains(after, "[") {
		return "", fmt.Errorf("%q: set MASTER_ADDR to its first host", list)
	}
	return before + number + after, nil
}
