package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/dermgate/dermgate/mapping/hl7"
)

// common are the keys of every source or destination; the others belong to some kinds only.
var (
	commonSource = []string{"name", "kind", "organisation"}
	sourceKeys   = map[string][]string{
		MLLP: {"listen", "tls", "allow", "proxies", "allow_names", "connections", "connections_per_address", "sender", "overlay", "charset", "processing", "carries", "kind_of_case", "urgency",
			"acknowledge", "repeat", "checks", "rash_codes", "validate"},
		HL7HTTP: {"sender", "overlay", "charset", "processing", "carries", "kind_of_case", "urgency", "acknowledge", "repeat", "checks", "rash_codes", "validate"},
		FHIR:    {"carries", "repeat", "checks", "rash_codes"},
		File: {"path", "poll", "settle", "sender", "overlay", "charset", "processing", "carries", "kind_of_case", "urgency", "acknowledge",
			"repeat", "checks", "rash_codes", "validate"},
		ERSWorklist: {"base_url", "auth", "tls", "services", "lists", "at", "poll", "watch", "business_function", "on_behalf_of", "acts_as", "rate", "checks", "rash_codes"},
		MESH: {"base_url", "tls", "mailbox", "password", "shared_key", "workflows", "poll", "sender", "overlay", "charset", "processing", "carries",
			"kind_of_case", "urgency", "repeat", "checks", "rash_codes", "validate"},
	}
	neededSource = map[string][]string{
		MLLP: {"listen"}, File: {"path"}, ERSWorklist: {"base_url", "auth", "services"}, MESH: {"base_url", "mailbox"},
	}

	commonDestination = []string{"name", "kind", "rate", "concurrency", "together", "timeout", "retry", "probe", "when_parked", "tls", "plaintext"}
	destinationKeys   = map[string][]string{
		MLLP: {"address", "message", "answer", "first", "letter", "letter_photos", "version", "later_fields", "length", "lengths", "message_bytes", "charset", "receiver", "acknowledge", "photo_bytes",
			"photo_pixels", "photo_types", "photo_floor", "photo_colours", "photos"},
		FHIR: {"base_url", "auth", "mode", "poll", "headers", "service", "use_context", "ods", "photo_bytes", "photo_pixels", "photo_types", "photo_floor", "photo_colours", "photos"},
		ERS: {"base_url", "auth", "ods", "business_function", "on_behalf_of", "service", "specialty", "clinic_type", "poll", "poll_auth",
			"photo_bytes", "photo_pixels", "photo_types", "photo_floor", "photo_colours", "photos"},
		Notify: {"base_url", "auth", "routing_plan", "plans", "callback", "templates"},
		MESHOut: {"base_url", "mailbox", "password", "shared_key", "workflow", "mailboxes", "phone", "answer_within", "chunk_bytes", "photo_bytes", "photo_pixels", "photo_types",
			"photo_floor", "photo_colours", "photos"},
	}
	neededDestination = map[string][]string{
		MLLP: {"address"}, FHIR: {"base_url"}, ERS: {"base_url", "auth"}, Notify: {"base_url"}, MESHOut: {"base_url", "mailbox"},
	}
)

// kinds of a table, for suggestions.
func kinds(table map[string][]string) []string { return slices.Sorted(maps.Keys(table)) }

// kind looks ahead for an object's kind, which decides what its other keys may be.
func (d *decoder) kind(n node, table map[string][]string) string {
	m, ok := n.Node.(*ast.MappingNode)
	if !ok {
		return ""
	}
	for _, entry := range m.Values {
		key, isText := entry.Key.(*ast.StringNode)
		if v, ok := entry.Value.(*ast.StringNode); ok && isText && key.Value == "kind" && table[v.Value] != nil {
			return v.Value
		}
	}
	return ""
}

// ofKind keeps the keys that a kind may have; a key of another kind is refused by name. An unknown kind,
// a fault already, takes them all, so that only what is wrong is complained of.
func (d *decoder) ofKind(k keys, kind string, common []string, table map[string][]string) keys {
	if kind == "" {
		return k
	}
	out := keys{}
	for name, read := range k {
		plain := strings.TrimSuffix(name, "_file")
		if slices.Contains(common, plain) || slices.Contains(table[kind], plain) {
			out[name] = read
			continue
		}
		out[name] = func(n node) { d.fault(where(n.Node), "%s is no key of kind %s", name, kind) }
	}
	return out
}

func (d *decoder) source(s *Source) func(node) {
	return func(n node) {
		kind := d.kind(n, sourceKeys)
		*s = defaultSource(Source{Kind: kind})
		soonest := time.Second
		if kind == File {
			soonest = 100 * time.Millisecond
		}
		k := keys{
			"name":                    d.name(&s.Name),
			"kind":                    oneOf(d, &s.Kind, kinds(sourceKeys)...),
			"listen":                  value(d, &s.Listen, readAddress),
			"tls":                     d.serverTLS(&s.TLS),
			"allow":                   list(d, &s.Allow, valueOf(d, readPrefix)),
			"proxies":                 list(d, &s.Proxies, valueOf(d, readPrefix)),
			"allow_names":             list(d, &s.AllowNames, d.text),
			"connections":             value(d, &s.Connections, within(1, 10_000, readInt, "")),
			"connections_per_address": value(d, &s.PerAddress, within(1, 10_000, readInt, "")),
			"organisation":            d.ods(&s.Organisation),
			"sender":                  d.party(&s.Sender),
			"overlay":                 d.text(&s.Overlay),
			"charset":                 d.charset(&s.Charset, true),
			"processing":              oneOf(d, &s.Processing, "P", "T", "D"), // HL7 table 0103
			"carries":                 list(d, &s.Carries, func(c *string) func(node) { return oneOf(d, c, Requests, Answers) }),
			"kind_of_case":            func(n node) { d.kindOfCase(n, s) },
			"urgency":                 func(n node) { d.urgency(n, s) },
			"acknowledge":             func(n node) { d.acknowledge(n, &s.Acknowledge) },
			"repeat":                  func(n node) { d.repeat(n, &s.Repeat) },
			"checks":                  func(n node) { d.checks(n, &s.Checks) },
			"rash_codes":              list(d, &s.RashCodes, valueOf(d, readCode)),
			"validate":                func(n node) { d.validate(n, &s.Validate) },
			"path":                    d.filePath(&s.Path),
			"settle":                  value(d, &s.Settle, within(0, 10*time.Minute, readDuration, "")),
			"base_url":                value(d, &s.BaseURL, readBase),
			"auth":                    d.auth(&s.Auth),
			"services":                list(d, &s.Services, d.text),
			"lists":                   list(d, &s.Lists, func(c *string) func(node) { return oneOf(d, c, ListReview, ListSlots, ListAdvice) }),
			"at":                      list(d, &s.At, valueOf(d, readTimeOfDay)),
			"watch":                   value(d, &s.Watch, within(time.Second, day, readDuration, "")),
			"business_function":       oneOf(d, &s.BusinessFunction, "SERVICE_PROVIDER_CLINICIAN", "SERVICE_PROVIDER_CLINICIAN_ADMIN", "SERVICE_PROVIDER_ADMIN"),
			"on_behalf_of":            d.text(&s.OnBehalfOf),
			"acts_as":                 oneOf(d, &s.ActsAs, ProviderClinician, ProviderClinician+"_ADMIN"),
			"rate":                    value(d, &s.Rate, readRate),
			"mailbox":                 d.mailbox(&s.Mailbox),
			"workflows":               list(d, &s.Workflows, d.workflow),
			"poll":                    value(d, &s.Poll, within(soonest, day, readDuration, "")),
		}
		if kind == ERSWorklist || kind == MESH {
			k["tls"] = d.clientTLS(&s.Client)
		}
		d.secret(k, "password", &s.Password)
		d.secret(k, "shared_key", &s.SharedKey)
		d.object(n, d.ofKind(k, kind, commonSource, sourceKeys))
		d.require(n, append([]string{"name", "kind"}, neededSource[kind]...)...)
		if kind == MESH {
			d.requireSecret(n, "password", s.Password)
			d.requireSecret(n, "shared_key", s.SharedKey)
		}
	}
}

func (d *decoder) destination(t *Destination) func(node) {
	return func(n node) {
		kind := d.kind(n, destinationKeys)
		*t = defaultDestination(Destination{Kind: kind})
		k := keys{
			"name":              d.name(&t.Name),
			"kind":              oneOf(d, &t.Kind, kinds(destinationKeys)...),
			"address":           value(d, &t.Address, readAddress),
			"base_url":          value(d, &t.BaseURL, readBase),
			"auth":              d.auth(&t.Auth),
			"tls":               d.clientTLS(&t.TLS),
			"plaintext":         d.text(&t.Plaintext),
			"photo_bytes":       value(d, &t.PhotoBytes, within(1<<10, 1<<30, ParseBytes, " bytes")),
			"photo_pixels":      value(d, &t.PhotoPixels, within(1e4, 1e9, ParsePixels, " pixels")),
			"photo_types":       list(d, &t.PhotoTypes, func(c *string) func(node) { return oneOf(d, c, photoTypes(kind)...) }),
			"photo_floor":       d.floor(&t.PhotoFloor),
			"photo_colours":     oneOf(d, &t.PhotoColours, ColoursAsProfile, ColoursSRGB),
			"photos":            value(d, &t.Photos, within(1, 10000, readInt, "")),
			"rate":              value(d, &t.Rate, readRate),
			"concurrency":       value(d, &t.Concurrency, within(1, 256, readInt, "")),
			"together":          value(d, &t.Together, within(1, 10_000, readInt, "")),
			"retry":             func(n node) { d.retry(n, &t.Retry) },
			"probe":             value(d, &t.Probe, within(time.Second, time.Hour, readDuration, "")),
			"when_parked":       oneOf(d, &t.WhenParked, WhenParkedStop, WhenParkedPass),
			"timeout":           value(d, &t.Timeout, within(100*time.Millisecond, 10*time.Minute, readDuration, "")),
			"message":           oneOf(d, &t.Message, "REF_I12", "RRI_I12", "ORU_R01", "MDM_T02"),
			"answer":            oneOf(d, &t.Answer, "ORU_R01", "RRI_I12", "MDM_T02"),
			"first":             oneOf(d, &t.First, "ADT_A28"),
			"letter":            oneOf(d, &t.Letter, "MDM_T02"),
			"letter_photos":     oneOf(d, &t.LetterPhotos, "embedded", "documents", "none"),
			"version":           oneOf(d, &t.Version, "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8"),
			"later_fields":      oneOf(d, &t.LaterFields, "mapped", "none"),
			"length":            oneOf(d, &t.Length, Off, Refuse),
			"lengths":           list(d, &t.Lengths, d.maxLength),
			"message_bytes":     value(d, &t.MessageBytes, within(1<<10, 1<<30, ParseBytes, " bytes")),
			"charset":           d.charset(&t.Charset, false),
			"receiver":          d.party(&t.Receiver),
			"acknowledge":       oneOf(d, &t.Acknowledge, Original, Enhanced),
			"mode":              oneOf(d, &t.Mode, "message", "transaction"),
			"headers":           oneOf(d, &t.Headers, HeadersBaRS),
			"use_context":       d.text(&t.UseContext),
			"ods":               d.ods(&t.ODS),
			"business_function": oneOf(d, &t.BusinessFunction, "REFERRING_CLINICIAN", "REFERRING_CLINICIAN_ADMIN", "REFERRING_ADMIN"),
			"service":           d.text(&t.Service),
			"specialty":         d.text(&t.Specialty),
			"clinic_type":       d.text(&t.ClinicType),
			"on_behalf_of":      d.text(&t.OnBehalfOf),
			"poll":              value(d, &t.Poll, within(time.Second, day, readDuration, "")),
			"poll_auth":         d.auth(&t.PollAuth),
			"routing_plan":      d.text(&t.RoutingPlan),
			"plans":             d.plans(&t.Plans),
			"callback":          func(n node) { d.callback(n, t) },
			"templates":         d.input(&t.Templates),
			"mailbox":           d.mailbox(&t.Mailbox),
			"workflow":          d.workflow(&t.Workflow),
			"mailboxes":         func(n node) { d.mailboxes(n, t) },
			"phone":             d.text(&t.Phone),
			"answer_within":     value(d, &t.AnswerWithin, within(time.Minute, 30*day, readDuration, "")),
			"chunk_bytes":       value(d, &t.ChunkBytes, within(1<<10, 100_000_000, ParseBytes, " bytes")),
		}
		d.secret(k, "password", &t.Password)
		d.secret(k, "shared_key", &t.SharedKey)
		d.object(n, d.ofKind(k, kind, commonDestination, destinationKeys))
		d.require(n, append([]string{"name", "kind"}, neededDestination[kind]...)...)
		if t.Headers == HeadersBaRS {
			d.require(n, "service")
		}
		if t.Mode == "transaction" && (t.Headers != "" || t.Poll > 0) {
			d.fault(where(n.Node), "headers and poll are of mode: message; a transaction is answered at once, and leaves what it brought")
		}
		if kind == MESHOut {
			d.requireSecret(n, "password", t.Password)
			d.requireSecret(n, "shared_key", t.SharedKey)
		}
	}
}

// mailbox takes the id of a MESH mailbox.
func (d *decoder) mailbox(into *string) func(node) {
	return value(d, into, matching(mailboxPattern, "a mailbox id such as RXX01OT001"))
}

// workflow takes a MESH workflow id.
func (d *decoder) workflow(into *string) func(node) {
	return value(d, into, matching(workflowPattern, "a workflow id such as GPFED_CONSULT_REPORT"))
}

// mailboxes reads those of practices that are addressed directly, by ODS code.
func (d *decoder) mailboxes(n node, t *Destination) {
	t.Mailboxes = map[string]string{}
	d.each(n, func(key string, at position, v node) {
		if !odsPattern.MatchString(key) {
			d.fault(at, "%q is no ODS code of a practice: capitals and digits", key)
		}
		box := ""
		d.mailbox(&box)(v)
		t.Mailboxes[key] = box
	})
}

func (d *decoder) retry(n node, r *Retry) {
	d.object(n, keys{
		"first":    value(d, &r.First, within(10*time.Millisecond, time.Hour, readDuration, "")),
		"longest":  value(d, &r.Longest, within(10*time.Millisecond, day, readDuration, "")),
		"attempts": value(d, &r.Attempts, within(1, 100_000, readInt, "")),
		"within":   value(d, &r.Within, within(time.Second, 365*day, readDuration, "")),
	})
}

// readCode takes a code, whose letters may be small.
func readCode(s string) (string, error) {
	if s == "" || strings.ContainsAny(s, " \t") {
		return "", errors.New("is a code such as RASH or 271807003")
	}
	return strings.ToUpper(s), nil
}

// photoTypes are the types of photos that a destination may take: of e-RS those on its own list (A020).
func photoTypes(kind string) []string {
	if kind == ERS {
		return []string{"jpeg", "png", "gif", "tiff", "dicom"}
	}
	return []string{"jpeg", "png", "gif", "tiff", "bmp", "webp", "heic", "avif", "dicom"}
}

// plans reads the routing plans of NHS Notify for patients whom the usual one does not suit.
func (d *decoder) plans(p *Plans) func(node) {
	return func(n node) {
		d.object(n, keys{"app": d.text(&p.App), "letter": d.text(&p.Letter), "large_print": d.text(&p.LargePrint), "braille": d.text(&p.Braille), "audio": d.text(&p.Audio)})
	}
}

// valueOf fits a reader to list.
func valueOf[T any](d *decoder, read func(string) (T, error)) func(*T) func(node) {
	return func(into *T) func(node) { return value(d, into, read) }
}

func (d *decoder) name(into *string) func(node) {
	return value(d, into, matching(namePattern, "a name of letters, digits, dots, dashes and underscores, at most 63"))
}

// charset takes a name of HL7 table 0211; only what is read may be one that must be transcoded.
func (d *decoder) charset(into *string, read bool) func(node) {
	names, transcoded := hl7.CharsetNames()
	if read {
		names = append(names, transcoded...)
	}
	return oneOf(d, into, names...)
}

func (d *decoder) party(into *Party) func(node) {
	return func(n node) {
		d.object(n, keys{"app": d.text(&into.App), "facility": d.text(&into.Facility)})
	}
}

func (d *decoder) hl7Path(into *string) func(node) {
	return value(d, into, matching(pathPattern, "an HL7 path such as RF1-3.1"))
}

func (d *decoder) kindOfCase(n node, s *Source) {
	r := &KindOfCase{}
	d.object(n, keys{
		"from":     d.hl7Path(&r.From),
		"advice":   list(d, &r.Advice, d.text),
		"referral": list(d, &r.Referral, d.text),
	})
	d.require(n, "from")
	s.KindOfCase = r
}

func (d *decoder) urgency(n node, s *Source) {
	r := &Urgency{}
	d.object(n, keys{
		"from":          d.hl7Path(&r.From),
		"two_week_wait": list(d, &r.TwoWeekWait, d.text),
		"urgent":        list(d, &r.Urgent, d.text),
		"routine":       list(d, &r.Routine, d.text),
	})
	d.require(n, "from")
	s.Urgency = r
}

func (d *decoder) acknowledge(n node, a *Acknowledge) {
	d.object(n, keys{
		"mode":           oneOf(d, &a.Mode, Original, Enhanced),
		"when_down":      oneOf(d, &a.WhenDown, "AR", "close"),
		"application_to": d.text(&a.ApplicationTo),
		"batch":          oneOf(d, &a.Batch, BatchEach, BatchOne),
	})
}

func (d *decoder) repeat(n node, r *Repeat) {
	d.object(n, keys{
		"window": value(d, &r.Window, within(time.Hour, 365*day, readDuration, "")),
		"ignore": list(d, &r.Ignore, d.hl7Path),
	})
}

func (d *decoder) checks(n node, c *Checks) {
	d.object(n, keys{
		"consent":    oneOf(d, &c.Consent, Require, Hold, Warn, Off),
		"images":     oneOf(d, &c.Images, Require, Hold, Warn, Off),
		"nhs_number": oneOf(d, &c.NHSNumber, Require, Hold, Warn, Off),
		"photo":      oneOf(d, &c.Photo, Strictly, Warn, Off),
		"profile":    oneOf(d, &c.Profile, Require, Hold, Warn, Off),
		"unmapped":   oneOf(d, &c.Unmapped, Warn, Off),
		"unmatched":  oneOf(d, &c.Unmatched, Hold, Require),
	})
}

func (d *decoder) auth(into **Auth) func(node) {
	return func(n node) {
		a := &Auth{}
		k := keys{
			"token_url": value(d, &a.TokenURL, readAsWritten), // the audience of what is signed, byte for byte
			"client_id": d.text(&a.ClientID),
			"key_id":    d.text(&a.KeyID),
		}
		d.secret(k, "token", &a.Token)
		d.secret(k, "key", &a.Key)
		d.secret(k, "client_secret", &a.Secret)
		d.object(n, k)
		switch exchange := d.has(n, "token_url"); {
		case exchange && a.Token.Given():
			d.fault(where(n.Node), "auth is a token, or a token_url with client_id and key: not both")
		case exchange:
			d.require(n, "client_id")
			d.requireSecret(n, "key", a.Key)
		default:
			d.requireSecret(n, "token", a.Token)
		}
		*into = a
	}
}

func (d *decoder) clientTLS(into **ClientTLS) func(node) {
	return func(n node) {
		t := &ClientTLS{}
		d.object(n, keys{
			"ca_file":     d.input(&t.CAFile),
			"cert_file":   d.input(&t.CertFile),
			"key_file":    d.input(&t.KeyFile),
			"server_name": d.text(&t.ServerName),
		})
		if d.has(n, "cert_file") != d.has(n, "key_file") {
			d.fault(where(n.Node), "cert_file and key_file go together")
		}
		*into = t
	}
}

func (d *decoder) callback(n node, t *Destination) {
	c := &Callback{}
	k := keys{}
	d.secret(k, "api_key", &c.APIKey)
	d.secret(k, "secret", &c.Secret)
	d.object(n, k)
	d.requireSecret(n, "api_key", c.APIKey)
	d.requireSecret(n, "secret", c.Secret)
	t.Callback = c
}
