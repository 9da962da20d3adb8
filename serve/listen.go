package serve

import (
	"net"
	"sync"
)

// limited accepts so many connections at once; others wait.
func limited(l net.Listener, most int) net.Listener {
	return &limitedListener{Listener: l, seats: make(chan struct{}, most), done: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	seats chan struct{}
	once  sync.Once
	done  chan struct{} // the listener is closed
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.seats <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.seats
		return nil, err
	}
	return &limitedConn{Conn: c, seats: l.seats}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	seats chan struct{}
	once  sync.Once
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.seats })
	return err
}
