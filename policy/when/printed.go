package when

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/parser"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// maxPrinted is the maximum length in bytes of a printed value or expression. Claims are
// untrusted and can be long.
const maxPrinted = 200

// textOf returns the source text of an expression, as CEL formats it.
func (c *condition) textOf(e ast.Expr) string {
	unparsed, err := parser.Unparse(e, c.ast.SourceInfo())
	if err != nil {
		return "a part of it"
	}
	return text.Shorten(unparsed, maxPrinted)
}

// formatValue formats a value for people. Examples are "refs/heads/main", 3, ["a", "b"], 10.1.2.3
// and none.
func formatValue(v ref.Val) string {
	var b strings.Builder
	write(&b, v, 0)
	return text.Shorten(b.String(), maxPrinted)
}

func write(b *strings.Builder, v ref.Val, depth int) {
	if b.Len() > maxPrinted {
		return // a longer text is cut off here
	}
	switch v := v.(type) {
	case types.String:
		b.WriteString(text.Quote(text.Shorten(string(v), maxPrinted)))
	case types.Double:
		b.WriteString(strconv.FormatFloat(float64(v), 'f', -1, 64))
	case types.Timestamp:
		b.WriteString(v.Format(time.RFC3339))
	case types.Duration:
		b.WriteString(v.Duration.String())
	case types.Null:
		b.WriteString("null")
	case ext.IP:
		b.WriteString(v.Addr.String())
	case ext.CIDR:
		b.WriteString(v.Prefix.String())
	case *types.Optional:
		if !v.HasValue() {
			b.WriteString("none")
			return
		}
		write(b, v.GetValue(), depth)
	case traits.Mapper, traits.Lister:
		if depth == 4 {
			b.WriteString("…")
			return
		}
		writeMany(b, v, depth)
	case types.Bool, types.Int, types.Uint:
		fmt.Fprint(b, v.Value())
	default:
		b.WriteString(typeNamed(v.Type().TypeName()))
	}
}

// writeMany writes a list, or a map sorted by key.
func writeMany(b *strings.Builder, v ref.Val, depth int) {
	var items []ref.Val
	for it := v.(traits.Iterable).Iterator(); it.HasNext() == types.True; {
		items = append(items, it.Next())
	}
	mapper, isMap := v.(traits.Mapper)
	brackets := "[]"
	if isMap {
		brackets = "{}"
		slices.SortFunc(items, func(a, b ref.Val) int { return strings.Compare(fmt.Sprint(a.Value()), fmt.Sprint(b.Value())) })
	}
	b.WriteString(brackets[:1])
	for i, item := range items {
		if b.Len() > maxPrinted {
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		write(b, item, depth+1)
		if isMap {
			b.WriteString(": ")
			write(b, mapper.Get(item), depth+1)
		}
	}
	b.WriteString(brackets[1:])
}
