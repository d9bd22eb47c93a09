// Package manual writes manual pages for man.
//
// A page is roff with the macros of man(7) that both groff and mandoc support. The input of a page
// is the part of Markdown that the references use: paragraphs, lists, fenced code, `code` and
// [links](page.md). Pages have no date, so the same program always writes the same page.
package manual

import (
	"fmt"
	"strings"
)

// Page is a manual page that is written from top to bottom.
type Page struct {
	b     strings.Builder
	begun bool // the section is not empty
}

// New begins a page in a section of the manual (1: commands, 5: files). The page names the
// program with its version, and has a description in one line.
func New(name string, section int, program, description string) *Page {
	p := new(Page)
	p.b.WriteString(".\\\" Written by tidewaiter man.\n")
	p.macro("TH", strings.ToUpper(name), fmt.Sprint(section), "", program, "Tidewaiter")
	p.b.WriteString(".nh\n.ad l\n") // no hyphenation, because users copy names and paths
	p.Section("Name")
	p.line(escape(name) + ` \- ` + escape(description))
	return p
}

// Section begins a section.
func (p *Page) Section(title string) {
	p.macro("SH", strings.ToUpper(title))
	p.begun = false
}

// Part begins a part of a section.
func (p *Page) Part(title string) {
	p.macro("SS", title)
	p.begun = false
}

// Item writes a term with a note beside it, and the indented text below.
func (p *Page) Item(term, note, text string) {
	p.b.WriteString(".TP\n")
	line := `\fB` + escape(term) + `\fR`
	if note != "" {
		line += ` \fI` + escape(note) + `\fR`
	}
	p.line(line)
	p.writeItem(text)
	p.begun = true
}

// Code writes text verbatim.
func (p *Page) Code(text string) {
	p.paragraph()
	p.b.WriteString(".RS 4\n.nf\n")
	for line := range strings.Lines(text) {
		p.line(escape(strings.TrimSuffix(line, "\n")))
	}
	p.b.WriteString(".fi\n.RE\n")
	p.begun = true
}

// paragraph begins a paragraph. At the top of a section it writes nothing.
func (p *Page) paragraph() {
	if p.begun {
		p.b.WriteString(".PP\n")
	}
}

// Bytes returns the page.
func (p *Page) Bytes() []byte { return []byte(p.b.String()) }

// macro writes a macro call with its arguments in quotes.
func (p *Page) macro(name string, arguments ...string) {
	p.b.WriteString("." + name)
	for _, a := range arguments {
		p.b.WriteString(` "` + strings.ReplaceAll(escape(a), `"`, `\(dq`) + `"`)
	}
	p.b.WriteByte('\n')
}

// line writes a line of text in a form that roff does not interpret as a macro.
func (p *Page) line(text string) {
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	p.b.WriteString(text + "\n")
}
