package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Query selects entries. An entry must match all fields that are set. The zero value selects
// every entry.
type Query struct {
	Since, Until time.Time // Until itself is not included
	Kind         Kind
	Outcome      Outcome
	Registry     string // service name
	Who          *Who
	Repository   string // a name; a parent and "/**" for all names below it; or "**" for all names
	// Digest is the digest of the event's object, or of an object to which that object refers. 7
	// hexadecimal digits are enough.
	Digest   string
	Tag      string       // of an event
	Action   string       // action of a request, an event or a change: pull, push, user.add
	Address  netip.Prefix // of the client
	Decision ID           // this decision, decisions that reused its token, and repeats of it
	// Credential is the presented credential, in the form of Decision.Credential.
	Credential string
	// Below are names. The query selects changes, and entries about repositories below one of the
	// names. Empty: all entries.
	Below []string
	// Only is an additional condition, or nil.
	Only func(*Entry) bool
}

// Who selects the entries of one principal: requests, events and changes.
type Who struct {
	Subjects []string // the principal's names in rules and changes: user:ann, anonymous
	Logins   []string // the principal's logins in events: ann, robot+ci
}

// Kind is the kind of an entry, and the key of the entry's content in a block; see encode.go.
type Kind string

// The kinds of entries.
const (
	KindDecision Kind = "decision"
	KindEvent    Kind = "event"
	KindChange   Kind = "change"
	KindService  Kind = "service"
	KindText     Kind = "text"
)

// key returns a text that each line of an entry of the kind has.
func (k Kind) key() []byte { return []byte(`,"` + string(k) + `":`) }

// Kind returns the entry's kind.
func (e *Entry) Kind() Kind {
	switch {
	case e.Decision != nil:
		return KindDecision
	case e.Event != nil:
		return KindEvent
	case e.Change != nil:
		return KindChange
	case e.Service != nil:
		return KindService
	}
	return KindText
}

// Outcome is the result of a decision.
type Outcome string

// The outcomes of decisions.
const (
	Granted Outcome = "granted" // everything that was requested
	Partial Outcome = "partial"
	Refused Outcome = "refused" // the sign-in, or everything that was requested
)

// Outcome returns the outcome of a decision, and "" for other entries.
func (e *Entry) Outcome() Outcome {
	if e.Decision == nil {
		return ""
	}
	if e.Decision.Refused != "" {
		return Refused
	}
	granted, missing := false, false
	for _, r := range e.Decision.Results {
		granted = granted || r.Granted != 0
		missing = missing || !r.Granted.Has(r.Asked.Actions)
	}
	switch {
	case !missing:
		return Granted
	case granted:
		return Partial
	}
	return Refused
}

// Matches reports whether the query selects an entry.
func (q *Query) Matches(e *Entry) bool {
	return !e.Time.Before(q.Since) && (q.Until.IsZero() || e.Time.Before(q.Until)) &&
		(q.Kind == "" || q.Kind == e.Kind()) &&
		(q.Outcome == "" || q.Outcome == e.Outcome()) &&
		(q.Registry == "" || q.Registry == e.Registry) &&
		(q.Who == nil || q.Who.matches(e)) &&
		(q.Repository == "" || q.matchesRepository(e)) &&
		(q.Digest == "" || q.matchesDigest(e.Event)) &&
		(q.Tag == "" || e.Event != nil && e.Event.Tag == q.Tag) &&
		(q.Action == "" || q.matchesAction(e)) &&
		(!q.Address.IsValid() || q.Address.Contains(e.address())) &&
		(q.Decision.IsZero() || e.Decision != nil && e.Decision.belongsTo(e.ID, q.Decision)) &&
		(q.Credential == "" || e.Decision != nil && e.Decision.Credential == q.Credential) &&
		(len(q.Below) == 0 || q.matchesBelow(e)) &&
		(q.Only == nil || q.Only(e))
}

// belongsTo reports whether a decision has the searched id, repeats the decision with that id, or
// reused the token of that decision. The parameter id is the decision's own id.
func (d *Decision) belongsTo(id, searched ID) bool {
	return id == searched || d.Token == searched || d.Repeats != nil && d.Repeats.Of == searched
}

func (w *Who) matches(e *Entry) bool {
	switch {
	case e.Decision != nil:
		return e.Decision.Name != "" && slices.Contains(w.Logins, e.Decision.Name) ||
			e.Decision.Principal != nil && slices.Contains(w.Subjects, e.Decision.Principal.String())
	case e.Event != nil:
		return slices.Contains(w.Logins, e.Event.Actor)
	case e.Change != nil:
		return slices.Contains(w.Subjects, e.Change.Actor)
	case e.Service != nil:
		return e.Service.Actor != "" && slices.Contains(w.Subjects, e.Service.Actor) ||
			e.Service.Name != "" && slices.Contains(w.Logins, e.Service.Name)
	}
	return false
}

func (q *Query) matchesRepository(e *Entry) bool {
	parent, below := strings.CutSuffix(q.Repository, "/**")
	return e.isAbout(func(name string) bool {
		return name == q.Repository || q.Repository == "**" || below && strings.HasPrefix(name, parent+"/")
	})
}

func (q *Query) matchesBelow(e *Entry) bool {
	return e.Change != nil || e.isAbout(func(name string) bool {
		return slices.ContainsFunc(q.Below, func(parent string) bool { return strings.HasPrefix(name, parent+"/") })
	})
}

// isAbout reports whether an entry is about a repository whose name matches.
func (e *Entry) isAbout(matches func(name string) bool) bool {
	switch {
	case e.Decision != nil:
		return slices.ContainsFunc(e.Decision.Results, func(r policy.Result) bool {
			return r.Asked.Type == scope.TypeRepository && matches(r.Asked.Name)
		})
	case e.Event != nil:
		return matches(e.Event.Repository) || e.Event.FromRepository != "" && matches(e.Event.FromRepository)
	}
	return false
}

func (q *Query) matchesDigest(e *notification.Event) bool {
	return e != nil && (strings.HasPrefix(e.Digest, q.Digest) ||
		slices.ContainsFunc(e.References, func(d notification.Descriptor) bool { return strings.HasPrefix(d.Digest, q.Digest) }))
}

func (q *Query) matchesAction(e *Entry) bool {
	switch {
	case e.Decision != nil:
		action, ok := scope.ParseAction(q.Action)
		return ok && slices.ContainsFunc(e.Decision.Results, func(r policy.Result) bool { return r.Asked.Actions.Has(action) })
	case e.Event != nil:
		return e.Event.Action == q.Action
	case e.Change != nil:
		return e.Change.Action == q.Action
	case e.Service != nil:
		return e.Service.Action == q.Action
	}
	return false
}

// address returns the client's address, or the zero Addr. Registries report the address with a
// port.
func (e *Entry) address() netip.Addr {
	switch {
	case e.Decision != nil:
		return e.Decision.Remote.Unmap()
	case e.Event != nil:
		if at, err := netip.ParseAddrPort(e.Event.Request.Address); err == nil {
			return at.Addr().Unmap()
		}
		at, _ := netip.ParseAddr(e.Event.Request.Address)
		return at.Unmap()
	case e.Service != nil:
		return e.Service.Remote.Unmap()
	}
	return netip.Addr{}
}

// Size estimates how many bytes of memory the entry takes.
func (e *Entry) Size() int { return sizeOf(e) }

// Page is a part of the result of a query. The newest entries come first.
type Page struct {
	Entries []Entry
	// Next continues the query: entries before this position were not searched. 0: all entries
	// were searched.
	Next Position
	// Searched is the time of the oldest entry that was searched. It is zero if there are no such
	// entries.
	Searched time.Time
}

// skew is the maximum difference between the time in an entry's id and the entry's time. It is
// also the maximum difference between the clocks of processes that share a journal.
const skew = time.Minute

// Limits of a search. Entries of registries can be large, so a limit on the number of entries
// alone would not limit memory.
const (
	maxPageBytes  = 4 << 20 // bytes of the lines of a page
	maxReadBytes  = 8 << 20 // bytes of the blocks in memory; at least one block is read
	maxReadAtOnce = 32      // blocks
)

// Search returns the last entries that a query selects, before a position. The position 0 is the
// end of the journal. The limit is the maximum number of entries of a page. A page has fewer
// entries if they are large. New entries do not change later pages. Between blocks, Search calls
// the function stop with the number of searched entries, and stops early when this function
// returns true.
//
// Options.Index finds the entries that can match. A block that is not indexed is read if it is in
// the query's time range. Only the lines of the block that contain the query's texts are decoded.
// Clocks can be wrong, so blocks outside the time range can lie between blocks inside it.
func (j *Journal) Search(ctx context.Context, q Query, before Position, limit int, stop func(searched int) bool) (Page, error) {
	return j.search(ctx, search{Query: q, limit: limit, matches: q.Matches}, before, stop)
}

func (j *Journal) search(ctx context.Context, s search, before Position, enough func(int) bool) (Page, error) {
	s.journal, s.decoder, s.texts = j, newDecoder(j.db.Read()), s.Query.texts()
	if err := s.run(ctx, before, enough); err != nil {
		return Page{}, fmt.Errorf("searching the journal: %w", err)
	}
	return s.page, nil
}

type search struct {
	Query
	limit   int
	matches func(*Entry) bool // Query.Matches, or a narrower condition
	narrow  [][]index.Term    // a matching entry has a term of each list
	after   Position          // only entries after this position

	journal *Journal
	decoder *decoder
	base    Position   // leaf 0 of the tree
	texts   [][][]byte // a matching line contains a text of each list
	ahead   []*block   // blocks that were read ahead, the last one first
	next    Position   // the end of the block before the blocks that were read ahead
	atOnce  int        // how many blocks the last read returned

	searched int // entries
	bytes    int // bytes of the lines of the page
	page     Page
}

func (s *search) run(ctx context.Context, before Position, enough func(searched int) bool) error {
	from := Position(math.MaxInt64)
	if before != 0 {
		from = before - 1
	}
	candidates, upTo := s.candidates(ctx)
	if candidates != nil {
		defer candidates.Close()
	}
	from, err := s.scan(ctx, from, max(upTo, s.after), enough)
	if err != nil || candidates == nil || s.page.Next != 0 || from <= s.after {
		return err
	}
	from, err = s.find(ctx, candidates, from, enough)
	if _, unindexed := errors.AsType[*indexError](err); unindexed && ctx.Err() == nil {
		s.journal.o.Log.Warn("reading the search index failed; searching all blocks of the journal instead", "reason", err.Error())
		_, err = s.scan(ctx, from, s.after, enough)
	}
	return err
}

// scan searches the entries backward, from one position to the entry that follows another
// position. It returns the position from which the next search continues.
func (s *search) scan(ctx context.Context, begin, after Position, stop func(int) bool) (Position, error) {
	since, until := s.milliseconds()
	from, upTo, end := begin, begin, after
	if (!s.Since.IsZero() || !s.Until.IsZero()) && after == s.after {
		first, last, err := selectBlocksBetween(ctx, s.decoder.q, since, until)
		if err != nil {
			return from, err
		}
		from, end = min(from, last), max(after, first-1)
	}
	for from > end {
		b, err := s.blockBack(ctx, from)
		if err != nil {
			return from, err
		}
		if b == nil || b.end() <= end+1 {
			break
		}
		if b.latest >= since && b.earliest < until {
			if err := s.searchBlock(ctx, b, upTo, after); err != nil {
				return from, fmt.Errorf("reading the block at position %d: %w", b.first, err)
			}
		}
		if s.page.Next != 0 {
			return from, nil
		}
		from = b.first - 1
		upTo = from // if the block was merged a moment ago, it has later entries, too
		if from > end && stop(s.searched) {
			s.page.Next = from + 1
			return from, nil
		}
	}
	return min(begin, after), nil
}

// blockBack returns the last block that begins at or before a position, or nil. While the caller
// goes backward block by block, each read gets more blocks than the read before.
func (s *search) blockBack(ctx context.Context, position Position) (*block, error) {
	for len(s.ahead) > 0 && s.ahead[0].first > position {
		s.ahead = s.ahead[1:]
	}
	if len(s.ahead) == 0 {
		s.atOnce *= 2
		if position != s.next {
			s.atOnce = 1
		}
		s.atOnce = min(max(s.atOnce, 1), maxReadAtOnce)
		var err error
		if s.ahead, err = selectBlocksBack(ctx, s.decoder.q, position, s.atOnce, maxReadBytes); err != nil || len(s.ahead) == 0 {
			return nil, err
		}
		s.next = s.ahead[len(s.ahead)-1].first - 1
	}
	return s.ahead[0], nil
}

// searchBlock searches the entries of a block backward, from one position to the entry that
// follows another position.
func (s *search) searchBlock(ctx context.Context, b *block, upTo, after Position) error {
	s.searched += int(b.entries)
	s.page.Searched = time.UnixMilli(b.earliest).UTC()
	o, err := s.decoder.open(b)
	if err != nil {
		return err
	}
	texts, principals := s.texts, [][]byte(nil)
	if s.Who != nil {
		if texts, principals, err = s.withPrincipals(ctx, o); err != nil {
			return err
		}
	}
	for _, r := range slices.Backward(o.entries) {
		if r.position > upTo || r.position <= after || !containsAll(r.line, texts, principals) {
			continue
		}
		if err := s.record(ctx, o, r); err != nil || s.page.Next != 0 {
			return err
		}
	}
	return nil
}

// record adds an entry to the page if it matches. If the page is full, the entry becomes the first
// one of the next page.
func (s *search) record(ctx context.Context, o *openBlock, r entryRecord) error {
	entry, err := s.decoder.entry(ctx, o, r)
	if err != nil || !s.matches(&entry) {
		return err
	}
	s.bytes += len(r.line)
	if len(s.page.Entries) == s.limit || len(s.page.Entries) > 0 && s.bytes > maxPageBytes {
		s.page.Next = r.position + 1
		return nil
	}
	s.page.Entries = append(s.page.Entries, entry)
	s.page.Searched = entry.Time
	return nil
}

// withPrincipals returns the texts of the search, together with references to those principals of
// the block that the query selects. In format 2, the references are beginnings of lines.
func (s *search) withPrincipals(ctx context.Context, o *openBlock) (texts [][][]byte, beginnings [][]byte, err error) {
	if err := s.decoder.load(ctx, o.principals); err != nil {
		return nil, nil, err
	}
	texts = slices.Clone(s.texts)
	if len(texts[0]) == 0 {
		return texts, nil, nil
	}
	who := slices.Clone(texts[0])
	for i, ref := range o.principals {
		switch p, ok := s.decoder.principals.get(ref.hash); {
		case !ok || !slices.Contains(s.Who.Subjects, p.String()):
		case o.form == 1:
			who = append(who, fmt.Appendf(nil, `"principal":%d`, i))
		default:
			beginnings = append(beginnings, fmt.Appendf(nil, "%d,", i), fmt.Appendf(nil, "%d\t", i))
		}
	}
	texts[0] = who
	return texts, beginnings, nil
}

// texts returns lists of texts. A line that matches the query contains at least one text of
// each list, so most lines need not be decoded. An empty list does not exclude any line. The first
// list is for Who.
func (q *Query) texts() (all [][][]byte) {
	add := func(texts ...string) {
		var any [][]byte
		for _, t := range texts {
			plain := plainPart(t)
			if plain == "" {
				any = nil // every line could match
				break
			}
			any = append(any, []byte(plain))
		}
		all = append(all, any)
	}
	if q.Who != nil {
		add(append(slices.Clone(q.Who.Subjects), q.Who.Logins...)...)
	}
	if q.Kind != "" {
		all = append(all, [][]byte{q.Kind.key()})
	}
	if q.Registry != "" {
		add(q.Registry)
	}
	if q.Repository != "" {
		add(strings.TrimSuffix(q.Repository, "**"))
	}
	if q.Digest != "" {
		add(q.Digest)
	}
	if q.Tag != "" {
		add(q.Tag)
	}
	if q.Action != "" && q.Kind != "" && q.Kind != KindDecision {
		add(q.Action)
	}
	if !q.Decision.IsZero() {
		add(q.Decision.String())
	}
	if q.Credential != "" {
		add(q.Credential)
	}
	return all
}

// plainPart returns the longest part of a text that JSON never escapes.
func plainPart(t string) (longest string) {
	for part := range strings.FieldsFuncSeq(t, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._/:+@ ", r))
	}) {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

// containsAll reports whether a line contains a text of each list. For the first list, it is
// enough if the line has one of the beginnings.
func containsAll(line []byte, texts [][][]byte, beginnings [][]byte) bool {
	for i, any := range texts {
		if len(any) > 0 && !slices.ContainsFunc(any, func(t []byte) bool { return bytes.Contains(line, t) }) &&
			!(i == 0 && slices.ContainsFunc(beginnings, func(b []byte) bool { return bytes.HasPrefix(line, b) })) {
			return false
		}
	}
	return true
}
