package oidc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// template is a text with claims in braces: github:{repository}. What it comes to is text and
// never a template again.
type template struct {
	pieces []piece
	end    string
}

// piece is a text and the claim behind it.
type piece struct {
	before string
	claim  claim
}

func parseTemplate(text string) (template, error) {
	var t template
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return t, errors.New("there is a } without a {")
		}
		if !found {
			t.end = before
			break
		}
		inside, after, found := strings.Cut(after, "}")
		if !found {
			return t, errors.New("there is a { without a }")
		}
		c, err := parseClaim(inside)
		if err != nil {
			return t, err
		}
		if len(t.pieces) > 0 && before == "" {
			return t, fmt.Errorf("nothing is between {%s} and {%s}: ab and c would be the same as a and bc", t.pieces[len(t.pieces)-1].claim.text, inside)
		}
		t.pieces = append(t.pieces, piece{before, c})
		rest = after
	}
	return t, nil
}

// expand puts the claims in, as values returns each. A claim that is a list makes one text for
// each of its elements; of several lists, all combinations would be too many, and none is made.
// Missing is a claim that is not there.
//
// The value of a claim must not have the character in it that the template goes on with, unless it
// is the last: {a}/{b} of "x/y" and "z" would be the same as of "x" and "y/z".
func (t template) expand(claims map[string]any, values func(claim, map[string]any) ([]string, bool)) (texts []string, missing string) {
	texts = []string{""}
	lists := 0
	for i, p := range t.pieces {
		found, list := values(p.claim, claims)
		if len(found) == 0 && !list {
			return nil, p.claim.text
		}
		if list {
			lists++
		}
		if lists > 1 {
			return nil, p.claim.text
		}
		stop := ""
		if i+1 < len(t.pieces) {
			stop = t.pieces[i+1].before[:1]
		}
		longer := make([]string, 0, len(found)*len(texts))
		for _, v := range found {
			if v == "" || stop != "" && strings.Contains(v, stop) {
				continue
			}
			for _, text := range texts {
				longer = append(longer, text+p.before+v)
			}
		}
		texts = longer
	}
	for i := range texts {
		texts[i] += t.end
	}
	return texts, ""
}

// uses says whether a claim is part of the template.
func (t template) uses(name string) bool {
	return slices.ContainsFunc(t.pieces, func(p piece) bool { return p.claim.path[0] == name })
}
