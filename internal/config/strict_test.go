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

// A service that ignores keys it does not know lets a misspelt match grant everything to
// everybody. Here, each key of each section, misspelt in any way, is refused, and the right one
// is named.
func TestEveryDocumentedKeyMisspelt(t *testing.T) {
	config, file := &misspeller{t: t, name: "tidewaiter.yaml"}, &misspeller{t: t, name: "policy.yaml"}
	file.around = files{"tidewaiter.yaml": "registries: [{service: r}]\npolicy: {files: [policy.yaml]}"}
	config.walk("", "{", "}", rowsOf(configKeys(nil)))
	policyKeys := policyfile.Sections(nil).Keys
	file.walk("", "{", "}", slices.DeleteFunc(policyKeys, func(r strictyaml.Row) bool { return r.Name == "files" || r.Name == "watch" }))
	if config.keys < 60 || file.keys < 12 {
		t.Errorf("%d and %d keys were tried: the walk does not see all", config.keys, file.keys)
	}
}

// misspeller misspells every key of one kind of file.
type misspeller struct {
	t      *testing.T
	name   string // of the file
	around files
	keys   int
}

// walk tries the keys of one section, which stands between begin and end, and of those within it.
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
		case strings.HasPrefix(r.Kind, "names, each with "):
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
	m.t.Errorf("%s%s: written as %q it is not refused: %s\n%v", path, right, wrong, text, err)
}

// asNear reports whether other may have been meant as well as right: rles is roles or rules.
func asNear(wrong, other, right string) bool {
	return other != "" && (text.Nearest(wrong, []string{other, right}) == other ||
		strings.HasPrefix(other, wrong)) // ser begins servers, and is user without its u
}

// misspellings returns what fingers and memories make of a word.
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

func rowsOf[S any](keys []strictyaml.Key[S]) []strictyaml.Row {
	rows := make([]strictyaml.Row, len(keys))
	for i, k := range keys {
		rows[i] = k.Row
	}
	return rows
}

// What a source without settings is given is not ignored either.
func TestAnyoneHasNoKeys(t *testing.T) {
	_, err := loadText(t, files{"tidewaiter.yaml": `
registries: [{service: r}]
identity: [{anyone: {only: [ann]}}]
`}.withKeys())
	if err == nil {
		t.Error("anyone: {only: [ann]} is let through, and would let in anyone")
	}
}
