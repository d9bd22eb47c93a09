package server

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Limits of a token request. An ID token in a form or a header is seen at 1 to 12 kB.
const (
	maxQuery = 32 << 10 // bytes
	maxForm  = 64 << 10 // bytes
	maxName  = 256      // bytes of a client's name
)

// form is what a token request says, wherever it says it: some clients repeat the realm's query in the
// body, some send one scope parameter with two scopes in it, some repeat the parameter.
type form struct {
	service, grantType, username, password, clientID string
	refreshToken, accessType, offlineToken           string
	seen                                             [8]bool
	account                                          bool // a client named its account; it is a hint and no identity
	scopes                                           []string
	room                                             [2]string // for scopes
}

// The places of secrets in seen.
const (
	seenPassword     = 3
	seenRefreshToken = 5
)

// decodeTokenRequest reads a GET with Basic authentication or none, or a POST of the OAuth2 form.
// The account parameter is no identity. A client does not choose a token's life, but whether
// it wants a refresh token: offline_token=true (docker, by GET), or access_type=offline (OAuth2).
func (s *Server) decodeTokenRequest(w http.ResponseWriter, r *http.Request) (issuer.Request, error) {
	var f form
	f.scopes = f.room[:0]
	if len(r.URL.RawQuery) > maxQuery {
		return issuer.Request{}, problem(http.StatusRequestURITooLong, codeTooMany, "the query is longer than %d bytes", maxQuery)
	}
	if err := f.read(r.URL.RawQuery); err != nil {
		return issuer.Request{}, err
	}
	if f.seen[seenPassword] || f.seen[seenRefreshToken] {
		// It would stand in every log on the way, even if the form has it, too.
		return issuer.Request{}, problem(http.StatusBadRequest, codeUnsupported, "a password does not belong into a query: use Basic authentication, or a form")
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		body, err := readForm(w, r)
		if err != nil {
			return issuer.Request{}, err
		}
		if err := f.read(body); err != nil {
			return issuer.Request{}, err
		}
	default:
		return issuer.Request{}, problem(http.StatusMethodNotAllowed, codeUnsupported,
			"%s is not understood here: use GET, or POST with a form", r.Method).with("Allow", "GET, HEAD, POST")
	}
	if f.service == "" {
		return issuer.Request{}, problem(http.StatusBadRequest, codeUnsupported,
			"the parameter \"service\" is missing: it names the registry that the token is for").of(missingService)
	}
	if f.account && r.Method != http.MethodPost && r.Header["Authorization"] == nil {
		// docker names the account only when it sends that account's password.
		s.note(r, droppedPassword)
	}

	credentials, err := f.shown(r)
	if err != nil {
		return issuer.Request{}, err
	}
	asked, ignored, err := scope.Parse(f.scopes)
	if err != nil { // some clients ask at once for all that they mirror: the first are answered
		s.note(r, tooManyScopes, "error", err)
		ignored = append(ignored, scope.Ignored{Reason: err.Error()})
	}
	if len(ignored) > 0 && brokenSecret(f.scopes) {
		for i := range ignored {
			ignored[i].Text = secret.Mark
		}
	}
	client := f.clientID
	if client == "" {
		client = r.UserAgent()
	}
	s.locate(r, &credentials)
	credentials.Client = clientName(client)
	return issuer.Request{
		Service: f.service, Scopes: asked, Ignored: ignored, Credentials: credentials,
		ShowsText: showsText(f.clientID, r.UserAgent()),
		Offline:   f.offlineToken == "true" || f.accessType == "offline" || f.grantType == "refresh_token",
	}, nil
}

// brokenSecret reports whether a secret stands in scopes that are separated where it is broken: what is kept of each
// would be a piece of it.
func brokenSecret(scopes []string) bool {
	f, ok := secret.Find(strings.Join(scopes, " "))
	return ok && f.Hidden
}

// clientName is what is kept of what a client says of itself. Some put a credential there.
func clientName(said string) string {
	said = secret.Redact(said)
	return said[:min(len(said), maxName)]
}

// formType is the media type of a form. Clients write it like this; readForm knows other spellings, too.
const formType = "application/x-www-form-urlencoded"

// readForm reads the body of a POST, bounded.
func readForm(w http.ResponseWriter, r *http.Request) (string, error) {
	if named := r.Header.Get("Content-Type"); named != formType {
		if kind, _, err := mime.ParseMediaType(named); err != nil || kind != formType {
			return "", problem(http.StatusUnsupportedMediaType, codeUnsupported,
				"a POST must be a form (Content-Type: %s)", formType).oauth("invalid_request")
		}
	}
	body, err := readBody(w, r)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return "", problem(http.StatusRequestEntityTooLarge, codeTooMany, "the form is longer than %d bytes", maxForm).oauth("invalid_request")
	}
	if err != nil {
		return "", problem(http.StatusBadRequest, codeUnsupported, "the form ended early").oauth("invalid_request")
	}
	return body, nil
}

// readBody reads a form's bytes. A short one that says its length, as they all do but for ID tokens, is read at once into
// a buffer that others have used; for a long one memory is taken only as it comes.
func readBody(w http.ResponseWriter, r *http.Request) (string, error) {
	if r.ContentLength < 0 || r.ContentLength > bufferBytes {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
		return string(b), err
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	b := (*buffer)[:r.ContentLength]
	defer clear(b) // no secret lies about in the pool
	if _, err := io.ReadFull(r.Body, b); err != nil {
		return "", err
	}
	return string(b), nil
}

// read takes the parameters of a query or a form. A parameter that is said twice must say the same:
// whoever stands between client and server may read the other one.
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
			return problem(http.StatusBadRequest, codeUnsupported, "a parameter's name holds an invalid %%-escape")
		}
		var place *string
		var index int
		switch key {
		case "service":
			place, index = &f.service, 0
		case "grant_type":
			place, index = &f.grantType, 1
		case "username":
			place, index = &f.username, 2
		case "password":
			place, index = &f.password, 3
		case "client_id":
			place, index = &f.clientID, 4
		case "refresh_token":
			place, index = &f.refreshToken, 5
		case "access_type":
			place, index = &f.accessType, 6
		case "offline_token":
			place, index = &f.offlineToken, 7
		case "scope":
		case "account":
			f.account = f.account || value != ""
			continue
		default:
			continue
		}
		value, err = unescape(value)
		if err != nil {
			return problem(http.StatusBadRequest, codeUnsupported, "the parameter %q holds an invalid %%-escape", key)
		}
		if place == nil {
			f.scopes = append(f.scopes, value)
			continue
		}
		if f.seen[index] && *place != value {
			return problem(http.StatusBadRequest, codeUnsupported, "the parameter %q is there twice, with different values", key)
		}
		f.seen[index], *place = true, value
	}
	return nil
}

// unescape decodes a part of a query; most have nothing to decode.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	return url.QueryUnescape(s)
}

// shown returns what a request carries to prove who is asking.
func (f *form) shown(r *http.Request) (identity.Credentials, error) {
	if r.Method == http.MethodPost {
		switch f.grantType {
		case "password":
			if f.username == "" && f.password == "" {
				break
			}
			return identity.NewCredentials(f.username, f.password), nil
		case "refresh_token":
			if f.refreshToken == "" {
				return identity.Credentials{}, problem(http.StatusBadRequest, codeUnsupported,
					"the parameter \"refresh_token\" is missing").oauth("invalid_request")
			}
			return identity.NewRefresh(f.refreshToken), nil
		case "":
			if r.Header["Authorization"] == nil {
				return identity.Credentials{}, problem(http.StatusBadRequest, codeUnsupported,
					"the parameter \"grant_type\" is missing: \"password\" and \"refresh_token\" are understood").oauth("invalid_request")
			}
		default:
			return identity.Credentials{}, problem(http.StatusBadRequest, codeUnsupported,
				"the grant_type %q is not understood: use \"password\" or \"refresh_token\"", brief(f.grantType)).oauth("unsupported_grant_type")
		}
	}
	name, secret, err := basic(r)
	if err != nil {
		return identity.Credentials{}, err
	}
	return identity.NewCredentials(name, secret), nil
}

// basic reads Basic authentication. The name ends at the first colon; the password may hold more.
func basic(r *http.Request) (name, secret string, err error) {
	headers := r.Header["Authorization"]
	switch len(headers) {
	case 0:
		return "", "", nil
	case 1:
	default:
		return "", "", problem(http.StatusBadRequest, codeUnsupported, "the header Authorization is there twice")
	}
	scheme, encoded, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", problem(http.StatusBadRequest, codeUnsupported, "this kind of Authorization is not understood: use Basic")
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", problem(http.StatusBadRequest, codeUnsupported, "the Authorization is not valid base64")
	}
	name, secret, ok := strings.Cut(string(text), ":")
	if !ok {
		return "", "", problem(http.StatusBadRequest, codeUnsupported, "the Authorization holds no colon between name and password")
	}
	return name, secret, nil
}
