package serve

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"criticrm/version"
)

// metrics are what /metrics tells.
type metrics struct {
	requests, errors               *prometheus.CounterVec
	seconds                        *prometheus.HistogramVec
	prompt, written, judged, plain prometheus.Counter
	handler                        http.Handler
}

func newMetrics(s *Server) *metrics {
	reg := prometheus.NewRegistry()
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string, get func() int) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(get()) }))
	}
	total := func(name, help string, get func() int) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(get()) }))
	}
	m := &metrics{
		requests: vec("criticrm_requests_total", "Requests answered, by route and status; 499: the client went away first.", "route", "status"),
		errors:   vec("criticrm_errors_total", "Errors, by code.", "code"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "criticrm_request_seconds", Help: "Time from a request's first byte to the end of its answer, by route.",
			Buckets: []float64{.001, .0025, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}}, []string{"route"}),
		prompt:  counter("criticrm_prompt_tokens_total", "Tokens of the prompts and texts of requests that were answered."),
		written: counter("criticrm_completion_tokens_total", "Tokens written for requests that were answered."),
		judged:  counter("criticrm_items_total", "Responses and texts judged, and prompts gone on with."),
		plain:   counter("criticrm_read_plain_total", "Whole texts that a critic has read without critiques, because its chat template does not make them of a conversation."),
	}
	reg.MustRegister(m.seconds, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "criticrm_build_info", Help: "1, with the program's version and the model's name.",
		ConstLabels: prometheus.Labels{"version": version.String(), "model": s.names[0]}})
	build.Set(1)
	reg.MustRegister(build)
	gauge("criticrm_requests_inside", "Requests at work or waiting.", s.gate.inside)
	gauge("criticrm_answers_written", "Answers of finished requests that are being written to their clients.", s.gate.written)
	gauge("criticrm_samples_running", "Samples that the model is writing.", func() int { return s.load().Running })
	gauge("criticrm_samples_waiting", "Samples that wait for a place in the batch.", func() int { return s.load().Waiting })
	gauge("criticrm_cached_tokens", "Tokens of prompts that are kept because another request may begin with them.", func() int { return s.load().CachedTokens })
	total("criticrm_reused_tokens_total", "Tokens of prompts that were there already.", func() int { return s.load().ReusedTokens })
	total("criticrm_read_tokens_total", "Tokens of prompts that were computed.", func() int { return s.load().ReadTokens })
	total("criticrm_written_tokens_total", "Tokens written, also of requests that ended early.", func() int { return s.load().WrittenTokens })
	m.handler = promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	return m
}

func (s *Server) serveMetrics(c *call) error {
	c.status = http.StatusOK
	s.metrics.handler.ServeHTTP(c.w, c.r)
	return nil
}
