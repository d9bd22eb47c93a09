package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"

	"github.com/tidewaiter/tidewaiter/policy/internal/match"
)

// identify returns the ID of a source. The ID is a hash of everything that affects decisions or
// their explanations. It does not include the places where rules were written. Every text and
// list is preceded by its length, so that two different sources never have the same encoding.
func identify(source Source) string {
	digest := sha256.New()
	b := make([]byte, 0, 4096)
	b = append(b, "tidewaiter policy 2\n"...)
	b = binary.AppendUvarint(b, uint64(len(source.Roles)))
	for _, name := range slices.Sorted(maps.Keys(source.Roles)) {
		b = appendText(b, name)
		b = append(b, byte(source.Roles[name].Actions))
		b = binary.AppendVarint(b, int64(source.Roles[name].Lifetime))
	}
	for i := range source.Rules {
		r := &source.Rules[i]
		b = appendText(b, r.Name)
		b = appendTexts(b, r.Subjects)
		b = appendTexts(b, r.Registries)
		b = appendText(b, match.TypeOf(r.Type))
		b = appendTexts(b, r.Names)
		b = appendText(b, r.Role)
		b = append(b, byte(r.Actions), flag(r.Deny), flag(r.When != nil))
		if r.When != nil {
			b = appendText(b, r.When.String())
		}
		b = binary.AppendVarint(b, int64(r.Lifetime))
		if len(b) > 2048 {
			digest.Write(b)
			b = b[:0]
		}
	}
	digest.Write(b)
	return hex.EncodeToString(digest.Sum(nil)[:8])
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendTexts(b []byte, texts []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(texts)))
	for _, text := range texts {
		b = appendText(b, text)
	}
	return b
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}
