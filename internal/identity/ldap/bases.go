package ldap

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/dn"
)

// wholeDirectory is the base that means all naming contexts of the directory.
const wholeDirectory = ""

// contextsFor is the time for which the naming contexts of a server are cached. Naming contexts
// rarely change. Without the cache, each search would need another query for the naming contexts.
const contextsFor = time.Minute

// errNoContexts means that the root DSE of a server has no naming contexts.
var errNoContexts = errors.New("the directory names no naming contexts in its root DSE, so an empty base finds nothing: set the bases")

// searchBases returns the DNs to search for the configured bases. It replaces an empty base by the
// naming contexts of the server, because most directories find nothing below the empty DN, or only
// a part of their entries. For a global catalog of Active Directory, it does not replace the empty
// base, because a global catalog finds the whole forest below the empty DN.
func (c *conn) searchBases(bases []string) ([]string, error) {
	if !isWhole(bases) || c.server.catalog {
		return bases, nil
	}
	if now := c.server.now(); !c.contextsHold.Holds(now) {
		entries, err := c.readEntry(rootDSE, "namingContexts")
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

// isWhole reports whether a list of bases contains the empty base.
func isWhole(bases []string) bool { return slices.Contains(bases, wholeDirectory) }

// checkBases checks a list of search bases. The key is the config key of the list.
func (s *settings) checkBases(key string, list []string) {
	for i, base := range list {
		if _, err := dn.Parse(base); err != nil {
			s.problems.Add(key, i, "not a DN: %s", err)
		} else if base == wholeDirectory && len(list) > 1 {
			s.problems.Add(key, i, "the empty base is the whole directory and must be the only one")
		}
	}
}
