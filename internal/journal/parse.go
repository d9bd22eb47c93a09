package journal

import (
	"encoding/json"
	"net/netip"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/notification"
)

// lineParser parses the parts of an entry's line. It accepts exactly the form in which the encoder
// writes decisions and events, and takes a fifth of the time of encoding/json. encoding/json
// parses all other lines: other kinds of entries, texts with escapes, other orders of fields. For
// each line that lineParser accepts, encoding/json would return the same value.
//
// Consecutive entries often have the same text in a field. So lineParser stores the last text of
// some fields, and equal values share the memory of this text.
type lineParser struct {
	rest   []byte // the part that is not parsed yet
	first  bool   // the object has no fields yet
	failed bool   // the line has a form that lineParser does not accept

	recent [recentTexts]string
	remote netip.Addr // of recent[recentRemote]
}

// Fields whose last text is stored.
const (
	recentRegistry = iota
	recentCredential
	recentName
	recentPolicy
	recentRemote
	recentClient
	recentAction
	recentMedia
	recentActor
	recentMethod
	recentSource
	recentInstance
	recentHost
	recentTexts
	alone // not stored
)

// parsePublic parses the public part of a line.
func (p *lineParser) parsePublic(b []byte) (l entryLine, err error) {
	if p.parse(b, func() { p.entry(&l) }) {
		return l, nil
	}
	l = entryLine{}
	return l, json.Unmarshal(b, &l)
}

// parsePrivate parses the private part of a line. The part must not be erased.
func (p *lineParser) parsePrivate(b []byte) (l privateLine, err error) {
	if len(b) == 0 || p.parse(b, func() { p.persons(&l) }) {
		return l, nil
	}
	l = privateLine{}
	return l, json.Unmarshal(b, &l)
}

// parse reports whether the function parseLine parsed all of b.
func (p *lineParser) parse(b []byte, parseLine func()) bool {
	p.rest, p.failed = b, false
	parseLine()
	ok := !p.failed && len(p.rest) == 0
	p.rest = nil
	return ok
}

func (p *lineParser) entry(l *entryLine) {
	p.begin()
	l.ID = p.id(p.field(`"id":`))
	p.require(`"at":`)
	l.At = p.number()
	l.Registry = p.optionalText(`"registry":`, recentRegistry)
	switch {
	case p.field(`"decision":`):
		l.Decision = new(decisionLine)
		p.decision(l.Decision)
	case p.field(`"event":`):
		l.Event = new(notification.Event)
		p.event(l.Event)
	default:
		p.failed = true
	}
	p.end()
}

func (p *lineParser) persons(l *privateLine) {
	p.begin()
	p.require(`"salt":`)
	p.text()
	l.Name = p.optionalText(`"name":`, alone)
	if p.field(`"remote":`) {
		l.Remote = p.address()
	}
	l.Client = p.optionalText(`"client":`, recentClient)
	l.Address = p.optionalText(`"address":`, alone)
	l.Host = p.optionalText(`"host":`, recentHost)
	l.UserAgent = p.optionalText(`"user_agent":`, recentClient)
	p.end()
}

// address parses an address. If the text equals the last one, it returns the last address.
func (p *lineParser) address() netip.Addr {
	last := p.recent[recentRemote]
	text := p.string(recentRemote)
	if text == last && text != "" {
		return p.remote
	}
	at, err := netip.ParseAddr(text)
	if err != nil {
		p.failed, p.recent[recentRemote] = true, ""
	}
	p.remote = at
	return at
}

func (p *lineParser) decision(d *decisionLine) {
	p.begin()
	p.require(`"credential":`)
	d.Credential = p.string(recentCredential)
	if p.field(`"results":`) {
		p.list(func() {
			d.Results = append(d.Results, resultLine{})
			p.result(&d.Results[len(d.Results)-1])
		})
	}
	if p.nextIs(`"ignored":`) { // rare
		p.failed = true
	}
	d.Policy = p.optionalText(`"policy":`, recentPolicy)
	if p.field(`"token":`) {
		token := p.id(true)
		d.Token = &token
	}
	if p.field(`"life":`) {
		life := p.number()
		d.Life = &life
	}
	d.Refused = p.optionalText(`"refused":`, alone)
	p.end() // fails in the rare case that the entry stands for several refusals
}

func (p *lineParser) result(r *resultLine) {
	p.begin()
	p.require(`"name":`)
	r.Name = p.string(recentName)
	if p.field(`"type":`) {
		text := p.string(alone)
		r.Type = &text
	}
	r.Class = p.optionalText(`"class":`, alone)
	p.require(`"asked":`)
	r.Asked = p.smallNumber()
	p.require(`"granted":`)
	r.Granted = p.smallNumber()
	if p.field(`"causes":`) {
		p.list(func() {
			var c causeLine
			p.begin()
			p.require(`"actions":`)
			c.Actions = p.smallNumber()
			p.require(`"reason":`)
			c.Reason = p.smallNumber()
			if p.field(`"rule":`) {
				rule := int(p.number())
				c.Rule = &rule
			}
			p.end()
			r.Causes = append(r.Causes, c)
		})
	}
	p.end()
}

func (p *lineParser) event(e *notification.Event) {
	p.begin()
	p.require(`"id":`)
	e.ID = p.string(alone)
	p.require(`"time":`)
	if text := p.text(); !p.failed && e.Time.UnmarshalText(text) != nil {
		p.failed = true
	}
	p.require(`"action":`)
	e.Action = p.string(recentAction)
	p.require(`"repository":`)
	e.Repository = p.string(recentName)
	e.FromRepository = p.optionalText(`"from_repository":`, alone)
	e.MediaType = p.optionalText(`"media_type":`, recentMedia)
	e.Digest = p.optionalText(`"digest":`, alone)
	if p.field(`"size":`) {
		e.Size = p.number()
	}
	e.Tag = p.optionalText(`"tag":`, alone)
	e.URL = p.optionalText(`"url":`, alone)
	if p.field(`"references":`) {
		p.list(func() {
			var d notification.Descriptor
			p.begin()
			d.MediaType = p.optionalText(`"media_type":`, recentMedia)
			d.Digest = p.optionalText(`"digest":`, alone)
			if p.field(`"size":`) {
				d.Size = p.number()
			}
			p.end()
			e.References = append(e.References, d)
		})
	}
	if p.field(`"omitted_references":`) {
		e.Omitted = int(p.number())
	}
	e.Actor = p.optionalText(`"actor":`, recentActor)
	if p.field(`"request":`) {
		p.begin()
		e.Request.ID = p.optionalText(`"id":`, alone)
		e.Request.Method = p.optionalText(`"method":`, recentMethod)
		p.end()
	}
	if p.field(`"source":`) {
		p.begin()
		e.Source.Address = p.optionalText(`"address":`, recentSource)
		e.Source.Instance = p.optionalText(`"instance":`, recentInstance)
		p.end()
	}
	p.end()
}

// The methods begin and end parse the braces of an object.
func (p *lineParser) begin() { p.want('{'); p.first = true }
func (p *lineParser) end()   { p.want('}'); p.first = false }

// list parses a list with at least one element. It stops at an error.
func (p *lineParser) list(element func()) {
	p.want('[')
	for element(); !p.failed; element() {
		if len(p.rest) == 0 || p.rest[0] != ',' {
			break
		}
		p.rest = p.rest[1:]
	}
	p.want(']')
}

func (p *lineParser) want(c byte) {
	if len(p.rest) == 0 || p.rest[0] != c {
		p.failed, p.rest = true, nil
		return
	}
	p.rest = p.rest[1:]
}

// nextIs reports whether the next field of the object has the key. The key is given with its
// quotes and its colon.
func (p *lineParser) nextIs(key string) bool {
	rest := p.rest
	if !p.first {
		if len(rest) == 0 || rest[0] != ',' {
			return false
		}
		rest = rest[1:]
	}
	return len(rest) >= len(key) && string(rest[:len(key)]) == key
}

// field is like nextIs, but also parses the key.
func (p *lineParser) field(key string) bool {
	if !p.nextIs(key) {
		return false
	}
	if !p.first {
		p.rest = p.rest[1:]
	}
	p.rest, p.first = p.rest[len(key):], false
	return true
}

func (p *lineParser) require(key string) {
	if !p.field(key) {
		p.failed, p.rest = true, nil
	}
}

// optionalText returns the text of a field, or "" if the object does not have the field.
func (p *lineParser) optionalText(key string, recent int) string {
	if !p.field(key) {
		return ""
	}
	return p.string(recent)
}

func (p *lineParser) string(recent int) string {
	text := p.text()
	if recent >= recentTexts {
		return string(text)
	}
	if p.recent[recent] != string(text) {
		p.recent[recent] = string(text)
	}
	return p.recent[recent]
}

// text parses a string without escapes, and returns the text between the quotes.
func (p *lineParser) text() []byte {
	p.want('"')
	for i, c := range p.rest {
		switch {
		case c == '"':
			text := p.rest[:i]
			if p.rest = p.rest[i+1:]; !utf8.Valid(text) {
				p.failed = true
			}
			return text
		case c == '\\' || c < ' ':
			p.failed, p.rest = true, nil
			return nil
		}
	}
	p.failed, p.rest = true, nil
	return nil
}

// id parses an id. It fails unless the key before the id was found.
func (p *lineParser) id(hasKey bool) (id ID) {
	if text := p.text(); !hasKey || p.failed || id.UnmarshalText(text) != nil {
		p.failed = true
	}
	return id
}

// number parses an integer of at most 18 digits.
func (p *lineParser) number() (n int64) {
	b, sign := p.rest, int64(1)
	if len(b) > 0 && b[0] == '-' {
		b, sign = b[1:], -1
	}
	i := 0
	for i < len(b) && i < 19 && '0' <= b[i] && b[i] <= '9' {
		n = 10*n + int64(b[i]-'0')
		i++
	}
	if i == 0 || i == 19 || i > 1 && b[0] == '0' {
		p.failed, p.rest = true, nil
		return 0
	}
	p.rest = b[i:]
	return sign * n
}

// smallNumber parses a number of one byte.
func (p *lineParser) smallNumber() number {
	n := p.number()
	if n < 0 || n > 255 {
		p.failed = true
	}
	return number(n)
}
