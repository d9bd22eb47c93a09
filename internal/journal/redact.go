package journal

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/scope"
)

// redact removes secrets from an entry. Clients, registries and people sometimes put tokens into a
// User-Agent, a scope or a description. The journal is stored for years, and many people can
// search it, so this function is called for every entry. It copies data before it changes the
// data, so the caller's data stays unchanged.
func redact(entry *Entry) {
	entry.Registry = secret.Redact(entry.Registry)
	entry.Text = secret.RedactBytes(entry.Text)
	switch {
	case entry.Decision != nil:
		entry.Decision = redactDecision(entry.Decision)
	case entry.Event != nil:
		entry.Event = redactEvent(entry.Event)
	case entry.Change != nil:
		c := *entry.Change
		c.Actor, c.Target = secret.Redact(c.Actor), secret.Redact(c.Target)
		c.From, c.To = redactMap(c.From), redactMap(c.To)
		entry.Change = &c
	case entry.Service != nil:
		s := *entry.Service
		for _, text := range []*string{&s.Target, &s.Actor, &s.Name, &s.Client, &s.Refused} {
			*text = secret.Redact(*text)
		}
		s.Details = redactMap(s.Details)
		entry.Service = &s
	}
}

// redactDecision allocates nothing if there is no secret, because it is called for each token.
func redactDecision(d *Decision) *Decision {
	name, client, refused := secret.Redact(d.Name), secret.Redact(d.Client), secret.Redact(d.Refused)
	found := name != d.Name || client != d.Client || refused != d.Refused
	for i := range d.Results {
		found = found || hasSecret(&d.Results[i].Asked)
	}
	for i := range d.Ignored {
		found = found || secret.Redact(d.Ignored[i].Text) != d.Ignored[i].Text || secret.Redact(d.Ignored[i].Reason) != d.Ignored[i].Reason
	}
	if !found {
		return d
	}
	own := *d
	own.Name, own.Client, own.Refused = name, client, refused
	own.Results, own.Ignored = nil, nil
	for _, r := range d.Results {
		r.Asked.Type, r.Asked.Class, r.Asked.Name = secret.Redact(r.Asked.Type), secret.Redact(r.Asked.Class), secret.Redact(r.Asked.Name)
		own.Results = append(own.Results, r)
	}
	for _, i := range d.Ignored {
		own.Ignored = append(own.Ignored, scope.Ignored{Text: secret.Redact(i.Text), Reason: secret.Redact(i.Reason)})
	}
	return &own
}

func hasSecret(s *scope.Scope) bool {
	_, found := secret.Find(s.Name)
	return found
}

func redactEvent(event *notification.Event) *notification.Event {
	own := *event
	for _, text := range []*string{
		&own.Action, &own.Repository, &own.FromRepository, &own.MediaType, &own.Digest, &own.Tag, &own.URL, &own.Actor,
		&own.Request.ID, &own.Request.Address, &own.Request.Host, &own.Request.Method, &own.Request.UserAgent,
		&own.Source.Address, &own.Source.Instance,
	} {
		*text = secret.Redact(*text)
	}
	if id := secret.Redact(own.ID); id != own.ID {
		// The hash is as unique as the id, so it identifies repeats.
		sum := sha256.Sum256([]byte(own.ID))
		own.ID = id + " " + hex.EncodeToString(sum[:8])
	}
	own.References = nil
	for _, r := range event.References {
		r.MediaType, r.Digest = secret.Redact(r.MediaType), secret.Redact(r.Digest)
		own.References = append(own.References, r)
	}
	return &own
}

func redactMap(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	own := make(map[string]any, len(m))
	for key, value := range m {
		own[secret.Redact(key)] = redactValue(value)
	}
	return own
}

// redactValue handles the types of the values in changes. Numbers and booleans cannot contain a
// secret.
func redactValue(value any) any {
	switch v := value.(type) {
	case string:
		return secret.Redact(v)
	case []string:
		own := make([]string, len(v))
		for i := range v {
			own[i] = secret.Redact(v[i])
		}
		return own
	case []any:
		own := make([]any, len(v))
		for i := range v {
			own[i] = redactValue(v[i])
		}
		return own
	case map[string]any:
		return redactMap(v)
	}
	return value
}
