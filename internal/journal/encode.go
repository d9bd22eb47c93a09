package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The content of a block, format 1, is lines of JSON. The first line lists the principals and
// rules to which the other lines refer by index:
//
//	{"form":1,"principals":[{"number":7,"sha256":"<base64url>"}],
//	 "rules":[{"name":"devs","file":"tidewaiter.yaml","line":14}]}
//
// Each other line is an entry:
//
//	{"id":"0198c1f2-…","at":1764000000000000,"registry":"registry.example.com","decision":{…}}
//
// "at" is in microseconds since 1970. Actions, reasons and kinds are the numbers of their
// constants, which must never change. A missing type means "repository"; a missing token means
// the entry's id. "life" is the time from "at" to the end of the token, in seconds, rounded
// down. The encoder of decisions and principals is written by hand, because it runs for every
// token request: a decision is encoded to store it, and a principal is encoded to find out
// whether it is stored already. For a principal with two groups, encoding/json takes more than
// ten times as long.

// maxBuffer is the maximum size in bytes of a buffer that is kept for the next block.
const maxBuffer = 4 * maxBlockBytes

// encoder writes the content of one block.
type encoder struct {
	lines      []byte
	principals []principalRef       // in order of first use
	places     map[int64]int        // from a principal's number to its index in principals
	rules      []*policy.Rule       // in order of first use
	ruleNumber map[*policy.Rule]int // index into rules
	known      *principals
}

func newEncoder(known *principals) *encoder {
	return &encoder{
		places:     make(map[int64]int),
		ruleNumber: make(map[*policy.Rule]int),
		known:      known,
	}
}

func (e *encoder) reset() {
	if cap(e.lines) > maxBuffer { // after a huge entry
		e.lines = nil
	}
	e.lines, e.principals = e.lines[:0], e.principals[:0]
	clear(e.places)
	clear(e.ruleNumber)
	clear(e.rules)
	e.rules = e.rules[:0]
}

// content appends the first line and the other lines to dst.
func (e *encoder) content(dst []byte) []byte {
	head := headLine{Form: 1, Principals: make([]principalRefLine, len(e.principals)), Rules: make([]ruleLine, len(e.rules))}
	for i := range e.principals {
		p := &e.principals[i]
		head.Principals[i] = principalRefLine{p.number, base64.RawURLEncoding.EncodeToString(p.hash[:])}
	}
	for i, rule := range e.rules {
		head.Rules[i] = ruleLine{rule.Name, rule.Origin.File, rule.Origin.Line, rule.Origin.Namespace}
	}
	text, _ := marshal(head) // strings and numbers always encode
	dst = append(append(dst, text...), '\n')
	return append(dst, e.lines...)
}

// list returns the text before element i of a list: first for the first element, other for all
// others.
func list(i int, first, other string) string {
	if i == 0 {
		return first
	}
	return other
}

// add writes the line of an entry.
func (e *encoder) add(entry *Entry) {
	b := append(e.lines, `{"id":"`...)
	b = entry.ID.append(b)
	b = append(b, `","at":`...)
	b = strconv.AppendInt(b, entry.Time.UnixMicro(), 10)
	b = appendField(b, `,"registry":`, entry.Registry)
	switch {
	case entry.Decision != nil:
		b = append(b, `,"decision":`...)
		b = e.decision(b, entry.Decision, entry.ID, entry.Time.Unix())
	case entry.Event != nil:
		b = append(b, `,"event":`...)
		event := *entry.Event
		text, err := marshal(&event)
		if err != nil { // a year that RFC 3339 cannot represent, which Decode never returns
			event.Time = time.Time{}
			text, _ = marshal(&event)
		}
		b = append(b, text...)
	case entry.Change != nil:
		c := entry.Change
		b = append(b, `,"change":{"actor":`...)
		b = text.AppendJSON(b, c.Actor)
		b = appendField(b, `,"action":`, c.Action)
		b = appendField(b, `,"target":`, c.Target)
		b = appendMap(b, `,"from":`, c.From)
		b = appendMap(b, `,"to":`, c.To)
		b = append(b, '}')
	default:
		b = append(b, `,"text":"`...)
		b = base64.StdEncoding.AppendEncode(b, entry.Text)
		b = append(b, '"')
	}
	e.lines = append(b, "}\n"...)
}

func (e *encoder) decision(b []byte, d *Decision, id ID, at int64) []byte {
	b = append(b, `{"credential":`...)
	b = text.AppendJSON(b, d.Credential)
	if d.Principal != nil {
		b = append(b, `,"principal":`...)
		b = strconv.AppendInt(b, int64(e.principal(d.Principal)), 10)
	}
	b = appendField(b, `,"name":`, d.Name)
	if d.Remote.IsValid() {
		b = append(b, `,"remote":`...)
		b = text.AppendJSON(b, d.Remote.String())
	}
	b = appendField(b, `,"client":`, d.Client)
	for i := range d.Results {
		b = append(b, list(i, `,"results":[`, `,`)...)
		b = e.result(b, &d.Results[i])
	}
	if len(d.Results) > 0 {
		b = append(b, ']')
	}
	for i, ignored := range d.Ignored {
		b = append(b, list(i, `,"ignored":[{"text":`, `,{"text":`)...)
		b = text.AppendJSON(b, ignored.Text)
		b = appendField(b, `,"reason":`, ignored.Reason)
		b = append(b, '}')
	}
	if len(d.Ignored) > 0 {
		b = append(b, ']')
	}
	b = appendField(b, `,"policy":`, d.Policy)
	if d.Token != id {
		b = append(b, `,"token":"`...)
		b = d.Token.append(b)
		b = append(b, '"')
	}
	if !d.Expires.IsZero() {
		b = append(b, `,"life":`...)
		b = strconv.AppendInt(b, d.Expires.Unix()-at, 10)
	}
	b = appendField(b, `,"refused":`, d.Refused)
	if r := d.Repeats; r != nil {
		b = append(b, `,"repeats":{`...)
		if !r.Of.IsZero() {
			b = append(b, `"of":"`...)
			b = r.Of.append(b)
			b = append(b, `",`...)
		}
		b = append(b, `"count":`...)
		b = strconv.AppendInt(b, r.Count, 10)
		b = append(b, `,"first":`...)
		b = strconv.AppendInt(b, r.First.UnixMicro(), 10)
		b = append(b, `,"last":`...)
		b = strconv.AppendInt(b, r.Last.UnixMicro(), 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

func (e *encoder) result(b []byte, r *policy.Result) []byte {
	b = append(b, `{"name":`...)
	b = text.AppendJSON(b, r.Asked.Name)
	if r.Asked.Type != scope.TypeRepository {
		b = append(b, `,"type":`...)
		b = text.AppendJSON(b, r.Asked.Type)
	}
	b = appendField(b, `,"class":`, r.Asked.Class)
	b = append(b, `,"asked":`...)
	b = strconv.AppendUint(b, uint64(r.Asked.Actions), 10)
	b = append(b, `,"granted":`...)
	b = strconv.AppendUint(b, uint64(r.Granted), 10)
	for i, cause := range r.Causes {
		b = append(b, list(i, `,"causes":[{"actions":`, `,{"actions":`)...)
		b = strconv.AppendUint(b, uint64(cause.Actions), 10)
		b = append(b, `,"reason":`...)
		b = strconv.AppendUint(b, uint64(cause.Reason), 10)
		if cause.Rule != nil {
			b = append(b, `,"rule":`...)
			b = strconv.AppendInt(b, int64(e.rule(cause.Rule)), 10)
		}
		b = append(b, '}')
	}
	if len(r.Causes) > 0 {
		b = append(b, ']')
	}
	return append(b, '}')
}

// rule returns the index of a rule in this block.
func (e *encoder) rule(r *policy.Rule) int {
	number, ok := e.ruleNumber[r]
	if !ok {
		number = len(e.rules)
		e.rules = append(e.rules, r)
		e.ruleNumber[r] = number
	}
	return number
}

// principal returns the index of a principal in this block's first line.
func (e *encoder) principal(p *policy.Principal) int {
	number, sum := e.known.number(p)
	place, ok := e.places[number]
	if !ok {
		place = len(e.principals)
		e.principals = append(e.principals, principalRef{number, sum})
		e.places[number] = place
	}
	return place
}

// appendPrincipal appends a principal. Equal principals produce equal bytes.
func appendPrincipal(b []byte, p *policy.Principal) []byte {
	b = append(b, `{"kind":`...)
	b = strconv.AppendUint(b, uint64(p.Kind), 10)
	b = appendField(b, `,"name":`, p.Name)
	b = appendField(b, `,"source":`, p.Source)
	b = appendField(b, `,"id":`, p.ID)
	b = appendStrings(b, `,"groups":`, p.Groups)
	b = appendMap(b, `,"claims":`, p.Claims)
	for i, limit := range p.Limits {
		b = append(b, list(i, `,"limits":[{"actions":`, `,{"actions":`)...)
		b = strconv.AppendUint(b, uint64(limit.Actions), 10)
		b = appendField(b, `,"type":`, limit.Type)
		b = appendStrings(b, `,"names":`, limit.Names)
		b = append(b, '}')
	}
	if len(p.Limits) > 0 {
		b = append(b, ']')
	}
	return append(b, '}')
}

// appendField appends a field unless it is empty.
func appendField(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return text.AppendJSON(append(b, key...), value)
}

func appendStrings(b []byte, key string, values []string) []byte {
	if len(values) == 0 {
		return b
	}
	b = append(b, key...)
	for i, value := range values {
		b = append(b, list(i, `[`, `,`)...)
		b = text.AppendJSON(b, value)
	}
	return append(b, ']')
}

// appendMap appends a map, sorted by key. A value without a JSON form (NaN, a channel) is
// written as text: no claim may make an entry fail.
func appendMap(b []byte, key string, values map[string]any) []byte {
	if len(values) == 0 {
		return b
	}
	text, err := marshal(values)
	if err != nil {
		plain := make(map[string]any, len(values))
		for k, v := range values {
			if _, err := marshal(v); err != nil {
				v = fmt.Sprintf("%v", v)
			}
			plain[k] = v
		}
		text, _ = marshal(plain)
	}
	return append(append(b, key...), text...)
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// principalRef refers to a principal by its row's number and its hash.
type principalRef struct {
	number int64
	hash   hash
}

// hash is a SHA-256.
type hash = [sha256.Size]byte
