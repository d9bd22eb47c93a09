package config

import "github.com/tidewaiter/tidewaiter/internal/strictyaml"

// Journal configures what new entries of the journal contain about clients.
type Journal struct {
	Addresses string // Full, Shortened or Omitted
	Clients   string // Full or Omitted
}

// Values of Journal.Addresses and Journal.Clients.
const (
	Full      = "full"
	Shortened = "shortened" // 192.0.2.0 and 2001:db8:1::
	Omitted   = "omitted"
)

func journalKeys() []*strictyaml.Key[Journal] {
	return []*strictyaml.Key[Journal]{
		strictyaml.On("addresses", one(Full, Shortened, Omitted), func(j *Journal, v string) { j.Addresses = v }).Or(Full).
			Says("The addresses of clients in new entries. `shortened`: the network (IPv4 /24, IPv6 /48). `omitted`: no address. Rate limits and rules always have the full address."),
		strictyaml.On("clients", one(Full, Omitted), func(j *Journal, v string) { j.Clients = v }).Or(Full).
			Says("The User-Agent of clients in new entries. `omitted`: no User-Agent."),
	}
}
