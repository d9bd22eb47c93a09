package scope

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Actions is a set of actions. The granted actions are the intersection of the requested and
// the allowed actions: requested & allowed.
type Actions uint8

// The actions. All is the literal action "*", which a registry requires for its catalog. For a
// repository, Parse turns "*" into Pull|Push|Delete, so that a repository's grant never
// contains All. Read and Write are actions of the type "tidewaiter", which never appears in
// tokens.
const (
	Pull Actions = 1 << iota
	Push
	Delete
	All
	Read
	Write
)

// Repository is the set of all actions on a repository.
const Repository = Pull | Push | Delete

const every Actions = Pull | Push | Delete | All | Read | Write

// Has reports whether a contains all actions of b. The empty set is contained in every set.
func (a Actions) Has(b Actions) bool { return a&b == b }

// names are the names of the actions, in the order of their bits.
var names = [...]string{"pull", "push", "delete", "*", "read", "write"}

// ParseAction returns the action with the given name: pull, push, delete, *, read or write.
func ParseAction(name string) (Actions, bool) {
	if i := slices.Index(names[:], name); i >= 0 {
		return 1 << i, true
	}
	return 0, false
}

// Each calls yield for the name of each action, in the order pull, push, delete, *, read, write.
// It is an iter.Seq[string] that does not allocate.
func (a Actions) Each(yield func(name string) bool) {
	for a &= every; a != 0; a &= a - 1 {
		if !yield(names[bits.TrailingZeros8(uint8(a))]) {
			return
		}
	}
}

// Names returns the names of the actions in the order of Each. It returns nil for the empty
// set.
func (a Actions) Names() []string {
	if a&every == 0 {
		return nil
	}
	return slices.AppendSeq(make([]string, 0, bits.OnesCount8(uint8(a&every))), a.Each)
}

// String returns the actions as they are written in scopes: "pull,push", or "" for the empty set.
func (a Actions) String() string {
	if every.Has(a) && bits.OnesCount8(uint8(a)) == 1 {
		return names[bits.TrailingZeros8(uint8(a))]
	}
	if a == Pull|Push { // the most frequent request
		return "pull,push"
	}
	text, _ := a.AppendText(nil)
	return string(text)
}

// AppendText appends the text of String to dst. The error is always nil.
func (a Actions) AppendText(dst []byte) ([]byte, error) {
	begin := len(dst)
	for name := range a.Each {
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = append(dst, name...)
	}
	return dst, nil
}

// MarshalText returns the text of String. In JSON, a set of actions is one string.
func (a Actions) MarshalText() ([]byte, error) { return a.AppendText(nil) }

// UnmarshalText parses the text that MarshalText returns. An unknown action is an error, because
// ignoring it would change the meaning of stored data.
func (a *Actions) UnmarshalText(written []byte) error {
	*a = 0
	if len(written) == 0 {
		return nil
	}
	for name := range strings.SplitSeq(string(written), ",") {
		action, ok := ParseAction(name)
		if !ok {
			return fmt.Errorf("parsing actions: unknown action %s", text.QuoteShort(name))
		}
		*a |= action
	}
	return nil
}
