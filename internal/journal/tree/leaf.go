package tree

import "encoding/binary"

// entryTitle is the beginning of the data of an entry's leaf.
const entryTitle = "tidewaiter entry 2\n"

// AppendEntry appends the data of an entry's leaf, after LeafPrefix. The format is described in
// package journal, at the type encoder.
func AppendEntry(b, public []byte, private Hash, principal *Hash, rules int, rule func(i int) []byte) []byte {
	b = append(append(b, LeafPrefix), entryTitle...)
	b = appendText(b, public)
	b = append(b, private[:]...)
	if principal == nil {
		b = append(b, 0)
	} else {
		b = append(append(b, 1), principal[:]...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(rules))
	for i := range rules {
		b = appendText(b, rule(i))
	}
	return b
}

func appendText(b, text []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
}
