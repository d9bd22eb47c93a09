package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Problem is what went wrong (RFC 9457). It shows nothing of what was sent but the names of its fields.
type Problem struct {
	Type     string    `json:"type" doc:"Always about:blank: the status says the kind" example:"about:blank"`
	Title    string    `json:"title" doc:"The status in words" example:"Unprocessable Entity"`
	Status   int       `json:"status" doc:"The HTTP status" example:"422"`
	Detail   string    `json:"detail" doc:"What went wrong, for people" example:"what was sent cannot be taken"`
	Instance string    `json:"instance" format:"uri" doc:"The id of the request, which the log has, too" example:"urn:uuid:019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Errors   []Mistake `json:"errors,omitempty" nullable:"false" doc:"Each mistake in what was sent"`

	header http.Header
}

// Mistake is what is wrong with a part of a request.
type Mistake struct {
	Location string `json:"location" doc:"Where it is" example:"body.name"`
	Detail   string `json:"detail" doc:"What is wrong with it" example:"it is empty"`
}

func (p *Problem) Error() string { return p.Detail }

// GetStatus is what huma asks of an error, as it does for the two below.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders returns what else is sent.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType is that of RFC 9457, whatever would be sent otherwise.
func (p *Problem) ContentType(string) string { return problemJSON }

const problemJSON = "application/problem+json"

// refuse makes a Problem.
func refuse(status int, format string, args ...any) *Problem {
	return &Problem{Status: status, Detail: fmt.Sprintf(format, args...)}
}

// mistaken makes a Problem of a part of a request.
func mistaken(location, format string, args ...any) *Problem {
	p := refuse(http.StatusUnprocessableEntity, "what was sent cannot be taken")
	p.Errors = []Mistake{{location, fmt.Sprintf(format, args...)}}
	return p
}

// problem says what a client is told of an error. Errors of accounts and rules name what was to be done and with whom, and
// never a secret.
func (a *API) problem(c *call, err error) *Problem {
	var p *Problem
	problems, isPolicy := errors.AsType[rulebook.Problems](err)
	conflicts, isConflict := errors.AsType[rulebook.Conflicts](err)
	invalid, isInvalid := errors.AsType[*rulebook.InvalidError](err)
	ambiguous, isAmbiguous := errors.AsType[*journal.AmbiguousError](err)
	switch {
	case errors.As(err, &p):
		own := *p
		own.Errors = slices.Clone(p.Errors)
		p = &own
	case isInvalid && invalid.Field == "key":
		p = mistaken("header.Idempotency-Key", "%s", invalid.Text)
	case isPolicy:
		p = refuse(http.StatusUnprocessableEntity, "what was sent cannot be taken")
		for _, one := range problems {
			at := "body." + one.Field
			if one.Item >= 0 {
				at += fmt.Sprintf("[%d]", one.Item)
			}
			p.Errors = append(p.Errors, Mistake{at, one.Sentence()})
		}
	case isConflict:
		p = refuse(http.StatusConflict, "%s", conflicts)
	case isInvalid:
		p = mistaken("body."+invalid.Field, "%s", invalid.Text)
	case isAmbiguous:
		p = mistaken("path.id", "%s", ambiguous)
	case errors.Is(err, rulebook.ErrNotFound), errors.Is(err, journal.ErrNotFound):
		p = refuse(http.StatusNotFound, "%s", err)
	case errors.Is(err, accounts.ErrLast), errors.Is(err, accounts.ErrLent): // which are refusals, too
		p = refuse(http.StatusConflict, "%s", err)
	case errors.Is(err, rulebook.ErrForbidden):
		p = refuse(http.StatusForbidden, "%s", err)
	case errors.Is(err, rulebook.ErrExists):
		p = refuse(http.StatusConflict, "%s", err)
	case errors.Is(err, rulebook.ErrChanged):
		p = refuse(http.StatusPreconditionFailed, "%s", err)
	default:
		f := c.server.Failure(c.request, c.id, err)
		p = refuse(f.Status, "%s", f.Text)
		if f.RetryAfter != "" {
			p.header = http.Header{"Retry-After": {f.RetryAfter}}
		}
	}
	if p.Status == http.StatusUnauthorized {
		// Not Basic: a browser would ask its user for a password, and show it with each request from then on.
		p.header = http.Header{"Www-Authenticate": {`Bearer realm="tidewaiter"`}}
	}
	p.Detail = secret.Redact(p.Detail)
	for i, m := range p.Errors {
		p.Errors[i] = Mistake{secret.Redact(m.Location), secret.Redact(m.Detail)}
	}
	p.Type, p.Title, p.Instance = "about:blank", http.StatusText(p.Status), "urn:uuid:"+c.id
	return p
}

// fail answers with what went wrong where no route has answered.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problem(calling(r.Context()), err)
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(p) != nil {
		return // text always encodes
	}
	header := w.Header()
	for name, values := range p.header {
		header[name] = values
	}
	header.Set("Content-Type", problemJSON)
	w.WriteHeader(p.Status)
	_, _ = w.Write(b.Bytes()) // the client is gone: nothing to be done
}

// strip takes away from huma's own errors what was sent: they show the value at each mistake, which for a key too many is the whole
// body, with its secrets.
func (a *API) strip(ctx huma.Context, _ string, v any) (any, error) {
	theirs, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := refuse(theirs.Status, "what was sent cannot be taken")
	switch theirs.Status {
	case http.StatusUnprocessableEntity:
	case http.StatusBadRequest:
		p.Detail = "the body is no JSON, or there is none"
	case http.StatusUnsupportedMediaType:
		p.Detail = "JSON is wanted (Content-Type: application/json)"
	case http.StatusRequestEntityTooLarge:
		p.Detail = fmt.Sprintf("the body is longer than %d bytes", maxBody-1)
	case http.StatusRequestTimeout:
		p.Detail = "the body took too long"
	default:
		p.Detail = "the request could not be read"
	}
	for _, e := range theirs.Errors {
		if e == nil || e.Location == "" || e.Location == "body" && theirs.Status != http.StatusUnprocessableEntity {
			continue
		}
		text := e.Message
		if e.Location == "body" && !fromValidation(text) {
			text = "it cannot be read: a value is of another form than it should be" // what the decoder says shows the value
		}
		if text == validation.MsgUnexpectedProperty {
			text = a.unknown(ctx, e.Location)
		}
		p.Errors = append(p.Errors, Mistake{secret.Brief(e.Location, maxShown), secret.Brief(text, maxShown)})
	}
	return a.problem(calling(ctx.Context()), p), nil
}

// unknown names a key that is not read, and suggests the one that was meant.
func (a *API) unknown(ctx huma.Context, location string) string {
	name, _ := strings.CutPrefix(location, "body.")
	problem := "unknown key " + text.QuoteShort(secret.Redact(name)) // before quotes and cuts hide what it is
	body := ctx.Operation().RequestBody
	if body == nil || body.Content["application/json"] == nil {
		return problem
	}
	schema := body.Content["application/json"].Schema
	if schema != nil && schema.Ref != "" {
		schema = a.huma.OpenAPI().Components.Schemas.SchemaFromRef(schema.Ref)
	}
	if schema == nil {
		return problem
	}
	if near := text.Nearest(name, slices.Sorted(maps.Keys(schema.Properties))); near != "" {
		problem += fmt.Sprintf(" (did you mean %q?)", near)
	}
	return problem
}

// maxShown bounds what a problem shows of what a client sent, in bytes.
const maxShown = 200

// fromValidation says whether a text is one that names keys, and no values.
func fromValidation(text string) bool {
	return strings.HasPrefix(text, "expected required property ") || strings.HasPrefix(text, "expected object")
}
