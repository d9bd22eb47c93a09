package journal

import (
	"cmp"
	"net/netip"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/sentence"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Limits of a summary: the bytes of one word, the scopes of one decision, and the shown bytes of a
// posted body.
const (
	maxWord       = 128
	maxScopes     = 8
	maxTextPrefix = 512
)

// Summary describes the entry in one line for people, such as
//
//	decision alice pull,push on team/app at r: granted pull (rule "devs"), refused push (no rule)
//
// Text from clients and registries is quoted and escaped if it is not a plain word. So the summary
// is always one line, and cannot control a terminal. A summary does not contain the entry's time,
// id and position, and has at most a few KiB.
func (e Entry) Summary() string { return string(e.appendSummary(make([]byte, 0, 160))) }

func (e Entry) appendSummary(b []byte) []byte {
	switch {
	case e.Decision != nil:
		return e.Decision.Repeats.appendSummary(e.Decision.appendSummary(b, e.Registry))
	case e.Event != nil:
		b = append(b, "event "...)
		b = append(b, e.Event.Summary()...)
		return appendRegistry(b, e.Registry)
	case e.Change != nil:
		return e.Change.appendSummary(b)
	case e.Service != nil:
		return e.Service.Repeats.appendSummary(e.Service.appendSummary(b, e.Registry))
	default:
		b = append(b, "text"...)
		b = appendRegistry(b, e.Registry)
		b = append(b, ": "...)
		return text.AppendQuote(b, text.Shorten(string(e.Text[:min(len(e.Text), maxTextPrefix+1)]), maxTextPrefix))
	}
}

func (d *Decision) appendSummary(b []byte, registry string) []byte {
	b = append(b, "decision "...)
	switch {
	case d.Principal == nil:
		b = text.AppendWord(b, d.Name, maxWord)
	case d.Principal.Kind == policy.Anonymous:
		b = append(b, "anonymous"...)
	default:
		b = text.AppendWord(b, d.Principal.Name, maxWord)
	}
	if d.Refused != "" && len(d.Results) == 0 {
		b = appendRegistry(b, registry)
		b = append(b, ": no token: "...)
		return appendSentence(b, d.Refused)
	}
	if len(d.Results) == 0 {
		b = append(b, " signed in"...)
		return appendRegistry(b, registry)
	}
	for i := range d.Results[:min(len(d.Results), maxScopes)] {
		if i > 0 {
			b = append(b, ';')
		}
		b = appendResult(b, &d.Results[i], registry)
	}
	if more := len(d.Results) - maxScopes; more > 0 {
		b = append(b, "; and "...)
		b = strconv.AppendInt(b, int64(more), 10)
		b = append(b, " more scopes"...)
	}
	if d.Refused != "" {
		b = append(b, "; no token: "...)
		b = appendSentence(b, d.Refused)
	}
	return b
}

// appendSummary appends, for example, "change group.join by user:ann: bob joined group ops".
func (c *Change) appendSummary(b []byte) []byte {
	b = text.AppendWord(append(b, "change "...), c.Action, maxWord)
	what := sentence.Append(nil, c.Action, c.Target, c.From, c.To)
	if len(what) == 0 { // a newer version wrote the change
		b = text.AppendWord(append(b, " of "...), c.Target, maxWord)
	}
	b = text.AppendWord(append(b, " by "...), c.Actor, maxWord)
	if len(what) > 0 {
		b = append(append(b, ": "...), what...)
	}
	return b
}

// serviceWords describe the actions of Service.
var serviceWords = map[string]string{
	"service.start": "started version", "service.stop": "stopped version", "service.reload": "reloaded", "policy.refuse": "did not reload",
	"key.root": "signs with the new root", "key.leaf": "issued the signing certificate",
	"session.add": "started an API session of", "session.refuse": "refused a sign-in to the API", "notification.refuse": "refused events",
	"webhook.off": "switched off the webhook", "webhook.skip": "skipped an entry for the webhook",
}

// appendSummary appends, for example, "service refused a sign-in to the API by ann from 192.0.2.1:
// invalid credentials".
func (s *Service) appendSummary(b []byte, registry string) []byte {
	b = append(b, "service "...)
	if words, ok := serviceWords[s.Action]; ok {
		b = append(b, words...)
	} else {
		b = text.AppendWord(b, s.Action, maxWord)
	}
	by := cmp.Or(s.Actor, s.Name)
	if by == s.Target {
		by = ""
	}
	for _, part := range []struct{ before, word string }{{" ", s.Target}, {" by ", by}, {" from ", addressText(s.Remote)}, {" at ", registry}} {
		if part.word != "" {
			b = text.AppendWord(append(b, part.before...), part.word, maxWord)
		}
	}
	if s.Refused != "" {
		b = appendSentence(append(b, ": "...), s.Refused)
	}
	return b
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// appendSummary appends "; 57 times more from 12:00:03 to 12:00:49 UTC".
func (r *Repeats) appendSummary(b []byte) []byte {
	if r == nil {
		return b
	}
	if r.Count == 1 {
		return r.Last.UTC().AppendFormat(append(b, "; once more at "...), "15:04:05 UTC")
	}
	b = append(b, "; "...)
	b = strconv.AppendInt(b, r.Count, 10)
	b = append(b, " times more from "...)
	b = r.First.UTC().AppendFormat(b, time.TimeOnly)
	b = append(b, " to "...)
	return r.Last.UTC().AppendFormat(b, "15:04:05 UTC")
}

// appendResult appends the result of one scope:
//
//	pull,push on team/app at R: granted pull (rule "devs"), refused push (no rule)
func appendResult(b []byte, r *policy.Result, registry string) []byte {
	b = append(b, ' ')
	b, _ = r.Asked.Actions.AppendText(b) // the error is always nil
	b = append(b, " on "...)
	if r.Asked.Type != scope.TypeRepository {
		b = text.AppendWord(b, r.Asked.Type, maxWord)
		b = append(b, ' ')
	}
	b = text.AppendWord(b, r.Asked.Name, maxWord)
	b = appendRegistry(b, registry)
	b = append(b, ": "...)
	for i, cause := range r.Causes {
		if i > 0 {
			b = append(b, ", "...)
		}
		if cause.Reason == policy.Allowed {
			b = append(b, "granted "...)
		} else {
			b = append(b, "refused "...)
		}
		b, _ = cause.Actions.AppendText(b)
		b = append(b, " ("...)
		b = appendReason(b, cause)
		b = append(b, ')')
	}
	if len(r.Causes) == 0 {
		b = append(b, "granted nothing"...)
	}
	return b
}

func appendReason(b []byte, cause policy.Cause) []byte {
	switch cause.Reason { //exhaustive:enforce
	case policy.NoRule:
		return append(b, "no rule"...)
	case policy.Allowed:
	case policy.Denied:
		b = append(b, "denied by "...)
	case policy.Narrowed:
		b = append(b, "outside the credential's limits, allowed by "...)
	case policy.ConditionFailed:
		b = append(b, "condition does not hold, "...)
	}
	b = append(b, "rule "...)
	if cause.Rule == nil {
		return append(b, "unknown"...)
	}
	return text.AppendQuote(b, text.Shorten(cause.Rule.Name, maxWord))
}

func appendRegistry(b []byte, registry string) []byte {
	if registry == "" {
		return b
	}
	b = append(b, " at "...)
	return text.AppendWord(b, registry, maxWord)
}

func appendSentence(b []byte, s string) []byte {
	return append(b, text.Escape(text.Shorten(s, maxTextPrefix))...)
}
