package rulebook

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Content is what a rule says, in the words of tidewaiter.yaml. What may be written is what may be written in a file.
type Content = ruleset.Rule

// Effect is what a rule does.
type Effect = ruleset.Effect

// The effects.
const (
	Allow = ruleset.Allow
	Deny  = ruleset.Deny
)

// Problems are all mistakes of a Content.
type Problems = ruleset.Problems

// Rule is a rule of the database.
type Rule struct {
	ID      string
	Version int64
	Created time.Time
	Changed time.Time
	Content
}

// Bounds of what the database keeps.
const (
	maxComment = 4096
	maxItems   = 1000 // subjects, registries, names of a rule
)

// room finds what the database has no room for.
func room(c *Content) error {
	var wrong Problems
	for _, list := range []struct {
		field string
		items []string
	}{{"subjects", c.Subjects}, {"registries", c.Registries}, {"repositories", c.Repositories}, {"tidewaiter", c.Tidewaiter}, {"actions", c.Actions}} {
		if len(list.items) > maxItems {
			wrong = append(wrong, ruleset.Problem{Field: list.field, Item: -1, Text: fmt.Sprintf("these are %d; the limit is %d", len(list.items), maxItems)})
		}
	}
	if len(c.Comment) > maxComment {
		wrong = append(wrong, ruleset.Problem{Field: "comment", Item: -1, Text: fmt.Sprintf("it has %d bytes, the limit is %d", len(c.Comment), maxComment)})
	}
	if len(wrong) > 0 {
		return wrong
	}
	return nil
}

// check says whether a rule may be written, with the roles and registries that there are. The error is Problems.
func check(c *Content, when func(string) (policy.Condition, error), known roles, services []string) error {
	if err := room(c); err != nil {
		return err
	}
	r, err := c.Policy(when)
	if err != nil {
		return err
	}
	return ruleset.Compiled(r, known, services)
}

// unmarshal reads a rule as it is kept. What it does not know would be lost, so it is an error.
func unmarshal(c *Content, text string) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(c)
}

// journaled is what a rule says as the journal keeps it.
func journaled(c *Content) any {
	var words map[string]any
	text, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(text, &words)
	}
	if err != nil {
		return c.Name
	}
	return words
}
