// Package serve is a server of one model, over HTTP: rewards with their critiques on a route of its own, and on those that trainers ask other servers
// on; the critic itself on OpenAI's; a page to try it.
//
// A [Server] is an [http.Handler]; its routes are a table (routes.go), a family of them a file. What the model does is a [Backend], which joins the
// requests. Every request is answered once: by its result, or by one error that says what to mend, or when to come back.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"criticrm/critic"
	"criticrm/modeldir"
	"criticrm/render"
)

// Options are what a server serves, and how.
type Options struct {
	Set    Settings
	Score  critic.ScoreOptions // what a request leaves open: samples, sampling, prompts, scale, limits; complete and valid
	Plain  bool                // the model reads rewards at the end of responses, and writes no critiques
	Head   bool                // the model has a reward head
	Log    *slog.Logger        // nil: slog.Default
	IsLost func(error) bool    // an error of the backend after which it gives nothing but errors; nil: there is none
}

// Server serves a model, or several ([Server.Add]): each of them as a Server that shares all but the model with the others.
type Server struct {
	Options
	dir    *modeldir.Dir
	render *render.Renderer
	back   Backend
	names  []string

	*shared
}

// shared is what the models of a server have in common.
type shared struct {
	all    []*Server                    // one for each model, the first one's in front
	routes map[string]map[string]*route // by path and method
	began  time.Time
	keys   atomic.Pointer[[][32]byte]
	cert   atomic.Pointer[tls.Certificate]
	gate   gate
	bodies bodies

	patience time.Duration // with a part of an answer that its client does not read
	metrics  *metrics
	page     []byte
	policy   string // of the page's contents
	work     context.Context
	end      context.CancelCauseFunc // ends what is at work
	lost     chan error
}

// New makes the server of an open model: its directory, its renderer and what does the work.
func New(dir *modeldir.Dir, r *render.Renderer, back Backend, o Options) (*Server, error) {
	if err := o.Set.Validate(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s, err := of(dir, r, back, o, &shared{began: time.Now(), patience: writeTime, lost: make(chan error, 1)})
	if err != nil {
		return nil, err
	}
	s.names = o.Set.names(dir.Path)
	s.gate.most, s.gate.mostWrite = o.Set.MaxQueue, max(o.Set.MaxQueue, o.Set.MaxConns)
	s.bodies.most = largeBodies * int64(o.Set.MaxBody)
	s.work, s.end = context.WithCancelCause(context.Background())
	s.metrics = newMetrics(s)
	s.routes = table()
	s.page, s.policy = page()
	return s, s.Reload()
}

// of makes the Server of one model.
func of(dir *modeldir.Dir, r *render.Renderer, back Backend, o Options, with *shared) (*Server, error) {
	if err := o.Score.Validate(); err != nil {
		return nil, err
	}
	if o.Plain && !o.Head {
		return nil, errors.New("serve: the model has neither a reward head nor critiques to give")
	}
	if o.Score.Critiques > o.Set.MaxSamples {
		return nil, fmt.Errorf("serve: samples: %d, and max_samples allows %d", o.Score.Critiques, o.Set.MaxSamples)
	}
	o.Score.MinParsed, o.Score.Warn = 0, nil // guards of long runs
	s := &Server{Options: o, dir: dir, render: r, back: back, shared: with}
	with.all = append(with.all, s)
	return s, nil
}

// Reload reads the keys and the certificate again. On an error those that were read before hold.
func (s *Server) Reload() error {
	keys, cert := s.keys.Load(), s.cert.Load()
	if s.Set.KeyFile != "" {
		list, err := readKeys(s.Set.KeyFile)
		if err != nil {
			return err
		}
		keys = &list
	}
	if s.Set.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(s.Set.TLSCert, s.Set.TLSKey)
		if err != nil {
			return fmt.Errorf("serve: tls_cert, tls_key: %w", err)
		}
		cert = &pair
	}
	s.keys.Store(keys) // both or none
	s.cert.Store(cert)
	return nil
}

// Listen opens the port.
func (s *Server) Listen() (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(s.Set.Host, fmt.Sprint(s.Set.Port)))
	if err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	return l, nil
}

// URL is where a listener is reached.
func (s *Server) URL(l net.Listener) string {
	scheme := "http"
	if s.Set.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + l.Addr().String() + "/"
}

// Serve answers until the context ends; then what is at work has Settings.Drain seconds to end, while new requests get 503. It gives nil when all is
// done, also if some of it was not in time, and the backend's error if that is lost.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler: s, DisableGeneralOptionsHandler: true, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, IdleTimeout: idleTime,
		BaseContext: func(net.Listener) context.Context { return s.work },
		ErrorLog:    slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	l = limited(l, s.Set.MaxConns)
	if s.Set.TLSCert != "" {
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.cert.Load(), nil }})
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.lost:
	case err = <-failed:
	}
	idle := s.gate.close()
	if err == nil {
		s.Log.Info("stopping", "running", s.gate.inside(), "seconds", s.Set.Drain)
		timer := time.NewTimer(time.Duration(s.Set.Drain) * time.Second)
		defer timer.Stop()
		select {
		case <-idle:
		case <-timer.C:
			s.Log.Warn("requests were not done in time", "running", s.gate.inside(), "written", s.gate.written())
		}
	}
	s.end(errDraining)
	select { // those that are left end now, but for a backend that does not let go
	case <-idle:
	case <-time.After(closingTime):
	}
	closing, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	if h.Shutdown(closing) != nil {
		_ = h.Close() // connections on which nothing is asked
	}
	return err
}

// Draining says whether new requests are refused.
func (s *Server) Draining() bool { return s.gate.closed() }
