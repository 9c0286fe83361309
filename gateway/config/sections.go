package config

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
)

const day = 24 * time.Hour

// config reads the whole file, in the order of docs/configuration.md.
func (d *decoder) config(n node, c *Config) {
	d.object(n, keys{
		"site":   func(n node) { d.site(n, &c.Site) },
		"store":  func(n node) { d.store(n, &c.Store) },
		"photos": func(n node) { d.photos(n, &c.Photos) },
		"http":   func(n node) { d.listener(n, &c.HTTP) },
		"admin":  func(n node) { d.listener(n, &c.Admin) },
		"limits": func(n node) { d.limits(n, &c.Limits) },
		"alarms": func(n node) { d.alarms(n, &c.Alarms) },
		"shutdown": func(n node) {
			d.object(n, keys{
				"notice": value(d, &c.Shutdown.Notice, within(0, 10*time.Minute, readDuration, "")),
				"grace":  value(d, &c.Shutdown.Grace, within(time.Second, 10*time.Minute, readDuration, "")),
			})
		},
		"owners":       func(n node) { d.owners(n, &c.Owners) },
		"timers":       func(n node) { d.timers(n, c.Timers) },
		"sources":      list(d, &c.Sources, d.source),
		"destinations": list(d, &c.Destinations, d.destination),
		"routes":       list(d, &c.Routes, d.route),
		"maps": func(n node) {
			d.object(n, keys{"path": d.input(&c.Maps)})
			d.require(n, "path")
		},
		"audit": func(n node) {
			d.object(n, keys{"path": d.filePath(&c.Audit)})
			d.require(n, "path")
		},
	})
	d.require(n, "site", "sources")
}

func (d *decoder) site(n node, s *Site) {
	d.object(n, keys{
		"name":     d.text(&s.Name),
		"ods":      d.ods(&s.ODS),
		"timezone": value(d, &s.Timezone, readZone),
		"bank_holidays": func(n node) {
			day := func(into *string) func(node) { return value(d, into, readDay) }
			d.object(n, keys{"also": list(d, &s.BankHolidays.Also, day), "not": list(d, &s.BankHolidays.Not, day)})
		},
	})
	d.require(n, "name", "ods")
}

func (d *decoder) ods(into *string) func(node) {
	return value(d, into, matching(odsPattern, "an ODS code such as RXX01: capitals and digits"))
}

func (d *decoder) store(n node, s *Store) {
	d.object(n, keys{
		"redis": func(n node) { d.redis(n, s) },
		"embedded": func(n node) {
			d.object(n, keys{"path": d.filePath(&s.Embedded)})
			d.require(n, "path")
		},
		"retain": value(d, &s.Retain, within(day, 3650*day, readDuration, "")),
	})
	if d.has(n, "redis") && d.has(n, "embedded") {
		d.fault(d.at[n.path+".embedded"], "a store is redis or embedded, not both")
	}
}

// requireSecret asks for a key or its _file twin.
func (d *decoder) requireSecret(n node, name string, s Secret) {
	if !s.Given() && !d.has(n, name) && !d.has(n, name+"_file") {
		d.fault(where(n.Node), "%s needs the key %s or %s_file", subject(n), name, name)
	}
}

func (d *decoder) photos(n node, p *Photos) {
	k := keys{"url": d.photoStore(p), "cache": func(n node) {
		d.object(n, keys{
			"path":  d.filePath(&p.Cache.Path),
			"bytes": value(d, &p.Cache.Bytes, within(0, 1<<40, ParseBytes, " bytes")),
		})
	}, "old_keys": d.oldKeys(p, func(s *Secret) func(node) { return d.text(&s.value) }),
		"old_key_files": d.oldKeys(p, func(s *Secret) func(node) { return d.input(&s.file) }), "floor": d.floor(&p.Floor)}
	d.secret(k, "key", &p.Key)
	d.object(n, k)
	d.require(n, "url")
}

func (d *decoder) floor(f *Floor) func(node) {
	return func(n node) {
		d.object(n, keys{
			"ssim":    value(d, &f.SSIM, readSSIM),
			"side":    value(d, &f.Side, within(1, 65535, readInt, " pixels")),
			"quality": value(d, &f.Quality, within(1, 100, readInt, "")),
		})
	}
}

// oldKeys adds to the keys that open only: by value (better: as ${ENV}), or by file.
func (d *decoder) oldKeys(p *Photos, item func(*Secret) func(node)) func(node) {
	return func(n node) {
		var more []Secret
		list(d, &more, item)(n)
		p.OldKeys = append(p.OldKeys, more...)
	}
}

// readSSIM takes a likeness: under 0.5 no photo is worth sending.
func readSSIM(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0.5 && v <= 1) {
		return 0, errors.New("is a likeness of 0.5 to 1")
	}
	return v, nil
}

// photoStore takes file:///folder, or s3://bucket.
func (d *decoder) photoStore(p *Photos) func(node) {
	return func(n node) {
		value(d, &p.Bucket, func(s string) (string, error) {
			u, err := url.Parse(s)
			switch {
			case err == nil && u.Scheme == "file" && u.Path != "" && u.RawQuery == "":
				p.Folder = d.resolve(u.Host + u.Path)
				return "", nil
			case err == nil && u.Scheme == "s3" && u.Host != "" && u.User == nil:
				p.Folder = ""
				return s, nil
			}
			return "", errors.New("is a folder as file:///var/lib/gateway/photos, or file://./photos beside the configuration, or a bucket as s3://photos?region=eu-west-2")
		})(n)
	}
}

func (d *decoder) listener(n node, l *Listener) {
	d.object(n, keys{
		"listen":  value(d, &l.Listen, readAddress),
		"tls":     d.serverTLS(&l.TLS),
		"oidc":    func(n node) { d.oidc(n, l) },
		"clients": list(d, &l.Clients, d.client),
	})
}

// serverTLS reads the certificate of something that listens.
func (d *decoder) serverTLS(into **TLS) func(node) {
	return func(n node) {
		t := &TLS{}
		d.object(n, keys{
			"cert_file":      d.input(&t.CertFile),
			"key_file":       d.input(&t.KeyFile),
			"client_ca_file": d.input(&t.ClientCAFile),
		})
		d.require(n, "cert_file", "key_file")
		*into = t
	}
}

func (d *decoder) oidc(n node, l *Listener) {
	o := &OIDC{RolesClaim: "roles", OrganisationClaim: "organisation"}
	d.object(n, keys{
		"issuer":             value(d, &o.Issuer, readAsWritten),
		"audience":           d.text(&o.Audience),
		"roles_claim":        d.text(&o.RolesClaim),
		"organisation_claim": d.text(&o.OrganisationClaim),
	})
	d.require(n, "issuer", "audience")
	l.OIDC = o
}

// readAsWritten keeps an address as written: OpenID Connect compares issuers byte by byte, a last slash
// included (OpenID Connect Core §3.1.3.7).
func readAsWritten(s string) (string, error) {
	_, err := readBase(s)
	return s, err
}

func (d *decoder) client(c *Client) func(node) {
	return func(n node) {
		d.object(n, keys{
			"certificate":  d.text(&c.Certificate),
			"organisation": d.ods(&c.Organisation),
			"roles": list(d, &c.Roles, func(r *string) func(node) {
				return oneOf(d, r, RoleSender, RoleReferrer, RoleOperator, RoleViewer, RoleProvider)
			}),
		})
		d.require(n, "certificate", "roles")
	}
}

func (d *decoder) limits(n node, l *Limits) {
	d.object(n, keys{
		"message_bytes":  value(d, &l.MessageBytes, within(1<<10, 1<<30, ParseBytes, " bytes")),
		"photo_bytes":    value(d, &l.PhotoBytes, within(1<<10, 1<<30, ParseBytes, " bytes")),
		"photo_pixels":   value(d, &l.PhotoPixels, within(1e4, 1e9, ParsePixels, " pixels")),
		"pixels_at_once": value(d, &l.PixelsAtOnce, within(1e4, 1e9, ParsePixels, " pixels")),
		"attachments":    value(d, &l.Attachments, within(1, 10000, readInt, "")),
	})
}

func (d *decoder) alarms(n node, a *Alarms) {
	k := keys{
		"oldest_waiting": value(d, &a.OldestWaiting, within(time.Second, 30*day, readDuration, "")),
		"digest":         value(d, &a.Digest, readTimeOfDay),
		"oldest_parked":  value(d, &a.OldestParked, within(time.Second, 30*day, readDuration, "")),
		"sender_silent": func(n node) {
			a.SenderSilent = map[string]time.Duration{}
			d.each(n, func(name string, _ position, v node) {
				var limit time.Duration
				value(d, &limit, within(time.Minute, 365*day, readDuration, ""))(v)
				a.SenderSilent[name] = limit
			})
		},
	}
	d.secret(k, "webhook", &a.Webhook)
	d.object(n, k)
}

func (d *decoder) owners(n node, o *Owners) {
	owner := func(into *Owner) func(node) {
		return func(n node) {
			d.object(n, keys{"name": d.text(&into.Name), "deputy": d.text(&into.Deputy)})
			d.require(n, "name")
		}
	}
	d.object(n, keys{
		"requester":  oneOf(d, &o.Requester, "clinician", "practice"),
		"provider":   owner(&o.Provider),
		"operations": owner(&o.Operations),
	})
}

// timers lays the file's limits over the pathway's own.
func (d *decoder) timers(n node, t pathway.Timers) {
	k := keys{}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		k[name] = func(n node) {
			span := t[name]
			value(d, &span, readSpan)(n)
			t[name] = span
		}
	}
	d.object(n, k)
}

func (d *decoder) route(r *Route) func(node) {
	return func(n node) {
		d.object(n, keys{
			"when": func(n node) { d.when(n, &r.When) },
			"to":   list(d, &r.To, d.text),
		})
		d.require(n, "when", "to")
	}
}

// The words of routing rules: what flow says of a message.
var (
	routeEvents = []string{"requested", "amended", "cancelled", "answered", "info-requested", "triaged", "booked", "appointment-cancelled", "not-attended",
		"converted", "ended", "reviewed", "tracked", "notice", "status", "status-asked"}
	routeOutcomes = []string{"accepted", "returned", "straight-to-test", "ended"}
)

func (d *decoder) when(n node, w *When) {
	d.object(n, keys{
		"source":       d.text(&w.Source),
		"message":      value(d, &w.Message, readMessage),
		"event":        oneOf(d, &w.Event, routeEvents...),
		"case":         oneOf(d, &w.Case, string(pathway.Advice), string(pathway.Referral)),
		"outcome":      oneOf(d, &w.Outcome, routeOutcomes...),
		"priority":     oneOf(d, &w.Priority, pathway.Routine, pathway.Urgent, pathway.TwoWeekWait),
		"organisation": d.ods(&w.Organisation),
		"specialty":    d.text(&w.Specialty),
	})
}

// readMessage takes an HL7 message structure or a FHIR message event.
func readMessage(s string) (string, error) {
	if strings.HasPrefix(s, "servicerequest-") {
		return s, nil
	}
	return matching(structPattern, "a message structure such as REF_I12, or a FHIR message event")(s)
}
