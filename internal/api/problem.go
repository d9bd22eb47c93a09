package api

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// problem is an error response (RFC 9457). It can contain names of fields of the request, but not
// their values.
type problem struct {
	Type     string       `json:"type" doc:"Always about:blank: the status is the type" example:"about:blank"`
	Title    string       `json:"title" doc:"The name of the status" example:"Unprocessable Entity"`
	Status   int          `json:"status" doc:"The HTTP status" example:"422"`
	Detail   string       `json:"detail" doc:"What is wrong, for people" example:"invalid request"`
	Instance string       `json:"instance" format:"uri" doc:"The id of the request, which is also in the log" example:"urn:uuid:019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Errors   []fieldError `json:"errors,omitempty" nullable:"false" doc:"All errors in the request"`

	header http.Header
}

// fieldError describes an error in one part of a request.
type fieldError struct {
	Location string `json:"location" doc:"The part of the request" example:"body.name"`
	Detail   string `json:"detail" doc:"What is wrong with it" example:"it is empty"`
}

func (p *problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return problemJSON }

const (
	problemJSON    = "application/problem+json"
	invalidRequest = "invalid request"
)

// refuse returns a problem with the given status.
func refuse(status int, format string, args ...any) *problem {
	return &problem{Status: status, Detail: fmt.Sprintf(format, args...)}
}

// invalidPart returns a problem about the part of the request at the given location, such as
// body.name.
func invalidPart(location, format string, args ...any) *problem {
	p := refuse(http.StatusUnprocessableEntity, invalidRequest)
	p.Errors = []fieldError{{location, fmt.Sprintf(format, args...)}}
	return p
}

// toProblem returns the response for an error. Errors of accounts and rules contain names, but
// never a secret.
func (a *API) toProblem(c *call, err error) *problem {
	var p *problem
	problems, isPolicy := errors.AsType[ruleset.Problems](err)
	invalidField, isInvalid := errors.AsType[*admin.InvalidError](err)
	ambiguous, isAmbiguous := errors.AsType[*journal.AmbiguousError](err)
	notProvable, isNotProvable := errors.AsType[*tree.NotProvableError](err)
	conflicts, isConflict := errors.AsType[rulebook.Conflicts](err)
	switch {
	case errors.As(err, &p):
	case isInvalid && invalidField.Field == "key":
		p = invalidPart("header.Idempotency-Key", "%s", invalidField.Text)
	case isPolicy:
		p = refuse(http.StatusUnprocessableEntity, invalidRequest)
		for _, problem := range problems {
			at := "body." + problem.Field
			if problem.Item >= 0 {
				at += fmt.Sprintf("[%d]", problem.Item)
			}
			p.Errors = append(p.Errors, fieldError{at, problem.Sentence()})
		}
	case isConflict:
		p = refuse(http.StatusConflict, "%s", conflicts)
	case isInvalid:
		p = invalidPart("body."+invalidField.Field, "%s", invalidField.Text)
	case isAmbiguous:
		p = invalidPart("path.id", "%s", ambiguous)
	case isNotProvable:
		p = refuse(http.StatusConflict, "%s", notProvable)
	default:
		p = statusProblem(c, err)
	}
	if p.Status == http.StatusUnauthorized {
		// The scheme is not Basic. For Basic, browsers would prompt for a password and then send
		// it with each request.
		p.header = http.Header{"Www-Authenticate": {`Bearer realm="tidewaiter"`}}
	}
	p.Detail = secret.Redact(p.Detail)
	for i, e := range p.Errors {
		p.Errors[i] = fieldError{secret.Redact(e.Location), secret.Redact(e.Detail)}
	}
	p.Type, p.Title, p.Instance = "about:blank", http.StatusText(p.Status), "urn:uuid:"+c.id
	return p
}

// statuses has the status of each error whose text is sent to the client. ErrLast and
// ErrSetByDelegate match ErrForbidden too, so they come first.
var statuses = []struct {
	err    error
	status int
}{
	{admin.ErrNotFound, http.StatusNotFound},
	{journal.ErrNotFound, http.StatusNotFound},
	{accounts.ErrLast, http.StatusConflict},
	{accounts.ErrSetByDelegate, http.StatusConflict},
	{admin.ErrForbidden, http.StatusForbidden},
	{admin.ErrExists, http.StatusConflict},
	{admin.ErrChanged, http.StatusPreconditionFailed},
}

// statusProblem returns the response for an error. It uses the table statuses. For all other
// errors it uses the server's mapping, which logs unexpected errors.
func statusProblem(c *call, err error) *problem {
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return refuse(s.status, "%s", err)
		}
	}
	f := c.server.Failure(c.request, c.id, err)
	p := refuse(f.Status, "%s", f.Text)
	if f.RetryAfter != "" {
		p.header = http.Header{"Retry-After": {f.RetryAfter}}
	}
	return p
}

// fail writes the response for an error outside routes.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := a.toProblem(callOf(r.Context()), err)
	var b bytes.Buffer
	if a.huma.Marshal(&b, "application/json", p) != nil {
		return // cannot happen, because text can always be encoded
	}
	header := w.Header()
	maps.Copy(header, p.header)
	header.Set("Content-Type", problemJSON)
	w.WriteHeader(p.Status)
	_, _ = w.Write(b.Bytes()) // an error means that the client is gone
}

// unreadableTexts has the texts that replace huma's errors, by status.
var unreadableTexts = map[int]string{
	http.StatusUnprocessableEntity:   invalidRequest,
	http.StatusBadRequest:            "the body is missing or is not valid JSON",
	http.StatusUnsupportedMediaType:  "the body must be JSON (Content-Type: application/json)",
	http.StatusRequestEntityTooLarge: fmt.Sprintf("the body is longer than %d bytes", maxBody-1),
	http.StatusRequestTimeout:        "reading the body took too long",
}

// redactErrors replaces huma's own errors. Those errors contain the value of each wrong field.
// For an unknown key, the value is the whole body with its secrets.
func (a *API) redactErrors(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := refuse(model.Status, "%s", cmp.Or(unreadableTexts[model.Status], "the request cannot be read"))
	for _, e := range model.Errors {
		if e == nil || e.Location == "" {
			continue
		}
		text, isOurs := strings.CutPrefix(e.Message, invalidBody)
		switch {
		case isOurs:
			p.Detail = invalidBody + text
			continue
		case e.Location == "body" && model.Status != http.StatusUnprocessableEntity:
			continue
		case e.Location == "body" && !hasNoValue(text):
			// The decoder's own text contains the value.
			text = "the body cannot be decoded: a value has the wrong type"
		}
		switch text {
		case validation.MsgUnexpectedProperty:
			text = a.unknownKey(ctx, e.Location)
		case "unknown query parameter":
			text = unknownParameter(ctx, e.Location)
		default:
			text = translateError(text)
		}
		p.Errors = append(p.Errors, fieldError{secret.Brief(e.Location, maxShown), secret.Brief(text, maxShown)})
	}
	return a.toProblem(callOf(ctx.Context()), p), nil
}

// unknownKey returns the error for an unknown key, and suggests the key that was probably
// meant.
func (a *API) unknownKey(ctx huma.Context, location string) string {
	var known []string
	if body := ctx.Operation().RequestBody; body != nil {
		schema := body.Content["application/json"].Schema
		if schema.Ref != "" {
			schema = a.huma.OpenAPI().Components.Schemas.SchemaFromRef(schema.Ref)
		}
		known = slices.Sorted(maps.Keys(schema.Properties))
	}
	return unknown("key", strings.TrimPrefix(location, "body."), known)
}

// unknownParameter returns the error for an unknown parameter of the query, and suggests the
// parameter that was probably meant.
func unknownParameter(ctx huma.Context, location string) string {
	var known []string
	for _, p := range ctx.Operation().Parameters {
		if p.In == "query" {
			known = append(known, p.Name)
		}
	}
	return unknown("parameter", strings.TrimPrefix(location, "query."), known)
}

// formerNames maps earlier names of keys and parameters to the current names.
var formerNames = map[string]string{"last": "limit", "limits": "restrictions", "most": "max_members"}

func unknown(kind, name string, known []string) string {
	name = secret.Shorten(name, 60)
	problem := "unknown " + kind + " " + text.QuoteShort(name)
	now := formerNames[name]
	if slices.Contains(known, now) {
		return problem + fmt.Sprintf(" (it is now %q)", now)
	}
	if near := text.Nearest(name, known); near != "" {
		return problem + fmt.Sprintf(" (did you mean %q?)", near)
	}
	return problem
}

const (
	notATime   = "not a time: give a time in the format of RFC 3339, such as 2026-11-28T00:00:00Z"
	notWhole   = "not a whole number"
	notBoolean = "must be true or false"
)

// plainTexts maps huma's texts to ours. "$" stands for the rest of huma's text.
var plainTexts = []struct{ huma, ours string }{
	{"invalid date/time for format $", notATime},
	{validation.MsgExpectedRFC3339DateTime, notATime},
	{"invalid integer", notWhole},
	{validation.MsgExpectedInteger, notWhole},
	{validation.MsgExpectedNumber, "not a number"},
	{"invalid boolean", notBoolean},
	{validation.MsgExpectedBoolean, notBoolean},
	{validation.MsgExpectedString, "must be a text"},
	{validation.MsgExpectedArray, "must be a list"},
	{validation.MsgExpectedObject, "must be an object"},
	{"expected number >= $", "must be at least $"},
	{"expected number <= $", "must be at most $"},
	{"expected length >= $", "must have at least $ characters"},
	{"expected length <= $", "must have at most $ characters"},
	{"expected array length >= $", "must have at least $ items"},
	{"expected array length <= $", "must have at most $ items"},
	{"expected value to be one of $", "must be one of $"},
	{"expected required property $ to be present", "the key $ is missing"},
	{"required query parameter is missing", "it is missing"},
}

// translateError translates an error text of huma to the style of Tidewaiter's errors.
func translateError(problem string) string {
	for _, t := range plainTexts {
		begin, end, open := strings.Cut(t.huma, "$")
		rest, ok := strings.CutPrefix(problem, begin)
		if !ok || !strings.HasSuffix(rest, end) || !open && rest != "" {
			continue
		}
		return strings.ReplaceAll(t.ours, "$", strings.Trim(strings.TrimSuffix(rest, end), `"`))
	}
	return problem
}

// maxShown is the maximum length of text from a request in a response, in bytes.
const maxShown = 200

// hasNoValue reports whether a text of huma contains only names of keys, and no value from the
// request.
func hasNoValue(text string) bool {
	return strings.HasPrefix(text, "expected required property ") || strings.HasPrefix(text, "expected object")
}
