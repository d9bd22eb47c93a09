package journal

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testBlock returns a block with a number of entries. Before each tenth entry, there is a subtree
// of two removed entries.
func testBlock(entries int) *block {
	k := newPacker(0, 512)
	o := &openBlock{form: 2, principals: []principalRef{{number: 7}}}
	for i := range entries {
		if i%10 == 9 {
			k.remove(1, hash{byte(i)})
		}
		line := fmt.Sprintf("0\t{\"id\":\"%s\",\"n\":%d}\t{\"remote\":\"10.0.0.%d\"}", ID{byte(i), 1}, i, i)
		if err := k.add(o, []byte(line)); err != nil {
			panic(err)
		}
	}
	return &block{first: 512, entries: int64(k.next - k.first), content: k.content()}
}

func opened(t *testing.T, b *block) (lines []string) {
	t.Helper()
	o, err := newDecoder(nil).open(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range o.entries {
		lines = append(lines, fmt.Sprint(r.position, " ", string(r.line)))
	}
	for _, r := range o.removed {
		lines = append(lines, fmt.Sprint(r.first, " ", r.level, " ", r.hash))
	}
	return lines
}

// A compressed block has the same lines as before. The lines can be read all at once, or one by
// one in any order.
func TestACompressedBlockHasTheSameLines(t *testing.T) {
	var d deflater
	for _, entries := range []int{1, partLines - 1, partLines, partLines + 1, 40, 256} {
		b := testBlock(entries)
		want := opened(t, b)
		compressed := *b
		compressed.content = d.content(b.content)
		if entries > partLines && compressed.content[0] != parted {
			t.Fatalf("%d entries are not compressed", entries)
		}
		if diff := cmp.Diff(want, opened(t, &compressed)); diff != "" {
			t.Errorf("%d entries: (-want +got)\n%s", entries, diff)
		}
		decoder := newDecoder(nil)
		o, err := decoder.openFirst(&compressed)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range compressed.entries { // from both ends to the middle
			position := compressed.first + Position(i/2)
			if i%2 == 1 {
				position = compressed.end() - 1 - Position(i/2)
			}
			r, ok, err := decoder.entryAt(o, position)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				got = append(got, fmt.Sprint(position, " ", string(r.line)))
			}
		}
		if len(got) != entries {
			t.Errorf("%d of %d entries were found one by one", len(got), entries)
		}
		for _, line := range got {
			if !strings.Contains(strings.Join(want, "\n"), line) {
				t.Errorf("%q is not in the block", line)
			}
		}
	}
}

// Earlier versions did not compress a block in parts.
func TestABlockThatWasCompressedAtOnceIsRead(t *testing.T) {
	b := testBlock(256)
	var out bytes.Buffer
	out.WriteByte(deflated)
	out.Write(binary.AppendUvarint(nil, uint64(len(b.content))))
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b.content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	compressed := *b
	compressed.content = out.Bytes()
	if diff := cmp.Diff(opened(t, b), opened(t, &compressed)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// If one byte in the table of the parts is changed, reading the block fails. So a change cannot
// hide entries.
func TestAChangedListOfPartsIsAnError(t *testing.T) {
	var d deflater
	b := testBlock(60)
	content := d.content(b.content)
	want := opened(t, b)
	for i := range 24 { // the table has five bytes for each of five parts
		for _, change := range []byte{1, 0x10, 0x80} {
			changed := *b
			changed.content = bytes.Clone(content)
			changed.content[i] ^= change
			o, err := newDecoder(nil).open(&changed)
			if err != nil {
				continue
			}
			if len(o.entries) != 60 || cmp.Diff(want, opened(t, &changed)) != "" {
				t.Errorf("byte %d was changed: the block has other entries, but there is no error", i)
			}
		}
	}
}
