package tidewaiter

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/notification"
)

// Entry is an entry of the journal, with the fields that tests use.
type Entry struct {
	ID       string              `json:"id"`
	Registry string              `json:"registry"`
	Event    *notification.Event `json:"event"`
	Decision *Decision           `json:"decision"`
}

// Decision is a decision in the journal.
type Decision struct {
	Principal struct {
		Name string `json:"name"`
	} `json:"principal"`
	Results []struct {
		Name    string   `json:"name"`
		Asked   []string `json:"asked"`
		Granted []string `json:"granted"`
	} `json:"results"`
	Client  string `json:"client"`
	Remote  string `json:"remote"`
	Refused string `json:"refused"` // why no token was issued
}

// Journal reads the journal of the running service with `tidewaiter journal list --follow`.
type Journal struct {
	t    testing.TB
	tail *process.Process
}

// Journal starts to follow the journal from the first entry.
func (tw *Tidewaiter) Journal(t testing.TB) *Journal {
	t.Helper()
	return &Journal{t, process.Start(t, exec.Command(Program(t), "journal", "list",
		"--config", tw.Config, "--limit", "1000000", "--follow", "--output", "json"))}
}

// Entries returns the entries that the command has printed so far. If the command has ended,
// Entries fails the test, because no more entries can arrive.
func (j *Journal) Entries() (entries []Entry) {
	j.t.Helper()
	if ended, err := j.tail.Ended(); ended {
		j.t.Fatalf("the command that follows the journal ended: %v\n%s", err, j.tail.Text())
	}
	for line := range strings.Lines(j.tail.Text()) {
		var e Entry
		if json.Unmarshal([]byte(line), &e) == nil { // the last line may be incomplete
			entries = append(entries, e)
		}
	}
	return entries
}
