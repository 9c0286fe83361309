package main

import (
	"io"
	"net/http"

	"github.com/spf13/pflag"

	"github.com/dermgate/dermgate/adapters/sim"
)

// simAG is an Advice & Guidance platform.
func simAG() simulator {
	var who bearerOptions
	var gateway, token string
	var faults []string
	return simulator{
		name: "ag", listen: "127.0.0.1:2592", short: "an Advice & Guidance platform that speaks FHIR R4 messages",
		does: "An A&G platform: takes requests at POST /fhir/$process-message, checks ids and repeats (409 duplicate), that the Bundle is a\n" +
			"message whose references lead somewhere, the NHS number, and that every photo is there with the size and hash that its Media says.\n" +
			"A specialist answers by POST /sim/requests/ID/answer; the answer is posted to the gateway as a message of its own.",
		leaves: "FHIR beyond that; amendments and withdrawals are taken and have no effect.",
		example: "  gateway sim ag --gateway http://127.0.0.1:8080/fhir\n" +
			"  curl -s -X POST -d '{\"outcome\":\"RETURN_TO_REFERRER_WITH_ADVICE\",\"guidance\":\"Benign.\"}' http://127.0.0.1:2592/sim/requests/AG-1/answer",
		flags: func(f *pflag.FlagSet) {
			who.flags(f)
			f.StringVar(&gateway, "gateway", "http://127.0.0.1:8080/fhir", "where answers are posted")
			f.StringVar(&token, "gateway-token", "", "bearer token for it")
			f.StringArrayVar(&faults, "fault", nil, faultHelp)
		},
		start: func(listen string, log io.Writer) (simRunning, error) {
			s, err := sim.StartAG(listen)
			if err != nil {
				return simRunning{}, err
			}
			s.Log, s.Keep, s.Gateway, s.Authorise = logCalls("ag", log), callsKept, gateway, bearer(token)
			tokens, credentials := who.bearers()
			if s.Tokens = tokens; tokens == nil {
				credentials = "none"
			}
			err = settings("fault", faults, s.Arrange)
			return started(s, err, simRunning{Name: "ag", Base: s.Base(), Credentials: credentials, Accepts: s.Calls(), Control: s.URL + "/sim", Tells: gateway + "/$process-message"})
		},
	}
}

// bearer shows a token, where there is one.
func bearer(token string) func(*http.Request) error {
	if token == "" {
		return nil
	}
	return func(r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

// simEPR is a hospital's record.
func simEPR() simulator {
	var control, gateway string
	var faults []string
	return simulator{
		name: "epr", listen: "127.0.0.1:2580", short: "a hospital EPR that takes REF^I12 to I15 by MLLP",
		does: "A hospital EPR: takes REF by MLLP, decodes the photos in OBX, answers AA, or AE with ERR naming the header, type, patient, request\n" +
			"or photo that is wrong, and takes a repeated MSH-10 once. What the hospital decides (RRI) and books (SIU) is sent to the gateway by\n" +
			"POST /sim/messages/N/outcome and …/appointment, anything else by POST /sim/send.",
		leaves: "patients (any NHS number with a right check digit is one), segments beside MSH, RF1, PID and OBX, TLS, and enhanced acknowledgement.",
		example: "  gateway sim epr --fault code=AR,error=207,times=2 --fault cut\n" +
			"  curl -s http://127.0.0.1:3580/sim/messages",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&control, "control", "127.0.0.1:3580", "where it is told by HTTP what to do")
			f.StringVar(&gateway, "gateway", "127.0.0.1:2576", "MLLP address that the hospital's messages are sent to")
			f.StringArrayVar(&faults, "fault", nil, ackHelp)
		},
		start: func(listen string, log io.Writer) (simRunning, error) {
			s, err := sim.StartEPR(listen)
			if err != nil {
				return simRunning{}, err
			}
			s.Log, s.Keep, s.Gateway = logMessages("epr", log), callsKept, gateway
			at, err := s.Control(control)
			if err == nil {
				err = settings("fault", faults, s.Arrange)
			}
			return started(s, err, simRunning{Name: "epr", Base: "mllp://" + s.Address(), Credentials: "none", Accepts: []string{"REF^I12", "REF^I13", "REF^I14", "REF^I15"},
				Control: "http://" + at + "/sim", Tells: "mllp://" + gateway})
		},
	}
}

// simGP is a GP system.
func simGP() simulator {
	var control, gateway, fhir, token string
	var faults []string
	return simulator{
		name: "gp", listen: "127.0.0.1:2590", short: "a GP system that takes RRI, ORU, MDM and ACK by MLLP",
		does: "A GP system: takes the answers to its requests by MLLP as an EPR does (see gateway sim epr). Its requests are sent by POST /sim/send\n" +
			"or gateway send; that its clinician has read an answer is told to the gateway, a FHIR Task, by POST /sim/review.",
		leaves: "filing, patients (any NHS number with a right check digit is one), segments beside MSH, PID and OBX, TLS, and enhanced acknowledgement.",
		example: "  gateway sim gp --gateway 127.0.0.1:2575 --fhir http://127.0.0.1:8080/fhir\n" +
			"  curl -s --data-binary @fixtures/messages/advice.hl7 http://127.0.0.1:3590/sim/send",
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&control, "control", "127.0.0.1:3590", "where it is told by HTTP what to do")
			f.StringVar(&gateway, "gateway", "127.0.0.1:2575", "MLLP address that its requests are sent to")
			f.StringVar(&fhir, "fhir", "http://127.0.0.1:8080/fhir", "where it tells that an answer was read")
			f.StringVar(&token, "gateway-token", "", "bearer token for it")
			f.StringArrayVar(&faults, "fault", nil, ackHelp)
		},
		start: func(listen string, log io.Writer) (simRunning, error) {
			s, err := sim.StartGP(listen)
			if err != nil {
				return simRunning{}, err
			}
			s.Log, s.Keep, s.Gateway, s.FHIR, s.Authorise = logMessages("gp", log), callsKept, gateway, fhir, bearer(token)
			at, err := s.Control(control)
			if err == nil {
				err = settings("fault", faults, s.Arrange)
			}
			return started(s, err, simRunning{Name: "gp", Base: "mllp://" + s.Address(), Credentials: "none", Accepts: []string{"RRI", "ORU", "MDM", "ACK"},
				Control: "http://" + at + "/sim", Tells: "mllp://" + gateway + ", " + fhir})
		},
	}
}
