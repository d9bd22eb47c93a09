package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/sources"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// checkDirectories reads the lock threshold of each directory. It warns if ldap.attempts is not
// below the threshold, or if the threshold is unknown.
func (c *checker) checkDirectories(ctx context.Context, set *sources.Set) {
	for _, s := range set.Sources {
		d, ok := s.Authenticator.(*ldap.Directory)
		if !ok {
			continue
		}
		policies, err := d.Lockouts(ctx)
		d.Close()
		for _, text := range lockoutWarnings(s.Config.LDAP, policies, err) {
			p := strictyaml.Problem{File: c.cfg.File, Text: text}
			p.Line, p.Column = s.Config.LDAP.Place("attempts", -1)
			c.Warnings = append(c.Warnings, p)
		}
	}
}

func lockoutWarnings(l *config.LDAP, policies []ldap.Lockout, err error) (texts []string) {
	of := fmt.Sprintf("the directory %q", l.Name)
	switch {
	case err != nil:
		return []string{fmt.Sprintf("attempts: the lock threshold of %s is unknown: %s; max is %d, and must be below it", of, strings.ReplaceAll(err.Error(), "\n", "; "), l.Attempts.Max)}
	case len(policies) == 0:
		return []string{fmt.Sprintf("attempts: the lock threshold of %s is unknown: no readable policy states it; max is %d, and must be below it", of, l.Attempts.Max)}
	}
	for _, p := range policies {
		locks := fmt.Sprintf("%s locks an account after %d wrong passwords (%s)", of, p.After, p.Policy)
		switch {
		case p.After == 0:
		case p.After < 3:
			texts = append(texts, fmt.Sprintf("attempts: %s, and max is %d: max must be at least 2, so set the threshold to 3 or more", locks, l.Attempts.Max))
		case l.Attempts.Max == 0:
			texts = append(texts, fmt.Sprintf("attempts: %s, and max is 0, which means unlimited: set it to %d or less", locks, p.After-1))
		case l.Attempts.Max >= p.After:
			texts = append(texts, fmt.Sprintf("attempts: %s, and max is %d: set it to %d or less", locks, l.Attempts.Max, p.After-1))
		case p.Within == ldap.Forever:
			texts = append(texts, fmt.Sprintf("attempts: %s without a time limit, and window is %s: wrong passwords add up until the right one; let the directory forget them after a while", locks, l.Attempts.Window))
		case p.Within > l.Attempts.Window:
			texts = append(texts, fmt.Sprintf("attempts: %s within %s, and window is %s: set it to %s or more", locks, p.Within, l.Attempts.Window, p.Within))
		}
	}
	return texts
}
