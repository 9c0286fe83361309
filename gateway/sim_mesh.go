package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/dermgate/dermgate/adapters/sim"
)

// simMESH is the Message Exchange for Social Care and Health.
func simMESH() simulator {
	var boxes, patients, faults []string
	var key, cert, certKey, clientCA string
	return simulator{
		name: "mesh", listen: "127.0.0.1:2595", short: "MESH: /messageexchange, with GP practices behind mailboxes",
		does: "MESH: handshake, sending in chunks, tracking, inbox, download and acknowledgement, each with the NHSMESH authorization, and\n" +
			"reports of what could not be delivered. Behind a mailbox with practice=true is a GP practice that takes GP Connect Send Document\n" +
			"messages, files them, and gives both responses, or what POST /sim/practices/MAILBOX says: a code, none, late, twice, reversed.",
		leaves: "mailbox lookup, limits of pace, the five days of a message (POST /sim/messages/ID/expire instead), the profiles of ITK3 and\n" +
			"CareConnect (the requirements of Send Document are), and client certificates unless --tls-client-ca is given.",
		example: "  gateway sim mesh --mailbox id=RXX01OT001,password=secret,ods=RXX01 --mailbox id=Y06601OT001,password=secret,ods=Y06601,practice=true\n" +
			"  curl -s -X POST -d '{\"business\":\"30003\"}' http://127.0.0.1:2595/sim/practices/Y06601OT001",
		flags: func(f *pflag.FlagSet) {
			f.StringArrayVar(&boxes, "mailbox", []string{"id=RXX01OT001,password=example,ods=RXX01", "id=Y06601OT001,password=example,ods=Y06601,practice=true"},
				"a mailbox: id=ID,password=TEXT,ods=CODE,practice=true where a GP practice is behind it (again for more)")
			f.StringArrayVar(&patients, "patient", []string{"nhsNumber=9990001014,birth=19680412,surname=Testcase,mailbox=Y06601OT001",
				"nhsNumber=9990001022,birth=19551101,surname=Example,mailbox=Y06601OT001"},
				"where a patient is registered: nhsNumber=N,birth=YYYYMMDD,surname=NAME,mailbox=ID (again for more)")
			f.StringVar(&key, "shared-key", "example", "the shared key of the environment")
			f.StringVar(&cert, "tls-cert", "", "certificate (PEM); with --tls-key it speaks TLS")
			f.StringVar(&certKey, "tls-key", "", "its key (PEM)")
			f.StringVar(&clientCA, "tls-client-ca", "", "authority (PEM) of the certificates that clients have to show")
			f.StringArrayVar(&faults, "fault", nil, faultHelp)
		},
		start: func(listen string, log io.Writer) (simRunning, error) {
			conf, err := meshTLS(cert, certKey, clientCA)
			if err != nil {
				return simRunning{}, err
			}
			s, err := sim.StartMESH(listen, conf)
			if err != nil {
				return simRunning{}, err
			}
			s.Log, s.Keep, s.SharedKey = logCalls("mesh", log), callsKept, key
			err = errors.Join(settings("mailbox", boxes, s.Open), settings("patient", patients, s.Admit), settings("fault", faults, s.Arrange))
			return started(s, err, simRunning{Name: "mesh", Base: s.URL, Credentials: "NHSMESH, a mailbox with its password, shared key " + key, Accepts: s.Calls(), Control: s.URL + "/sim"})
		},
	}
}

// meshTLS reads the files of a TLS configuration, nil without any.
func meshTLS(cert, key, clientCA string) (*tls.Config, error) {
	if cert == "" && key == "" {
		if clientCA != "" {
			return nil, errUsage{errors.New("--tls-client-ca needs --tls-cert and --tls-key")}
		}
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clientCA == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, err
	}
	conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !conf.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New(clientCA + ": no certificate in it")
	}
	return conf, nil
}
