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
			says("Limit failed sign-ins, and answer 429 beyond the limit. See [rate limiting](rate-limiting.md). Set it to `false` only if something in front of Tidewaiter limits them."),
		on("max_failures_per_pair", count(1, 10_000), func(l *Limits, v int) { l.MaxFailuresPerPair = v }).or("10").formerly("failures_per_name").
			says("How many wrong passwords for one name from one source are free. After that the delay starts at one second and doubles with each further one. Repeating the same wrong password does not count."),
		on("max_failures_per_source", count(1, 1_000_000), func(l *Limits, v int) { l.MaxFailuresPerSource = v }).or("100").formerly("failures_per_address").
			says("How many wrong passwords from one source are free, for all names together. A source is an IPv4 address or an IPv6 /64. A /56 has four times as many, a /48 sixteen times. Behind a proxy, set `trusted_proxies`, or all clients share the proxy's address. This delay is at most 30 seconds."),
		on("max_delay", duration(time.Second, time.Hour), func(l *Limits, v time.Duration) { l.MaxDelay = v }).or("5m").formerly("longest_delay").
			says("The longest delay."),
		on("unknown_places", one("slow", RefusePlaces), func(l *Limits, v string) { l.UnknownPlaces = v }).or("slow").
			says("What happens after 100 failures for a name, at places where it has not signed in before. `slow`: one attempt per minute is checked. `refuse`: no attempt is checked until failures are forgotten, one every 15 minutes."),
		on("connections", count(10, 1_000_000), func(l *Limits, v int) { l.Connections = v }).or("4000").
			says("The maximum number of open connections for each address under `listen`. When all are taken, idle connections are closed for new ones. If none is idle, the answer is 503. One client address gets at most half of them, unless it is a trusted proxy or this machine. A change needs a restart."),
	}
}
