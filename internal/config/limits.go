package config

import "time"

// Limits say how long who guesses waits, and how much strangers can take.
type Limits struct {
	Throttle           bool          // default true
	FailuresPerName    int           // from one address, before a delay; default 10
	FailuresPerAddress int           // whatever the names; default 100
	LongestDelay       time.Duration // default 5m
	Connections        int           // open at once, of each listener; default 4000
}

func limitsKeys() []key[Limits] {
	return []key[Limits]{
		on("throttle", boolean(), func(l *Limits, v bool) { l.Throttle = v }).or("true").
			says("Let who shows wrong passwords wait, and answer with 429 until then. `false` only where something before Tidewaiter does it."),
		on("failures_per_name", count(1, 10_000), func(l *Limits, v int) { l.FailuresPerName = v }).or("10").
			says("How many wrong passwords for one name from one address are free. After that there is a delay of a second, which doubles with each further one. The same password within ten seconds counts once."),
		on("failures_per_address", count(1, 1_000_000), func(l *Limits, v int) { l.FailuresPerAddress = v }).or("100").
			says("How many from one address are free, whatever the names; an address is that of IPv4, or the /64 of IPv6. Behind a proxy, `trusted_proxies` must be set, or everybody has the proxy's address. This delay is at most half a minute."),
		on("longest_delay", duration(time.Second, time.Hour), func(l *Limits, v time.Duration) { l.LongestDelay = v }).or("5m").
			says("The longest delay."),
		on("connections", count(10, 1_000_000), func(l *Limits, v int) { l.Connections = v }).or("4000").
			says("How many connections each address under `listen` has open at once, at most. Where all are taken, those on which nobody is being answered make room; if there are none, the answer is 503. One address has half of them at most, unless it is a trusted proxy or this machine. It takes a restart."),
	}
}
