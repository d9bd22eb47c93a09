package journal

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The fields of terms. Their values are stored in the index, so a changed value needs a new
// version of the index.
const (
	termKind       = 'k'
	termOutcome    = 'o'
	termRegistry   = 'r'
	termSubject    = 's' // as in Who.Subjects
	termLogin      = 'l' // as in Who.Logins, and the login of a decision's principal
	termRepository = 'n'
	termBelow      = 'b' // a parent of a repository: team is a parent of team/app
	termDigest     = 'd' // the algorithm and minDigits digits
	termTag        = 't'
	termAction     = 'a'
	termAddress    = 'i' // one of the networks of an address
	termDecision   = 'x' // the id of the earlier decision that issued the token, or that it repeats
	termCredential = 'c'
)

const (
	minDigits = 7 // minimum number of digits with which a digest can be found
	maxBelow  = 8 // maximum number of parts in an indexed parent of a repository
	// maxParents is the maximum number of names of Query.Below for which the index is used. SQLite
	// does not accept much longer conditions.
	maxParents = 300
)

// networks are the lengths of the prefixes by which addresses are indexed.
var networks = map[int][]int{32: {32, 24, 16, 8}, 128: {128, 64, 56, 48, 32}}

// Terms calls the function add for each term of an entry. It can call this function several times
// for the same term. The parameter login is Options.Login.
func (e *Entry) Terms(login func(*policy.Principal) string, add func(field byte, value string)) {
	add(termKind, string(e.Kind()))
	if e.Registry != "" {
		add(termRegistry, storedText(e.Registry))
	}
	if at := e.address(); at.IsValid() && at.Zone() == "" {
		for _, bits := range networks[at.BitLen()] {
			add(termAddress, addressTerm(netip.PrefixFrom(at, bits)))
		}
	}
	switch {
	case e.Decision != nil:
		e.decisionTerms(login, add)
	case e.Event != nil:
		eventTerms(e.Event, add)
	case e.Change != nil:
		add(termSubject, storedText(e.Change.Actor))
		add(termAction, storedText(e.Change.Action))
	case e.Service != nil:
		if e.Service.Actor != "" {
			add(termSubject, storedText(e.Service.Actor))
		}
		if e.Service.Name != "" {
			add(termLogin, storedText(e.Service.Name))
		}
		add(termAction, storedText(e.Service.Action))
	}
}

// storedText returns a text as the journal stores it. The journal stores JSON, where the character
// U+FFFD replaces each byte that is not part of valid UTF-8.
func storedText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

func (e *Entry) decisionTerms(login func(*policy.Principal) string, add func(byte, string)) {
	d := e.Decision
	add(termOutcome, string(e.Outcome()))
	if d.Token != e.ID && !d.Token.IsZero() {
		add(termDecision, string(d.Token[:]))
	}
	if d.Repeats != nil && !d.Repeats.Of.IsZero() {
		add(termDecision, string(d.Repeats.Of[:]))
	}
	if d.Credential != "" {
		add(termCredential, storedText(d.Credential))
	}
	if d.Name != "" {
		add(termLogin, storedText(d.Name))
	}
	if d.Principal != nil {
		p := d.Principal
		if name := storedText(p.Name); name != p.Name {
			p = &policy.Principal{Kind: p.Kind, Name: name, Source: p.Source, ID: p.ID}
		}
		add(termSubject, p.String())
		add(termLogin, storedText(login(p)))
	}
	for _, r := range d.Results {
		if r.Asked.Type == scope.TypeRepository {
			repositoryTerms(storedText(r.Asked.Name), add)
		}
		r.Asked.Actions.Each(func(name string) bool { add(termAction, name); return true })
	}
}

func eventTerms(e *notification.Event, add func(byte, string)) {
	add(termLogin, storedText(e.Actor))
	add(termAction, storedText(e.Action))
	if e.Tag != "" {
		add(termTag, storedText(e.Tag))
	}
	repositoryTerms(storedText(e.Repository), add)
	if e.FromRepository != "" {
		repositoryTerms(storedText(e.FromRepository), add)
	}
	if term, ok := digestTerm(storedText(e.Digest)); ok {
		add(termDigest, term)
	}
	for _, r := range e.References {
		if term, ok := digestTerm(storedText(r.Digest)); ok {
			add(termDigest, term)
		}
	}
}

func repositoryTerms(name string, add func(byte, string)) {
	add(termRepository, name)
	for i, parts := 0, 0; i < len(name) && parts < maxBelow; i++ {
		if name[i] == '/' {
			add(termBelow, name[:i])
			parts++
		}
	}
}

// belowTerm returns the term that finds the repositories below a parent.
func belowTerm(parent string) string {
	for i, parts := 0, 0; i < len(parent); i++ {
		if parent[i] == '/' {
			if parts++; parts == maxBelow {
				return parent[:i]
			}
		}
	}
	return parent
}

// digestTerm returns the term of a digest or of the beginning of a digest. It returns false if the
// text is too short.
func digestTerm(digest string) (term string, ok bool) {
	algorithm, digits, _ := strings.Cut(digest, ":")
	if len(digits) < minDigits {
		return "", false
	}
	return digest[:len(algorithm)+1+minDigits], true
}

// addressTerm returns the term of a network. It masks the network.
func addressTerm(network netip.Prefix) string {
	at := network.Masked().Addr()
	var buf [17]byte
	b := buf[:0]
	if at.Is4() {
		four := at.As4()
		b = append(b, four[:]...)
	} else {
		sixteen := at.As16()
		b = append(b, sixteen[:]...)
	}
	return string(append(b, byte(network.Bits())))
}

// terms returns lists of terms. An entry that the query selects has at least one term of each
// list. The lists that usually select the fewest entries come first.
func (q *Query) terms() (lists [][]index.Term) {
	add := func(field byte, values ...string) {
		list := make([]index.Term, len(values))
		for i, value := range values {
			list[i] = index.Term{Field: field, Value: value}
		}
		lists = append(lists, list)
	}
	if !q.Decision.IsZero() {
		add(termDecision, string(q.Decision[:]))
	}
	if term, ok := digestTerm(q.Digest); ok {
		add(termDigest, term)
	}
	if q.Tag != "" {
		add(termTag, q.Tag)
	}
	if q.Who != nil {
		add(termSubject, q.Who.Subjects...)
		who := &lists[len(lists)-1]
		for _, login := range q.Who.Logins {
			*who = append(*who, index.Term{Field: termLogin, Value: login})
		}
	}
	if q.Outcome != "" && q.Outcome != Granted {
		add(termOutcome, string(q.Outcome))
	}
	parent, below := strings.CutSuffix(q.Repository, "/**")
	if q.Repository != "" && q.Repository != "**" && !below {
		add(termRepository, q.Repository)
	}
	if term, ok := networkTerm(q.Address); ok {
		add(termAddress, term)
	}
	if below {
		add(termBelow, belowTerm(parent))
	}
	if 0 < len(q.Below) && len(q.Below) <= maxParents {
		add(termKind, string(KindChange))
		parents := &lists[len(lists)-1]
		for _, parent := range q.Below {
			*parents = append(*parents, index.Term{Field: termBelow, Value: belowTerm(parent)})
		}
	}
	if q.Credential != "" {
		add(termCredential, q.Credential)
	}
	if q.Outcome == Granted {
		add(termOutcome, string(q.Outcome))
	}
	if q.Action != "" {
		add(termAction, q.Action)
	}
	if q.Registry != "" {
		add(termRegistry, q.Registry)
	}
	if q.Kind != "" {
		add(termKind, string(q.Kind))
	}
	return lists
}

// networkTerm returns the term of the smallest indexed network that contains the given network. It
// returns false if there is no such indexed network.
func networkTerm(network netip.Prefix) (term string, ok bool) {
	if !network.IsValid() {
		return "", false
	}
	for _, bits := range networks[network.Addr().BitLen()] { // the longest prefix first
		if bits <= network.Bits() {
			return addressTerm(netip.PrefixFrom(network.Addr(), bits)), true
		}
	}
	return "", false
}
