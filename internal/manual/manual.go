// Package manual writes pages that man shows: how a command is called, what may stand in a file.
//
// A page is roff with the macros of man(7), and with none that groff alone or mandoc alone knows. What is put into
// it is Markdown as far as our references use it: paragraphs, lists, fenced code, `code` and [links](to another page of docs).
// No date is in it, so that the same program writes the same page.
package manual

import (
	"fmt"
	"strings"
)

// Page is a page that is being written, from its top to its end.
type Page struct {
	b     strings.Builder
	begun bool // the section has something in it
}

// New begins a page of a section of the manual (1: commands, 5: files): its name, of which program and version it is,
// and in a line what it is about.
func New(name string, section int, program, about string) *Page {
	p := new(Page)
	p.b.WriteString(".\\\" Written by tidewaiter man.\n")
	p.macro("TH", strings.ToUpper(name), fmt.Sprint(section), "", program, "Tidewaiter")
	p.b.WriteString(".nh\n.ad l\n") // no word is broken: names and paths are copied from here
	p.Section("Name")
	p.line(escape(name) + ` \- ` + escape(about))
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

// Item is a term with a note beside it, and below them, farther in, what is said of it.
func (p *Page) Item(term, note, text string) {
	p.b.WriteString(".TP\n")
	line := `\fB` + escape(term) + `\fR`
	if note != "" {
		line += ` \fI` + escape(note) + `\fR`
	}
	p.line(line)
	p.below(text)
	p.begun = true
}

// Code is shown as it is, line by line.
func (p *Page) Code(text string) {
	p.paragraph()
	p.b.WriteString(".RS 4\n.nf\n")
	for line := range strings.Lines(text) {
		p.line(escape(strings.TrimSuffix(line, "\n")))
	}
	p.b.WriteString(".fi\n.RE\n")
	p.begun = true
}

// paragraph leaves a line, unless at the top of a section, where there is one.
func (p *Page) paragraph() {
	if p.begun {
		p.b.WriteString(".PP\n")
	}
}

// Bytes returns the page.
func (p *Page) Bytes() []byte { return []byte(p.b.String()) }

// macro calls one, with its arguments in quotes.
func (p *Page) macro(name string, arguments ...string) {
	p.b.WriteString("." + name)
	for _, a := range arguments {
		p.b.WriteString(` "` + strings.ReplaceAll(escape(a), `"`, `\(dq`) + `"`)
	}
	p.b.WriteByte('\n')
}

// line writes a line of text, which roff does not take for a macro, whatever it begins with.
func (p *Page) line(text string) {
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	p.b.WriteString(text + "\n")
}
