package catalog

import (
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// digest is the stored form of a digest. It is half as long as the text: a byte 1 and the 32 bytes
// of a SHA-256, or a byte 0 and the text of any other digest. The value "" means that there is no
// digest.
type digest string

const (
	otherDigest  = "\x00"
	sha256Digest = "\x01"
	sha256Prefix = "sha256:"
	sha256Length = 32
)

func compact(text string) digest {
	if text == "" {
		return ""
	}
	if digits, ok := strings.CutPrefix(text, sha256Prefix); ok && len(digits) == 2*sha256Length && strings.ToLower(digits) == digits {
		if sum, err := hex.DecodeString(digits); err == nil {
			return digest(sha256Digest + string(sum))
		}
	}
	return digest(otherDigest + text)
}

// String returns the text of the digest.
func (d digest) String() string {
	if rest, ok := strings.CutPrefix(string(d), sha256Digest); ok {
		return sha256Prefix + hex.EncodeToString([]byte(rest))
	}
	return strings.TrimPrefix(string(d), otherDigest)
}

// Value implements driver.Valuer.
func (d digest) Value() (driver.Value, error) { return []byte(d), nil }

// Scan implements sql.Scanner.
func (d *digest) Scan(value any) error {
	b, ok := value.([]byte)
	if !ok {
		return fmt.Errorf("a digest is stored as %T", value)
	}
	*d = digest(b)
	return nil
}

// references is the stored form of a list of objects. Each object has its size, the length of its
// digest, and its digest.
type references []byte

func (b references) add(d digest, size int64) references {
	b = binary.AppendUvarint(b, uint64(size))
	b = binary.AppendUvarint(b, uint64(len(d)))
	return append(b, d...)
}

// objects is an iterator over the objects and their sizes. It stops where the bytes are not in the
// format that the method add writes.
func (b references) objects(yield func(digest, int64) bool) {
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 {
			return
		}
		length, m := binary.Uvarint(b[n:])
		if m <= 0 || length > uint64(len(b)-n-m) {
			return
		}
		end := n + m + int(length)
		if !yield(digest(b[n+m:end]), int64(size)) {
			return
		}
		b = b[end:]
	}
}
