package journal

import (
	"encoding/json"
	"fmt"

	"github.com/tidewaiter/tidewaiter/policy"
)

// parseHead parses the first line of a block. It also returns its rules.
func (p *lineParser) parseHead(b []byte) (l headLine, rules []*policy.Rule, err error) {
	var lines []ruleLine
	if p.parse(b, func() { lines = p.head(&l) }) {
		for i := range lines {
			rules = append(rules, lines[i].rule())
		}
		return l, rules, nil
	}
	l = headLine{}
	if err := json.Unmarshal(b, &l); err != nil {
		return l, nil, err
	}
	for _, text := range l.Rules {
		rule, err := parseRule(text)
		if err != nil {
			return l, nil, err
		}
		rules = append(rules, rule)
	}
	return l, rules, nil
}

func (p *lineParser) head(l *headLine) (rules []ruleLine) {
	p.begin()
	p.require(`"form":`)
	l.Form = int(p.smallNumber())
	if p.field(`"principals":`) {
		p.list(func() {
			var r principalRefLine
			p.begin()
			p.require(`"number":`)
			r.Number = p.number()
			p.require(`"sha256":`)
			r.SHA256 = p.string(alone)
			p.end()
			l.Principals = append(l.Principals, r)
		})
	}
	if p.field(`"rules":`) {
		p.list(func() {
			var r ruleLine
			before := p.rest
			p.rule(&r)
			l.Rules = append(l.Rules, before[:len(before)-len(p.rest)])
			rules = append(rules, r)
		})
	}
	p.end()
	return rules
}

func (p *lineParser) rule(r *ruleLine) {
	p.begin()
	p.require(`"name":`)
	r.Name = p.string(alone)
	r.File = p.optionalText(`"file":`, alone)
	if p.field(`"line":`) {
		r.Line = int(p.number())
	}
	r.Namespace = p.optionalText(`"namespace":`, alone)
	p.end()
}

// parseRule reads the JSON of a rule.
func parseRule(text []byte) (*policy.Rule, error) {
	var r ruleLine
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("its rule: %w", err)
	}
	return r.rule(), nil
}

func (r *ruleLine) rule() *policy.Rule {
	origin := policy.Origin{File: r.File, Line: r.Line, Namespace: r.Namespace, Database: r.File == "" && r.Namespace == ""}
	return &policy.Rule{Name: r.Name, Origin: origin}
}
