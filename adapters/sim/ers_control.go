package sim

// playing serves what people do in e-RS itself: referrers who do not come by the API, specialists, and the scanner.
func (s *ERS) playing() {
	s.act("POST /sim/referral", "a GP sends a referral: patient, priority, service, files …; answers with its UBRN", s.sendBy(s.Refer))
	s.act("POST /sim/advice", "a GP asks for advice: as for a referral, with text", s.sendBy(s.Ask))
	s.act("POST /sim/referral/{ubrn}/attach", "its referrer adds files", s.attachBy("r"))
	s.act("POST /sim/advice/{ubrn}/attach", "its referrer adds text and files", s.attachBy("a"))
	s.act("POST /sim/advice/{ubrn}/answer", "the specialist answers, as by A026: outcome, recommendation, guidance, priority, files", func(a acting) (any, error) {
		var x Advice
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return nil, s.Answer(a.PathValue("ubrn"), x)
	})
	s.act("POST /sim/advice/{ubrn}/convert", "the provider makes a referral of it, as by A027; answers with its UBRN, which is the same", func(a acting) (any, error) {
		ubrn, err := s.Convert(a.PathValue("ubrn"))
		return object{"ubrn": ubrn}, err
	})
	s.act("POST /sim/advice/{ubrn}/close", "the referrer closes the conversation", func(a acting) (any, error) {
		return nil, s.CloseAdvice(a.PathValue("ubrn"))
	})
	s.act("POST /sim/referral/{ubrn}/triage", "the specialist decides, as by A028: outcome, comment, priority, files", func(a acting) (any, error) {
		var x Outcome
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return nil, s.Triage(a.PathValue("ubrn"), x)
	})
	s.act("POST /sim/referral/{ubrn}/book", "an appointment is booked", func(a acting) (any, error) {
		return nil, s.Book(a.PathValue("ubrn"))
	})
	s.act("POST /sim/request/{ubrn}/cancel", "a referral or a conversation is cancelled", func(a acting) (any, error) {
		return nil, s.Cancel(a.PathValue("ubrn"))
	})
	s.act("POST /sim/request/{ubrn}/touch", "it gets a new version without another change, as by processes inside e-RS", func(a acting) (any, error) {
		r, q := s.Touch("r", a.PathValue("ubrn")), s.Touch("a", a.PathValue("ubrn"))
		if r != nil && q != nil {
			return nil, r
		}
		return nil, nil
	})
	s.act("POST /sim/services", "a service is offered to searches: id, name, specialty, flow, wait", func(a acting) (any, error) {
		var v Service
		if err := a.read(&v); err != nil {
			return nil, err
		}
		return nil, s.Offer(v)
	})
	s.act("GET /sim/requests", "what e-RS has", func(acting) (any, error) { return s.all(), nil })
	s.act("POST /sim/scanned", "the scanner is done with the files of a name: AVAILABLE, PENDING, THREATS_FOUND, VALIDATION_FAILED", func(a acting) (any, error) {
		var x struct{ Name, Status string }
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return nil, s.Scanned(x.Name, x.Status)
	})
	s.act("POST /sim/scan", `what the scanner finds in what is uploaded from now on: {"status":"PENDING"}`, func(a acting) (any, error) {
		var x struct{ Status string }
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return nil, s.Scans(x.Status)
	})
}

// sendBy takes a request that somebody sends in e-RS itself, and answers with its UBRN.
func (s *ERS) sendBy(put func(Sent) (string, error)) func(acting) (any, error) {
	return func(a acting) (any, error) {
		var x Sent
		if err := a.read(&x); err != nil {
			return nil, err
		}
		ubrn, err := put(x)
		return object{"ubrn": ubrn}, err
	}
}

func (s *ERS) attachBy(kind string) func(acting) (any, error) {
	return func(a acting) (any, error) {
		var x struct {
			Text  string
			Files []File
		}
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return nil, s.Attach(kind, a.PathValue("ubrn"), x.Text, x.Files...)
	}
}

// listed is a request in few words.
type listed struct {
	UBRN     string `json:"ubrn"`
	Kind     string `json:"kind"` // advice or referral
	State    string `json:"state"`
	Priority string `json:"priority"`
	Service  string `json:"service,omitempty"`
	Version  int    `json:"version"`
	Files    int    `json:"files"`
}

// all lists the requests, advice first, by their UBRN.
func (s *ERS) all() []listed {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []listed{}
	for _, kind := range []string{"a", "r"} {
		for _, q := range s.sorted(kind) {
			l := listed{UBRN: q.ubrn, Kind: "referral", State: q.state, Priority: q.priority, Service: q.service, Version: q.version, Files: len(q.files)}
			if q.advice {
				l.Kind, l.Files = "advice", 0
				for _, c := range q.talk {
					l.Files += len(c.files)
				}
			}
			out = append(out, l)
		}
	}
	return out
}
