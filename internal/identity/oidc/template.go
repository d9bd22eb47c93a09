package oidc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// template is a text with claims in braces, such as github:{repository}. The expanded text is
// never parsed again.
type template struct {
	pieces []piece
	end    string
}

// piece is literal text followed by a claim.
type piece struct {
	before string
	claim  claim
}

func parseTemplate(text string) (template, error) {
	var t template
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return t, errors.New("} without {")
		}
		if !found {
			t.end = before
			break
		}
		inside, after, found := strings.Cut(after, "}")
		if !found {
			return t, errors.New("{ without }")
		}
		c, err := parseClaim(inside)
		if err != nil {
			return t, err
		}
		if len(t.pieces) > 0 && before == "" {
			return t, fmt.Errorf("put a separator between {%s} and {%s}: otherwise ab and c would yield the same as a and bc", t.pieces[len(t.pieces)-1].claim.text, inside)
		}
		t.pieces = append(t.pieces, piece{before, c})
		rest = after
	}
	return t, nil
}

// expand replaces each claim by its texts, which come from the given function. A claim with a
// list yields one text for each element. More than one list is not supported. If a claim is
// absent or not supported, expand returns the name of this claim.
//
// A value must not contain the character that follows the claim in the template. Otherwise
// {a}/{b} would yield the same text for "x/y" and "z" as for "x" and "y/z". A claim at the end of
// the template may have any value.
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

// contains reports whether the template contains the claim.
func (t template) contains(name string) bool {
	return slices.ContainsFunc(t.pieces, func(p piece) bool { return p.claim.path[0] == name })
}
