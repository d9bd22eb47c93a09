package ratelimit

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The keys of tables are hashes with seeds of this process. So an attacker cannot choose names
// that have the same bucket, and the keys do not help to guess a password.

// The kinds of keys. Keys of different kinds are never equal.
const (
	keyName uint64 = iota + 1
	keySecret
	keyPair
	keyPlace
	keyToken
	keyReport
	keyProved
	keyAddress // the key kind of tier n is keyAddress+n
)

func (l *Limiter) secretKey(g Guess) uint64 {
	return mix(keySecret, maphash.String(l.nameSeed, g.Name), maphash.String(l.secretSeed, g.Secret))
}

// locate sets the keys of an attempt and returns the folded name.
func (l *Limiter) locate(g Guess, a *Attempt) string {
	name := Fold(g.Name)
	a.source = l.origin(g.From)
	a.name = l.nameKey(name)
	a.pair = mix(keyPair, a.name, a.source[0])
	a.place = l.placeKey(a.name, PlaceOf(g.From))
	return name
}

func (l *Limiter) nameKey(folded string) uint64 {
	return mix(keyName, maphash.String(l.nameSeed, folded), 0)
}

// placeKey returns the key of a name at a place, or 0 for an unknown place.
func (l *Limiter) placeKey(name uint64, p netip.Prefix) uint64 {
	if !p.IsValid() {
		return 0
	}
	at := p.Addr().As16()
	return mix(keyPlace, name, maphash.Bytes(l.addressSeed, at[:]))
}

// Fold maps spellings that a directory can treat as one name to the same text. It ignores case,
// spaces, widths and invisible characters. Otherwise each spelling would allow more guesses. If
// Fold maps different names to the same text, these names are counted together. This is harmless.
func Fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f || r > 0x7f && (unicode.IsLetter(r) || unicode.IsNumber(r)) {
			return unicode.ToLower(r)
		}
		return -1
	}, norm.NFKD.String(name))
}

// origin has the keys of an address in the three tiers of sources. A key is 0 if the address does
// not have this tier, or if the address is unknown.
type origin [3]uint64

// tiers are the lengths of the counted prefixes of IPv6. Providers usually assign these lengths
// to a host, a site and a customer.
var tiers = [3]int{64, 56, 48}

// origin returns the keys of an address. IPv4 has only the first tier.
func (l *Limiter) origin(a netip.Addr) (o origin) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return o
	}
	if a.Is4() {
		at := a.As16()
		o[0] = mix(keyAddress, maphash.Bytes(l.addressSeed, at[:]), 0)
		return o
	}
	for i, length := range tiers {
		p, err := a.Prefix(length)
		if err != nil {
			continue
		}
		at := p.Addr().As16()
		o[i] = mix(keyAddress+uint64(i), maphash.Bytes(l.addressSeed, at[:]), 0)
	}
	return o
}

// sources counts failures by source in three tiers. Each tier is wider than the tier before, and
// has four times as many free failures.
type sources [3]*counter

func newSources(free int, longest time.Duration) (s sources) {
	for i := range s {
		s[i] = newCounter(free, longest)
		free *= 4
	}
	return s
}

// delay returns the longest delay of the tiers.
func (s *sources) delay(o origin, now int64) (d delay) {
	for i, c := range s {
		if other := c.delay(o[i], now); other.left > d.left {
			d = other
		}
	}
	return d
}

// charge counts a failure in all tiers, or in none if one of them has a delay.
func (s *sources) charge(o origin, now int64) delay {
	for i, c := range s {
		if d := c.charge(o[i], now); d.left > 0 {
			for j := range i {
				s[j].undo(o[j], now)
			}
			return d
		}
	}
	return delay{}
}

func (s *sources) add(o origin, now int64) {
	for i, c := range s {
		c.add(o[i], now)
	}
}

func (s *sources) undo(o origin, now int64) {
	for i, c := range s {
		c.undo(o[i], now)
	}
}

// mix combines two hashes and their kind into a key, which is never 0. The function mix need not
// be one-way, because the hashes were computed with secret seeds.
func mix(kind, a, b uint64) uint64 {
	x := a ^ bits.RotateLeft64(b, 29)*0x9e3779b97f4a7c15 ^ kind*0xd6e8feb86659fd93
	x = (x ^ x>>32) * 0xd6e8feb86659fd93
	x = (x ^ x>>29) * 0x9e3779b97f4a7c15
	return x ^ x>>32 | 1
}
