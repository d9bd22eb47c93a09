package e2e

import (
	"bufio"
	"bytes"
	"flag"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
)

var update = flag.Bool("update", false, "update docs/compatibility.md with the results")

// operation is an operation of a client, such as a login or a push. Each operation is a column of
// the first table.
type operation string

const (
	login         operation = "login"
	push          operation = "push"
	pull          operation = "pull"
	mount         operation = "copy"
	list          operation = "list tags"
	remove        operation = "delete"
	catalog       operation = "catalog"
	wrongPassword operation = "wrong password"
	deniedPush    operation = "denied push"
	anonymousPull operation = "anonymous pull"
)

var operations = []operation{login, push, pull, mount, list, remove, catalog, wrongPassword, deniedPush, anonymousPull}

// The results that a cell of a table can show.
const (
	works   = "✓"
	mounted = "✓ mount"
	fails   = "✗"
	absent  = "–"
)

const table = "../docs/compatibility.md"

// compatibility collects the results. Parallel tests may write to it.
type compatibility struct {
	mu       sync.Mutex
	cells    map[cell]string
	refusals map[cell]string
	byClient map[way]string
}

type cell struct {
	version   registry.Version
	client    string
	operation operation
}

// note records the result of a cell. A failure is never replaced. Other results are replaced by
// later results.
func (c *compatibility) note(j journey, o operation, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cells == nil {
		c.cells = map[cell]string{}
	}
	at := cell{j.registry.Version, j.kind.Name, o}
	if c.cells[at] != fails {
		c.cells[at] = what
	}
}

func (c *compatibility) refusal(j journey, o operation, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusals == nil {
		c.refusals = map[cell]string{}
	}
	c.refusals[cell{j.registry.Version, j.kind.Name, o}] = plainError(err, j.registry.Host)
}

// way is a cell of the second table: a credential that a client uses.
type way struct {
	client string
	credential
}

// noteCredential records the result of a credential with a client. A failure is never replaced.
func (c *compatibility) noteCredential(k client.Kind, what credential, how string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byClient == nil {
		c.byClient = map[way]string{}
	}
	if at := (way{k.Name, what}); c.byClient[at] != fails {
		c.byClient[at] = how
	}
}

// check compares the committed table with the results, or writes the table if the flag -update is
// set. The rows of clients that cannot run on this machine are not changed.
func (c *compatibility) check(t *testing.T, kinds []client.Kind, versions []registry.Version) {
	t.Helper()
	if t.Failed() {
		return // the results are incomplete
	}
	if *update {
		if err := os.WriteFile(table, c.page(t, kinds, versions), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	committed := map[string]bool{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		committed[s.Text()] = true
	}
	for _, v := range versions {
		for _, k := range kinds {
			if _, ran := c.cells[cell{v, k.Name, login}]; !ran {
				continue
			}
			if row := c.row(v, k); !committed[row] {
				t.Errorf("docs/compatibility.md has no row\n%s\nIf that is intended: cd e2e && go test -run TestCompatibility -update", row)
			}
		}
	}
	for _, k := range kinds {
		if _, ran := c.byClient[way{k.Name, password}]; !ran {
			continue
		}
		if row := c.clientRow(k); !committed[row] {
			t.Errorf("docs/compatibility.md has no row\n%s\nIf that is intended: cd e2e && go test -run TestCompatibility -update", row)
		}
	}
}

// clientRow returns the client's row of the second table.
func (c *compatibility) clientRow(k client.Kind) string {
	cells := []string{k.Name}
	for _, what := range credentials {
		cells = append(cells, c.byClient[way{k.Name, what}])
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

func (c *compatibility) row(v registry.Version, k client.Kind) string {
	cells := []string{k.Name, string(v)}
	for _, o := range operations {
		cells = append(cells, c.cells[cell{v, k.Name, o}])
	}
	return "| " + strings.Join(cells, " | ") + " |"
}
