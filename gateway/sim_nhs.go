package main

import (
	"errors"
	"io"
	"slices"

	"github.com/spf13/pflag"

	"github.com/dermgate/dermgate/adapters/sim"
)

// simToken is the token service.
func simToken() simulator {
	var clients, faults []string
	return simulator{
		name: "token", listen: "127.0.0.1:2594", short: "the NHS token service: POST /oauth2/token",
		does: "The NHS token service: signed-JWT client credentials, exchange of a CIS2 ID token, refresh; its checks in their documented order,\n" +
			"its error texts, and tokens of 599 seconds that the other simulators know (--token-url). A user signs in by POST /sim/sign-ins.",
		leaves: "scopes, assurance levels, and signatures of ID tokens: one is good that POST /sim/sign-ins gave.",
		example: "  gateway sim token --client 'clientId=our-app,jwks=http://127.0.0.1:8080/.well-known/jwks.json'\n" +
			"  curl -s -X POST -d '{\"user\":true}' http://127.0.0.1:2594/sim/tokens",
		flags: func(f *pflag.FlagSet) {
			f.StringArrayVar(&clients, "client", []string{"clientId=example,jwks=http://127.0.0.1:8080/.well-known/jwks.json"},
				"an application: clientId=KEY and jwks=URL, or kid=ID,publicKey=PEM; secret=TEXT for refreshes (again for more)")
			f.StringArrayVar(&faults, "fault", nil, faultHelp)
		},
		start: func(listen string, log io.Writer) (simRunning, error) {
			s, err := sim.StartToken(listen)
			if err != nil {
				return simRunning{}, err
			}
			s.Log, s.Keep = logCalls("token", log), callsKept
			ids := ""
			err = settings("client", clients, func(c sim.Client) error { ids += " " + c.ID; return s.Add(c) })
			if err == nil {
				err = settings("fault", faults, s.Arrange)
			}
			return started(s, err, simRunning{Name: "token", Base: s.Endpoint(), Credentials: "assertions of" + ids, Accepts: []string{"client_credentials", "token-exchange", "refresh_token"}, Control: s.URL + "/sim"})
		},
	}
}

// started closes what could not be set up.
func started(c io.Closer, err error, r simRunning) (simRunning, error) {
	if err != nil {
		c.Close()
		return simRunning{}, err
	}
	r.Closer = c
	return r, nil
}

// simERS is the e-Referral Service.
func simERS() simulator {
	var who bearerOptions
	var scan string
	var rate int
	var services, faults []string
	return simulator{
		name: "ers", listen: "127.0.0.1:2591", short: "the NHS e-Referral Service: /referrals/FHIR",
		does: "The NHS e-Referral Service, in the words of its published OpenAPI document. A referrer finds services (A010), asks for advice (A020, A044), refers\n" +
			"(A011, A020, A012, A016) and reads (A005, A024, A025, A042); a provider finds (A008, A023, A029), reads (A007, A043), answers (A026),\n" +
			"decides (A028); both cancel (A036). It checks tokens, organisation and business function, content types, profiles, parameters,\n" +
			"versions, sizes and types of files, and for which request a file was uploaded. A call without the two headers is an application's.\n" +
			"GPs, specialists and the scanner are played by POST /sim/… (GET /sim lists it).",
		leaves: "which user or organisation a token belongs to, legitimate relationships, criteria of a search beside specialty and kind (A010), slots and\n" +
			"bookings (A015, A016 but for triage; POST /sim/referral/UBRN/book instead), A027 (POST /sim/advice/UBRN/convert), clinic types,\n" +
			"and patients: any NHS number with a right check digit is one. FHIR is checked where a call depends on it, not as a whole.",
		example: "  gateway sim ers --token clinician --scan PENDING\n" +
			"  curl -s -H 'Authorization: Bearer clinician' -H 'NHSD-End-User-Organisation-ODS: Y06601' -H 'NHSD-eRS-Business-Function: REFERRING_CLINICIAN' \\\n" +
			"    http://127.0.0.1:2591/referrals/FHIR/STU3/CodeSystem/PRIORITY",
		flags: func(f *pflag.FlagSet) {
			who.flags(f)
			f.IntVar(&rate, "rate", 0, "calls a second, 429 beyond; 0: any number (e-RS takes 10 in production)")
			f.StringArrayVar(&services, "service", nil, "a service that A010 finds, instead of two of its own: id=N,name=TEXT,specialty=CODE,flow=TRIAGE_REQUEST,wait=DAYS (again for more)")
			f.StringVar(&scan, "scan", "AVAILABLE", "what the scanner finds in uploads: AVAILABLE, PENDING, THREATS_FOUND, VALIDATION_FAILED")
			f.StringArrayVar(&faults, "fault", nil, faultHelp)
		},
		start: func(listen string, log io.Writer) (simRunning, error) {
			s, err := sim.StartERS(listen)
			if err != nil {
				return simRunning{}, err
			}
			s.Log, s.Keep, s.Rate = logCalls("ers", log), callsKept, rate
			tokens, credentials := who.bearers()
			s.Tokens = tokens
			if services != nil {
				s.Services = nil
			}
			if err = s.Scans(scan); err != nil {
				err = errUsage{err}
			} else {
				err = errors.Join(settings("service", services, s.Offer), settings("fault", faults, s.Arrange))
			}
			accepts := slices.DeleteFunc(s.Calls(), func(c string) bool { return c == "object" })
			return started(s, err, simRunning{Name: "ers", Base: s.Base(), Credentials: credentials, Accepts: accepts, Control: s.URL + "/sim"})
		},
	}
}

// simNotify is NHS Notify.
func simNotify() simulator {
	var who bearerOptions
	var plans, faults []string
	var callback, application, key string
	var manual bool
	var rate int
	var how sim.Reporting
	return simulator{
		name: "notify", listen: "127.0.0.1:2593", short: "NHS Notify: /comms/v1/messages",
		does: "NHS Notify: POST /v1/messages and GET /v1/messages/ID by its published OpenAPI document, one message a messageReference, the\n" +
			"fields and limits of the global free-text plans, and signed status callbacks until the message is delivered or failed.",
		leaves: "contact details, templates, message batches and accounts of the NHS App; reports are of the NHS App alone.",
		example: "  gateway sim notify --callback http://127.0.0.1:8080/notify/status --outcome failed\n" +
			"  curl -s -X POST -d '{\"outcome\":\"skipped\",\"twice\":true}' http://127.0.0.1:2593/sim/messages/REFERENCE/report",
		flags: func(f *pflag.FlagSet) {
			who.flags(f)
			f.IntVar(&rate, "rate", 0, "calls a second, 429 beyond; 0: any number (NHS Notify takes 20)")
			f.StringArrayVar(&plans, "plan", []string{"b838b13c-f98c-4def-93f0-515d4e4f4ee1"}, "a routing plan beside the global ones (again for more)")
			f.StringVar(&callback, "callback", "http://127.0.0.1:8080/notify/status", "where status reports are posted")
			f.StringVar(&application, "application-id", "example", "with --api-key, the secret that reports are signed with")
			f.StringVar(&key, "api-key", "example", "sent with reports")
			f.BoolVar(&manual, "manual", false, "report only when POST /sim/messages/REFERENCE/report says so")
			f.StringVar(&how.Outcome, "outcome", "delivered", "how messages end: delivered, failed, skipped, silent")
			f.BoolVar(&how.Twice, "twice", false, "send every report twice, the last first")
			f.BoolVar(&how.Reversed, "reversed", false, "send the last report first")
			f.BoolVar(&how.BadSignature, "bad-signature", false, "sign reports with another secret")
			f.StringArrayVar(&faults, "fault", nil, faultHelp)
		},
		start: func(listen string, log io.Writer) (simRunning, error) {
			s, err := sim.StartNotify(listen)
			if err != nil {
				return simRunning{}, err
			}
			s.Log, s.Keep, s.Rate = logCalls("notify", log), callsKept, rate
			tokens, credentials := who.bearers()
			s.Tokens, s.Plans, s.Callback, s.ApplicationID, s.APIKey = tokens, plans, callback, application, key
			if err = s.Reports(!manual, how); err != nil {
				err = errUsage{err}
			} else {
				err = settings("fault", faults, s.Arrange)
			}
			return started(s, err, simRunning{Name: "notify", Base: s.Base(), Credentials: credentials, Accepts: s.Calls(), Control: s.URL + "/sim",
				Tells: callback + " (x-api-key " + key + ", signed with " + application + "." + key + ")"})
		},
	}
}
