package journal

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The content of a block, format 2, is lines. The first line is JSON. It lists the principals and
// rules to which the other lines refer by index, in order of first use:
//
//	{"form":2,"principals":[{"number":7,"sha256":"<base64url>"}],
//	 "rules":[{"name":"devs","file":"tidewaiter.yaml","line":14}]}
//
// Each other line is an entry. It has three parts, separated by tabs:
//
//	0,2,1 \t {"id":"0198c1f2-…","at":1764000000000000,"registry":"registry.example.com","decision":{…}} \t {"salt":"…","remote":"10.1.2.3"}
//
// The first part has the index of the entry's principal, or "-", and the indexes of its rules.
// Only this part depends on the other entries of the block, so blocks can be merged without a
// change to the other two parts.
//
// The second part is public, because each proof of the entry contains it. It refers to the
// entry's rules by 0, 1, 2 … in order of first use in the entry. "at" is in microseconds since
// 1970. Actions, reasons and kinds are the numbers of their constants, which must never change. A
// missing type means "repository"; a missing token means the entry's id. "life" is the time from
// "at" to the end of the token, in seconds, rounded down.
//
// The third part is private. It has the personal data, which can be erased, and eight random
// bytes, so that nobody can guess the data from the hash. The part is empty if the entry has no
// personal data. An erased part is replaced by "#" and the SHA-256 of the part in base64url.
//
// A line "~8 <base64url>" stands for 2^8 removed entries, which are the leaves of a complete
// subtree of level 8. The line has the hash of the subtree.
//
// An entry's leaf in the tree has the data below. A number is four bytes in big-endian order. A
// text is its length in bytes, as a number, and then the bytes:
//
//	the 19 bytes "tidewaiter entry 2\n"
//	the public part, as a text
//	the SHA-256 of the private part
//	a byte 0, or a byte 1 and the SHA-256 of the entry's principal
//	the number of the entry's rules, and each rule as a text: the rule's JSON in the first line
//
// The principal is JSON, too (see appendPrincipal), with eight random bytes. Leaf 0 stands for the
// blocks of format 1 before the tree (see originLeaf). The entry at position p is leaf p - base,
// where base is the position of the last entry of format 1.
//
// In a block of format 1, a line has only one part: the public part with the private fields added.
// It refers to the principal and the rules by their indexes in the first line; see decode.go. The
// tree has no leaves for entries of format 1.
//
// The encoder of decisions, events and principals is written by hand, because it runs for every
// token request and event. The principal is encoded each time, too, because the writer looks up
// the encoded principal to find out whether it is stored already. encoding/json takes more than
// ten times as long.

// maxBuffer is a size in bytes. A larger buffer is not used again for the next block.
const maxBuffer = 4 * maxBlockBytes

// encoder writes the content of one block.
type encoder struct {
	lines      []byte
	leaves     []tree.Hash    // leaves of the entries in the field lines
	principals []principalRef // in order of first use
	places     map[int64]int  // maps a principal's number to its index in principals
	rules      []ruleText     // in order of first use
	ruleLines  []byte         // the JSON of rules
	ruleNumber map[*policy.Rule]int
	ruleHash   map[uint64]int // maps a hash of a rule's JSON to the rule's index
	seed       maphash.Seed   // of ruleHash
	known      *principals

	// The fields below are about the current entry.
	principal             int   // index, or -1
	used                  []int // indexes of its rules
	public, private, leaf []byte

	salts salts
}

// ruleText is a rule of a block.
type ruleText struct {
	from, to int // in ruleLines
	local    int // 1 + the rule's number in the current entry; 0: the entry has not used it yet
}

func newEncoder(known *principals) *encoder {
	return &encoder{
		places:     make(map[int64]int),
		ruleNumber: make(map[*policy.Rule]int),
		ruleHash:   make(map[uint64]int),
		seed:       maphash.MakeSeed(),
		known:      known,
	}
}

func (e *encoder) reset() {
	if cap(e.lines) > maxBuffer { // after a huge entry
		e.lines, e.public, e.private, e.leaf = nil, nil, nil, nil
	}
	e.lines, e.leaves, e.principals = e.lines[:0], e.leaves[:0], e.principals[:0]
	e.rules, e.ruleLines, e.used = e.rules[:0], e.ruleLines[:0], e.used[:0]
	clear(e.places)
	clear(e.ruleNumber)
	clear(e.ruleHash)
}

// content appends the first line and the other lines to dst.
func (e *encoder) content(dst []byte) []byte {
	dst = appendFirstLine(dst, e.principals, len(e.rules), func(i int) []byte { return e.ruleText(i) })
	return append(dst, e.lines...)
}

func (e *encoder) ruleText(i int) []byte { return e.ruleLines[e.rules[i].from:e.rules[i].to] }

// appendFirstLine appends the first line of a block with principals and a number of rules. The
// function rule returns the JSON of a rule.
func appendFirstLine(dst []byte, principals []principalRef, rules int, rule func(i int) []byte) []byte {
	dst = append(dst, `{"form":2`...)
	for i := range principals {
		dst = append(dst, list(i, `,"principals":[{"number":`, `,{"number":`)...)
		dst = strconv.AppendInt(dst, principals[i].number, 10)
		dst = append(dst, `,"sha256":"`...)
		dst = appendHash(dst, principals[i].hash)
		dst = append(dst, `"}`...)
	}
	if len(principals) > 0 {
		dst = append(dst, ']')
	}
	for i := range rules {
		dst = append(dst, list(i, `,"rules":[`, `,`)...)
		dst = append(dst, rule(i)...)
	}
	if rules > 0 {
		dst = append(dst, ']')
	}
	return append(dst, "}\n"...)
}

// appendHash appends a hash in base64url.
func appendHash(b []byte, h hash) []byte { return base64.RawURLEncoding.AppendEncode(b, h[:]) }

// appendRule appends the JSON of a rule. This JSON must never change, because leaves contain it.
func appendRule(b []byte, r *policy.Rule) []byte {
	b = text.AppendJSON(append(b, `{"name":`...), r.Name)
	b = appendField(b, `,"file":`, r.Origin.File)
	if r.Origin.Line != 0 {
		b = append(b, `,"line":`...)
		b = strconv.AppendInt(b, int64(r.Origin.Line), 10)
	}
	b = appendField(b, `,"namespace":`, r.Origin.Namespace)
	return append(b, '}')
}

// list returns the text to write before element i of a list: the opening if i is 0, and otherwise
// the separator.
func list(i int, opening, separator string) string {
	if i == 0 {
		return opening
	}
	return separator
}

// add writes the line of an entry and adds its leaf.
func (e *encoder) add(entry *Entry) {
	for _, rule := range e.used {
		e.rules[rule].local = 0
	}
	e.principal, e.used, e.private = -1, e.used[:0], e.private[:0]
	b := append(e.public[:0], `{"id":"`...)
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
		b = e.event(b, entry.Event)
	case entry.Change != nil:
		c := entry.Change
		b = append(b, `,"change":{"actor":`...)
		b = text.AppendJSON(b, c.Actor)
		b = appendField(b, `,"action":`, c.Action)
		b = appendField(b, `,"target":`, c.Target)
		b = appendMap(b, `,"from":`, c.From)
		b = appendMap(b, `,"to":`, c.To)
		b = append(b, '}')
	case entry.Service != nil:
		s := entry.Service
		b = append(b, `,"service":{"action":`...)
		b = text.AppendJSON(b, s.Action)
		b = appendField(b, `,"target":`, s.Target)
		b = appendField(b, `,"actor":`, s.Actor)
		b = appendField(b, `,"refused":`, s.Refused)
		b = appendMap(b, `,"details":`, s.Details)
		b = append(appendRepeats(b, s.Repeats), '}')
		e.addClient(s.Name, s.Remote, s.Client)
	default:
		b = append(b, `,"text":""`...)
		e.addPrivate(`,"text":`, base64.StdEncoding.EncodeToString(entry.Text))
	}
	e.public = append(b, '}')
	if len(e.private) > 0 {
		e.private = append(e.private, '}')
	}
	e.line()
	var principal *hash
	if e.principal >= 0 {
		principal = &e.principals[e.principal].hash
	}
	e.leaf = tree.AppendEntry(e.leaf[:0], e.public, sha256.Sum256(e.private), principal, len(e.used), func(i int) []byte { return e.ruleText(e.used[i]) })
	e.leaves = append(e.leaves, tree.LeafHash(e.leaf))
}

// line writes the line of the current entry.
func (e *encoder) line() {
	b := appendRefs(e.lines, e.principal, e.used)
	b = append(append(b, '\t'), e.public...)
	b = append(append(b, '\t'), e.private...)
	e.lines = append(b, '\n')
}

// appendRefs appends the first part of a line. The number of the principal is -1 if the entry has
// no principal.
func appendRefs(b []byte, principal int, rules []int) []byte {
	if principal < 0 {
		b = append(b, '-')
	} else {
		b = strconv.AppendInt(b, int64(principal), 10)
	}
	for _, rule := range rules {
		b = strconv.AppendInt(append(b, ','), int64(rule), 10)
	}
	return b
}

// addPrivate adds a field to the private part of the current entry. It does nothing if the value
// is empty.
func (e *encoder) addPrivate(key, value string) {
	if value == "" {
		return
	}
	if len(e.private) == 0 {
		e.private = e.salts.append(append(e.private, '{'))
	}
	e.private = text.AppendJSON(append(e.private, key...), value)
}

// addClient adds data about a client: the name that it presented, its address, and its
// User-Agent.
func (e *encoder) addClient(name string, remote netip.Addr, client string) {
	e.addPrivate(`,"name":`, name)
	if remote.IsValid() {
		e.addPrivate(`,"remote":`, remote.String())
	}
	e.addPrivate(`,"client":`, client)
}

// salts are random bytes that prevent guessing data from its hash. Reading many bytes in one call
// is faster.
type salts struct {
	random [512]byte
	left   int
}

// append appends the field with a salt.
func (s *salts) append(b []byte) []byte {
	const size = 8
	if s.left == 0 {
		rand.Read(s.random[:]) // never fails
		s.left = len(s.random)
	}
	b = append(b, `"salt":"`...)
	b = base64.RawURLEncoding.AppendEncode(b, s.random[s.left-size:s.left])
	s.left -= size
	return append(b, '"')
}

func (e *encoder) decision(b []byte, d *Decision, id ID, at int64) []byte {
	b = append(b, `{"credential":`...)
	b = text.AppendJSON(b, d.Credential)
	if d.Principal != nil {
		e.principal = e.principalIndex(d.Principal)
	}
	e.addClient(d.Name, d.Remote, d.Client)
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
	return append(appendRepeats(b, d.Repeats), '}')
}

func appendRepeats(b []byte, r *Repeats) []byte {
	if r == nil {
		return b
	}
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

// event appends the JSON of an event, as encoding/json would, without the private fields.
func (e *encoder) event(b []byte, event *notification.Event) []byte {
	b = text.AppendJSON(append(b, `{"id":`...), event.ID)
	at := event.Time.UTC()
	if y := at.Year(); y < 0 || y > 9999 { // not in RFC 3339; Decode never returns it
		at = time.Time{}
	}
	b = at.AppendFormat(append(b, `,"time":"`...), time.RFC3339Nano)
	b = text.AppendJSON(append(b, `","action":`...), event.Action)
	b = text.AppendJSON(append(b, `,"repository":`...), event.Repository)
	b = appendField(b, `,"from_repository":`, event.FromRepository)
	b = appendField(b, `,"media_type":`, event.MediaType)
	b = appendField(b, `,"digest":`, event.Digest)
	b = appendNumber(b, `,"size":`, event.Size)
	b = appendField(b, `,"tag":`, event.Tag)
	b = appendField(b, `,"url":`, event.URL)
	for i := range event.References {
		r := &event.References[i]
		b = append(b, list(i, `,"references":[`, `,`)...)
		at := len(b)
		b = appendField(b, `,"media_type":`, r.MediaType)
		b = appendField(b, `,"digest":`, r.Digest)
		b = appendNumber(b, `,"size":`, r.Size)
		b = endObject(b, at)
	}
	if len(event.References) > 0 {
		b = append(b, ']')
	}
	b = appendNumber(b, `,"omitted_references":`, int64(event.Omitted))
	b = appendField(b, `,"actor":`, event.Actor)
	if event.Request.ID != "" || event.Request.Method != "" {
		b = append(b, `,"request":`...)
		at := len(b)
		b = appendField(b, `,"id":`, event.Request.ID)
		b = appendField(b, `,"method":`, event.Request.Method)
		b = endObject(b, at)
	}
	if event.Source != (notification.Source{}) {
		b = append(b, `,"source":`...)
		at := len(b)
		b = appendField(b, `,"address":`, event.Source.Address)
		b = appendField(b, `,"instance":`, event.Source.Instance)
		b = endObject(b, at)
	}
	e.addPrivate(`,"address":`, event.Request.Address)
	e.addPrivate(`,"host":`, event.Request.Host)
	e.addPrivate(`,"user_agent":`, event.Request.UserAgent)
	return append(b, '}')
}

// endObject turns the fields in b into a JSON object. The first field begins at the index start.
// Each field begins with a comma.
func endObject(b []byte, start int) []byte {
	if len(b) == start {
		return append(b, "{}"...)
	}
	b[start] = '{'
	return append(b, '}')
}

// appendNumber appends a field if the number is not zero.
func appendNumber(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(append(b, key...), n, 10)
}

// rule returns the number of a rule in the current entry.
func (e *encoder) rule(r *policy.Rule) int {
	index, ok := e.ruleNumber[r]
	if !ok {
		index = e.newRule(r)
		e.ruleNumber[r] = index
	}
	rule := &e.rules[index]
	if rule.local == 0 {
		e.used = append(e.used, index)
		rule.local = len(e.used)
	}
	return rule.local - 1
}

// newRule returns the index of a rule in this block's first line. Rules with the same JSON have
// the same index.
func (e *encoder) newRule(r *policy.Rule) int {
	from := len(e.ruleLines)
	e.ruleLines = appendRule(e.ruleLines, r)
	sum := maphash.Bytes(e.seed, e.ruleLines[from:])
	if index, ok := e.ruleHash[sum]; ok && bytes.Equal(e.ruleText(index), e.ruleLines[from:]) {
		e.ruleLines = e.ruleLines[:from]
		return index
	}
	e.rules = append(e.rules, ruleText{from: from, to: len(e.ruleLines)})
	e.ruleHash[sum] = len(e.rules) - 1
	return len(e.rules) - 1
}

// principalIndex returns the index of a principal in this block's first line.
func (e *encoder) principalIndex(p *policy.Principal) int {
	ref := e.known.ref(p)
	place, ok := e.places[ref.number]
	if !ok {
		place = len(e.principals)
		e.principals = append(e.principals, ref)
		e.places[ref.number] = place
	}
	return place
}

// appendPrincipal appends the fields of a principal's JSON, from the first value on. Equal
// principals produce equal bytes. The stored JSON begins with a salt: {"salt":"…","kind":1,…}
func appendPrincipal(b []byte, p *policy.Principal) []byte {
	b = append(b, `,"kind":`...)
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

// appendField appends a field if the value is not empty.
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

// appendMap appends a map, sorted by key. A value without a JSON form (NaN, a channel) is written
// as text, because a claim must never cause an entry to fail.
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
type hash = tree.Hash
