package rulebook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Content is what a rule says, in the words of tidewaiter.yaml. What may be written is what may be
// written in a file.
type Content = ruleset.Rule

// Effect is what a rule does.
type Effect = ruleset.Effect

// The effects.
const (
	Allow = ruleset.Allow
	Deny  = ruleset.Deny
)

// Problems are all errors of a Content.
type Problems = ruleset.Problems

// Rule is a rule of the database.
type Rule struct {
	ID      string
	Version int64
	Created time.Time
	Changed time.Time
	Content

	Unchanged bool // SetRule found that it says that already
}

// Bounds of what the database stores.
const (
	MaxItems = 1000 // of a list
	maxText  = 4096
)

// MaxBytes returns how long a text of a rule may be.
func MaxBytes(field string) int {
	switch field {
	case "name":
		return 200
	case "role":
		return maxName
	case "when":
		return 10_000
	case "lifetime":
		return 30
	}
	return maxText
}

// checkSizes finds what is larger than the database stores.
func checkSizes(c *Content) error {
	var wrong Problems
	for _, f := range ruleset.Fields {
		switch v := f.Of(c).(type) {
		case *[]string:
			if len(*v) > MaxItems {
				wrong = append(wrong, ruleset.Problem{Field: f.Name, Item: -1, Text: fmt.Sprintf("these are %d; the limit is %d", len(*v), MaxItems)})
			}
		case *string:
			if most := MaxBytes(f.Name); len(*v) > most {
				wrong = append(wrong, ruleset.Problem{Field: f.Name, Item: -1, Text: fmt.Sprintf("it has %d bytes, the limit is %d", len(*v), most)})
			}
		}
	}
	if len(wrong) > 0 {
		return wrong
	}
	return nil
}

// storedRule is a rule as it is stored. A lifetime is a number of nanoseconds there.
type storedRule struct {
	*Content
	Lifetime time.Duration `json:"lifetime,omitempty"`
}

// marshal returns a rule as it is stored.
func marshal(c *Content) (string, error) {
	lifetime, _ := time.ParseDuration(c.Lifetime) // "" is 0, and others were checked
	text, err := json.Marshal(storedRule{c, lifetime})
	return string(text), err
}

// check reports whether a rule may be written, with the roles and registries that there are. The
// error is Problems. It puts the lifetime into the one spelling that the API answers with.
func check(c *Content, when func(string) (policy.Condition, error), known roles, services []string) error {
	if err := checkSizes(c); err != nil {
		return err
	}
	r, err := c.Policy(when)
	if err != nil {
		return err
	}
	if r.Lifetime > 0 {
		c.Lifetime = r.Lifetime.String()
	}
	return ruleset.Compiled(r, known, services)
}

// unmarshal reads a rule as it is stored. An unknown field is an error: it would be lost at the
// next change.
func unmarshal(c *Content, text string) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	stored := storedRule{Content: c}
	err := d.Decode(&stored)
	if stored.Lifetime != 0 {
		c.Lifetime = stored.Lifetime.String()
	}
	return err
}

// same reports whether two rules say the same.
func same(a, b *Content) bool {
	x, y := *a, *b
	x.Effect, y.Effect = cmp.Or(x.Effect, Allow), cmp.Or(y.Effect, Allow)
	return reflect.DeepEqual(journaled(&x), journaled(&y))
}

// journaled is what a rule says as the journal stores it: as the database does.
func journaled(c *Content) any {
	var words map[string]any
	text, err := marshal(c)
	if err == nil {
		err = json.Unmarshal([]byte(text), &words)
	}
	if err != nil {
		return c.Name
	}
	return words
}
