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

// Content is a rule as in tidewaiter.yaml. The database accepts the same rules as files.
type Content = ruleset.Rule

// Rule is a rule of the database.
type Rule struct {
	ID      string
	Version int64
	Created time.Time
	Changed time.Time
	Content

	Unchanged bool // SetRule changed nothing, because the new rule is equal to the old rule
}

// Limits of stored rules.
const (
	MaxItems = 1000 // items of a list
	maxText  = 4096
)

var maxBytes = map[string]int{"name": 200, "role": maxName, "when": 10_000, "lifetime": 30}

// MaxBytes returns the maximum length of a text field of a rule.
func MaxBytes(field string) int { return cmp.Or(maxBytes[field], maxText) }

// checkSizes finds fields that exceed the limits.
func checkSizes(c *Content) error {
	var wrong ruleset.Problems
	for _, f := range ruleset.Fields {
		switch v := f.Of(c).(type) {
		case *[]string:
			if len(*v) > MaxItems {
				wrong = append(wrong, ruleset.Problem{Field: f.Name, Item: -1, Text: fmt.Sprintf("the list has %d items; the limit is %d", len(*v), MaxItems)})
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

// storedRule is the JSON of a stored rule, with the lifetime in nanoseconds.
type storedRule struct {
	*Content
	Lifetime time.Duration `json:"lifetime,omitempty"`
}

// marshal returns the stored form of a rule.
func marshal(c *Content) (string, error) {
	// no error, because check has checked the lifetime; 0 for ""
	lifetime, _ := time.ParseDuration(c.Lifetime)
	text, err := json.Marshal(storedRule{c, lifetime})
	return string(text), err
}

// check checks a rule with the existing roles and registries. The error is ruleset.Problems. check
// changes the lifetime to the spelling that the API returns.
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

// unmarshal parses the stored form of a rule. An unknown field is an error, because the next
// change of the rule would lose the field.
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

// equalContents reports whether two rules are equal.
func equalContents(a, b *Content) bool {
	x, y := *a, *b
	x.Effect, y.Effect = cmp.Or(x.Effect, ruleset.Allow), cmp.Or(y.Effect, ruleset.Allow)
	return reflect.DeepEqual(journalForm(&x), journalForm(&y))
}

// journalForm returns a rule in the form in which the journal records it. This is also the stored
// form.
func journalForm(c *Content) any {
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
