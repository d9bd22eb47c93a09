package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func journalShow(s *session) error {
	e, err := s.findEntry(s.args[0])
	if err != nil {
		return err
	}
	related, complete, err := s.journal.Related(s.ctx, e)
	if err != nil {
		return err
	}
	signIn, err := s.signIn(append([]journal.Entry{e}, related...))
	if err != nil {
		return err
	}
	if s.printsJSON() {
		if related == nil {
			related = []journal.Entry{}
		}
		return s.writeJSON(struct {
			Entry      journal.Entry   `json:"entry"`
			Related    []journal.Entry `json:"related"`
			SignIn     *journal.Entry  `json:"sign_in,omitempty"`
			Incomplete bool            `json:"incomplete,omitempty"`
		}{e, related, signIn, !complete})
	}
	if err := printSummary(s.out, &e); err != nil {
		return err
	}
	if err := writeTable(s.out, append(details(&e), signInRow(&e, signIn)...)); err != nil {
		return err
	}
	switch {
	case !complete:
		s.printNote("the journal has too many entries of that time, so some related entries may be missing here")
	case e.Event != nil && len(related) == 0:
		s.printNote("no decision in the journal allowed this event: its token may be older than the journal")
	}
	for i := range related {
		heading := "\nThe decision that allowed it:"
		if e.Decision != nil {
			heading = "\nThe events of requests with its token:"
		}
		if i == 0 {
			fmt.Fprintln(s.out, heading)
		}
		if err := printSummary(s.out, &related[i]); err != nil {
			return err
		}
		if e.Event != nil {
			if err := writeTable(s.out, append(details(&related[i]), signInRow(&related[i], signIn)...)); err != nil {
				return err
			}
		}
	}
	return nil
}

// signIn looks for the first decision among the entries. If the credential of this decision is a
// refresh token, signIn returns the entry of the sign-in at which the client got this token.
// Docker and other clients store such a token instead of the password, token or secret that the
// user gave. If the decision has another kind of credential, or if the journal no longer has the
// sign-in, signIn returns nil.
func (s *session) signIn(entries []journal.Entry) (*journal.Entry, error) {
	i := slices.IndexFunc(entries, func(e journal.Entry) bool { return e.Decision != nil })
	if i < 0 {
		return nil, nil
	}
	written, ok := credentials.RefreshID(entries[i].Decision.Credential)
	var id journal.ID
	if !ok || id.UnmarshalText([]byte(written)) != nil {
		return nil, nil
	}
	const around = time.Minute // the token's id contains the time of the sign-in
	q := journal.Query{
		Kind: journal.KindChange, Action: credentials.ActionRefreshAdd, Since: id.Time().Add(-around), Until: id.Time().Add(around),
		Only: func(e *journal.Entry) bool { return e.Change.To["id"] == written },
	}
	page, err := s.journal.Search(s.ctx, q, 0, 1, func(int) bool { return false })
	if err != nil || len(page.Entries) == 0 {
		return nil, err
	}
	return &page.Entries[0], nil
}

// signInRow returns a row for details. The row is about the refresh token that was presented for
// the decision. It shows when a client got the token, and which credential the client presented to
// get the token.
func signInRow(e, signIn *journal.Entry) [][]string {
	if e.Decision == nil || signIn == nil {
		return nil
	}
	value := signIn.Time.Local().Format(time.DateTime)
	with, _ := signIn.Change.To["via"].(string) // [source] credential [address]
	if i := strings.LastIndexByte(with, ' '); i >= 0 {
		if _, err := netip.ParseAddr(with[i+1:]); err == nil {
			with = with[:i] + " from " + with[i+1:]
		}
	}
	if with != "" {
		value += " with " + with
	}
	return [][]string{{"  signed in", text.Escape(value)}}
}

// details returns the fields of an entry that are not in its summary.
func details(e *journal.Entry) (rows [][]string) {
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{"  " + text.Escape(name), text.Escape(value)})
		}
	}
	switch {
	case e.Decision != nil:
		d := e.Decision
		if p := d.Principal; p != nil {
			add("principal", p.String())
			add("source", p.Source)
			add("groups", strings.Join(p.Groups, ", "))
			for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
				add("claims."+name, fmt.Sprint(p.Claims[name]))
			}
		}
		add("credential", d.Credential)
		if d.Remote.IsValid() {
			add("address", d.Remote.String())
		}
		add("client", d.Client)
		for _, r := range d.Results {
			for _, c := range r.Causes {
				if c.Rule != nil {
					add("rule", fmt.Sprintf("%s (%s): %s %s", cmp.Or(c.Rule.Name, "without a name"), c.Rule.Origin, c.Reason, c.Actions))
				}
			}
		}
		if !d.Expires.IsZero() {
			add("token until", d.Expires.Local().Format(time.DateTime))
		}
	case e.Event != nil:
		v := e.Event
		add("digest", v.Digest)
		add("media type", v.MediaType)
		add("from", v.FromRepository)
		add("address", v.Request.Address)
		add("client", v.Request.UserAgent)
		add("registry process", v.Source.Instance)
		if d := v.Time.Sub(e.Time); d.Abs() > time.Minute {
			add("time at the registry", v.Time.Local().Format(time.DateTime))
		}
	case e.Change != nil:
		for _, name := range slices.Sorted(maps.Keys(e.Change.From)) {
			add("from "+name, fmt.Sprint(e.Change.From[name]))
		}
		for _, name := range slices.Sorted(maps.Keys(e.Change.To)) {
			add("to "+name, fmt.Sprint(e.Change.To[name]))
		}
	case e.Service != nil:
		add("client", e.Service.Client)
		for _, name := range slices.Sorted(maps.Keys(e.Service.Details)) {
			add(name, fmt.Sprint(e.Service.Details[name]))
		}
	}
	return rows
}
