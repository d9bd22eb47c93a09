package drive

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"
)

// envelope is the body that registry 3 posts for the push of a manifest, with placeholders for the
// event's id and time.
//
//go:embed testdata/event.json
var envelope []byte

const (
	idPlace    = "00000000-0000-0000-0000-000000000000"
	timePlace  = "2000-01-01T00:00:00.000000000Z"
	timeLayout = "2006-01-02T15:04:05.000000000Z"
)

// numberedEvents gives each event of a target its own number. All workers share it.
type numberedEvents struct {
	run  [8]byte // so that a second run does not repeat the events of the first
	sent atomic.Uint64
}

func newEvents() *numberedEvents {
	e := &numberedEvents{}
	_, _ = rand.Read(e.run[:])
	return e
}

// writeNext writes the id and time of a new event into a request.
func (e *numberedEvents) writeNext(request []byte, now time.Time) []byte {
	var id [16]byte
	// The ids of a registry are random in all bytes. The number makes the last bytes of these ids
	// differ, too.
	copy(id[:8], e.run[:])
	n := e.sent.Add(1) * 0x9e3779b97f4a7c15
	binary.BigEndian.PutUint64(id[8:], n)
	at := bytes.Index(request, []byte(idPlace))
	hex.Encode(request[at:], id[:4])
	hex.Encode(request[at+9:], id[4:6])
	hex.Encode(request[at+14:], id[6:8])
	hex.Encode(request[at+19:], id[8:10])
	hex.Encode(request[at+24:], id[10:])
	at = bytes.Index(request, []byte(timePlace))
	now.UTC().AppendFormat(request[at:at], timeLayout)
	return request
}

func postEvent(u *url.URL, headers string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Go-http-client/1.1\r\n"+
		"Content-Type: application/vnd.docker.distribution.events.v2+json\r\nContent-Length: %d\r\n%s\r\n%s",
		u.EscapedPath(), u.Host, len(envelope), headers, envelope)
}
