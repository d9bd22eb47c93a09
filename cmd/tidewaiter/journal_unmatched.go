package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// maxRecent is the number of entries whose names are compared with a mistyped name.
const maxRecent = 20_000

// filterPart is the part of a filter that one flag sets.
type filterPart struct {
	flag, value string
	alone       api.Filter // a filter that has only this part
	meant       func(value string, recent []journal.Entry) string
}

// unmatchedReason returns the end of the note "no entry matches". The text names the first flag
// whose value is in no entry of the journal, and the value that the user probably meant.
// unmatchedReason returns "" if each value is in some entry, but no entry has all values.
func (s *session) unmatchedReason(f *api.Filter) (string, error) {
	for _, part := range []filterPart{
		{"principal", f.Principal, api.Filter{Principal: f.Principal}, meantPrincipal},
		{"repository", f.Repository, api.Filter{Repository: f.Repository}, meantRepository},
		{"digest", f.Digest, api.Filter{Digest: f.Digest}, nil},
		{"tag", f.Tag, api.Filter{Tag: f.Tag}, nil},
		{"action", f.Action, api.Filter{Action: f.Action}, meantAction},
		{"address", f.Address, api.Filter{Address: f.Address}, nil},
		{"credential", f.Credential, api.Filter{Credential: f.Credential}, meantCredential},
	} {
		if part.value == "" {
			continue
		}
		q, _, _ := part.alone.Query() // checked
		has := false
		if _, err := s.search(q, 0, 0, 1, func(journal.Entry) error { has = true; return nil }); err != nil {
			return "", err
		}
		if has {
			continue
		}
		meant := ""
		if part.meant != nil {
			recent, err := s.recentEntries()
			if err != nil {
				return "", err
			}
			if meant = part.meant(part.value, recent); meant != "" {
				meant = fmt.Sprintf(" (did you mean %s?)", text.Quote(meant))
			}
		}
		return fmt.Sprintf("; no entry of the journal has the %s %s%s", part.flag, text.Name(part.value), meant), nil
	}
	return "", nil
}

// recentEntries returns the newest entries of the journal.
func (s *session) recentEntries() (recent []journal.Entry, err error) {
	for before := journal.Position(0); ; {
		page, err := s.journal.Search(s.ctx, journal.Query{}, before, 1000, func(int) bool { return false })
		if err != nil {
			return nil, err
		}
		recent = append(recent, page.Entries...)
		if before = page.Next; before == 0 || len(recent) >= maxRecent {
			return recent, nil
		}
	}
}

// meantPrincipal returns a principal with the same name and another kind, or with a similar name.
func meantPrincipal(written string, recent []journal.Entry) string {
	kind, name, named := strings.Cut(written, ":")
	if !named {
		kind, name = "", written
	}
	similar, kindOf := make(map[string]bool), make(map[string]string)
	for i := range recent {
		k, n, ok := strings.Cut(principalOf(&recent[i]), ":")
		if !ok {
			continue
		}
		kindOf[n] = k
		if kind == "" || k == kind {
			similar[n] = true
		}
	}
	if k := kindOf[name]; k != "" {
		return k + ":" + name
	}
	meant := nearest(name, similar)
	if meant == "" || kind == "" {
		return meant
	}
	return kind + ":" + meant
}

// principalOf returns the principal of a request or change, or "".
func principalOf(e *journal.Entry) string {
	switch {
	case e.Decision != nil && e.Decision.Principal != nil && e.Decision.Principal.Kind != policy.Anonymous:
		return e.Decision.Principal.String()
	case e.Change != nil:
		return e.Change.Actor
	case e.Service != nil:
		return e.Service.Actor
	}
	return ""
}

// meantRepository returns the name that the user probably meant. If repositories below the written
// name exist, it returns a pattern that matches them. Otherwise it returns a similar name or
// pattern.
func meantRepository(written string, recent []journal.Entry) string {
	parent, below := strings.CutSuffix(written, "/**")
	known := make(map[string]bool)
	for i := range recent {
		switch e := &recent[i]; {
		case e.Decision != nil:
			for _, r := range e.Decision.Results {
				if r.Asked.Type == scope.TypeRepository {
					known[r.Asked.Name] = true
				}
			}
		case e.Event != nil && e.Event.Repository != "":
			known[e.Event.Repository] = true
		}
	}
	if !below {
		for name := range known {
			if strings.HasPrefix(name, written+"/") {
				return written + "/**"
			}
		}
		return nearest(written, known)
	}
	parents := make(map[string]bool)
	for name := range known {
		for i, c := range name {
			if c == '/' {
				parents[name[:i]] = true
			}
		}
	}
	if meant := nearest(parent, parents); meant != "" {
		return meant + "/**"
	}
	return ""
}

func meantAction(written string, recent []journal.Entry) string {
	known := map[string]bool{"pull": true, "push": true, "delete": true, "mount": true}
	for i := range recent {
		switch e := &recent[i]; {
		case e.Change != nil:
			known[e.Change.Action] = true
		case e.Service != nil:
			known[e.Service.Action] = true
		}
	}
	return nearest(written, known)
}

func meantCredential(written string, recent []journal.Entry) string {
	known := make(map[string]bool)
	for i := range recent {
		if d := recent[i].Decision; d != nil && d.Credential != "" {
			known[d.Credential] = true
		}
	}
	return nearest(written, known)
}

// nearest returns the name that is similar to a text, or "".
func nearest(written string, known map[string]bool) string {
	return text.Nearest(written, slices.Sorted(maps.Keys(known)))
}
