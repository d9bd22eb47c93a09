package strictyaml

import (
	"bytes"
	"sync"

	"go.yaml.in/yaml/v4"
)

// minPiece is the minimum size of a piece in bytes. For smaller pieces, parallel parsing would
// cost more time than it saves.
const minPiece = 32 << 10

// parseSplit parses a text that ends with a long list of rules. It parses the list in pieces,
// with at most the given number of goroutines, because parsing is most of the cost of loading
// a large policy. For any other text, and for a text with an error, parseSplit returns nil.
// The caller then uses parseWhole, which also finds the error.
//
// Pieces are small, so that other goroutines can run between two pieces. Go preempts a goroutine
// only after 10 ms. With large pieces, a request that arrives during a reload would wait longer.
//
// The list is cut before lines that begin an item, and each piece is parsed separately. This
// gives the same nodes as parsing the whole list. If a quoted text or a bracket is open at a cut,
// the piece has an error, and parseSplit returns nil. All other parts of YAML end at a line with
// less indentation.
func parseSplit(src []byte, goroutines, least int) *yaml.Node {
	begin, indent, ok := findRules(src)
	if !ok || len(src)-begin < 2*least {
		return nil
	}
	starts, ok := items(src, begin, indent)
	if !ok {
		return nil
	}

	var cuts, counts []int // the end of each piece in src, and its number of items
	first := 0
	for i, start := range starts {
		if start-starts[first] >= least {
			cuts, counts, first = append(cuts, start), append(counts, i-first), i
		}
	}
	cuts, counts = append(cuts, len(src)), append(counts, len(starts)-first)

	roots := make([]*yaml.Node, len(cuts))
	slots := make(chan struct{}, goroutines)
	var wait sync.WaitGroup
	from, lines := 0, 0
	for i, to := range cuts {
		piece, above := src[from:to], lines
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			root, err := parseWhole(piece)
			if err != nil {
				return
			}
			roots[i] = root
			if i > 0 {
				moveDown(root, above)
			}
		})
		from, lines = to, lines+bytes.Count(piece, []byte("\n"))
	}
	wait.Wait()

	root := roots[0]
	if root == nil {
		return nil
	}
	list := At(root, "rules")
	if list == root {
		list = At(root, "policy", "rules")
	}
	if line, _ := place(src, begin); list.Line != line || list.Column != indent+1 {
		return nil // the pieces are of another list
	}
	for i, part := range append([]*yaml.Node{list}, roots[1:]...) {
		if part == nil || part.Kind != yaml.SequenceNode || len(part.Content) != counts[i] {
			return nil
		}
		if i > 0 {
			list.Content = append(list.Content, part.Content...)
		}
	}
	return root
}

// findRules returns the index of the line with the first item below a line "rules:", and its
// indentation.
func findRules(src []byte) (begin, indent int, ok bool) {
	found := false
	for begin < len(src) {
		line, rest, _ := bytes.Cut(src[begin:], []byte("\n"))
		text := bytes.TrimLeft(line, " ")
		indent = len(line) - len(text)
		switch {
		case isBlank(text):
		case found:
			return begin, indent, bytes.HasPrefix(text, []byte("- "))
		default:
			found = string(bytes.TrimRight(text, " \r")) == "rules:"
		}
		if len(rest) == 0 {
			break
		}
		begin += len(line) + 1
	}
	return 0, 0, false
}

// items returns the indexes of the lines that begin an item of the list. The list starts at the
// index begin. If the text from there on has other content, too, items returns false.
func items(src []byte, begin, indent int) (starts []int, ok bool) {
	for at := begin; at < len(src); {
		line, _, _ := bytes.Cut(src[at:], []byte("\n"))
		text := bytes.TrimLeft(line, " ")
		switch depth := len(line) - len(text); {
		case isBlank(text), depth > indent:
		case depth == indent && bytes.HasPrefix(text, []byte("- ")):
			starts = append(starts, at)
		default:
			return nil, false
		}
		at += len(line) + 1
	}
	return starts, true
}

// isBlank reports whether the rest of a line is empty or a comment.
func isBlank(text []byte) bool {
	text = bytes.TrimRight(text, " \r")
	return len(text) == 0 || text[0] == '#'
}

// moveDown increases the line numbers of n and its descendants by the given number of lines.
func moveDown(n *yaml.Node, lines int) {
	n.Line += lines
	for _, child := range n.Content {
		moveDown(child, lines)
	}
}
