package tokenserver

import (
	"cmp"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Limits of a token request. They leave space for ID tokens, which have 1 to 12 kB in practice
// and can be in a form or a header.
const (
	maxQuery = 32 << 10 // bytes
	maxForm  = 64 << 10 // bytes
	maxName  = 256      // bytes of a client's name
)

// SmallForm is the maximum length in bytes of a form that Decode reads into a reused buffer.
// All forms without ID tokens are shorter.
const SmallForm = 4096

// Kind is a kind of credentials.
type Kind uint8

// The kinds of credentials.
const (
	None         Kind = iota // there are no credentials, so the client is anonymous
	Password                 // a name and a password, or an access token as the password
	RefreshToken             // grant_type=refresh_token; docker also sends it as a password
)

// Credentials are the credentials that a client presented. Printing a Credentials does not reveal
// the secret.
type Credentials struct {
	Kind Kind
	Name string // of Password

	secret *string // a pointer, because fmt would print a plain string
}

// Secret returns the password or the refresh token. Use the result only to check it. Do not
// print it.
func (c Credentials) Secret() string {
	if c.secret == nil {
		return ""
	}
	return *c.secret
}

// Request is a token request.
type Request struct {
	Service string
	Scopes  []scope.Scope
	// Ignored is text in the scopes that is not a scope. Such text never makes a request fail.
	Ignored []scope.Ignored
	// TooMuch wraps scope.ErrTooMuch if the request had more scopes than the limit. Otherwise
	// it is nil.
	TooMuch     error
	Credentials Credentials
	// Remote is the client's address. Handler sets it.
	Remote netip.Addr
	// ClientID is the unchanged parameter client_id. Client is the ClientName of client_id, or of
	// the header User-Agent if client_id is missing.
	ClientID, Client string
	// Offline means that the client requests a refresh token, or has presented one.
	Offline bool
	// NamesAccount means that the request has the parameter account. The parameter does not
	// prove who the client is.
	NamesAccount bool
}

// form has the parameters of the query and of the body. Some clients repeat the realm's query in
// the body. Some clients send two scopes in one scope parameter, and others repeat the scope
// parameter.
type form struct {
	values  [len(parameters)]string
	seen    [len(parameters)]bool
	account bool // the request has the parameter account
	scopes  []string
	space   [2]string // buffer for scopes
}

// parameters are the names of the parameters that must not have two different values. The
// constants below are indexes into this array.
var parameters = [...]string{
	"service", "grant_type", "username", "password", "client_id", "refresh_token", "access_type", "offline_token",
}

const (
	service = iota
	grantType
	username
	password
	clientID
	refreshToken
	accessType
	offlineToken
)

// Decode parses a token request: a GET with or without Basic authentication, or a POST in the
// OAuth2 form. The parameter account does not prove who the client is. A client cannot choose the
// lifetime of a token. It can request a refresh token: with GET by offline_token=true, as docker
// does, and in the OAuth2 form by access_type=offline.
//
// The error is an *Error with a status of 400 to 415.
func Decode(w http.ResponseWriter, r *http.Request) (Request, error) {
	var f form
	f.scopes = f.space[:0]
	if len(r.URL.RawQuery) > maxQuery {
		return Request{}, problem(http.StatusRequestURITooLong, CodeTooMany, "the query is longer than %d bytes", maxQuery)
	}
	if err := f.read(r.URL.RawQuery); err != nil {
		return Request{}, err
	}
	if f.seen[password] || f.seen[refreshToken] {
		// Servers and proxies log URLs. So refuse a password in the query, even if the form has
		// the same password.
		return Request{}, unsupported("a password must not be in a query: use Basic authentication or a form")
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		body, err := readForm(w, r)
		if err != nil {
			return Request{}, err
		}
		if err := f.read(body); err != nil {
			return Request{}, err
		}
	default:
		e := problem(http.StatusMethodNotAllowed, CodeUnsupported, "%s is not supported: use GET, or POST with a form", shorten(r.Method))
		e.Header = http.Header{"Allow": {"GET, HEAD, POST"}}
		return Request{}, e
	}
	if f.values[service] == "" {
		e := unsupported("the parameter \"service\" is missing: it names the registry that the token is for")
		e.Cause = ErrNoService
		return Request{}, e
	}
	credentials, err := f.credentials(r)
	if err != nil {
		return Request{}, err
	}
	req := Request{
		Service: f.values[service], Credentials: credentials, ClientID: f.values[clientID], NamesAccount: f.account,
		Offline: f.values[offlineToken] == "true" || f.values[accessType] == "offline" || f.values[grantType] == "refresh_token",
	}
	req.Scopes, req.Ignored, req.TooMuch = scope.Parse(f.scopes)
	if req.TooMuch != nil { // the response covers the scopes within the limit
		req.Ignored = append(req.Ignored, scope.Ignored{Reason: req.TooMuch.Error()})
	}
	if len(req.Ignored) > 0 && brokenSecret(f.scopes) {
		for i := range req.Ignored {
			req.Ignored[i].Text = secret.Mark
		}
	}
	req.Client = ClientName(cmp.Or(f.values[clientID], r.UserAgent()))
	return req, nil
}

// brokenSecret reports whether the scopes, joined by spaces, contain a secret. If a client writes
// a secret with spaces into the parameter scope, the secret is split into several scopes. Each
// scope has only a part of the secret, which the log would not redact.
func brokenSecret(scopes []string) bool {
	f, ok := secret.Find(strings.Join(scopes, " "))
	return ok && f.Hidden
}

// ClientName returns the name that a client gives itself, in a form that may be logged. The result
// has at most maxName bytes. Secrets are redacted, because some clients put secrets into their
// name.
func ClientName(name string) string {
	return secret.Shorten(name, maxName)
}

// formType is the usual spelling of the media type of a form. readForm accepts other spellings,
// too.
const formType = "application/x-www-form-urlencoded"

// readForm reads the body of a POST request. A body beyond the limit is an error.
func readForm(w http.ResponseWriter, r *http.Request) (string, error) {
	if named := r.Header.Get("Content-Type"); named != formType {
		if kind, _, err := mime.ParseMediaType(named); err != nil || kind != formType {
			return "", problem(http.StatusUnsupportedMediaType, CodeUnsupported,
				"a POST must be a form (Content-Type: %s)", formType).as("invalid_request")
		}
	}
	body, err := readBody(w, r)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return "", problem(http.StatusRequestEntityTooLarge, CodeTooMany, "the form is longer than %d bytes", maxForm).as("invalid_request")
	}
	if err != nil {
		return "", unsupported("the form ended early").as("invalid_request")
	}
	return body, nil
}

// buffers hold a form or a response. A response has about 2 kB, because it contains the token
// twice. A longer response enlarges its buffer.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, SmallForm); return &b }}

// readBody reads a form. A short form with a Content-Length is read into a reused buffer. For a
// longer form, memory is allocated as the body arrives.
func readBody(w http.ResponseWriter, r *http.Request) (string, error) {
	if r.ContentLength < 0 || r.ContentLength > SmallForm {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
		return string(b), err
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	b := (*buffer)[:r.ContentLength]
	defer clear(b) // no secret must remain in the pool
	if _, err := io.ReadFull(r.Body, b); err != nil {
		return "", err
	}
	return string(b), nil
}

// read adds the parameters of a query or a form. If a parameter is repeated, its values must be
// equal. Otherwise a proxy could check one value, while this server uses the other value.
func (f *form) read(encoded string) error {
	for encoded != "" {
		var pair string
		pair, encoded, _ = strings.Cut(encoded, "&")
		key, value, _ := strings.Cut(pair, "=")
		if key == "" {
			continue
		}
		key, err := unescape(key)
		if err != nil {
			return unsupported("the name of a parameter has an invalid %%-escape")
		}
		if key == "account" {
			f.account = f.account || value != ""
			continue
		}
		index := slices.Index(parameters[:], key)
		if index < 0 && key != "scope" {
			continue
		}
		value, err = unescape(value)
		if err != nil {
			return unsupported("the parameter %q has an invalid %%-escape", key)
		}
		if index < 0 {
			f.scopes = append(f.scopes, value)
			continue
		}
		if f.seen[index] && f.values[index] != value {
			return unsupported("the parameter %q has two different values", key)
		}
		f.seen[index], f.values[index] = true, value
	}
	return nil
}

// unescape decodes a part of a query. Most parts need no decoding.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}

// credentials returns the credentials in the Authorization header or in the form.
func (f *form) credentials(r *http.Request) (Credentials, error) {
	if r.Method == http.MethodPost {
		switch f.values[grantType] {
		case "password":
			if f.values[username] == "" && f.values[password] == "" {
				break
			}
			return Credentials{Kind: Password, Name: f.values[username], secret: &f.values[password]}, nil
		case "refresh_token":
			if f.values[refreshToken] == "" {
				return Credentials{}, unsupported("the parameter \"refresh_token\" is missing").as("invalid_request")
			}
			return Credentials{Kind: RefreshToken, secret: &f.values[refreshToken]}, nil
		case "":
			if r.Header["Authorization"] == nil {
				return Credentials{}, unsupported("the parameter \"grant_type\" is missing: use \"password\" or \"refresh_token\"").as("invalid_request")
			}
		default:
			return Credentials{}, unsupported("the grant_type %q is not supported: use \"password\" or \"refresh_token\"", shorten(f.values[grantType])).as("unsupported_grant_type")
		}
	}
	var err error
	if f.values[username], f.values[password], err = parseBasic(r); err != nil || f.values[username] == "" && f.values[password] == "" {
		return Credentials{}, err
	}
	return Credentials{Kind: Password, Name: f.values[username], secret: &f.values[password]}, nil
}

// parseBasic parses Basic authentication. The name ends at the first colon; the password may
// contain colons.
func parseBasic(r *http.Request) (name, secret string, err error) {
	headers := r.Header["Authorization"]
	switch len(headers) {
	case 0:
		return "", "", nil
	case 1:
	default:
		return "", "", unsupported("there are several Authorization headers")
	}
	scheme, encoded, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", unsupported("this Authorization scheme is not supported: use Basic")
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", unsupported("the Authorization header is not valid base64")
	}
	name, secret, ok := strings.Cut(string(text), ":")
	if !ok {
		return "", "", unsupported("the Authorization header has no colon between name and password")
	}
	return name, secret, nil
}
