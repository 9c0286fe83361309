package api

import (
	"context"
	_ "embed"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Facade answers what has become of a request, as FHIR R4 JSON. It shows a resource only to the
// organisation that asked or was asked, and otherwise gives an issue of kind not-found, so that nobody
// learns what exists.
type Facade interface {
	Read(ctx context.Context, s flow.Subject, typ, id string) ([]byte, error)
	Search(ctx context.Context, s flow.Subject, typ string, params url.Values) ([]byte, error)
	// Binary gives the bytes of a photo or document and their media type.
	Binary(ctx context.Context, s flow.Subject, sha256 string) (io.ReadCloser, string, error)
}

// Public is the listener that senders talk to.
type Public struct {
	Security Security
	Sources  []func(gin.IRouter) // routes that take messages: callers need the role sender
	Open     []func(gin.IRouter) // routes that know their callers themselves, such as signed callbacks
	Facade   Facade
	Audit    Audit
	MaxBytes int64 // of a message
	Log      *slog.Logger
}

// searchBytes is the most a search may hold.
const searchBytes = 64 << 10

//go:embed capability.json
var capability []byte

// FacadeTypes are the resources that can be read and searched.
func FacadeTypes() []string {
	return []string{"ServiceRequest", "Task", "Media", "Communication", "Provenance", "DocumentReference"}
}

// searchParams are those of a search by POST.
var searchParams = []string{"identifier", "patient", "status", "_lastUpdated", "_count"}

var (
	idPattern     = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`) // FHIR R4 id
	tenDigits     = regexp.MustCompile(`^\d{10}$`)              // the form of an NHS number
	sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Handler serves the public listener.
func (p *Public) Handler() http.Handler { return p.engine() }

func (p *Public) engine() *gin.Engine {
	e := router(p.Log)
	e.GET("/fhir/metadata", func(c *gin.Context) { c.Data(http.StatusOK, fhirJSON, capability) })
	for _, mount := range p.Open {
		mount(e.Group("/", limited(searchBytes)))
	}
	in := e.Group("/", p.Security.authenticate, allow(Sender), limited(p.MaxBytes))
	for _, mount := range p.Sources {
		mount(in)
	}
	read := e.Group("/fhir", p.Security.authenticate, allow(Sender, Referrer, Viewer, Operator), limited(searchBytes))
	read.GET("/:type", searchByGet)
	read.GET("/:type/:id", noQuery, p.read)
	read.GET("/Binary/:id", noQuery, p.binary)
	read.POST("/:type/_search", noQuery, p.search)
	return e
}

// searchByGet refuses a search whose parameters would sit in logs.
func searchByGet(c *gin.Context) {
	refuse(c, issue.New(issue.Structure, "", "search by POST [type]/_search: what a URL carries ends in logs"))
}

// noQuery refuses everything behind a question mark, for the same reason.
func noQuery(c *gin.Context) {
	if c.Request.URL.RawQuery != "" || c.Request.URL.ForceQuery {
		refuse(c, issue.New(issue.Structure, "", "no parameters in a URL: they end in logs; search by POST [type]/_search"))
		return
	}
	c.Next()
}

// resourceType gives the type of a route; false when it has none to show and the request is refused.
func resourceType(c *gin.Context) (string, bool) {
	typ := c.Param("type")
	if !slices.Contains(FacadeTypes(), typ) {
		refuse(c, issue.New(issue.NotFound, "", "this resource type is not served"))
		return "", false
	}
	return typ, true
}

func (p *Public) read(c *gin.Context) {
	typ, ok := resourceType(c)
	if !ok {
		return
	}
	id := c.Param("id")
	if !idPattern.MatchString(id) || tenDigits.MatchString(id) {
		refuse(c, issue.New(issue.Structure, typ+".id", "not an id of this server"))
		return
	}
	b, err := p.Facade.Read(c.Request.Context(), SubjectOf(c.Request.Context()), typ, id)
	if p.shown(c, "read", typ+"/"+id, err) {
		c.Data(http.StatusOK, fhirJSON, b)
	}
}

// shown audits a reading, or an attempt at one, before anything is shown.
func (p *Public) shown(c *gin.Context, verb, what string, err error) bool {
	if err != nil {
		verb += " refused"
	}
	if !audited(c, p.Audit, Entry{Verb: verb, What: what}) {
		return false
	}
	if err != nil {
		refuse(c, err)
	}
	return err == nil
}

func (p *Public) search(c *gin.Context) {
	typ, ok := resourceType(c)
	if !ok {
		return
	}
	params, err := searchForm(c.Request)
	if err != nil {
		refuse(c, err)
		return
	}
	b, err := p.Facade.Search(c.Request.Context(), SubjectOf(c.Request.Context()), typ, params)
	if p.shown(c, "search", typ, err) {
		c.Data(http.StatusOK, fhirJSON, b)
	}
}

// searchForm reads the parameters out of the body, and refuses those that would be ignored: a search that
// silently drops a condition shows other patients.
func searchForm(r *http.Request) (url.Values, error) {
	if !mediaType(r, "application/x-www-form-urlencoded") {
		return nil, issue.New(issue.UnsupportedType, "Content-Type", "a search is application/x-www-form-urlencoded")
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bodyIssue(err)
	}
	params, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, issue.New(issue.Structure, "", "not a form").Because(err)
	}
	for name := range params {
		if !slices.Contains(searchParams, name) {
			return nil, issue.New(issue.Structure, "", "a search takes identifier, patient, status, _lastUpdated and _count only")
		}
	}
	if n, err := strconv.Atoi(params.Get("_count")); params.Has("_count") && (err != nil || n < 1 || n > 100) {
		return nil, issue.New(issue.Value, "_count", "a number from 1 to 100")
	}
	return params, nil
}

func (p *Public) binary(c *gin.Context) {
	sum := c.Param("id")
	if !sha256Pattern.MatchString(sum) {
		refuse(c, issue.New(issue.Structure, "Binary.id", "the SHA-256 of the content, 64 small hexadecimal digits"))
		return
	}
	body, media, err := p.Facade.Binary(c.Request.Context(), SubjectOf(c.Request.Context()), sum)
	if err == nil {
		defer body.Close()
	}
	if !p.shown(c, "read", "Binary/"+sum, err) {
		return
	}
	c.Header("Content-Type", media)
	c.Header("Content-Disposition", "attachment") // never shown in a page of this origin
	c.Status(http.StatusOK)
	if _, err := io.Copy(c.Writer, body); err != nil {
		panic(http.ErrAbortHandler) // the status is sent: only a broken connection says that this is not all of it
	}
}
