package secret

import "hash/crc32"

// A credential that Tidewaiter hands out is the prefix, a letter that says what it is, 32 random characters (190
// bits), and 6 that are the CRC-32 of all before: "twp_a…". Letters and digits alone, so that a double click takes
// all of it, and a scanner finds it by twp_[abcrs][0-9A-Za-z]{38}.
const (
	Prefix       = "twp_"
	Alphabet     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	RandomLength = 32
	sumLength    = 6
	Length       = len(Prefix) + 1 + RandomLength + sumLength
)

// The letters of kinds.
const (
	Access  byte = 'a'
	Robot   byte = 'b'
	Session byte = 'c' // of the console
	Refresh byte = 'r'
	Setup   byte = 's'
)

// minCut is the least length of what is taken for one of ours although its checksum is wrong: a secret that was
// mistyped or cut must not be sent to another service as a password.
const minCut = 24

// AppendSum appends the checksum of a credential's text.
func AppendSum(text []byte) []byte {
	digits := sumOf(text)
	return append(text, digits[:]...)
}

func sumOf(text []byte) (digits [sumLength]byte) { // 62^6 is more than 2^32
	// By the table: crc32.ChecksumIEEE goes through a variable, and lets what it is given escape to the heap.
	sum := ^uint32(0)
	for _, c := range text {
		sum = crc32.IEEETable[byte(sum)^c] ^ sum>>8
	}
	sum = ^sum
	for i := sumLength - 1; i >= 0; i-- {
		digits[i] = Alphabet[sum%uint32(len(Alphabet))]
		sum /= uint32(len(Alphabet))
	}
	return digits
}

// own reads a credential of ours that begins at a place.
func own[T string | []byte](text T, begin int) (Found, bool) {
	for i := range len(Prefix) {
		if begin+i >= len(text) || text[begin+i] != Prefix[i] {
			return Found{}, false
		}
	}
	start := begin + len(Prefix)
	if start >= len(text) {
		return Found{}, false
	}
	switch text[start] {
	case Access, Robot, Session, Refresh, Setup:
	default:
		return Found{}, false
	}
	end := start
	for end < len(text) && alphanumeric(text[end]) {
		end++
	}
	f := Found{Kind: Own, Letter: text[start], Begin: begin, End: end}
	if end-begin >= Length {
		var whole [Length]byte // on the stack: each request that presents one of ours comes here
		for i := range whole {
			whole[i] = text[begin+i]
		}
		if sumOf(whole[:Length-sumLength]) == [sumLength]byte(whole[Length-sumLength:]) {
			f.Valid, f.End = true, begin+Length
			return f, true
		}
	}
	return f, end-begin >= minCut
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
