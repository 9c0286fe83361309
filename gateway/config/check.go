package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// checker gathers the faults of the rules that hold between keys.
type checker struct {
	*Config
	faults Faults
}

func (c *checker) fault(path, format string, args ...any) {
	c.faults = append(c.faults, c.Fault(path, fmt.Sprintf(format, args...)))
}

// Check tells which rules between keys are broken: names that lead nowhere, and listeners that anyone
// could reach. Parse has called it already; a configuration made in code calls it itself.
func (c *Config) Check() Faults {
	k := &checker{Config: c}
	k.store()
	k.photos()
	k.listener("http", c.HTTP)
	k.listener("admin", c.Admin)
	k.limits()
	k.names()
	for i := range c.Sources {
		k.source(fmt.Sprintf("sources[%d]", i), &c.Sources[i])
	}
	k.shared()
	k.applications()
	for i := range c.Destinations {
		k.destination(fmt.Sprintf("destinations[%d]", i), &c.Destinations[i])
	}
	for i, r := range c.Routes {
		k.route(fmt.Sprintf("routes[%d]", i), r)
	}
	for name := range c.Alarms.SenderSilent {
		k.known("alarms.sender_silent."+name, "source", name, c.sourceNames())
	}
	k.faults.sort()
	return k.faults
}

// CheckFiles tells which of the files named in the configuration cannot be read.
func (c *Config) CheckFiles() Faults {
	var faults Faults
	for path, file := range c.files {
		if err := readable(file); err != nil {
			faults = append(faults, c.Fault(path, err.Error()))
		}
	}
	faults.sort()
	return faults
}

func readable(file string) error {
	f, err := os.Open(file)
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", file, pe.Err)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// Warnings tells what will work and may not be meant.
func (c *Config) Warnings() Faults {
	k := &checker{Config: c}
	if len(c.Destinations) == 0 {
		k.fault("destinations", "no destinations: every request is refused, there is nowhere to send it")
	}
	if c.Store.Redis != nil && c.Store.Redis.Durability == Relaxed {
		k.fault("store.redis.durability", "relaxed: an acknowledged message can be lost when Redis stops")
	}
	if r := c.Store.Redis; r != nil && r.plain() {
		k.fault("store.redis", "off loopback without tls: what is kept of patients goes over the network in the clear")
	}
	if len(c.Destinations) > 0 && len(c.Routes) == 0 {
		k.fault("routes", "no routes: every request is refused, none leads anywhere")
	}
	if !c.Photos.Key.Given() && c.offLoopback() {
		k.fault("photos", "no key: one is made beside the store's file, so that whoever copies the folder of both can see every photo; give key_file on another volume")
	}
	for i, s := range c.Sources {
		if s.KindOfCase == nil && slices.Contains(sourceKeys[s.Kind], "kind_of_case") && slices.Contains(s.Carries, Requests) {
			k.fault(fmt.Sprintf("sources[%d]", i), "%s has no kind_of_case: its HL7 v2 requests are refused (AE)", s.Name)
		}
	}
	for i, d := range c.Destinations {
		path := fmt.Sprintf("destinations[%d]", i)
		if d.Plaintext != "" {
			k.fault(path+".plaintext", "%s is spoken to without TLS", d.Name)
		}
		acks := slices.ContainsFunc(c.Sources, func(s Source) bool { return s.Acknowledge.Mode == Enhanced && s.Acknowledge.ApplicationTo == d.Name })
		if d.Kind != Notify && !acks && !slices.ContainsFunc(c.Routes, func(r Route) bool { return slices.Contains(r.To, d.Name) }) {
			k.fault(path, "no route leads to %s", d.Name)
		}
	}
	k.faults.sort()
	return k.faults
}

// offLoopback tells a gateway that speaks with other machines, and so holds what is real.
func (c *Config) offLoopback() bool {
	addresses := []string{c.HTTP.Listen, c.Admin.Listen}
	for _, s := range c.Sources {
		if s.Kind == MLLP {
			addresses = append(addresses, s.Listen)
		}
	}
	for _, d := range c.Destinations {
		if d.Kind == MLLP {
			addresses = append(addresses, d.Address)
		} else if u, err := url.Parse(d.BaseURL); err == nil {
			addresses = append(addresses, net.JoinHostPort(u.Hostname(), "0"))
		}
	}
	return slices.ContainsFunc(addresses, func(a string) bool { return !Loopback(a) })
}

func (c *checker) store() {
	if c.Store.Redis != nil {
		c.redis(c.Store.Redis)
	}
}

// photos wants a key wherever what it seals leaves this machine, or another key takes its place.
func (c *checker) photos() {
	if c.Photos.Bucket != "" && !c.Photos.Key.Given() {
		c.fault("photos", "a bucket needs key or key_file: the photos are sealed before they leave this machine")
	}
	if c.Photos.Bucket != "" && c.Audit == "" {
		c.fault("photos", "with a bucket the audit log has no folder to lie in: audit: {path: …}")
	}
	if len(c.Photos.OldKeys) > 0 && !c.Photos.Key.Given() {
		c.fault("photos", "old keys need the key that takes their place: key or key_file")
	}
	if c.at["photos.cache"] != (position{}) && c.Photos.Bucket == "" {
		c.fault("photos.cache", "a cache is of a bucket: a folder needs none")
	}
}

// listener holds the rule of the house: reachable from elsewhere means encrypted and authenticated.
func (c *checker) listener(path string, l Listener) {
	withCA := l.TLS != nil && l.TLS.ClientCAFile != ""
	if !Loopback(l.Listen) {
		if l.TLS == nil {
			c.fault(path+".listen", "off loopback %s needs tls", path)
		}
		if l.OIDC == nil && !withCA {
			c.fault(path+".listen", "off loopback %s needs oidc or tls.client_ca_file: anyone could call it", path)
		}
	}
	if len(l.Clients) > 0 && !withCA {
		c.fault(path+".clients", "clients are known by certificate: tls.client_ca_file is missing")
	}
	if l.OIDC != nil && !secure(l.OIDC.Issuer) {
		c.fault(path+".oidc.issuer", "off loopback an issuer is https")
	}
}

func (c *checker) limits() {
	if c.Limits.PhotoBytes > c.Limits.MessageBytes {
		c.fault("limits.photo_bytes", "photo_bytes is over message_bytes: no such photo could arrive")
	}
}

func (c *Config) sourceNames() []string {
	names := make([]string, len(c.Sources))
	for i, s := range c.Sources {
		names[i] = s.Name
	}
	return names
}

func (c *Config) destinationNames() []string {
	names := make([]string, len(c.Destinations))
	for i, d := range c.Destinations {
		names[i] = d.Name
	}
	return names
}

// names are said once: they are metric labels and keys of the store.
func (c *checker) names() {
	for section, names := range map[string][]string{"sources": c.sourceNames(), "destinations": c.destinationNames()} {
		for i, name := range names {
			if first := slices.Index(names, name); first < i {
				at := c.position(fmt.Sprintf("%s[%d].name", section, first))
				c.fault(fmt.Sprintf("%s[%d].name", section, i), "the name %s is taken at line %d", name, at.line)
			}
		}
	}
}

func (c *checker) known(path, what, name string, names []string) {
	if !slices.Contains(names, name) {
		c.fault(path, "no %s is called %q; %s", what, name, meant(name, names))
	}
}

func (c *checker) source(path string, s *Source) {
	if s.Kind == MLLP {
		if !Loopback(s.Listen) && (s.TLS == nil || s.TLS.ClientCAFile == "") {
			c.fault(path+".listen", "off loopback %s needs tls with client_ca_file: MLLP has no other way to know who speaks", s.Name)
		}
		if len(s.AllowNames) > 0 && (s.TLS == nil || s.TLS.ClientCAFile == "") {
			c.fault(path+".allow_names", "allow_names are names of client certificates: tls.client_ca_file is missing")
		}
		if s.PerAddress > s.Connections {
			c.fault(path+".connections_per_address", "more connections from one address than there may be: connections is %d", s.Connections)
		}
		if s.KindOfCase == nil && slices.Contains(s.Carries, Requests) {
			c.fault(path, "%s needs kind_of_case (which codes mean A&G, which referral), or carries: [answers]", s.Name)
		}
	}
	if k := s.KindOfCase; k != nil {
		if len(k.Advice)+len(k.Referral) == 0 {
			c.fault(path+".kind_of_case", "kind_of_case names no code: give advice or referral")
		}
		c.apart(path+".kind_of_case", k.Advice, k.Referral)
	}
	if u := s.Urgency; u != nil {
		c.apart(path+".urgency", u.TwoWeekWait, u.Urgent, u.Routine)
	}
	if s.Kind == ERSWorklist {
		c.worklist(path, s)
	}
	c.acknowledge(path+".acknowledge", s.Acknowledge)
	if at := path + ".acknowledge.when_down"; s.Kind != MLLP && c.at[at] != (position{}) {
		c.fault(at, "when_down is of sources of kind mllp: %s waits, or is told to send again", s.Name)
	}
	c.validate(path+".validate", &s.Validate)
	c.base(path+".base_url", s.BaseURL, "")
}

// mostLooks is how often a day an application may read the worklists of a service (e-RS A008).
const mostLooks = 2

// worklist holds e-RS's own rules: what an application may ask, and how often; and that what was sent there is here.
func (c *checker) worklist(path string, s *Source) {
	user := s.BusinessFunction != ""
	if slices.Contains(s.Lists, ListAdvice) && !user {
		c.fault(path+".lists", "e-RS shows the list advice (A023) only to a signed-in user: it needs business_function, and a user's token in auth")
	}
	if n := len(s.Lists) * len(s.At); !user && n > mostLooks {
		c.fault(path+".at", "%d looks a day: e-RS lets an application read the worklist of a service twice a day; each of lists counts", n)
	}
	if user && c.at[path+".at"] != (position{}) {
		c.fault(path+".at", "at is for an application's own token; a signed-in user's worklists are read every poll")
	}
	if !user && c.at[path+".poll"] != (position{}) {
		c.fault(path+".poll", "poll is for a signed-in user's worklists; an application reads them twice a day: at")
	}
	if (s.OnBehalfOf != "") != (s.BusinessFunction == "SERVICE_PROVIDER_CLINICIAN_ADMIN") {
		c.fault(path+".on_behalf_of", "on_behalf_of goes with business_function SERVICE_PROVIDER_CLINICIAN_ADMIN, which always acts for a clinician")
	}
	if s.ActsAs != "" && (user || s.Auth == nil || s.Auth.TokenURL == "") {
		c.fault(path+".acts_as", "acts_as is for users who sign in with their acts: it needs auth.token_url, and no business_function")
	}
	if s.Organisation == "" {
		c.fault(path, "%s needs organisation, the provider whose worklists these are, or site.ods", s.Name)
	}
	for name, check := range map[string]Check{"consent": s.Checks.Consent, "images": s.Checks.Images, "nhs_number": s.Checks.NHSNumber, "photo": s.Checks.Photo, "profile": s.Checks.Profile} {
		if check != Warn && check != Off {
			c.fault(path+".checks."+name, "%s: what was sent in e-RS is here already, nothing can hold or refuse it: warn or off", name)
		}
	}
}

// acknowledge wants application acknowledgements to have somewhere to go that reads them.
func (c *checker) acknowledge(path string, a Acknowledge) {
	if a.Mode == Enhanced && a.ApplicationTo == "" {
		c.fault(path, "enhanced mode needs application_to: where the application acknowledgement goes")
	}
	if a.ApplicationTo == "" {
		return
	}
	c.known(path+".application_to", "destination", a.ApplicationTo, c.destinationNames())
	for _, d := range c.Destinations {
		if d.Name == a.ApplicationTo && d.Kind != MLLP {
			c.fault(path+".application_to", "%s takes no HL7 v2: an acknowledgement goes to a destination of kind mllp", d.Name)
		}
	}
}

// answered wants a source by which the application acknowledgements that a destination is asked for come in.
func (c *checker) answered(path string, d *Destination) {
	if d.Acknowledge == Enhanced && !slices.ContainsFunc(c.Sources, func(s Source) bool {
		return slices.Contains(sourceKeys[s.Kind], "sender") && slices.Contains(s.Carries, Answers)
	}) {
		c.fault(path+".acknowledge", "enhanced: no source that carries answers takes HL7 v2, so the application acknowledgements of %s could not come in", d.Name)
	}
}

// heard wants a source that reads the mailbox by which a MESH destination sends: its responses come there.
func (c *checker) heard(path string, d *Destination) {
	if d.Kind != MESHOut {
		return
	}
	for _, s := range c.Sources {
		if s.Kind == MESH && s.Mailbox == d.Mailbox && s.BaseURL == d.BaseURL && slices.Contains(s.Carries, Answers) {
			if len(s.Workflows) > 0 && !(slices.Contains(s.Workflows, d.Workflow) && slices.Contains(s.Workflows, d.Workflow+"_ACK")) {
				c.fault(path+".workflow", "%s takes no %s and %s_ACK from the mailbox: whether anything arrived would never be known", s.Name, d.Workflow, d.Workflow)
			}
			return
		}
	}
	c.fault(path+".mailbox", "no source of kind mesh reads %s at the same base_url: whether anything arrived would never be known", d.Mailbox)
}

// apart wants each code to mean one thing.
func (c *checker) apart(path string, lists ...[]string) {
	var seen []string
	for _, list := range lists {
		for _, code := range list {
			if slices.Contains(seen, code) {
				c.fault(path, "the code %q means two things", code)
			}
			seen = append(seen, code)
		}
	}
}

// shared looks after what only one can have: an address, a folder, and the HTTP routes of a kind.
func (c *checker) shared() {
	taken := map[string]string{c.HTTP.Listen: "http"}
	claim := func(path, address, who string) {
		if first, ok := taken[address]; ok && !strings.HasSuffix(address, ":0") {
			c.fault(path, "%s is already the address of %s", address, first)
		}
		taken[address] = who
	}
	claim("admin.listen", c.Admin.Listen, "admin")
	routes, folders := map[string]string{}, map[string]string{}
	for i, s := range c.Sources {
		path := fmt.Sprintf("sources[%d]", i)
		if s.Kind == MLLP {
			claim(path+".listen", s.Listen, s.Name)
		}
		if s.Kind == File {
			folder := filepath.Clean(s.Path)
			if first, ok := folders[folder]; ok {
				c.fault(path+".path", "%s takes the files of this folder already", first)
			}
			folders[folder] = s.Name
		}
		if s.Kind != FHIR && s.Kind != HL7HTTP {
			continue
		}
		if first, ok := routes[s.Kind]; ok {
			c.fault(path+".kind", "the routes of kind %s belong to %s already", s.Kind, first)
		}
		routes[s.Kind] = s.Name
	}
}

func (c *checker) destination(path string, d *Destination) {
	if d.Kind == MLLP && d.TLS == nil && d.Plaintext == "" && !Loopback(d.Address) {
		c.fault(path+".address", "off loopback %s needs tls, or plaintext: with the reason why that is safe", d.Name)
	}
	c.answered(path, d)
	c.heard(path, d)
	c.lengths(path, d.Lengths)
	c.base(path+".base_url", d.BaseURL, d.Plaintext)
}

func (c *checker) base(path, address, plaintext string) {
	if address != "" && plaintext == "" && !secure(address) {
		c.fault(path, "off loopback an address is https, or needs plaintext: with the reason why that is safe")
	}
}

// secure tells whether an address is https or does not leave this machine.
func secure(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return u.Scheme == "https" || Loopback(host+":"+port)
}

func (c *checker) route(path string, r Route) {
	if r.When.Source != "" {
		c.known(path+".when.source", "source", r.When.Source, c.sourceNames())
	}
	for i, name := range r.To {
		at := fmt.Sprintf("%s.to[%d]", path, i)
		c.known(at, "destination", name, c.destinationNames())
		for _, d := range c.Destinations {
			if d.Name == name {
				c.fits(at, r.When, d)
			}
		}
	}
}

// fits refuses routes that could never send anything.
func (c *checker) fits(path string, w When, d Destination) {
	switch {
	case d.Kind == Notify:
		c.fault(path, "patients are told by the rules of the pathway, not by routes: leave %s out", d.Name)
	case d.Kind == MESHOut && (w.Event == "" && w != (When{}) || w.Event == "requested" || w.Event == "amended" || w.Event == "cancelled" || w.Event == "status-asked"):
		c.fault(path, "Send Document tells a practice what came of a request: name that event in the route to %s", d.Name)
	case d.Kind == ERS && w.Event != "" && w.Event != "requested":
		c.fault(path, "e-RS takes requests: for event %s it is told nothing", w.Event)
	}
}
