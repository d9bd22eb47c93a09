package journal

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// NewID returns an id whose first 48 bits are the given time, in milliseconds since 1970.
// The other bits are random, except version and variant (RFC 9562, section 5.7).
func NewID(now time.Time) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:8], uint64(max(now.UnixMilli(), 0))<<16)
	rand.Read(id[6:]) // never fails
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// shortID is the length of Short. minBeginning is the length of the shortest beginning that
// FindOne accepts. A beginning of this length contains the minute in which the id was created.
const (
	shortID      = 18
	minBeginning = 8
)

// Short returns the beginning of String that is printed for people: the millisecond, and twelve
// bits that distinguish the ids of one millisecond.
func (id ID) Short() string { return id.String()[:shortID] }

// IsBeginning reports whether a text is an id, or a beginning of an id that FindOne accepts, in
// upper or lower case.
func IsBeginning(text string) bool {
	if len(text) < minBeginning || len(text) > len(ID{}.String()) {
		return false
	}
	_, err := parseID(text + ID{}.String()[len(text):])
	return err == nil
}

// parseID parses the result of String.
func parseID(text string) (ID, error) {
	var id ID
	if err := id.UnmarshalText([]byte(text)); err != nil {
		return ID{}, err
	}
	return id, nil
}

// Time returns when the id was created, in milliseconds.
func (id ID) Time() time.Time { return time.UnixMilli(id.milliseconds()).UTC() }

func (id ID) milliseconds() int64 { return int64(binary.BigEndian.Uint64(id[:8]) >> 16) }

// IsZero reports whether the id is not set.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the id as 32 hexadecimal digits in five groups.
func (id ID) String() string { return string(id.append(make([]byte, 0, 36))) }

// AppendText appends the text form to b. It never fails.
func (id ID) AppendText(b []byte) ([]byte, error) { return id.append(b), nil }

// MarshalText returns String.
func (id ID) MarshalText() ([]byte, error) { return id.append(nil), nil }

// UnmarshalText parses the result of String, in upper or lower case.
func (id *ID) UnmarshalText(text []byte) error {
	malformed := func() error {
		return fmt.Errorf("reading id %.64q: want 32 hexadecimal digits as in 0198c1f2-7a3b-7c4d-8e5f-60718293a4b5", text)
	}
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return malformed()
	}
	digits := make([]byte, 0, 32)
	for _, group := range [...][]byte{text[:8], text[9:13], text[14:18], text[19:23], text[24:]} {
		digits = append(digits, group...)
	}
	var read ID
	if _, err := hex.Decode(read[:], digits); err != nil {
		return malformed()
	}
	*id = read
	return nil
}

func (id ID) append(b []byte) []byte {
	b = hex.AppendEncode(b, id[:4])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[4:6])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[6:8])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[8:10])
	b = append(b, '-')
	return hex.AppendEncode(b, id[10:])
}
