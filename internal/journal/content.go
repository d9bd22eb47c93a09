package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
)

// The first byte of a content is its format. If this byte is "{", the content consists of the
// lines themselves, without compression. The other formats are compressed with DEFLATE:
//
//   - deflated: the number of bytes of the lines, as a varint, and the lines.
//   - parted: a table, then the compressed lines of each part. The table has the number of parts.
//     For each part, it has the number of positions, the length of the lines, and their compressed
//     length. All numbers are varints. The lines of the first part are the dictionary for the
//     other parts. So reading one entry of 256 means decompressing two parts of sixteen lines
//     each.
const (
	deflated = 0x01
	parted   = 0x02
)

const (
	// partLines is the number of lines of a part. With parts, a block with entries of CI jobs is a
	// twelfth larger than without parts, but reading an entry takes an eighth of the time.
	partLines = 16
	// maxContent limits the decompressed content, in bytes, so that a damaged block cannot
	// exhaust the memory. A block of the largest events is smaller than this limit.
	maxContent = 256 << 20
	// At compressionLevel, compression takes half of the time of compress/flate at its
	// default level, and the result is equally short.
	compressionLevel = 6
)

// isCompressed reports whether a block's content is compressed.
func (b *block) isCompressed() bool { return len(b.content) > 0 && b.content[0] != '{' }

// part is a part of a block's content.
type part struct {
	first, end Position
	size       int // length of the lines
	content    []byte
	compressed bool
	read       bool // its lines are in the openBlock
}

// splitContent returns the parts of a block, at least one.
func splitContent(b *block) ([]part, error) {
	content := b.content
	whole := part{first: b.first, end: b.end(), content: content, size: len(content)}
	switch {
	case len(content) > 0 && !b.isCompressed():
		return []part{whole}, nil
	case len(content) > 0 && content[0] == deflated:
		size, n := binary.Uvarint(content[1:])
		if n <= 0 || size > maxContent {
			return nil, errors.New("its compressed content has no valid length")
		}
		whole.content, whole.size, whole.compressed = content[1+n:], int(size), true
		return []part{whole}, nil
	case len(content) > 0 && content[0] == parted:
		return splitParts(b, content[1:])
	}
	return nil, errors.New("its content has an unknown format")
}

func splitParts(b *block, rest []byte) ([]part, error) {
	wrong := errors.New("its compressed content has no valid list of parts")
	number := func(most int) (n int, ok bool) {
		value, length := binary.Uvarint(rest)
		if length <= 0 || value > uint64(most) {
			return 0, false
		}
		rest = rest[length:]
		return int(value), true
	}
	n, ok := number(len(rest) / 3)
	if !ok || n == 0 {
		return nil, wrong
	}
	parts, lengths := make([]part, n), make([]int, n)
	position, all := b.first, 0
	for i := range parts {
		positions, ok := number(maxContent)
		size, ok2 := number(maxContent - all)
		length, ok3 := number(len(rest))
		if !ok || !ok2 || !ok3 || positions == 0 {
			return nil, wrong
		}
		parts[i] = part{first: position, end: position + Position(positions), size: size, compressed: true}
		lengths[i], position, all = length, parts[i].end, all+size
	}
	if position != b.end() {
		return nil, fmt.Errorf("it has %d entries, want %d", position-b.first, b.entries)
	}
	for i, length := range lengths {
		if length > len(rest) {
			return nil, wrong
		}
		parts[i].content, rest = rest[:length:length], rest[length:]
	}
	if len(rest) > 0 {
		return nil, wrong
	}
	return parts, nil
}

// inflater decompresses parts.
type inflater struct {
	r  io.Reader // nil: none yet
	in bytes.Reader
}

// lines returns the lines of a part. The lines of the first part are its dictionary.
func (f *inflater) lines(p *part, dictionary []byte) ([]byte, error) {
	if !p.compressed {
		return p.content, nil
	}
	f.in.Reset(p.content)
	if f.r == nil {
		f.r = flate.NewReaderDict(&f.in, dictionary)
	} else if err := f.r.(flate.Resetter).Reset(&f.in, dictionary); err != nil {
		return nil, err
	}
	// DEFLATE needs at least one byte for about a thousand bytes.
	if p.size > 1100*len(p.content) {
		return nil, errors.New("its compressed content is damaged: wrong length")
	}
	lines := make([]byte, p.size)
	if _, err := io.ReadFull(f.r, lines); err != nil {
		return nil, fmt.Errorf("its compressed content is damaged: %w", err)
	}
	if n, err := f.r.Read(make([]byte, 1)); n > 0 || err != io.EOF || f.in.Len() > 0 {
		return nil, errors.New("its compressed content is damaged: wrong length")
	}
	return lines, nil
}

// deflater compresses contents.
type deflater struct {
	w   *flate.Writer // nil: none yet
	out bytes.Buffer
}

// content returns the compressed content, or the given content if it is shorter.
func (d *deflater) content(content []byte) []byte {
	if d.w == nil {
		d.w, _ = flate.NewWriter(nil, compressionLevel) // the level is valid
	}
	d.out.Reset()
	var table []byte
	parts := 0
	for rest := content; len(rest) > 0; parts++ {
		var lines []byte
		var positions int
		lines, rest, positions = cutPart(rest, parts == 0)
		before := d.out.Len()
		switch parts {
		case 0:
			d.w.ResetDict(&d.out, nil)
		case 1:
			d.w.ResetDict(&d.out, content[:len(content)-len(rest)-len(lines)])
		default:
			d.w.Reset(&d.out)
		}
		_, _ = d.w.Write(lines) // a Buffer has no errors
		_ = d.w.Close()
		table = binary.AppendUvarint(table, uint64(positions))
		table = binary.AppendUvarint(table, uint64(len(lines)))
		table = binary.AppendUvarint(table, uint64(d.out.Len()-before))
	}
	head := append(binary.AppendUvarint([]byte{parted}, uint64(parts)), table...)
	if len(head)+d.out.Len() >= len(content) {
		return content
	}
	return append(head, d.out.Bytes()...)
}

// cutPart cuts the lines of the next part from a content. It returns these lines, the rest
// of the content, and the number of positions of the part. The first line of a block has no
// position.
func cutPart(content []byte, first bool) (lines, rest []byte, positions int) {
	end := 0
	if first {
		end = bytes.IndexByte(content, '\n') + 1
	}
	for n := 0; n < partLines && end < len(content); n++ {
		line := content[end:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		switch {
		case line[0] != '~':
			positions++
		default:
			removed, _ := parseRemoved(bytes.TrimSuffix(line, []byte("\n"))) // always valid
			positions += 1 << removed.level
		}
		end += len(line)
	}
	return content[:end], content[end:], positions
}
