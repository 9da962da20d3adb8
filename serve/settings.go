package serve

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// Settings are those of a server beside its model's: the flags of criticrm serve.
type Settings struct {
	Host       string `yaml:"host" common:"true" group:"Server" help:"address that is listened on; other than this machine's own only with a key"`
	Port       int    `yaml:"port" common:"true" help:"port; 0: any that is free, which is told"`
	Names      string `yaml:"served_model_name" help:"names, by comma, that requests may call the model by beside its directory's (default: the last part of the directory)"`
	KeyFile    string `yaml:"api_key_file" common:"true" help:"file with API keys of 16 or more characters, one a line; one of them is then needed for everything but /health. SIGHUP reads it again"`
	NoAuth     bool   `yaml:"insecure_no_auth" help:"listen on other addresses than this machine's own without a key: anybody who reaches the port may ask"`
	TLSCert    string `yaml:"tls_cert" help:"PEM file with a certificate, and those it depends on: serve HTTPS. SIGHUP reads it again"`
	TLSKey     string `yaml:"tls_key" help:"PEM file with the certificate's key"`
	Deadline   int    `yaml:"deadline" common:"true" group:"Limits" help:"seconds that a request may take from its last byte on; over it the answer is 504, and its work is dropped"`
	Drain      int    `yaml:"drain" common:"true" help:"seconds that running requests have after SIGTERM, while new ones get 503"`
	MaxQueue   int    `yaml:"max_queue" common:"true" help:"requests at work or waiting; the next one gets 503 with Retry-After"`
	KeepTokens int    `yaml:"keep_tokens" help:"tokens of prompts that stay in the cache for requests that begin alike; what is used longest ago goes first"`
	MaxConns   int    `yaml:"max_connections" help:"open connections; others wait to be accepted"`
	MaxBody    int    `yaml:"max_body" help:"bytes of a request's body"`
	MaxItems   int    `yaml:"max_items" help:"texts or responses in one request"`
	MaxSamples int    `yaml:"max_samples" help:"critiques of a response, or choices, in one request"`
	Fixed      bool   `yaml:"fixed_algorithms" group:"Device" help:"on a GPU, too, an answer has the same bits whatever else is asked: plain kernels add in one order, without tensor cores, and large models are many times slower. A CPU always does so"`
	LogTexts   bool   `yaml:"log_texts" group:"Log" help:"write bodies of requests into the log, which has none otherwise"`
}

// DefaultSettings answer on this machine alone. A request is answered before trainers that ask for it give up, which is after 120 s.
func DefaultSettings() Settings {
	return Settings{Host: "127.0.0.1", Port: 5000, Deadline: 110, Drain: 30, MaxQueue: 512, KeepTokens: 4096, MaxConns: 2048, MaxBody: 2 << 20, MaxItems: 64, MaxSamples: 64}
}

// Limits that are not worth a setting.
const (
	maxHeader     = 16 << 10
	largeBodies   = 64 // of the largest size that are in memory at once
	headerTime    = 5 * time.Second
	bodyTime      = 30 * time.Second // from the first byte of the header to the last of the body
	writeTime     = 30 * time.Second // of a part of an answer that the client does not read
	idleTime      = 2 * time.Minute
	closingTime   = time.Second // that connections have to close behind the last answer
	maxStops      = 16
	maxStop       = 256 // bytes of a stop string
	maxTokensEver = 1 << 20
)

// Validate checks the settings.
func (o *Settings) Validate() error {
	for _, x := range []struct {
		name             string
		got, least, most int
	}{
		{"port", o.Port, 0, 65535}, {"deadline", o.Deadline, 1, 86400}, {"drain", o.Drain, 0, 86400}, {"max_queue", o.MaxQueue, 1, 1 << 20},
		{"keep_tokens", o.KeepTokens, 0, 1 << 30}, {"max_connections", o.MaxConns, 1, 1 << 20}, {"max_body", o.MaxBody, 1 << 10, 1 << 30}, {"max_items", o.MaxItems, 1, 1 << 16}, {"max_samples", o.MaxSamples, 1, 10000},
	} {
		if x.got < x.least || x.got > x.most {
			return fmt.Errorf("serve: %s: got %d, want %d to %d", x.name, x.got, x.least, x.most)
		}
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return errors.New("serve: tls_cert and tls_key belong together: give both or none")
	}
	if o.KeyFile == "" && !o.NoAuth && !o.local() {
		return fmt.Errorf("serve: host %s is not this machine alone, and there is no key: give api_key_file, or insecure_no_auth if whoever reaches the port may ask", o.Host)
	}
	return nil
}

// local says whether nothing but this machine reaches the address.
func (o *Settings) local() bool {
	ip := net.ParseIP(o.Host)
	return o.Host == "localhost" || ip != nil && ip.IsLoopback()
}

// names are what requests may call the model, the first of them in answers.
func (o *Settings) names(dir string) (list []string) {
	for _, name := range strings.Split(o.Names, ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, name)
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	return append(list, filepath.Base(abs), dir)
}
