package config

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// scalar is a value in one line. What is written is taken as it is: 0777 and on are texts where texts are meant.
func scalar[T any](kind string, convert func(d *decoder, n *yaml.Node, s string) (T, bool)) valueType[T] {
	wanted := indefinite(kind)
	return valueType[T]{kind: kind, read: func(d *decoder, n *yaml.Node) (T, bool) {
		if !d.is(n, yaml.ScalarNode, wanted) {
			var none T
			return none, false
		}
		return convert(d, n, n.Value)
	}}
}

func indefinite(kind string) string {
	if kind == "true or false" || kind == "true" || strings.HasPrefix(kind, "one of ") {
		return kind
	}
	if strings.ContainsRune("aeiou", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + kind
}

// line is a text of one line, with something in it, and nothing at its ends that cannot be seen.
func line() valueType[string] {
	return scalar("text", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		trimmed := strings.TrimSpace(s)
		switch {
		case trimmed == "":
			d.problem(n, "the text is empty")
		case !text.OneLine(s):
			d.problem(n, "the text contains a line end, a tab or a control character")
		case trimmed != s:
			d.suggest(n, trimmed, "the text begins or ends with white space")
		default:
			return s, true
		}
		return "", false
	})
}

// oneOrMore is one value, or a list of them.
func oneOrMore[T any](of valueType[T]) valueType[[]T] {
	many := list(of)
	return valueType[[]T]{kind: of.kind + ", or list of " + of.kind + "s", read: func(d *decoder, n *yaml.Node) ([]T, bool) {
		if n.Kind == yaml.SequenceNode {
			return many.read(d, n)
		}
		v, ok := of.read(d, n)
		return []T{v}, ok
	}}
}

// prose is a text of any number of lines, for people.
func prose() valueType[string] {
	return scalar("text", func(d *decoder, n *yaml.Node, s string) (string, bool) { return s, true })
}

// boolean is true or false.
func boolean() valueType[bool] {
	return scalar("true or false", func(d *decoder, n *yaml.Node, s string) (bool, bool) {
		if n.Style == 0 {
			switch s {
			case "true":
				return true, true
			case "false":
				return false, true
			}
		}
		suggestion := ""
		switch strings.ToLower(s) {
		case "yes", "on", "y", "true", "1":
			suggestion = "true"
		case "no", "off", "n", "false", "0":
			suggestion = "false"
		}
		d.suggest(n, suggestion, "must be true or false, not %s", text.QuoteShort(s))
		return false, false
	})
}

// set is a key that can only be true: to leave it out is to say false.
func set() valueType[bool] {
	s := boolean()
	inner := s.read
	s.kind = "true"
	s.read = func(d *decoder, n *yaml.Node) (bool, bool) {
		v, ok := inner(d, n)
		if ok && !v {
			d.problem(n, "the only value is true; leave out the key instead")
			return false, false
		}
		return v, ok
	}
	return s
}

// one is one of a few words.
func one[T ~string](of ...T) valueType[T] {
	words := make([]string, len(of))
	for i, w := range of {
		words[i] = string(w)
	}
	return scalar("one of "+strings.Join(words, ", "), func(d *decoder, n *yaml.Node, s string) (T, bool) {
		for _, w := range of {
			if string(w) == s {
				return w, true
			}
		}
		d.suggest(n, d.nearest(s, words), "%s is not one of %s", text.QuoteShort(s), strings.Join(words, ", "))
		return "", false
	})
}

// duration is a time between two bounds.
func duration(least, most time.Duration) valueType[time.Duration] {
	return scalar("duration", func(d *decoder, n *yaml.Node, s string) (time.Duration, bool) {
		v, err := time.ParseDuration(s)
		switch {
		case err != nil:
			d.suggest(n, text.MeantDuration(s), "%s is not a duration like 90s, 5m or 24h", text.QuoteShort(s))
		case v < least || v > most:
			d.problem(n, "%s is not between %s and %s", text.QuoteShort(s), text.Duration(least), text.Duration(most))
		case v%time.Second != 0:
			d.problem(n, "%s must be whole seconds, because tokens count seconds", text.QuoteShort(s))
		default:
			return v, true
		}
		return 0, false
	})
}
