package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The JSON structures of the lines. encode.go writes the first line with headLine, and the others
// by hand.
type (
	// number is the number of a constant of another package, without the constant's methods for
	// JSON.
	number   = uint8
	headLine struct {
		Form       int                `json:"form"`
		Principals []principalRefLine `json:"principals,omitempty"`
		Rules      []ruleLine         `json:"rules,omitempty"`
	}
	principalRefLine struct {
		Number int64  `json:"number"`
		SHA256 string `json:"sha256"`
	}
	ruleLine struct {
		Name      string `json:"name"`
		File      string `json:"file,omitempty"`
		Line      int    `json:"line,omitempty"`
		Namespace string `json:"namespace,omitempty"`
	}
	entryLine struct {
		ID       ID                  `json:"id"`
		At       int64               `json:"at"`
		Registry string              `json:"registry"`
		Decision *decisionLine       `json:"decision"`
		Event    *notification.Event `json:"event"`
		Change   *changeLine         `json:"change"`
		Text     []byte              `json:"text"`
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
		Policy  string `json:"policy"`
		Token   *ID    `json:"token"`
		Life    *int64 `json:"life"`
		Refused string `json:"refused"`
		Repeats *struct {
			Of    ID    `json:"of"`
			Count int64 `json:"count"`
			First int64 `json:"first"`
			Last  int64 `json:"last"`
		} `json:"repeats"`
	}
	resultLine struct {
		Type    *string `json:"type"`
		Class   string  `json:"class"`
		Name    string  `json:"name"`
		Asked   number  `json:"asked"`
		Granted number  `json:"granted"`
		Causes  []struct {
			Actions number `json:"actions"`
			Reason  number `json:"reason"`
			Rule    *int   `json:"rule"`
		} `json:"causes"`
	}
	changeLine struct {
		Actor  string         `json:"actor"`
		Action string         `json:"action"`
		Target string         `json:"target"`
		From   map[string]any `json:"from"`
		To     map[string]any `json:"to"`
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
}

func newDecoder(q store.Querier) *decoder {
	return &decoder{q: q, principals: newCache[hash, *policy.Principal](4096, 1<<20)}
}

// openBlock is a block whose first line was read.
type openBlock struct {
	lines      [][]byte // one per entry
	principals []principalRef
	rules      []*policy.Rule
}

// open reads a block's first line.
func (d *decoder) open(b *block) (*openBlock, error) {
	lines := bytes.Split(bytes.TrimSuffix(b.content, []byte("\n")), []byte("\n"))
	if int64(len(lines)-1) != b.entries {
		return nil, fmt.Errorf("it has %d entries, want %d", len(lines)-1, b.entries)
	}
	var head headLine
	if err := json.Unmarshal(lines[0], &head); err != nil {
		return nil, fmt.Errorf("reading its first line: %w", err)
	}
	if head.Form != 1 {
		return nil, fmt.Errorf("it has format %d, but this version of Tidewaiter supports format 1", head.Form)
	}
	o := &openBlock{lines: lines[1:]}
	for _, p := range head.Principals {
		raw, err := base64.RawURLEncoding.DecodeString(p.SHA256)
		if err != nil || len(raw) != len(hash{}) {
			return nil, fmt.Errorf("reading its first line: %q is not a principal's hash", p.SHA256)
		}
		o.principals = append(o.principals, principalRef{p.Number, hash(raw)})
	}
	for _, r := range head.Rules {
		origin := policy.Origin{File: r.File, Line: r.Line, Namespace: r.Namespace, Database: r.File == "" && r.Namespace == ""}
		o.rules = append(o.rules, &policy.Rule{Name: r.Name, Origin: origin})
	}
	return o, nil
}

// entry reads the entry of one line.
func (d *decoder) entry(ctx context.Context, o *openBlock, line []byte, position Position) (Entry, error) {
	var l entryLine
	if err := json.Unmarshal(line, &l); err != nil {
		return Entry{}, fmt.Errorf("reading entry %d: %w", position, err)
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
	if l.Decision != nil {
		decision, err := d.decision(ctx, o, l.Decision, l.ID, entry.Time.Unix())
		if err != nil {
			return Entry{}, fmt.Errorf("reading entry %d: %w", position, err)
		}
		entry.Decision = decision
	}
	return entry, nil
}

func (d *decoder) decision(ctx context.Context, o *openBlock, l *decisionLine, id ID, at int64) (*Decision, error) {
	decision := &Decision{
		Name:       l.Name,
		Credential: l.Credential,
		Remote:     l.Remote,
		Client:     l.Client,
		Policy:     l.Policy,
		Token:      id,
		Refused:    l.Refused,
	}
	if l.Token != nil {
		decision.Token = *l.Token
	}
	if r := l.Repeats; r != nil {
		decision.Repeats = &Repeats{r.Of, r.Count, time.UnixMicro(r.First).UTC(), time.UnixMicro(r.Last).UTC()}
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
				if *c.Rule < 0 || *c.Rule >= len(o.rules) {
					return nil, fmt.Errorf("its block has no rule %d", *c.Rule)
				}
				cause.Rule = o.rules[*c.Rule]
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
	const atOnce = 100
	var missing []principalRef
	for _, ref := range refs {
		if _, ok := d.principals.get(ref.hash); !ok {
			missing = append(missing, ref)
		}
	}
	for chunk := range slices.Chunk(missing, atOnce) {
		numbers := make([]int64, len(chunk))
		for i, ref := range chunk {
			numbers[i] = ref.number
		}
		texts := make(map[int64][]byte, len(chunk))
		err := selectPrincipals(ctx, d.q, numbers, func(number int64, text []byte) { texts[number] = text })
		if err != nil {
			return fmt.Errorf("reading principals: %w", err)
		}
		for _, ref := range chunk {
			text, ok := texts[ref.number]
			if !ok {
				return &principalError{ref.number, "missing"}
			}
			if sha256.Sum256(text) != ref.hash {
				return &principalError{ref.number, "not what it was"}
			}
			p, err := decodePrincipal(text)
			if err != nil {
				return fmt.Errorf("reading principal %d: %w", ref.number, err)
			}
			d.principals.put(ref.hash, p, len(text))
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
