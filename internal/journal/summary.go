package journal

import (
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Bounds of a summary: bytes of one word, scopes of one decision, bytes of text.
const (
	maxWord       = 128
	maxScopes     = 8
	maxTextPrefix = 512
)

// Summary describes the entry in one line for people, such as
//
//	decision alice pull,push on team/app at registry.example.com: granted pull (rule "devs"), refused push (no rule)
//
// What others wrote is quoted and escaped where it is not plain, so that a line stays one line and does
// nothing to a terminal. It has no time, id or position, and is a few KiB long at most.
func (e Entry) Summary() string { return string(e.AppendSummary(make([]byte, 0, 160))) }

// AppendSummary appends Summary to b.
func (e Entry) AppendSummary(b []byte) []byte {
	switch {
	case e.Decision != nil:
		return e.Decision.appendSummary(b, e.Registry)
	case e.Event != nil:
		b = append(b, "event "...)
		b = append(b, e.Event.Summary()...)
		return appendRegistry(b, e.Registry)
	case e.Change != nil:
		b = append(b, "change "...)
		b = appendWord(b, e.Change.Action)
		b = append(b, " of "...)
		b = appendWord(b, e.Change.Target)
		b = append(b, " by "...)
		return appendWord(b, e.Change.Actor)
	default:
		b = append(b, "text"...)
		b = appendRegistry(b, e.Registry)
		b = append(b, ": "...)
		b = strconv.AppendQuote(b, string(e.Text[:min(len(e.Text), maxTextPrefix)]))
		if len(e.Text) > maxTextPrefix {
			b = append(b, "…"...)
		}
		return b
	}
}

func (d *Decision) appendSummary(b []byte, registry string) []byte {
	b = append(b, "decision "...)
	switch {
	case d.Principal == nil:
		b = appendWord(b, d.Name)
	case d.Principal.Kind == policy.Anonymous:
		b = append(b, "anonymous"...)
	default:
		b = appendWord(b, d.Principal.Name)
	}
	if d.Refused != "" && len(d.Results) == 0 {
		b = appendRegistry(b, registry)
		b = append(b, ": no token: "...)
		return appendQuotedIfOdd(b, d.Refused)
	}
	if len(d.Results) == 0 {
		b = append(b, " asked for nothing"...)
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
		b = appendQuotedIfOdd(b, d.Refused)
	}
	return b
}

// appendResult appends " pull,push on team/app at R: granted pull (rule "devs"), refused push (no rule)".
func appendResult(b []byte, r *policy.Result, registry string) []byte {
	b = append(b, ' ')
	b, _ = r.Asked.Actions.AppendText(b) // never an error
	b = append(b, " on "...)
	if r.Asked.Type != scope.TypeRepository {
		b = appendWord(b, r.Asked.Type)
		b = append(b, ' ')
	}
	b = appendWord(b, r.Asked.Name)
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
	switch cause.Reason {
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
	return appendQuoted(b, cause.Rule.Name)
}

func appendRegistry(b []byte, registry string) []byte {
	if registry == "" {
		return b
	}
	b = append(b, " at "...)
	return appendWord(b, registry)
}

// appendWord appends s bare if it is a plain word, and quoted and escaped if not.
func appendWord(b []byte, s string) []byte {
	for i, r := range s {
		if i > maxWord || r == '"' || r == '\\' || r == utf8.RuneError || unicode.IsSpace(r) || !strconv.IsPrint(r) {
			return appendQuoted(b, s)
		}
	}
	if s == "" {
		return append(b, `""`...)
	}
	return append(b, s...)
}

// appendQuotedIfOdd appends a sentence bare if all of it is printable.
func appendQuotedIfOdd(b []byte, s string) []byte {
	for i, r := range s {
		if i > maxTextPrefix || r == utf8.RuneError || !strconv.IsPrint(r) {
			return appendQuoted(b, s)
		}
	}
	return append(b, s...)
}

// appendQuoted appends s quoted and escaped, cut at maxWord bytes.
func appendQuoted(b []byte, s string) []byte {
	if len(s) <= maxWord {
		return strconv.AppendQuote(b, s)
	}
	end := maxWord
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	b = strconv.AppendQuote(b, s[:end])
	return append(b, "…"...)
}
