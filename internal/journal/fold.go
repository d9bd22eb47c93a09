package journal

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// Many clients try again immediately after a refusal, and an attacker sends thousands of attempts
// a second. Refusals must not fill the disk, so equal refusals are folded. The first refusal is
// recorded immediately, and opens a window. When the window ends, the other refusals of the
// window become one entry. This entry has the exact number of these refusals, and never changes.
// If the process is killed, the numbers of the open windows are lost.
const (
	// A window is written within foldFor + foldEvery (one minute) after its first refusal.
	foldFor   = 50 * time.Second
	foldEvery = 10 * time.Second
	// maxFolds and maxFoldBytes limit the open windows. Each window has an entry and a key.
	maxFolds     = 4096
	maxFoldBytes = 8 << 20
)

// Repeats describes an entry that stands for several equal refusals.
type Repeats struct {
	Of          ID // an earlier entry about an equal refusal; zero: not known
	Count       int64
	First, Last time.Time
}

// folds are the open windows. Their methods may be called from any goroutine.
type folds struct {
	mu    sync.Mutex
	open  map[string]*fold
	order []*fold // the windows, in the order in which they were opened
	bytes int     // approximate size of the entries and keys
	armed bool    // a timer will call foldTimer
}

// fold counts the refusals of one window.
type fold struct {
	key     string
	window  clock.Span
	size    int   // approximate size of the entry and the key
	entry   Entry // the first refusal
	repeats Repeats
}

// RecordRefusal is like Record, but for a refusal. A refusal is an entry with a refused Decision
// or a refused Service. If an equal refusal was recorded in the same minute, the refusal is only
// counted. If isRecorded is true, the journal already has an equal entry, which can be older than
// a minute. In this case, all such refusals from an address are counted together, even if they
// have different names.
//
// The result is the id of the entry that describes the refusal: the entry of this refusal, or the
// entry of an earlier equal refusal. The id is zero if isRecorded is true.
func (j *Journal) RecordRefusal(entry Entry, isRecorded bool) (ID, error) {
	j.completeEntry(&entry)
	now := j.o.Now()
	var buf [512]byte
	key := foldKey(buf[:0], &entry, isRecorded)

	f := &j.folds
	f.mu.Lock()
	defer f.mu.Unlock()
	window, ok := f.open[string(key)]
	if ok && window.window.Over(now) { // the timer is late, or the clock was set
		j.closeFoldsLocked(now, false)
		ok = false
	}
	anyone := isRecorded || entry.Service != nil // any client can cause any number of such refusals
	size := sizeOf(&entry) + 2*len(key)
	full := len(f.open) >= maxFolds || f.bytes+size > maxFoldBytes
	if !ok && anyone && full {
		// There are too many windows, as in an attack from thousands of addresses. Count the
		// refusals of all addresses together.
		other := entry
		other.detach()
		*other.refusal().remote = netip.Addr{}
		key = foldKey(buf[:0], &other, isRecorded)
		window, ok = f.open[string(key)]
	}
	if !ok && (!full || anyone && len(f.open) < 2*maxFolds) {
		window = &fold{key: string(key), window: clock.For(now, foldFor), size: size, entry: entry}
		if !isRecorded {
			window.repeats.Of = entry.ID
		}
		f.open[window.key] = window
		f.order = append(f.order, window)
		f.bytes += size
		if !f.armed {
			f.armed = true
			time.AfterFunc(foldEvery, j.foldTimer)
		}
	}
	if ok || isRecorded && window != nil {
		window.add(&entry)
		return window.repeats.Of, nil
	}
	return entry.ID, j.enqueue(&entry)
}

// add counts a refusal. It clears the fields in which the refusals of the window differ.
func (f *fold) add(entry *Entry) {
	f.entry.detach()
	first, other := f.entry.refusal(), entry.refusal()
	if *first.name != *other.name {
		*first.name = ""
	}
	if *first.client != *other.client {
		*first.client = ""
	}
	if *first.remote != *other.remote {
		*first.remote = netip.Addr{}
	}
	if *first.refused != *other.refused {
		*first.refused = shortReason(*first.refused)
	}
	if f.repeats.Count == 0 {
		f.repeats.First = entry.Time
	}
	f.repeats.Count++
	f.repeats.Last = entry.Time
}

// refusal points to the fields of a Decision or a Service that describe a refusal.
type refusal struct {
	name, client, refused *string
	remote                *netip.Addr
	repeats               **Repeats
}

func (e *Entry) refusal() refusal {
	if s := e.Service; s != nil {
		return refusal{&s.Name, &s.Client, &s.Refused, &s.Remote, &s.Repeats}
	}
	d := e.Decision
	return refusal{&d.Name, &d.Client, &d.Refused, &d.Remote, &d.Repeats}
}

// detach replaces the structs to which the entry points by copies that can be changed.
func (e *Entry) detach() {
	if e.Service != nil {
		s := *e.Service
		e.Service = &s
		return
	}
	d := *e.Decision
	e.Decision = &d
}

// foldTimer records the windows that have ended. If other windows are open, it schedules its next
// call.
func (j *Journal) foldTimer() {
	f := &j.folds
	f.mu.Lock()
	defer f.mu.Unlock()
	j.closeFoldsLocked(j.o.Now(), false)
	if f.armed = len(f.order) > 0; f.armed {
		time.AfterFunc(foldEvery, j.foldTimer)
	}
}

// closeFolds records all windows.
func (j *Journal) closeFolds() {
	j.folds.mu.Lock()
	defer j.folds.mu.Unlock()
	j.closeFoldsLocked(j.o.Now(), true)
}

// closeFoldsLocked records the windows that have ended, or all windows.
func (j *Journal) closeFoldsLocked(now time.Time, all bool) {
	f := &j.folds
	n := 0
	for ; n < len(f.order) && (all || f.order[n].window.Over(now)); n++ {
		w := f.order[n]
		delete(f.open, w.key)
		f.bytes -= w.size
		if w.repeats.Count == 0 {
			continue
		}
		entry := w.entry
		entry.detach()
		*entry.refusal().repeats = &w.repeats
		if d := entry.Decision; d != nil {
			d.Token, d.Expires = ID{}, time.Time{}
		}
		entry.Time, entry.ID = w.repeats.Last, NewID(w.repeats.Last)
		if errors.Is(j.enqueue(&entry), ErrFull) {
			j.lose(w.repeats.Count - 1) // enqueue counted one
		}
	}
	clear(f.order[:n])
	f.order = f.order[n:]
}

// foldKey appends the key of a refusal. Equal refusals have the same key.
func foldKey(b []byte, e *Entry, known bool) []byte {
	r := e.refusal()
	add := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	add(e.Registry)
	add(r.remote.String())
	if e.Service != nil {
		add(e.Service.Action)
	}
	if known || e.Service != nil {
		add(shortReason(*r.refused))
		return b
	}
	d := e.Decision
	b = append(b, 1)
	add(d.Refused)
	add(d.Name)
	add(d.Credential)
	add(d.Policy)
	if d.Principal != nil {
		add(d.Principal.String())
	}
	for i := range d.Results {
		r := &d.Results[i]
		add(r.Asked.Type)
		add(r.Asked.Name)
		b = append(b, byte(r.Asked.Actions), byte(r.Granted))
	}
	return b
}

// shortReason returns the reason of a refusal without its details.
func shortReason(reason string) string {
	reason, _, _ = strings.Cut(reason, ": ")
	return reason
}
