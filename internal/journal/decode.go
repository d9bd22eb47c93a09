package journal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// These types are the JSON structures of the lines. The code in encode.go writes this JSON by
// hand. In format 1, an entry has no private part: its fields are in decisionLine and in the
// event.
type (
	// number is a constant of another package as a plain number. The types of such constants have
	// JSON methods of their own, which must not be used here.
	number   = uint8
	headLine struct {
		Form       int                `json:"form"`
		Principals []principalRefLine `json:"principals"`
		Rules      []json.RawMessage  `json:"rules"`
	}
	principalRefLine struct {
		Number int64  `json:"number"`
		SHA256 string `json:"sha256"`
	}
	ruleLine struct {
		Name      string `json:"name"`
		File      string `json:"file"`
		Line      int    `json:"line"`
		Namespace string `json:"namespace"`
	}
	entryLine struct {
		ID       ID                  `json:"id"`
		At       int64               `json:"at"`
		Registry string              `json:"registry"`
		Decision *decisionLine       `json:"decision"`
		Event    *notification.Event `json:"event"`
		Change   *changeLine         `json:"change"`
		Service  *serviceLine        `json:"service"`
		Text     []byte              `json:"text"`
	}
	// privateLine is the private part of an entry.
	privateLine struct {
		Name      string     `json:"name"`
		Remote    netip.Addr `json:"remote"`
		Client    string     `json:"client"`
		Address   string     `json:"address"`
		Host      string     `json:"host"`
		UserAgent string     `json:"user_agent"`
		Text      []byte     `json:"text"`
	}
	decisionLine struct {
		Principal  *int         `json:"principal"`
		Name       string       `json:"name"`
		Credential string       `json:"credential"`
		Remote     netip.Addr   `json:"remote"`
		Client     string       `json:"client"`
		Results    []resultLine `json:"results"`
		Ignored    []struct {
			Text   string `json:"text"`
			Reason string `json:"reason"`
		} `json:"ignored"`
		Policy  string       `json:"policy"`
		Token   *ID          `json:"token"`
		Life    *int64       `json:"life"`
		Refused string       `json:"refused"`
		Repeats *repeatsLine `json:"repeats"`
	}
	repeatsLine struct {
		Of    ID    `json:"of"`
		Count int64 `json:"count"`
		First int64 `json:"first"`
		Last  int64 `json:"last"`
	}
	resultLine struct {
		Type    *string     `json:"type"`
		Class   string      `json:"class"`
		Name    string      `json:"name"`
		Asked   number      `json:"asked"`
		Granted number      `json:"granted"`
		Causes  []causeLine `json:"causes"`
	}
	causeLine struct {
		Actions number `json:"actions"`
		Reason  number `json:"reason"`
		Rule    *int   `json:"rule"`
	}
	changeLine struct {
		Actor  string         `json:"actor"`
		Action string         `json:"action"`
		Target string         `json:"target"`
		From   map[string]any `json:"from"`
		To     map[string]any `json:"to"`
	}
	serviceLine struct {
		Action  string         `json:"action"`
		Target  string         `json:"target"`
		Actor   string         `json:"actor"`
		Refused string         `json:"refused"`
		Details map[string]any `json:"details"`
		Repeats *repeatsLine   `json:"repeats"`
	}
	principalLine struct {
		Kind   number         `json:"kind"`
		Name   string         `json:"name"`
		Source string         `json:"source"`
		ID     string         `json:"id"`
		Groups []string       `json:"groups"`
		Claims map[string]any `json:"claims"`
		Limits []struct {
			Type    string   `json:"type"`
			Names   []string `json:"names"`
			Actions number   `json:"actions"`
		} `json:"limits"`
	}
)

// decoder reads blocks. It caches principals, which occur in many blocks.
type decoder struct {
	q          store.Querier
	principals *cache[hash, *policy.Principal]
	lines      lineParser
	inflate    inflater
}

func newDecoder(q store.Querier) *decoder {
	return &decoder{q: q, principals: newCache[hash, *policy.Principal](4096, 1<<20)}
}

// openBlock is a block whose first line was read.
type openBlock struct {
	form       int
	firstLine  []byte
	entries    []entryRecord    // entries of the parts that were read, in order
	removed    []removedEntries // in order
	principals []principalRef
	rules      []*policy.Rule
	ruleTexts  [][]byte // their JSON

	parts []part
	first []byte // the lines of the first part, which are the dictionary for the other parts
}

// entryRecord is an entry that is not decoded.
type entryRecord struct {
	position Position
	line     []byte
}

// removedEntries stands for entries that were removed. They are the leaves of one complete
// subtree.
type removedEntries struct {
	first Position
	level int
	hash  hash
}

// open reads all lines of a block.
func (d *decoder) open(b *block) (*openBlock, error) {
	o, err := d.openFirst(b)
	if err != nil {
		return nil, err
	}
	for i := range o.parts {
		if err := d.read(o, &o.parts[i]); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// openFirst reads the first line of a block, and the lines of its first part.
func (d *decoder) openFirst(b *block) (*openBlock, error) {
	parts, err := splitContent(b)
	if err != nil {
		return nil, err
	}
	first, err := d.inflate.lines(&parts[0], nil)
	if err != nil {
		return nil, err
	}
	firstLine, rest, _ := bytes.Cut(first, []byte("\n"))
	head, rules, err := d.lines.parseHead(firstLine)
	if err != nil {
		return nil, fmt.Errorf("reading its first line: %w", err)
	}
	if head.Form != 1 && head.Form != 2 {
		return nil, fmt.Errorf("it has format %d, but this version of Tidewaiter supports formats 1 and 2", head.Form)
	}
	o := &openBlock{
		form: head.Form, firstLine: firstLine, entries: make([]entryRecord, 0, min(max(b.entries, 0), maxBlockEntries)),
		parts: parts, first: first,
	}
	for _, p := range head.Principals {
		sum, ok := parseHash(p.SHA256)
		if !ok {
			return nil, fmt.Errorf("reading its first line: %q is not a principal's hash", p.SHA256)
		}
		o.principals = append(o.principals, principalRef{p.Number, sum})
	}
	o.rules = rules
	for _, text := range head.Rules {
		o.ruleTexts = append(o.ruleTexts, text)
	}
	return o, o.add(&parts[0], rest)
}

// read reads the lines of a part of a block.
func (d *decoder) read(o *openBlock, p *part) error {
	if p.read {
		return nil
	}
	lines, err := d.inflate.lines(p, o.first)
	if err != nil {
		return err
	}
	return o.add(p, lines)
}

// add adds the lines of a part.
func (o *openBlock) add(p *part, lines []byte) error {
	p.read = true
	before := len(o.entries)
	position := p.first
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\n"))
		if o.form > 1 && len(line) > 0 && line[0] == '~' {
			removed, err := parseRemoved(line)
			if err != nil {
				return err
			}
			removed.first = position
			o.removed = append(o.removed, removed)
			position += 1 << removed.level
			continue
		}
		o.entries = append(o.entries, entryRecord{position, line})
		position++
	}
	// A reader continues at the end of the block, so the end must be after the reader's position.
	if p.end <= p.first || position != p.end {
		return fmt.Errorf("it has %d entries, want %d", position-p.first, p.end-p.first)
	}
	if before > 0 && len(o.entries) > before && o.entries[before-1].position > o.entries[before].position {
		slices.SortFunc(o.entries, func(a, b entryRecord) int { return cmp.Compare(a.position, b.position) })
	}
	return nil
}

// entryAt returns the entry at a position, or false if the entry was removed. It reads only the
// part of the block that has the entry.
func (d *decoder) entryAt(o *openBlock, position Position) (r entryRecord, ok bool, err error) {
	i, _ := slices.BinarySearchFunc(o.parts, position, func(p part, at Position) int { return cmp.Compare(p.end, at+1) })
	if i == len(o.parts) || o.parts[i].first > position {
		return r, false, nil
	}
	if err := d.read(o, &o.parts[i]); err != nil {
		return r, false, err
	}
	if i, ok = slices.BinarySearchFunc(o.entries, position, func(r entryRecord, p Position) int { return cmp.Compare(r.position, p) }); ok {
		r = o.entries[i]
	}
	return r, ok, nil
}

// parseRemoved reads a line "~8 <base64url>".
func parseRemoved(line []byte) (r removedEntries, err error) {
	level, sum, _ := strings.Cut(string(line[1:]), " ")
	var ok bool
	r.hash, ok = parseHash(sum)
	if r.level, err = parseIndex(level); err != nil || !ok || r.level >= tree.StoredLevel {
		return r, fmt.Errorf("%.80q does not stand for removed entries", line)
	}
	return r, nil
}

// parseHash reads a hash in base64url. It accepts only one spelling of each hash.
func parseHash(text string) (hash, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(hash{}) || strings.ContainsAny(text, "\r\n") {
		return hash{}, false
	}
	return hash(raw), true
}

// parseIndex reads a number that is not negative. It accepts only one spelling of each number:
// "7", but not "07".
func parseIndex(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("%.20q is not an index", text)
	}
	return n, nil
}

// parts are the three parts of an entry's line.
type parts struct {
	principal       int   // index in the block; -1: none
	rules           []int // indexes in the block
	public, private []byte
}

// split returns the parts of an entry's line.
func (o *openBlock) split(line []byte) (p parts, err error) {
	if o.form == 1 {
		return parts{principal: -1, public: line}, nil
	}
	refs, rest, _ := bytes.Cut(line, []byte("\t"))
	var ok bool
	if p.public, p.private, ok = bytes.Cut(rest, []byte("\t")); !ok {
		return p, errors.New("its line does not have three parts")
	}
	principal, rules, some := strings.Cut(string(refs), ",")
	p.principal = -1
	if principal != "-" {
		if p.principal, err = parseIndex(principal); err != nil {
			return p, err
		}
		if p.principal >= len(o.principals) {
			return p, fmt.Errorf("its block has no principal %d", p.principal)
		}
	}
	for some {
		var rule string
		rule, rules, some = strings.Cut(rules, ",")
		n, err := parseIndex(rule)
		if err != nil {
			return p, err
		}
		if n >= len(o.rules) {
			return p, fmt.Errorf("its block has no rule %d", n)
		}
		p.rules = append(p.rules, n)
	}
	return p, nil
}

// publicPart returns the public part of an entry's line.
func (o *openBlock) publicPart(line []byte) []byte {
	if o.form == 1 {
		return line
	}
	_, rest, _ := bytes.Cut(line, []byte("\t"))
	public, _, _ := bytes.Cut(rest, []byte("\t"))
	return public
}

// readID reads the id of an entry from the entry's public part.
func readID(public []byte) (ID, error) {
	const begin, size = len(`{"id":"`), 36
	if len(public) < begin+size {
		return ID{}, errors.New("an entry has no id")
	}
	return parseID(string(public[begin : begin+size]))
}

// privateHash returns the hash of an entry's private part, and whether the part was erased.
func (p *parts) privateHash() (sum hash, erased bool, err error) {
	if len(p.private) == 0 || p.private[0] != '#' {
		return sha256.Sum256(p.private), false, nil
	}
	sum, ok := parseHash(string(p.private[1:]))
	if !ok {
		return sum, false, fmt.Errorf("%.80q is not the hash of an erased part", p.private)
	}
	return sum, true, nil
}

// appendLeaf appends the data of an entry's leaf to b, which ends in the prefix of a leaf. It also
// reports whether the entry's private part was erased.
func (o *openBlock) appendLeaf(b []byte, p *parts) (leaf []byte, erased bool, err error) {
	private, erased, err := p.privateHash()
	if err != nil {
		return b, false, err
	}
	var principal *hash
	if p.principal >= 0 {
		principal = &o.principals[p.principal].hash
	}
	return tree.AppendEntry(b, p.public, private, principal, len(p.rules), func(i int) []byte { return o.ruleTexts[p.rules[i]] }), erased, nil
}

// entry decodes an entry.
func (d *decoder) entry(ctx context.Context, o *openBlock, r entryRecord) (Entry, error) {
	entry, err := d.decode(ctx, o, r)
	if err != nil {
		return Entry{}, fmt.Errorf("reading entry %d: %w", r.position, err)
	}
	return entry, nil
}

func (d *decoder) decode(ctx context.Context, o *openBlock, r entryRecord) (Entry, error) {
	p, err := o.split(r.line)
	if err != nil {
		return Entry{}, err
	}
	return d.decodeParts(ctx, o, &p, r.position)
}

func (d *decoder) decodeParts(ctx context.Context, o *openBlock, p *parts, position Position) (_ Entry, err error) {
	l, err := d.lines.parsePublic(p.public)
	if err != nil {
		return Entry{}, err
	}
	var private privateLine
	if len(p.private) > 0 && p.private[0] != '#' {
		if private, err = d.lines.parsePrivate(p.private); err != nil {
			return Entry{}, fmt.Errorf("its private part: %w", err)
		}
	}
	entry := Entry{
		Position: position,
		ID:       l.ID,
		Time:     time.UnixMicro(l.At).UTC(),
		Registry: l.Registry,
		Event:    l.Event,
		Change:   (*Change)(l.Change),
		Text:     l.Text,
	}
	if s := l.Service; s != nil {
		entry.Service = &Service{
			Action: s.Action, Target: s.Target, Actor: s.Actor, Name: private.Name, Remote: private.Remote, Client: private.Client,
			Refused: s.Refused, Details: s.Details, Repeats: s.Repeats.decode(),
		}
	}
	rules := o.rules
	if o.form > 1 {
		rules = make([]*policy.Rule, len(p.rules))
		for i, n := range p.rules {
			rules[i] = o.rules[n]
		}
		switch {
		case l.Decision != nil:
			l.Decision.Name, l.Decision.Remote, l.Decision.Client = private.Name, private.Remote, private.Client
			if l.Decision.Principal = nil; p.principal >= 0 {
				l.Decision.Principal = &p.principal
			}
		case l.Event != nil:
			r := &l.Event.Request
			r.Address, r.Host, r.UserAgent = private.Address, private.Host, private.UserAgent
		case l.Change == nil && l.Service == nil:
			entry.Text = private.Text
		}
	}
	if l.Decision != nil {
		entry.Decision, err = d.decision(ctx, o, l.Decision, rules, l.ID, entry.Time.Unix())
	}
	return entry, err
}

func (d *decoder) decision(ctx context.Context, o *openBlock, l *decisionLine, rules []*policy.Rule, id ID, at int64) (*Decision, error) {
	decision := &Decision{
		Name:       l.Name,
		Credential: l.Credential,
		Remote:     l.Remote,
		Client:     l.Client,
		Policy:     l.Policy,
		Token:      id,
		Refused:    l.Refused,
		Repeats:    l.Repeats.decode(),
	}
	if l.Token != nil {
		decision.Token = *l.Token
	}
	if l.Life != nil {
		decision.Expires = time.Unix(at+*l.Life, 0).UTC()
	}
	if n := l.Principal; n != nil {
		if *n < 0 || *n >= len(o.principals) {
			return nil, fmt.Errorf("its block has no principal %d", *n)
		}
		principal, err := d.principal(ctx, o.principals[*n])
		if err != nil {
			return nil, err
		}
		decision.Principal = principal
	}
	for _, r := range l.Results {
		result := policy.Result{
			Asked:   scope.Scope{Type: scope.TypeRepository, Class: r.Class, Name: r.Name, Actions: scope.Actions(r.Asked)},
			Granted: scope.Actions(r.Granted),
		}
		if r.Type != nil {
			result.Asked.Type = *r.Type
		}
		for _, c := range r.Causes {
			cause := policy.Cause{Actions: scope.Actions(c.Actions), Reason: policy.Reason(c.Reason)}
			if c.Rule != nil {
				if *c.Rule < 0 || *c.Rule >= len(rules) {
					return nil, fmt.Errorf("it has no rule %d", *c.Rule)
				}
				cause.Rule = rules[*c.Rule]
			}
			result.Causes = append(result.Causes, cause)
		}
		decision.Results = append(decision.Results, result)
	}
	for _, ignored := range l.Ignored {
		decision.Ignored = append(decision.Ignored, scope.Ignored{Text: ignored.Text, Reason: ignored.Reason})
	}
	return decision, nil
}

func (r *repeatsLine) decode() *Repeats {
	if r == nil {
		return nil
	}
	return &Repeats{r.Of, r.Count, time.UnixMicro(r.First).UTC(), time.UnixMicro(r.Last).UTC()}
}

// principal returns a principal that a block refers to.
func (d *decoder) principal(ctx context.Context, ref principalRef) (*policy.Principal, error) {
	if err := d.load(ctx, []principalRef{ref}); err != nil {
		return nil, err
	}
	p, _ := d.principals.get(ref.hash)
	return p, nil
}

// load reads the principals that are not cached, a hundred at a time, and checks their hashes.
func (d *decoder) load(ctx context.Context, refs []principalRef) error {
	var missing []principalRef
	for _, ref := range refs {
		if _, ok := d.principals.get(ref.hash); !ok {
			missing = append(missing, ref)
		}
	}
	return d.principalTexts(ctx, missing, func(ref principalRef, text []byte) error {
		p, err := decodePrincipal(text)
		if err != nil {
			return fmt.Errorf("reading principal %d: %w", ref.number, err)
		}
		d.principals.put(ref.hash, p, len(text))
		return nil
	})
}

// principalTexts calls the function visit with the text of each principal. If a text is missing or
// does not have the hash, the error is a principalError.
func (d *decoder) principalTexts(ctx context.Context, refs []principalRef, visit func(principalRef, []byte) error) error {
	const atOnce = 100
	for chunk := range slices.Chunk(refs, atOnce) {
		numbers := make([]int64, len(chunk))
		for i, ref := range chunk {
			numbers[i] = ref.number
		}
		texts, sums := make(map[int64][]byte, len(chunk)), make(map[int64][]byte, len(chunk))
		err := selectPrincipals(ctx, d.q, numbers, func(number int64, sum, text []byte) { sums[number], texts[number] = sum, text })
		if err != nil {
			return fmt.Errorf("reading principals: %w", err)
		}
		for _, ref := range chunk {
			text, ok := texts[ref.number]
			if !ok {
				return &principalError{ref.number, "missing"}
			}
			if sha256.Sum256(text) != ref.hash || !bytes.Equal(sums[ref.number], ref.hash[:]) {
				return &principalError{ref.number, "not the original one"}
			}
			if err := visit(ref, text); err != nil {
				return err
			}
		}
	}
	return nil
}

func decodePrincipal(text []byte) (*policy.Principal, error) {
	var l principalLine
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // keep the exact numbers
	if err := decoder.Decode(&l); err != nil {
		return nil, err
	}
	if claims, bad := policy.CanonicalClaims(l.Claims); bad == "" {
		l.Claims = claims // older entries may have numbers in another form
	}
	p := &policy.Principal{Kind: policy.Kind(l.Kind), Name: l.Name, Source: l.Source, ID: l.ID, Groups: l.Groups, Claims: l.Claims}
	for _, limit := range l.Limits {
		p.Limits = append(p.Limits, policy.Limit{Type: limit.Type, Names: limit.Names, Actions: scope.Actions(limit.Actions)})
	}
	return p, nil
}

// principalError means that a principal that a block refers to was changed or deleted.
type principalError struct {
	number int64
	how    string
}

func (e *principalError) Error() string {
	return fmt.Sprintf("its principal %d is %s", e.number, e.how)
}
