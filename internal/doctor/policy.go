package doctor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/marker"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/sources"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy"
)

// checkSubjects warns about groups, workloads and robots in rules that no source can have. It also
// warns about names that look like distinguished names but are not valid. A deny rule for such a
// subject would have no effect.
func (c *checker) checkSubjects(set *sources.Set) {
	reported := make(map[string]bool)
	place := func(file string) string {
		if filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(filepath.Dir(c.cfg.File), file)
	}
	c.cfg.Subjects(func(rule *policy.Rule, subject string, at policyfile.Place) bool {
		if problem, meant := unknownSubject(set, subject); problem != "" && !reported[subject] {
			reported[subject] = true
			c.Warnings = append(c.Warnings, strictyaml.Problem{
				File: place(rule.Origin.File), Line: at.Line, Column: at.Column,
				Text: fmt.Sprintf("rule %q: %s", rule.Name, problem), Suggestion: meant,
			})
		}
		return true
	})
}

// checkShadow warns about errors in the files of the shadow policy. The service runs without this
// policy.
func (c *checker) checkShadow() {
	if len(c.cfg.Shadow) == 0 {
		return
	}
	_, err := policyfile.LoadRules(c.cfg.Shadow)
	problems, ok := errors.AsType[strictyaml.Problems](err)
	if err != nil && !ok {
		c.warn("the shadow policy: %v", err)
	}
	for _, p := range problems {
		p.Text = "the shadow policy judges no request: " + p.Text
		c.Warnings = append(c.Warnings, p)
	}
}

// unknownSubject returns the reason why no principal can match the subject, and the likely
// correction. If a principal can match the subject, the problem is "".
func unknownSubject(set *sources.Set, subject string) (problem, meant string) {
	kind, name, _ := strings.Cut(subject, ":")
	if why := dn.Warning(name); why != "" {
		return fmt.Sprintf("%q looks like a distinguished name, but is not one: %s; it is compared as plain text", name, why), ""
	}
	may, meant := set.MayHave(subject)
	switch {
	case may:
		return "", ""
	case kind == "robot":
		return fmt.Sprintf("there is no robot %q, because accounts is not a source", name), ""
	case kind == "workload":
		return fmt.Sprintf("no source has a workload %q", name), meant
	}
	return fmt.Sprintf("no source has the group %q", name), meant
}

// checkClaims warns about a rule that needs a claim if no source provides the claim with the type
// that the rule needs. For example, GitHub's run_attempt is the text "2". A condition that
// compares run_attempt with the number 2 fails for every request. So an allow rule with this
// condition would never apply, and a deny rule would always apply.
func (c *checker) checkClaims(set *sources.Set) {
	for _, use := range c.cfg.ClaimUses {
		can, known := set.Claim(use.Claim)
		if !known || can&use.Kinds != 0 {
			continue
		}
		text := fmt.Sprintf("no source provides the claim %s", use.Claim)
		if can != 0 {
			text = fmt.Sprintf("%s needs the claim %s to be %s, but the sources provide %s", use.Text, use.Claim, use.Kinds, can)
		}
		at := use.Place()
		c.Warnings = append(c.Warnings, strictyaml.Problem{
			File: use.File, Line: at.Line, Column: at.Column, Text: fmt.Sprintf("rule %q: %s", use.Rule, text),
		})
	}
}

// checkDatabase checks a database in a file. It reports problems that would prevent a service from
// starting, or that would hide a part of the data from a service.
func (c *checker) checkDatabase(ctx context.Context) {
	if store.InMemory(c.cfg.Database) || !strings.HasPrefix(c.cfg.Database, "sqlite:") {
		return
	}
	db, err := store.OpenReadOnly(ctx, c.cfg.Database)
	if err == nil {
		err = errors.Join(db.Check(ctx), db.Close())
	}
	switch missing := marker.Missing(c.cfg); {
	case errors.Is(err, store.ErrMissing) && missing != "":
		c.problem("there is no database%s", missing)
	case errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrForeign), errors.Is(err, store.ErrNewer):
		c.problem("%v", err)
	} // otherwise the database is not created yet, will be migrated, or is busy
}

// checkRules reports conflicts between the rules in files and the rules in the database.
func (c *checker) checkRules(ctx context.Context) error {
	p, err := offline.Policy(ctx, c.cfg, false)
	if conflicts, ok := errors.AsType[rulebook.Conflicts](err); ok {
		for _, text := range conflicts {
			c.Errors = append(c.Errors, strictyaml.Problem{Text: text})
		}
		return nil
	}
	if err != nil {
		return err
	}
	for _, r := range p.Rules() {
		if bad := rulebook.Unreadable(r.When); bad != nil {
			c.Errors = append(c.Errors, strictyaml.Problem{Text: fmt.Sprintf("the rule %q in the database only denies, because its condition is invalid: %v", r.Name, bad)})
		}
	}
	return nil
}
