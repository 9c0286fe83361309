package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// shop stands for all that the admin listener asks.
type shop struct {
	err      error
	query    flow.CaseQuery
	wanted   flow.DeliveryQuery
	acts     []Act
	released []string
	said     []flow.Word
	relayed  []flow.Decision
	agreed   []flow.Agreement
}

var (
	caseID     = flow.NewID(1, "case")
	deliveryID = flow.NewID(1, "delivery")
	now        = time.Date(2026, 7, 1, 9, 0, 0, 0, time.UTC)
)

func (s *shop) record() flow.CaseRecord {
	return flow.CaseRecord{ID: caseID, Version: 3, State: []byte(`{"state":"HELD"}`),
		Index: flow.CaseIndex{Kind: "advice", State: "HELD", Organisation: "Y06601", Patient: "keyed-hash", Opened: now, Changed: now}}
}

func (s *shop) Case(_ context.Context, id flow.ID) (flow.CaseRecord, error) {
	if id != caseID {
		return flow.CaseRecord{}, flow.ErrNotFound
	}
	return s.record(), s.err
}

func (s *shop) Cases(_ context.Context, q flow.CaseQuery) ([]flow.CaseRecord, error) {
	s.query = q
	return []flow.CaseRecord{s.record()}, s.err
}

func (s *shop) Story(context.Context, flow.ID) ([]flow.Event, error) {
	return []flow.Event{{At: now, What: "received"}}, s.err
}

func (s *shop) Message(_ context.Context, id flow.ID) (flow.Message, error) {
	return flow.Message{ID: id, Source: "gp", Raw: flow.BodyRef{Inline: []byte("MSH|"), Size: 4, Type: "application/hl7-v2"}, Whole: &flow.Whole{Size: 9}}, s.err
}

func (s *shop) Deliveries(_ context.Context, q flow.DeliveryQuery) ([]flow.Delivery, error) {
	s.wanted = q
	return []flow.Delivery{{ID: deliveryID, To: "epr", State: flow.Parked, Body: flow.BodyRef{Inline: []byte("Eleanor Rigby"), Size: 13},
		Steps: []flow.Step{{Name: "A011", Data: map[string]string{"ubrn": "000049735440"}}}, Cause: issue.New(issue.Unavailable, "", "no answer")}}, s.err
}

func (s *shop) Act(_ context.Context, a Act) error { s.acts = append(s.acts, a); return s.err }

func (s *shop) Preview(_ context.Context, a Act) (Preview, error) {
	return Preview{Verb: a.Verb, To: "epr", Key: "K1", Bytes: 13}, s.err
}

func (s *shop) Content(context.Context, flow.ID) ([]byte, string, error) {
	return []byte("MSH|Rigby"), "application/hl7-v2", s.err
}

func (s *shop) Explain(context.Context, flow.Message) ([]byte, error) {
	return []byte(`{"elements":[]}`), s.err
}

func (s *shop) Original(context.Context, flow.Message) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("MSH|photo")), s.err
}

func (s *shop) Release(_ context.Context, id flow.ID, person, reason string) error {
	s.released = append(s.released, id.String()+" "+person+" "+reason)
	return s.err
}

func (s *shop) ReleaseMerged(_ context.Context, id flow.ID, person, reason string) error {
	s.released = append(s.released, "merge "+id.String()+" "+person+" "+reason)
	return s.err
}

func (s *shop) ReleaseSignedIn(_ context.Context, id flow.ID, in flow.SignIn) error {
	s.released = append(s.released, "as "+in.Token+" "+id.String()+" "+in.Person+" "+in.Reason+" "+in.Key)
	return s.err
}

func (s *shop) Say(_ context.Context, id flow.ID, w flow.Word) error {
	s.said = append(s.said, w)
	return s.err
}

func (s *shop) Relay(_ context.Context, _ flow.ID, d flow.Decision) error {
	s.relayed = append(s.relayed, d)
	return s.err
}

func (s *shop) Relayed(_ context.Context, _ flow.ID, key string) (flow.Delivery, error) {
	for _, d := range s.relayed {
		if d.Key == key {
			return flow.Delivery{}, nil
		}
	}
	return flow.Delivery{}, flow.ErrNotFound
}

func (s *shop) Agree(_ context.Context, _ flow.ID, a flow.Agreement) error {
	s.agreed = append(s.agreed, a)
	return s.err
}

func admin(s *shop, l *ledger) *Admin {
	return &Admin{
		Security: Security{Local: Identity{flow.Subject{Name: "local:me"}, []string{Operator, Referrer, Viewer, Provider}}},
		Cases:    s, Messages: s, Acts: s, Explain: s, Original: s, Release: s, Tell: s, Relays: s, Audit: l.audit, Now: func() time.Time { return now },
		Patient: func(n string) string { return "hash of " + n[:0] + fmt.Sprint(len(n)) },
		Ready:   []Probe{{Name: "store", Check: func(context.Context) error { return s.err }}},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "dermgate_store_up 1\n") }),
		Log:     (&buffer{}).logger(),
	}
}

const (
	asJSON = "Content-Type: application/json"
	keyed  = "Idempotency-Key: button-0001"
)

func TestOperationsRead(t *testing.T) {
	id := caseID.String()
	for _, c := range []struct {
		method, path, body string
		code               int
		has                string
		audited            []Entry
	}{
		{"GET", "/healthz", "", 200, `{"status":"up"}`, nil},
		{"GET", "/readyz", "", 200, `"store":"up"`, nil},
		{"GET", "/metrics", "", 200, "dermgate_store_up 1", nil},
		{"GET", "/openapi.json", "", 200, `"openapi": "3.1.0"`, nil},
		{"POST", "/api/v1/cases/search", `{"patient":"9990548609","open":true}`, 200, `"state":"HELD"`, []Entry{{"local:me", "search", "cases", ""}}},
		{"GET", "/api/v1/cases/" + id, "", 200, `"case":{"state":"HELD"},"story":[{"at"`, []Entry{{"local:me", "read", "case/" + id, ""}}},
		{"GET", "/api/v1/cases/" + deliveryID.String(), "", 404, "no such case", []Entry{{"local:me", "read", "case/" + deliveryID.String(), ""}}},
		{"GET", "/api/v1/cases/9990548609", "", 400, "an id is a UUID", nil},
		{"GET", "/api/v1/messages/" + id, "", 200, `"source":"gp"`, []Entry{{"local:me", "read", "message/" + id, ""}}},
		{"GET", "/api/v1/messages/" + id + "/explain", "", 200, `{"elements":[]}`, []Entry{{"local:me", "explain", "message/" + id, ""}}},
		{"GET", "/api/v1/messages/" + id + "/original", "", 200, `MSH|photo`, []Entry{{"local:me", "read-original", "message/" + id, ""}}},
		{"GET", "/api/v1/deliveries?state=parked&to=epr&limit=7&case=" + id, "", 200, `"steps":["A011"]`, nil},
		{"GET", "/api/v1/deliveries?patient=1", "", 400, "", nil},
		{"GET", "/api/v1/deliveries?limit=x", "", 422, "", nil},
		{"GET", "/api/v1/deliveries?limit=-1", "", 422, "", nil},
		{"GET", "/api/v1/deliveries?case=1", "", 422, "", nil},
		{"POST", "/api/v1/cases/search", `{"limit":1001}`, 422, "", nil},
		{"GET", "/api/v1/cases/search", "", 400, "", nil},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			s, l := &shop{}, &ledger{}
			base := serve(t, nil, admin(s, l).Handler())
			got := call(t, http.DefaultClient, c.method, base+c.path, c.body, asJSON)
			if got.code != c.code || !strings.Contains(got.body, c.has) {
				t.Errorf("got %d %s", got.code, got.body)
			}
			if entries := l.take(); !reflect.DeepEqual(entries, c.audited) {
				t.Errorf("audited %v", entries)
			}
			for _, secret := range []string{"9990548609", "Eleanor", "keyed-hash"} {
				if strings.Contains(got.body, secret) {
					t.Errorf("shows %s: %s", secret, got.body)
				}
			}
		})
	}
}

func TestQueriesArriveWhole(t *testing.T) {
	s := &shop{}
	base := serve(t, nil, admin(s, &ledger{}).Handler())
	call(t, http.DefaultClient, "POST", base+"/api/v1/cases/search", `{"patient":"9990548609","organisation":"Y06601","kind":"advice","state":"HELD","open":true,"limit":5}`, asJSON)
	if want := (flow.CaseQuery{Patient: "hash of 10", Organisation: "Y06601", Kind: "advice", State: "HELD", Open: true, Limit: 5}); s.query != want {
		t.Errorf("got %+v", s.query)
	}
	call(t, http.DefaultClient, "GET", base+"/api/v1/deliveries?state=parked&to=epr&limit=7&case="+caseID.String(), "")
	if want := (flow.DeliveryQuery{Case: caseID, To: "epr", State: flow.Parked, Limit: 7}); s.wanted != want {
		t.Errorf("got %+v", s.wanted)
	}
}

func TestActs(t *testing.T) {
	delivery, destination := "/api/v1/deliveries/"+deliveryID.String()+"/", "/api/v1/destinations/epr/"
	on := func(verb, to string) flow.Act {
		return flow.Act{Verb: verb, ID: deliveryID, To: to, Person: "local:me", Reason: "r", Key: "button-0001", At: now}
	}
	to := func(verb string) flow.Act { a := on(verb, "epr"); a.ID = flow.ID{}; return a }
	for _, c := range []struct {
		path, body string
		want       Act
	}{
		{delivery + "replay", `{"reason":"r"}`, Act{Act: on("replay", "")}},
		{delivery + "replay", `{"reason":"r","translate":true,"to":"gp"}`, Act{Act: on("replay", "gp"), Translate: true}},
		{delivery + "replay", `{"reason":"r","content":"MSH|"}`, Act{Act: on("replay", ""), Content: "MSH|"}},
		{delivery + "redirect", `{"reason":"r","to":"gp"}`, Act{Act: on("redirect", "gp")}},
		{delivery + "redirect", `{"reason":"r","to":"gp","translate":true}`, Act{Act: on("redirect", "gp"), Translate: true}},
		{delivery + "resolve", `{"reason":"r","ubrn":"000049735440"}`, Act{Act: on("resolve", ""), UBRN: "000049735440"}},
		{delivery + "resolve", `{"reason":"r","not_created":true}`, Act{Act: on("resolve", ""), NotCreated: true}},
		{delivery + "resolve", `{"reason":"r","case":"` + caseID.String() + `"}`, Act{Act: on("resolve", ""), Case: caseID}},
		{delivery + "discard", `{"reason":"r"}`, Act{Act: on("discard", "")}},
		{destination + "pause", `{"reason":"r"}`, Act{Act: to("pause")}},
		{destination + "resume", `{"reason":"r"}`, Act{Act: to("resume")}},
	} {
		t.Run(c.path+c.body, func(t *testing.T) {
			s, l := &shop{}, &ledger{}
			base := serve(t, nil, admin(s, l).Handler())
			got := call(t, http.DefaultClient, "POST", base+c.path, c.body, asJSON, keyed)
			if got.code != 200 || len(s.acts) != 1 || !reflect.DeepEqual(s.acts[0], c.want) {
				t.Errorf("got %d %s %+v", got.code, got.body, s.acts)
			}
			what := "delivery/" + deliveryID.String()
			if strings.Contains(c.path, "destinations") {
				what = "destination/epr"
			}
			if entries := l.take(); !slices.Equal(entries, []Entry{{"local:me", c.want.Verb, what, "r"}}) {
				t.Errorf("audited %v", entries)
			}
		})
	}
}

func TestRelease(t *testing.T) {
	s, l := &shop{}, &ledger{}
	base := serve(t, nil, admin(s, l).Handler())
	got := call(t, http.DefaultClient, "POST", base+"/api/v1/cases/"+caseID.String()+"/release", `{"reason":"consent is in the letter"}`, asJSON, keyed)
	if want := []string{caseID.String() + " local:me consent is in the letter"}; got.code != 200 || !slices.Equal(s.released, want) {
		t.Errorf("got %d %s %v", got.code, got.body, s.released)
	}
	if entries := l.take(); len(entries) != 1 || entries[0].Verb != "release" || entries[0].Why != "consent is in the letter" {
		t.Errorf("audited %v", entries)
	}
	got = call(t, http.DefaultClient, "POST", base+"/api/v1/cases/"+caseID.String()+"/release", `{"reason":"the same patient","merge":true}`, asJSON, keyed)
	if want := "merge " + caseID.String() + " local:me the same patient"; got.code != 200 || len(s.released) != 2 || s.released[1] != want {
		t.Errorf("got %d %s %v", got.code, got.body, s.released)
	}
}

func TestReleaseAsAUser(t *testing.T) {
	s, l := &shop{}, &ledger{}
	a := admin(s, l)
	base := serve(t, nil, a.Handler())
	path, as := base+"/api/v1/cases/"+caseID.String()+"/release", SignInHeader+": id-token"
	got := call(t, http.DefaultClient, "POST", path, `{"reason":"signed"}`, asJSON, keyed, as)
	if want := []string{"as id-token " + caseID.String() + " local:me signed button-0001"}; got.code != 200 || !slices.Equal(s.released, want) {
		t.Errorf("got %d %s %v", got.code, got.body, s.released)
	}
	if e := l.take(); len(e) != 1 || strings.Contains(fmt.Sprint(e), "id-token") {
		t.Errorf("audited %v", e)
	}
	if got := call(t, http.DefaultClient, "POST", path, `{"reason":"signed","merge":true}`, asJSON, keyed, as); got.code != 409 || len(s.released) != 1 {
		t.Errorf("with merge: %d %v", got.code, s.released)
	}
	a.Security.Local.Roles = []string{Operator}
	base = serve(t, nil, a.Handler())
	if got := call(t, http.DefaultClient, "POST", base+"/api/v1/cases/"+caseID.String()+"/release", `{"reason":"signed"}`, asJSON, keyed, as); got.code != 403 || len(s.released) != 1 {
		t.Errorf("as an operator: %d %v", got.code, s.released)
	}
}

// What a specialist decides is taken as theirs, checked before anything is on record, and on record once.
func TestAnActIsRelayedAsWhoDecidedIt(t *testing.T) {
	s, l := &shop{}, &ledger{}
	a := admin(s, l)
	base := serve(t, nil, a.Handler()) + "/api/v1/cases/" + caseID.String() + "/"
	press := func(verb, body string) answer {
		return call(t, http.DefaultClient, "POST", base+verb, body, asJSON, keyed, SignInHeader+": id-token")
	}
	for _, c := range []struct {
		verb, body string
		code       int
		where      string
	}{
		{"answer", `{"reason":"r","outcome":"PROVIDER_CONVERTED","text":"We see them"}`, 403, "outcome"},
		{"answer", `{"reason":"r","outcome":"RETURN_TO_REFERRER_WITH_ADVICE","text":"Cream"}`, 422, "recommendation"},
		{"answer", `{"reason":"r","outcome":"REQUIRE_FURTHER_INFORMATION","text":"` + strings.Repeat("x", 8001) + `"}`, 413, "text"},
		{"triage", `{"reason":"r","outcome":"ACCEPT_REFER_BOOK_LATER"}`, 422, "text"},
		{"triage", `{"reason":"r","outcome":"RETURN_TO_REFERRER_WITH_ADVICE","text":"x","priority":"ROUTINE"}`, 409, "priority"},
		{"triage", `{"reason":"r","outcome":"REJECT","text":"x"}`, 422, "outcome"},
		{"triage", `{"outcome":"ACCEPT_REFER_BOOK_LATER","text":"x"}`, 422, "reason"},
		{"cancel", `{"reason":"r","text":"x"}`, 422, "code"},
		{"cancel", `{"reason":"r","code":"RAISED_IN_ERROR","outcome":"x"}`, 400, ""},
	} {
		if got := press(c.verb, c.body); got.code != c.code || !strings.Contains(got.body, c.where) || len(s.relayed) > 0 || len(l.take()) > 0 {
			t.Errorf("%s %.80s: %d %s", c.verb, c.body, got.code, got.body)
		}
	}
	for range 2 {
		if got := press("triage", `{"reason":"seen","outcome":"ACCEPT_REFER_BOOK_LATER","text":"Clinic for Rigby","priority":"URGENT"}`); got.code != 200 {
			t.Fatalf("%d %s", got.code, got.body)
		}
	}
	want := flow.Decision{What: flow.RelayTriage, Act: flow.Relayed{Outcome: "ACCEPT_REFER_BOOK_LATER", Text: "Clinic for Rigby", Priority: "URGENT"}, Person: "local:me", Reason: "seen", Token: "id-token", Key: "button-0001"}
	if len(s.relayed) != 2 || !reflect.DeepEqual(s.relayed[0], want) || !reflect.DeepEqual(s.relayed[1], want) {
		t.Errorf("relayed %+v", s.relayed)
	}
	if e := l.take(); len(e) != 1 || e[0].Verb != "triage" || strings.Contains(fmt.Sprint(e), "Rigby") || strings.Contains(fmt.Sprint(e), "id-token") {
		t.Errorf("audited %v", e)
	}
	if got := press("agree", `{"reason":"spoke"}`); got.code != 200 || len(s.agreed) != 1 || s.agreed[0].Person != "local:me" {
		t.Errorf("%d %+v", got.code, s.agreed)
	}
	for role, refused := range map[string][]string{Referrer: {"answer", "triage"}, Provider: {"agree"}, Operator: {"answer", "triage", "cancel", "agree"}, Viewer: {"answer", "triage", "cancel", "agree"}} {
		a.Security.Local.Roles = []string{role}
		base = serve(t, nil, a.Handler()) + "/api/v1/cases/" + caseID.String() + "/"
		for _, verb := range refused {
			if got := press(verb, `{"reason":"r"}`); got.code != 403 {
				t.Errorf("%s as %s: %d", verb, role, got.code)
			}
		}
	}
}

func TestActsThatAreIncomplete(t *testing.T) {
	delivery := "/api/v1/deliveries/" + deliveryID.String() + "/"
	for _, c := range []struct {
		path, body string
		headers    []string
		code       int
		where      string
	}{
		{delivery + "discard", `{}`, []string{asJSON, keyed}, 422, "reason"},
		{delivery + "discard", `{"reason":"  "}`, []string{asJSON, keyed}, 422, "reason"},
		{delivery + "discard", `{"reason":"r"}`, []string{asJSON}, 422, "Idempotency-Key"},
		{delivery + "discard", `{"reason":"r"}`, []string{asJSON, "Idempotency-Key: short"}, 422, "Idempotency-Key"},
		{delivery + "discard", `{"reason":"r"}`, []string{keyed, "Content-Type: text/plain"}, 415, "Content-Type"},
		{delivery + "discard", `{"reason":"r","person":"Dr B"}`, []string{asJSON, keyed}, 400, ""},
		{delivery + "discard", `{"reason":"r","to":"gp"}`, []string{asJSON, keyed}, 400, ""},
		{delivery + "discard", `{"REASON":"r"}`, []string{asJSON, keyed}, 400, ""},
		{delivery + "discard", `{"reason":"a","reason":"b"}`, []string{asJSON, keyed}, 400, "reason"},
		{delivery + "discard", `{"reason":{"a":1}}`, []string{asJSON, keyed}, 400, "reason"},
		{delivery + "discard", `{"reason":1}`, []string{asJSON, keyed}, 400, ""},
		{delivery + "discard", `{"reason":"r"} x`, []string{asJSON, keyed}, 400, ""},
		{delivery + "discard", `{"reason":"r"`, []string{asJSON, keyed}, 400, ""},
		{delivery + "discard", `["reason"]`, []string{asJSON, keyed}, 400, ""},
		{delivery + "discard", `{"reason":"` + strings.Repeat("r", actBytes) + `"}`, []string{asJSON, keyed}, 413, ""},
		{delivery + "redirect", `{"reason":"r"}`, []string{asJSON, keyed}, 422, "to"},
		{delivery + "resolve", `{"reason":"r"}`, []string{asJSON, keyed}, 422, "ubrn"},
		{delivery + "resolve", `{"reason":"r","ubrn":"000049735440","not_created":true}`, []string{asJSON, keyed}, 422, "ubrn"},
		{delivery + "resolve", `{"reason":"r","ubrn":"9990548609"}`, []string{asJSON, keyed}, 422, "ubrn"},
		{delivery + "replay", `{"reason":"r","translate":true,"content":"MSH|"}`, []string{asJSON, keyed}, 409, "content"},
		{delivery + "preview", `{"verb":"resolve"}`, []string{asJSON}, 422, "verb"},
		{delivery + "preview", `{"verb":"redirect"}`, []string{asJSON}, 422, "to"},
		{"/api/v1/parked/1/discard", `{"reason":"r","expect":1}`, []string{asJSON, keyed}, 400, "id"},
		{"/api/v1/parked/g-000000000000/discard", `{"reason":"r"}`, []string{asJSON, keyed}, 422, "expect"},
		{"/api/v1/parked/g-000000000000/replay", `{"reason":"r","expect":1,"rate":5000}`, []string{asJSON, keyed}, 422, "rate"},
		{"/api/v1/parked/g-000000000000/redirect", `{"reason":"r","expect":1}`, []string{asJSON, keyed}, 422, "to"},
		{delivery + "resolve", `{"reason":"r","case":"1"}`, []string{asJSON, keyed}, 400, "case"},
		{delivery + "resolve", `{"reason":"r","case":"1","not_created":true}`, []string{asJSON, keyed}, 422, "ubrn"},
		{"/api/v1/deliveries/1/discard", `{"reason":"r"}`, []string{asJSON, keyed}, 400, "id"},
		{"/api/v1/destinations/~case/pause", `{"reason":"r"}`, []string{asJSON, keyed}, 404, ""},
		{"/api/v1/cases/1/release", `{"reason":"r"}`, []string{asJSON, keyed}, 400, "id"},
	} {
		t.Run(c.path+c.body[:min(len(c.body), 40)], func(t *testing.T) {
			s, l := &shop{}, &ledger{}
			base := serve(t, nil, admin(s, l).Handler())
			got := call(t, http.DefaultClient, "POST", base+c.path, c.body, c.headers...)
			var said struct{ Issues issue.List }
			if err := json.Unmarshal([]byte(got.body), &said); err != nil || len(said.Issues) != 1 {
				t.Fatalf("%d %s: %v", got.code, got.body, err)
			}
			if got.code != c.code || said.Issues[0].Where != c.where {
				t.Errorf("got %d %s", got.code, got.body)
			}
			if len(s.acts)+len(s.released)+len(l.take()) != 0 {
				t.Error("it was done, or recorded, all the same")
			}
		})
	}
}

func TestRoles(t *testing.T) {
	login := newIssuer(t)
	s, l := &shop{}, &ledger{}
	a := admin(s, l)
	a.Security.OIDC = &OIDC{Issuer: login.url, Audience: "dermgate", RolesClaim: "roles", OrganisationClaim: "organisation"}
	base := serve(t, nil, a.Handler())
	delivery := "/api/v1/deliveries/" + deliveryID.String()
	for _, c := range []struct {
		method, path, body string
		let                []string
	}{
		{"GET", "/metrics", "", []string{Viewer, Operator, Referrer}},
		{"GET", "/api/v1/deliveries", "", []string{Viewer, Operator, Referrer}},
		{"GET", "/api/v1/parked", "", []string{Viewer, Operator, Referrer}},
		{"GET", delivery + "/content", "", []string{Operator}},
		{"POST", delivery + "/preview", `{"verb":"replay"}`, []string{Operator, Viewer}},
		{"POST", "/api/v1/parked/g-000000000000/replay", `{"reason":"r","expect":1}`, []string{Operator}},
		{"POST", "/api/v1/parked/g-000000000000/redirect", `{"reason":"r","expect":1,"to":"gp"}`, []string{Operator}},
		{"POST", "/api/v1/parked/g-000000000000/discard", `{"reason":"r","expect":1}`, []string{Operator}},
		{"POST", delivery + "/replay", `{"reason":"r"}`, []string{Operator}},
		{"POST", delivery + "/discard", `{"reason":"r"}`, []string{Operator}},
		{"POST", delivery + "/redirect", `{"reason":"r","to":"gp"}`, []string{Operator}},
		{"POST", delivery + "/resolve", `{"reason":"r","not_created":true}`, []string{Operator, Referrer}},
		{"POST", "/api/v1/cases/" + caseID.String() + "/release", `{"reason":"r"}`, []string{Operator, Referrer}},
		{"POST", "/api/v1/destinations/epr/pause", `{"reason":"r"}`, []string{Operator}},
		{"POST", "/api/v1/destinations/epr/resume", `{"reason":"r"}`, []string{Operator}},
		{"GET", "/healthz", "", []string{Sender, Referrer, Operator, Viewer}},
	} {
		for _, role := range []string{Sender, Referrer, Operator, Viewer} {
			want := 403
			if slices.Contains(c.let, role) {
				want = 200
			}
			token := "Authorization: Bearer " + login.token(jwt.MapClaims{"roles": []string{role}})
			if got := call(t, http.DefaultClient, c.method, base+c.path, c.body, asJSON, keyed, token); got.code != want {
				t.Errorf("%s as %s: got %d, want %d", c.path, role, got.code, want)
			}
		}
	}
	if got := s.acts[0].Person; got != "dr-a" {
		t.Errorf("the person is %q, not the token's subject", got)
	}
	if got := l.take()[0].Who; got != "dr-a (RXX01)" {
		t.Errorf("audited as %q", got)
	}
}

func TestErrorsOfTheStore(t *testing.T) {
	for err, code := range map[error]int{
		flow.ErrNotFound: 404, fmt.Errorf("redis: %w", flow.ErrUnavailable): 503, flow.ErrStale: 409, errors.New("secret"): 500,
		issue.New(issue.Denied, "", "not this one"): 403,
	} {
		s := &shop{err: err}
		base := serve(t, nil, admin(s, &ledger{}).Handler())
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/api/v1/cases/" + caseID.String(), ""},
			{"POST", "/api/v1/cases/search", "{}"},
			{"GET", "/api/v1/messages/" + caseID.String(), ""},
			{"GET", "/api/v1/deliveries", ""},
			{"POST", "/api/v1/destinations/epr/pause", `{"reason":"r"}`},
			{"POST", "/api/v1/cases/" + caseID.String() + "/release", `{"reason":"r"}`},
		} {
			got := call(t, http.DefaultClient, c.method, base+c.path, c.body, asJSON, keyed)
			if got.code != code || strings.Contains(got.body, "secret") {
				t.Errorf("%v at %s: got %d %s", err, c.path, got.code, got.body)
			}
		}
		if got := call(t, http.DefaultClient, "GET", base+"/readyz", ""); got.code != 503 || !strings.Contains(got.body, `"store":"down"`) {
			t.Errorf("readyz: %d %s", got.code, got.body)
		}
	}
}

func TestAGatewayIsReadyWithoutWhatItCanDoWithout(t *testing.T) {
	s := &shop{}
	a := admin(s, &ledger{})
	a.Ready = append(a.Ready, Probe{Name: "maps", Check: func(context.Context) error { return errors.New("broken") }, Lesser: "stale"})
	base := serve(t, nil, a.Handler())
	if got := call(t, http.DefaultClient, "GET", base+"/readyz", ""); got.code != 200 || !strings.Contains(got.body, `{"checks":{"maps":"stale","store":"up"},"status":"up"}`) {
		t.Errorf("%d %s", got.code, got.body)
	}
	s.err = errors.New("gone")
	if got := call(t, http.DefaultClient, "GET", base+"/readyz", ""); got.code != 503 || !strings.Contains(got.body, `{"checks":{"maps":"stale","store":"down"},"status":"down"}`) {
		t.Errorf("%d %s", got.code, got.body)
	}
}

func TestNothingIsDoneThatCannotBeAudited(t *testing.T) {
	s, l := &shop{}, &ledger{broken: errors.New("disk full")}
	base := serve(t, nil, admin(s, l).Handler())
	for _, path := range []string{"/api/v1/destinations/epr/pause", "/api/v1/cases/" + caseID.String() + "/release"} {
		if got := call(t, http.DefaultClient, "POST", base+path, `{"reason":"r"}`, asJSON, keyed); got.code != 503 {
			t.Errorf("%s: %d", path, got.code)
		}
	}
	if got := call(t, http.DefaultClient, "GET", base+"/api/v1/messages/"+caseID.String(), ""); got.code != 503 || strings.Contains(got.body, "MSH") {
		t.Errorf("%d %s", got.code, got.body)
	}
	if len(s.acts)+len(s.released) > 0 {
		t.Error("it was done all the same")
	}
}

func TestLocalIdentityHasAName(t *testing.T) {
	if who := LocalIdentity(Operator); !strings.HasPrefix(who.Name, "local") || !who.Is(Viewer, Operator) || who.Is(Viewer) {
		t.Errorf("%+v", who)
	}
}

// TestOpenAPI: every route of both listeners is in the document, and every one in the document is a route.
// Those of the sources are mounted by their adapters: named here, as interfaces promise them.
func TestOpenAPI(t *testing.T) {
	file, err := os.ReadFile("openapi.json")
	if err != nil || string(file) != string(openapi) {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(file, &doc); err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			told[strings.ToUpper(method)+" "+path] = true
		}
	}
	p := public(&facade{}, &ledger{}, &buffer{})
	p.Sources, p.Open = []func(gin.IRouter){func(r gin.IRouter) {
		for _, path := range []string{"/hl7", "/fhir", "/fhir/$process-message"} {
			r.POST(path, func(*gin.Context) {})
		}
	}}, nil
	routes := append(p.engine().Routes(), admin(&shop{}, &ledger{}).engine().Routes()...)
	for _, r := range routes {
		parts := strings.Split(r.Path, "/")
		for i, part := range parts {
			if name, ok := strings.CutPrefix(part, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		route := r.Method + " " + strings.Join(parts, "/")
		if !told[route] {
			t.Errorf("%s is not in openapi.json", route)
		}
		delete(told, route)
	}
	for route := range told {
		t.Errorf("openapi.json tells of %s, which is no route", route)
	}
}
