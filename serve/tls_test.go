package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a certificate of this machine, and its key, which hold for an hour.
func certificate(t *testing.T, cert, key, name string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// With a certificate the server speaks HTTPS, with HTTP/2 too, and a certificate that is read again holds for new connections.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certificate(t, cert, key, "first")
	const bearer, next = "0123456789abcdef", "fedcba9876543210"
	keys := filepath.Join(dir, "keys")
	write := func(text string) {
		if err := os.WriteFile(keys, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(bearer)
	v := start(t, func(o *Options, _ *fake) { o.Set.TLSCert, o.Set.TLSKey, o.Set.KeyFile = cert, key, keys })
	try := func(file string, two bool) (proto, name string, err error) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(b)
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: two}
		defer tr.CloseIdleConnections()
		req, err := http.NewRequest(http.MethodPost, v.url+"/v1/reward", strings.NewReader(good))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+bearer)
		res, err := (&http.Client{Transport: tr}).Do(req)
		if err != nil {
			return "", "", err
		}
		defer res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("status %d", res.StatusCode)
		}
		return res.Proto, res.TLS.PeerCertificates[0].Subject.CommonName, nil
	}
	for two, want := range map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"} {
		if proto, name, err := try(cert, two); err != nil || proto != want || name != "first" {
			t.Errorf("%s of %s, %v; want %s", proto, name, err, want)
		}
	}
	certificate(t, cert, key, "second")
	if err := v.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, name, err := try(cert, true); err != nil || name != "second" {
		t.Errorf("%s, %v", name, err)
	}
	if err := os.WriteFile(key, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(next)
	if err := v.Reload(); err == nil || !strings.Contains(err.Error(), "tls_cert") {
		t.Errorf("a bad key: %v", err)
	}
	// As the error says, all holds that was read before, the API key too.
	if _, name, err := try(cert, false); err != nil || name != "second" {
		t.Errorf("behind a bad key: %s, %v", name, err)
	}
}
