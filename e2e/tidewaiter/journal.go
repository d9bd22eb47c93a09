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

// Journal follows the journal by the command for it, while the service runs.
type Journal struct{ tail *process.Process }

// Journal starts to follow the journal from the first entry.
func (tw *Tidewaiter) Journal(t testing.TB) *Journal {
	t.Helper()
	return &Journal{process.Start(t, exec.Command(Program(t), "journal", "tail",
		"--config", tw.Config, "--lines", "1000000", "--follow", "--output", "json"))}
}

// Entries returns the entries so far.
func (j *Journal) Entries() (entries []Entry) {
	for line := range strings.Lines(j.tail.Text()) {
		var e Entry
		if json.Unmarshal([]byte(line), &e) == nil { // the last line may be incomplete
			entries = append(entries, e)
		}
	}
	return entries
}
