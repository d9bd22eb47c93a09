package ldap

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/dn"
)

// wholeDirectory is the base that stands for all that a directory has.
const wholeDirectory = ""

// contextsFor is how long the naming contexts of a server are remembered. They hardly ever change,
// and each search would else be two.
const contextsFor = time.Minute

// errNoContexts means that a server does not say what it has.
var errNoContexts = errors.New("the directory names no naming contexts in its root DSE, so that the empty base finds nothing: write the bases")

// searchBases returns the DNs below which a search with some bases looks. For the empty base these are
// the naming contexts of the server: most directories find nothing from the empty DN, and some
// find a part. A global catalog of Active Directory finds the whole forest from there.
func (c *conn) searchBases(bases []string) ([]string, error) {
	if !isWhole(bases) || c.server.catalog {
		return bases, nil
	}
	if now := c.server.now(); !c.contextsHold.Holds(now) {
		entries, err := c.search(&ldap.SearchRequest{
			Scope: ldap.ScopeBaseObject, SizeLimit: 1, Filter: "(objectClass=*)", Attributes: []string{"namingContexts"},
		})
		if err != nil {
			return nil, fmt.Errorf("reading the root DSE: %w", err)
		}
		c.contexts = nil
		for _, e := range entries {
			c.contexts = append(c.contexts, e.GetEqualFoldAttributeValues("namingContexts")...)
		}
		c.contexts = slices.DeleteFunc(c.contexts, func(text string) bool {
			at, err := dn.Parse(text)
			return err == nil && isInfrastructurePartition(at)
		})
		if len(c.contexts) == 0 {
			return nil, errNoContexts
		}
		c.contextsHold = clock.For(now, contextsFor)
	}
	return c.contexts, nil
}

// isWhole reports whether some bases are the empty base.
func isWhole(bases []string) bool { return slices.Contains(bases, wholeDirectory) }

// bases checks a list of bases.
func (s *settings) bases(field string, list []string) {
	for i, base := range list {
		text := ""
		if _, err := dn.Parse(base); err != nil {
			text = fmt.Sprintf("this is no DN: %s", err)
		} else if base == wholeDirectory && len(list) > 1 {
			text = "the empty base is the whole directory, and stands alone"
		}
		if text != "" {
			s.problems = append(s.problems, Problem{field, i, text})
		}
	}
}
