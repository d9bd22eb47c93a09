package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/strictjson"
	"github.com/tidewaiter/tidewaiter/scope"
)

// MarshalJSON returns the claims as they are written in a token.
func (c Claims) MarshalJSON() ([]byte, error) { return appendClaims(nil, &c), nil }

// UnmarshalJSON parses the text that MarshalJSON returns. Several audiences are an error,
// because Claims has only one.
func (c *Claims) UnmarshalJSON(text []byte) error {
	payload, err := strictjson.Object(text, maxDepth)
	if err != nil {
		return fmt.Errorf("reading claims: %w", err)
	}
	read, audience, err := readClaims(payload)
	if err == nil && len(audience) > 1 {
		err = errors.New("it has several audiences")
	}
	if err != nil {
		return fmt.Errorf("reading claims: %w", err)
	}
	if len(audience) > 0 {
		read.Audience = audience[0]
	}
	*c = *read
	return nil
}

// Allows reports whether the token grants all actions of the wanted scope. It compares scopes as
// registries do: the types and the names of the scopes must be equal, and the action "*" of a
// token stands for every action. The class is ignored.
func (c *Claims) Allows(wanted scope.Scope) bool {
	if c == nil || wanted.Actions == 0 {
		return false
	}
	var granted scope.Actions
	for _, a := range c.Access {
		if a.Type == wanted.Type && a.Name == wanted.Name {
			granted |= a.Actions
		}
	}
	return granted.Has(scope.All) || granted.Has(wanted.Actions)
}

// readClaims parses the claims of a token. It returns the audiences separately, because a token
// can have several.
func readClaims(payload map[string]any) (c *Claims, audience []string, err error) {
	f := fields{values: payload}
	c = &Claims{
		Issuer: f.text("iss"), Subject: f.text("sub"), ID: f.text("jti"),
		Expires: f.time("exp"), NotBefore: f.time("nbf"), IssuedAt: f.time("iat"),
	}
	if f.err != nil {
		return nil, nil, f.err
	}
	if c.Expires.IsZero() {
		return nil, nil, errors.New("it has no exp")
	}
	switch aud := payload["aud"].(type) {
	case nil:
	case string:
		audience = []string{aud}
	default:
		if audience, err = textsOf(aud, "aud"); err != nil {
			return nil, nil, err
		}
	}
	if c.Access, err = accessOf(payload["access"]); err != nil {
		return nil, nil, err
	}
	return c, audience, nil
}

// fields reads the fields of an object. It keeps the first error.
type fields struct {
	values map[string]any
	err    error
}

func (f *fields) fail(format, name string) {
	if f.err == nil {
		f.err = fmt.Errorf(format, name)
	}
}

// text returns the string in the field with this name, or "" if the field is missing. Like
// registries, it treats null as missing.
func (f *fields) text(name string) string {
	text, ok := f.values[name].(string)
	if !ok && f.values[name] != nil {
		f.fail("its %s is not a string", name)
	}
	return text
}

func textsOf(value any, name string) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("its %s is neither a string nor a list of strings", name)
	}
	texts := make([]string, 0, len(list))
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("its %s has an item that is not a string", name)
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// time returns the time in the field with this name, or the zero time if the field is missing. The
// time must be in whole seconds, because registries reject other times.
func (f *fields) time(name string) time.Time {
	if f.values[name] == nil {
		return time.Time{}
	}
	const latest = 253402300799 // the last second of the year 9999
	number, _ := f.values[name].(json.Number)
	seconds, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil || seconds < 0 || seconds > latest {
		f.fail("its %s is not a time in whole seconds", name)
	}
	return time.Unix(seconds, 0).UTC()
}

// accessOf parses the access claim. It treats null as missing.
func accessOf(value any) ([]scope.Scope, error) {
	if value == nil {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok {
		return nil, errors.New("its access is not a list")
	}
	var access []scope.Scope
	for i, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("access[%d] is not an object", i)
		}
		f := fields{values: object}
		s := scope.Scope{Type: f.text("type"), Class: f.text("class"), Name: f.text("name")}
		if f.err != nil {
			return nil, fmt.Errorf("access[%d]: %w", i, f.err)
		}
		if object["actions"] != nil {
			names, err := textsOf(object["actions"], "actions")
			if err != nil {
				return nil, fmt.Errorf("access[%d]: %w", i, err)
			}
			for _, name := range names {
				if action, ok := scope.ParseAction(name); ok {
					s.Actions |= action
				}
			}
		}
		access = append(access, s)
	}
	return access, nil
}
