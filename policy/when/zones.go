package when

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // for containers without zone files

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// zoneNames lists the names of all zones in time/tzdata, one per line.
//
//go:generate go test . -run TestZonesAreThoseOfGo -update
//go:embed zones.txt
var zoneNames string

// zones finds time zones by name. time.LoadLocation takes 10 µs and reads the disk. So each zone
// is loaded only once, when the first condition with the zone is compiled. Requests cannot fill
// the memory with zones, because only the zones in zoneNames are loaded.
type zones struct {
	names  func() []string // sorted
	loaded sync.Map        // name -> *time.Location
}

func newZones() *zones {
	return &zones{names: sync.OnceValue(func() []string {
		return strings.Split(strings.TrimSuffix(zoneNames, "\n"), "\n")
	})}
}

// load loads a zone and reports whether it exists.
func (z *zones) load(name string) bool {
	if _, ok := z.find(name); ok {
		return true
	}
	if _, known := slices.BinarySearch(z.names(), name); !known {
		return false
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return false
	}
	z.loaded.Store(name, location)
	return true
}

// loadAll loads all zones. It is needed for a condition that reads a zone's name from the request.
// The first call takes some milliseconds and 1 MB of memory.
func (z *zones) loadAll() {
	for _, name := range z.names() {
		z.load(name)
	}
}

// find returns a loaded zone, or the zone of an offset like +02:00.
func (z *zones) find(name string) (*time.Location, bool) {
	if location, ok := z.loaded.Load(name); ok {
		return location.(*time.Location), true
	}
	offset, ok := parseOffset(name)
	if !ok {
		return nil, false
	}
	return time.FixedZone(name, offset), true
}

// parseOffset parses an offset from UTC, such as "+02:00" or "-09:30", and returns the offset in
// seconds. The text must have a sign, because "02:00" is a time of the day.
func parseOffset(text string) (seconds int, ok bool) {
	if len(text) != len("+02:00") || text[3] != ':' || text[0] != '+' && text[0] != '-' {
		return 0, false
	}
	hours, err1 := strconv.ParseUint(text[1:3], 10, 8)
	minutes, err2 := strconv.ParseUint(text[4:6], 10, 8)
	if err1 != nil || err2 != nil || hours > 14 || minutes > 59 {
		return 0, false
	}
	seconds = int(hours*60+minutes) * 60
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// suggest returns the zone that an author probably meant, such as Europe/Paris for "Paris" or
// "Europe/pariss".
func (z *zones) suggest(name string) string {
	if name == "" {
		return ""
	}
	for _, known := range z.names() {
		_, city, _ := strings.Cut(known, "/")
		if strings.EqualFold(known, name) || strings.EqualFold(city, name) {
			return known
		}
	}
	return text.Nearest(name, z.names())
}
