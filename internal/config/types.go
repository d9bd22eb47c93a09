package config

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// pointer is the type of a section that can be missing.
func pointer[T any](of strictyaml.Type[T]) strictyaml.Type[*T] {
	return strictyaml.Type[*T]{Kind: of.Kind, Keys: of.Keys, Read: func(d *strictyaml.Decoder, n *yaml.Node) (*T, bool) {
		v, ok := of.Read(d, n)
		return &v, ok
	}}
}

// oneOrMore is the type of a value or a list of values.
func oneOrMore[T any](of strictyaml.Type[T]) strictyaml.Type[[]T] {
	many := strictyaml.List(of)
	return strictyaml.Type[[]T]{Kind: of.Kind + " or " + many.Kind, Read: func(d *strictyaml.Decoder, n *yaml.Node) ([]T, bool) {
		if n.Kind == yaml.SequenceNode {
			return many.Read(d, n)
		}
		v, ok := of.Read(d, n)
		return []T{v}, ok
	}}
}

// oneOf is the type of a text that must be one of the given words.
func oneOf[T ~string](of ...T) strictyaml.Type[T] {
	words := make([]string, len(of))
	for i, w := range of {
		words[i] = string(w)
	}
	return strictyaml.Scalar("one of "+strings.Join(words, ", "), func(d *strictyaml.Decoder, n *yaml.Node, s string) (T, bool) {
		for _, w := range of {
			if string(w) == s {
				return w, true
			}
		}
		d.Suggest(n, d.Nearest(s, words), "%s is not one of %s", text.QuoteShort(s), strings.Join(words, ", "))
		return "", false
	})
}

// duration is the type of a duration of whole seconds within the given limits.
func duration(least, most time.Duration) strictyaml.Type[time.Duration] {
	return strictyaml.Scalar("duration", func(d *strictyaml.Decoder, n *yaml.Node, s string) (time.Duration, bool) {
		v, err := time.ParseDuration(s)
		switch {
		case err != nil:
			d.Suggest(n, text.MeantDuration(s), "%s is not a duration like 90s, 5m or 24h", text.QuoteShort(s))
		case v < least || v > most:
			d.Problem(n, "%s is not between %s and %s", text.QuoteShort(s), text.Duration(least), text.Duration(most))
		case v%time.Second != 0:
			d.Problem(n, "%s must be whole seconds, because tokens count seconds", text.QuoteShort(s))
		default:
			return v, true
		}
		return 0, false
	})
}

// count is the type of a number within the given limits.
func count(least, most int) strictyaml.Type[int] {
	return strictyaml.Scalar("number", func(d *strictyaml.Decoder, n *yaml.Node, s string) (int, bool) {
		v, err := strconv.Atoi(s)
		if err != nil || v < least || v > most {
			d.Problem(n, "%s is not a number from %d to %d", text.QuoteShort(s), least, most)
			return 0, false
		}
		return v, true
	})
}
