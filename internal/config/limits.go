package config

import "time"

// RefusePlaces of unknown_places refuses a name at unknown places once it has too many failures.
const RefusePlaces = "refuse"

// Limits bound failed sign-ins, and how much strangers can take.
type Limits struct {
	Throttle             bool          // default true
	MaxFailuresPerPair   int           // of a name at a source, before a delay; default 10
	MaxFailuresPerSource int           // whatever the names; default 100
	MaxDelay             time.Duration // default 5m
	UnknownPlaces        string        // slow (default), or RefusePlaces
	Connections          int           // open at once, of each listener; default 4000
}

func limitsKeys() []key[Limits] {
	return []key[Limits]{
		on("throttle", boolean(), func(l *Limits, v bool) { l.Throttle = v }).or("true").
			says("Limit failed sign-ins, and answer with 429 past the limit; see [rate limiting](rate-limiting.md). `false` only where something before Tidewaiter does it."),
		on("max_failures_per_pair", count(1, 10_000), func(l *Limits, v int) { l.MaxFailuresPerPair = v }).or("10").formerly("failures_per_name").
			says("How many wrong passwords for one name from one source are free. After that there is a delay of a second, which doubles with each further one. The same wrong password again does not count."),
		on("max_failures_per_source", count(1, 1_000_000), func(l *Limits, v int) { l.MaxFailuresPerSource = v }).or("100").formerly("failures_per_address").
			says("How many from one source are free, whatever the names. A source is an IPv4 address or a /64 of IPv6; a /56 has four times as many, a /48 sixteen times. Behind a proxy, `trusted_proxies` must be set, or everybody has the proxy's address. This delay is at most half a minute."),
		on("max_delay", duration(time.Second, time.Hour), func(l *Limits, v time.Duration) { l.MaxDelay = v }).or("5m").formerly("longest_delay").
			says("The longest delay."),
		on("unknown_places", one("slow", RefusePlaces), func(l *Limits, v string) { l.UnknownPlaces = v }).or("slow").
			says("What happens to a name that has 100 failures, at places where it has not signed in before. `slow`: one attempt a minute is checked. `refuse`: none is, until failures are forgotten, one every 15 minutes."),
		on("connections", count(10, 1_000_000), func(l *Limits, v int) { l.Connections = v }).or("4000").
			says("How many connections each address under `listen` has open at once, at most. Where all are taken, those on which nobody is being answered make room; if there are none, the answer is 503. One address has half of them at most, unless it is a trusted proxy or this machine. It takes a restart."),
	}
}
