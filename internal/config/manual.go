package config

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/manual"
)

// Manual returns the manual page of tidewaiter.yaml, from the same tables as docs/configuration.md.
func Manual(program string) []byte {
	p := manual.New("tidewaiter.yaml", 5, program, "the config of tidewaiter")
	p.Section("Description")
	p.Text(introduction)
	p.Section("Keys")
	for _, k := range configKeys() {
		p.Part(k.name)
		p.Text(k.means)
		p.Text("Holds: " + facts(k.row) + ".")
		if k.example != "" {
			p.Code(k.example)
		}
		explain(p, k.name, k.keys)
	}
	tests := testFileKeys()[0].row
	p.Section("Files of tests")
	p.Text(aboutTests)
	p.Part(tests.name)
	p.Text(tests.means)
	explain(p, tests.name, tests.keys)
	p.Section("Files")
	p.Item("tidewaiter.yaml", "", "The config, in the current folder, unless `--config` names another.")
	p.Section("See also")
	p.Text("`tidewaiter`(1), `tidewaiter-check`(1), `tidewaiter-policy-test`(1)")
	return p.Bytes()
}

// explain writes the keys of a section, and below them its subsections.
func explain(p *manual.Page, path string, keys []row) {
	for _, k := range keys {
		p.Item(k.name, strings.ReplaceAll(facts(k), "`", ""), k.means)
	}
	for _, k := range keys {
		if len(k.keys) > 0 {
			p.Part(path + "." + k.name)
			p.Text(k.means)
			explain(p, path+"."+k.name, k.keys)
		}
	}
}
