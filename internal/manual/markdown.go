package manual

import (
	"fmt"
	"regexp"
	"strings"
)

// Text writes paragraphs, lists and fenced code.
func (p *Page) Text(markdown string) {
	for _, b := range parseBlocks(markdown) {
		p.block(b)
	}
}

// writeItem writes the text of an item: the first paragraph directly below the term, the other
// paragraphs with the same indentation.
func (p *Page) writeItem(markdown string) {
	for i, b := range parseBlocks(markdown) {
		switch {
		case b.kind == paragraph && i == 0:
			p.line(convertInline(b.text))
		case b.kind == paragraph:
			p.b.WriteString(".IP\n")
			p.line(convertInline(b.text))
		default:
			p.b.WriteString(".RS\n")
			p.block(b)
			p.b.WriteString(".RE\n")
		}
	}
}

func (p *Page) block(b block) {
	switch b.kind {
	case code:
		p.Code(b.text)
	case item:
		p.b.WriteString(".IP \\(bu 2\n")
		p.line(convertInline(b.text))
	default:
		p.paragraph()
		p.line(convertInline(b.text))
	}
	p.begun = true
}

type kind int

const (
	paragraph kind = iota
	item           // of a list
	code
)

type block struct {
	kind kind
	text string
}

// parseBlocks parses Markdown into blocks. It joins the lines of paragraphs and items, and keeps
// the lines of code as they are.
func parseBlocks(markdown string) []block {
	var found []block
	open, fenced := false, false // whether the next line continues the previous block
	for line := range strings.Lines(markdown) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			if fenced = !fenced; fenced {
				found = append(found, block{kind: code})
			}
			open = false
		case fenced:
			found[len(found)-1].text += line + "\n"
		case strings.TrimSpace(line) == "":
			open = false
		case strings.HasPrefix(line, "- "):
			found, open = append(found, block{item, line[2:]}), true
		case open:
			found[len(found)-1].text += " " + strings.TrimSpace(line)
		default:
			found, open = append(found, block{paragraph, line}), true
		}
	}
	return found
}

var (
	spans = regexp.MustCompile("`[^`]+`")
	links = regexp.MustCompile(`\[([^\]]+)\]\(([^)#]*)[^)]*\)`)
)

// convertInline converts a line of Markdown to roff. `code` becomes bold, and the target follows
// the text of a link. Pages of docs link to each other by file name.
func convertInline(text string) string {
	text = links.ReplaceAllStringFunc(text, func(link string) string {
		found := links.FindStringSubmatch(link)
		said, to := found[1], found[2]
		if !strings.Contains(to, "://") {
			to = "docs/" + to
		}
		return said + " (" + to + ")"
	})
	var b strings.Builder
	end := 0
	for _, at := range spans.FindAllStringIndex(text, -1) {
		b.WriteString(escape(text[end:at[0]]))
		fmt.Fprintf(&b, `\fB%s\fR`, escape(text[at[0]+1:at[1]-1]))
		end = at[1]
	}
	b.WriteString(escape(text[end:]))
	return b.String()
}

// escape returns text that roff prints literally, with ASCII hyphens and quotes that can be
// copied into a shell.
func escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch r {
		case '\\':
			b.WriteString(`\e`)
		case '-':
			b.WriteString(`\-`)
		case '\'':
			b.WriteString(`\(aq`)
		case '`':
			b.WriteString(`\(ga`)
		case '^':
			b.WriteString(`\(ha`)
		case '~':
			b.WriteString(`\(ti`)
		case '\n':
			b.WriteByte(' ') // a separate line could be a macro
		default:
			if r > '~' {
				fmt.Fprintf(&b, `\[u%04X]`, r)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}
