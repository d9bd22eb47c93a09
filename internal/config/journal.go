package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Journal configures how long entries stay in the journal, and which data about clients new
// entries contain.
type Journal struct {
	Keep      retention.Limits
	Addresses string // Full, Shortened or Omitted
	Clients   string // Full or Omitted
	Files     []journalFile
}

// Values of Journal.Addresses and Journal.Clients.
const (
	Full      = "full"
	Shortened = "shortened" // 192.0.2.0 and 2001:db8:1::
	Omitted   = "omitted"
)

const (
	minAge  = time.Hour // entries stay in the journal at least that long
	maxAge  = 100 * 365 * 24 * time.Hour
	minSize = 1_000_000
)

func journalKeys() []*strictyaml.Key[Journal] {
	return []*strictyaml.Key[Journal]{
		strictyaml.On("keep", strictyaml.Section(keepKeys()), func(j *Journal, v retention.Limits) { j.Keep = v }).Or("{}").
			Says("How long entries are kept. Each kind of entries has separate limits. Entries that exceed a limit are removed in small steps, the oldest first. An entry is kept for at least an hour, and can be kept up to a day longer than its limit.").
			Shows("journal:\n  keep:\n    decisions: { age: 90d, size: 1GB }\n    events: { age: forever }\n"),
		strictyaml.On("addresses", oneOf(Full, Shortened, Omitted), func(j *Journal, v string) { j.Addresses = v }).Or(Full).
			Says("The addresses of clients in new entries. `shortened`: the network (IPv4 /24, IPv6 /48). `omitted`: no address. Rate limits and rules always use the full address."),
		strictyaml.On("clients", oneOf(Full, Omitted), func(j *Journal, v string) { j.Clients = v }).Or(Full).
			Says("The User-Agent of clients in new entries. `omitted`: no User-Agent."),
		strictyaml.On("files", strictyaml.List(strictyaml.Section(fileKeys())), func(j *Journal, v []journalFile) { j.Files = v }).
			Says("Files that receive new entries as lines of JSON, for log shippers. See [Files](webhooks.md#files)."),
	}
}

func keepKeys() []*strictyaml.Key[retention.Limits] {
	kind := func(name, standard, means string, put func(k *retention.Limits, v retention.Limit)) *strictyaml.Key[retention.Limits] {
		return strictyaml.On(name, strictyaml.Section(limitKeys()), put).Or(standard).Says(means)
	}
	return []*strictyaml.Key[retention.Limits]{
		kind("decisions", "{age: 90d, size: 1GB}", "Decisions that granted something. The default is 90 days and 1 GB.", func(k *retention.Limits, v retention.Limit) { k.Decisions = v }),
		kind("refused", "{age: 90d, size: 250MB}", "Decisions that granted nothing, and refused sign-ins. The default is 90 days and 250 MB.", func(k *retention.Limits, v retention.Limit) { k.Refused = v }),
		kind("events", "{age: 400d, size: 1GB}", "Events of registries, and bodies that are not events. The default is 400 days and 1 GB.", func(k *retention.Limits, v retention.Limit) { k.Events = v }),
		kind("changes", "{age: forever, size: 1GB}", "Changes of accounts, rules and settings. The default is forever, and 1 GB.", func(k *retention.Limits, v retention.Limit) { k.Changes = v }),
		kind("service", "{age: 90d, size: 100MB}", "Restarts, reloads, sign-ins to the API and refused notifications. The default is 90 days and 100 MB.", func(k *retention.Limits, v retention.Limit) { k.Service = v }),
	}
}

func limitKeys() []*strictyaml.Key[retention.Limit] {
	return []*strictyaml.Key[retention.Limit]{
		strictyaml.On("age", age(), func(l *retention.Limit, v time.Duration) { l.Age = v }).Or("forever").
			Says("The maximum age, such as `90d`, `12h` or `forever`."),
		strictyaml.On("size", size(), func(l *retention.Limit, v int64) { l.Size = v }).Or("unlimited").
			Says("The maximum size of the entries on disk, such as `500MB`, `2GB` or `unlimited`."),
	}
}

// age is a duration in days or smaller units, or "forever", which is 0.
func age() strictyaml.Type[time.Duration] {
	return strictyaml.Scalar("age", func(d *strictyaml.Decoder, n *yaml.Node, s string) (time.Duration, bool) {
		if s == "forever" {
			return 0, true
		}
		v, ok := text.ParseDuration(s)
		switch {
		case !ok:
			d.Suggest(n, meantAge(s), "%s is not an age like 90d, 12h or forever", text.QuoteShort(s))
		case v < minAge || v > maxAge:
			d.Suggest(n, meantAge(s), "%s is not between one hour and 100 years, or forever", text.QuoteShort(s))
		default:
			return v, true
		}
		return 0, false
	})
}

// size is a number of bytes with a unit, or "unlimited", which is 0.
func size() strictyaml.Type[int64] {
	units := []struct {
		name  string
		bytes float64
	}{{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}
	return strictyaml.Scalar("size", func(d *strictyaml.Decoder, n *yaml.Node, s string) (int64, bool) {
		if s == "unlimited" {
			return 0, true
		}
		for _, unit := range units {
			digits, ok := strings.CutSuffix(s, unit.name)
			if !ok {
				continue
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
			if err != nil || !(v >= 0) || v*unit.bytes > math.MaxInt64/2 {
				break
			}
			if v*unit.bytes < minSize {
				d.Problem(n, "%s is too small: at least 1MB is needed, or unlimited", text.QuoteShort(s))
				return 0, false
			}
			return int64(v * unit.bytes), true
		}
		d.Suggest(n, meantSize(s), "%s is not a size like 500MB, 2GB or unlimited", text.QuoteShort(s))
		return 0, false
	})
}
