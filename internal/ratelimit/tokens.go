package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// Dismissed reports whether a secret that can never become valid was refused less than dismissFor
// ago. Such a secret need not be verified again. The scope identifies the check that refused the
// secret: the kind of credential and the configuration.
func (l *Limiter) Dismissed(scope uint64, secret string) bool {
	if l == nil {
		return false
	}
	return l.dismissed.contains(l.tokenKey(scope, secret), l.o.Now().UnixNano(), dismissFor)
}

// Refuse counts a secret that was verified and is invalid. If neverValid is true, the secret can
// never become valid, and Refuse dismisses it for the time dismissFor. If the source address is
// not limited yet, the Error is nil. Refuse also reports whether the journal already has this
// refusal.
func (l *Limiter) Refuse(scope uint64, secret string, from netip.Addr, neverValid bool) (limited *Error, reported bool) {
	if l == nil {
		return nil, false
	}
	now := l.o.Now().UnixNano()
	key := l.tokenKey(scope, secret)
	l.failed.Add(1)
	l.proved.forget(l.tokenKey(keyProved, secret))
	if neverValid {
		l.dismissed.set(key, now, dismissFor)
	}
	reported = !l.reported.set(key, now, time.Minute)
	if d := l.tokens.charge(l.origin(from), now); d.left > 0 {
		l.bySource.Add(1)
		reported = reported || d.reported
		limited = &Error{After: d.left, Reported: reported, Checked: true}
	}
	return limited, reported
}

// Repeated reports whether an earlier call within the last minute had the same text and source
// address. If so, the journal already has an entry about the event.
func (l *Limiter) Repeated(what string, from netip.Addr) bool {
	if l == nil {
		return false
	}
	key := mix(keyReport, maphash.String(l.secretSeed, what), l.origin(from)[0])
	return !l.reported.set(key, l.o.Now().UnixNano(), time.Minute)
}

func (l *Limiter) tokenKey(scope uint64, secret string) uint64 {
	return mix(keyToken, maphash.String(l.secretSeed, secret), scope)
}
