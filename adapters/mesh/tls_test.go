package mesh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/itk3"
)

// certificate makes one that is its own authority.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// MESH wants a client certificate: with it a message goes, without it nothing does and nothing is given up.
func TestMutualTLS(t *testing.T) {
	server, serverCA := certificate(t)
	client, clientCA := certificate(t)
	m, err := sim.StartMESH("", &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: clientCA, ClientAuth: tls.RequireAndVerifyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r := newRig(t, document(t, 0))
	m.Mailbox(ours, "our-password", "RXX01", nil)
	m.Mailbox(theirs, "their-password", "Y06601", &sim.Practice{ODS: "Y06601"})
	m.Register("9990001014", "19680412", "Testcase", theirs)
	r.Base = m.URL
	with := func(c *tls.Config) *http.Client {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: c}, Timeout: 5 * time.Second}
	}
	r.HTTP = with(&tls.Config{RootCAs: serverCA})
	r.want(flow.Retry, "mesh")
	r.HTTP = with(&tls.Config{RootCAs: serverCA, Certificates: []tls.Certificate{client}})
	r.want(flow.Delivered, "")
	if got := m.Messages(theirs); len(got) != 1+2 || got[0].Workflow != itk3.ConsultReport {
		t.Errorf("%d messages", len(got))
	}
}
