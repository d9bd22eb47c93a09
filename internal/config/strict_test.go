package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// If Load ignored unknown keys, a misspelt key of a rule could grant everything to everyone. The
// test misspells each key of each section in many ways. Each misspelt key must be an error that
// suggests the right key.
func TestEveryDocumentedKeyMisspelt(t *testing.T) {
	config, file := &misspeller{t: t, name: "tidewaiter.yaml"}, &misspeller{t: t, name: "policy.yaml"}
	file.around = files{"tidewaiter.yaml": "registries: [{service: r}]\npolicy: {files: [policy.yaml]}"}
	config.walk("", "{", "}", rowsOf(configKeys(nil)))
	policyKeys := policyfile.Sections(nil).Keys
	file.walk("", "{", "}", slices.DeleteFunc(policyKeys, func(r strictyaml.Row) bool { return slices.Contains([]string{"files", "shadow", "watch"}, r.Name) }))
	if config.keys < 60 || file.keys < 12 {
		t.Errorf("only %d and %d keys were tried", config.keys, file.keys)
	}
}

// misspeller misspells every key of one kind of file.
type misspeller struct {
	t      *testing.T
	name   string // of the file
	around files
	keys   int
}

// walk tries the keys of a section and of its subsections. The section is written between the
// texts begin and end.
func (m *misspeller) walk(path, begin, end string, rows []strictyaml.Row) {
	known := make([]string, len(rows))
	for i, r := range rows {
		known[i] = r.Name
	}
	for _, r := range rows {
		m.keys++
		for _, wrong := range misspellings(r.Name) {
			if !slices.Contains(known, wrong) {
				m.try(path, begin+wrong+": x"+end, wrong, r.Name)
			}
		}
		open, close := "{", "}"
		switch {
		case strings.HasPrefix(r.Kind, "list of "):
			open, close = "[{", "}]"
		case strings.HasPrefix(r.Kind, "map of names"):
			open, close = "{any: {", "}}"
		}
		m.walk(path+r.Name+".", begin+r.Name+": "+open, close+end, r.Keys)
	}
}

func (m *misspeller) try(path, text, wrong, right string) {
	m.t.Helper()
	disk := files{m.name: text}
	for name, text := range m.around {
		disk[name] = text
	}
	_, err := loadText(m.t, disk.withKeys())
	problems, _ := errors.AsType[strictyaml.Problems](err)
	for _, p := range problems {
		if strings.HasPrefix(p.Text, fmt.Sprintf("unknown key %q", wrong)) {
			if got := p.Suggestion; got != right && !asNear(wrong, got, right) {
				m.t.Errorf("%s%s: for %q the suggestion is %q", path, right, wrong, p.Suggestion)
			}
			return
		}
	}
	m.t.Errorf("%s%s: %q is accepted: %s\n%v", path, right, wrong, text, err)
}

// asNear reports whether another suggestion for the wrong word is as good as the right word. For
// example, rles can mean roles or rules.
func asNear(wrong, other, right string) bool {
	return other != "" && (text.Nearest(wrong, []string{other, right}) == other ||
		strings.HasPrefix(other, wrong)) // ser is the beginning of servers, and user without its u
}

// misspellings returns common misspellings of a word.
func misspellings(word string) []string {
	wrong := []string{
		strings.ToUpper(word), strings.ToUpper(word[:1]) + word[1:],
		word + "s", strings.TrimSuffix(word, "s"), word + "x", "x" + word,
		strings.ReplaceAll(word, "_", "-"), strings.ReplaceAll(word, "_", ""), strings.ReplaceAll(word, "_", " "),
	}
	for i := range word {
		wrong = append(wrong, word[:i]+word[i:i+1]+word[i:]) // twice
		if len(word) > 3 {
			wrong = append(wrong, word[:i]+word[i+1:], word[:i]+"x"+word[i+1:]) // missing, other
		}
		if i > 0 {
			wrong = append(wrong, word[:i-1]+word[i:i+1]+word[i-1:i]+word[i+1:]) // swapped
		}
	}
	if len(word) > 4 {
		wrong = append(wrong, word[:len(word)-2], word[:4])
	}
	slices.Sort(wrong)
	wrong = slices.Compact(wrong)
	return slices.DeleteFunc(wrong, func(w string) bool { return w == word || w == "" })
}

func rowsOf[S any](keys []*strictyaml.Key[S]) []strictyaml.Row {
	rows := make([]strictyaml.Row, len(keys))
	for i, k := range keys {
		rows[i] = k.Row
	}
	return rows
}

// Keys in a section without keys are errors.
func TestAnyoneHasNoKeys(t *testing.T) {
	_, err := loadText(t, files{"tidewaiter.yaml": `
registries: [{service: r}]
identity: [{anyone: {only: [ann]}}]
`}.withKeys())
	if err == nil {
		t.Error("anyone: {only: [ann]} is accepted")
	}
}
