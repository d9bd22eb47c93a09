package tidewaiter

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/part"
	"github.com/tidewaiter/tidewaiter/notification"
)

// Entry is an entry of the journal, as far as tests look at it.
type Entry struct {
	ID       string              `json:"id"`
	Registry string              `json:"registry"`
	Event    *notification.Event `json:"event"`
	Decision *Decision           `json:"decision"`
}

// Decision is what was decided for somebody.
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
	Refused string `json:"refused"` // why there was no token
}

// Journal reads along with the journal while the service runs, by the command that people have for it.
type Journal struct{ tail *part.Process }

// Journal begins to read along, from the first entry.
func (tw *Tidewaiter) Journal(t testing.TB) *Journal {
	t.Helper()
	return &Journal{part.Start(t, exec.Command(Program(t), "journal", "tail",
		"--config", tw.Config, "--lines", "1000000", "--follow", "--output", "json"))}
}

// Entries are the entries so far.
func (j *Journal) Entries() (entries []Entry) {
	for line := range strings.Lines(j.tail.Text()) {
		var e Entry
		if json.Unmarshal([]byte(line), &e) == nil { // the last line may not be whole yet
			entries = append(entries, e)
		}
	}
	return entries
}
