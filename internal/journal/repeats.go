package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/notification"
)

// A registry repeats an event every few seconds until the event is accepted, or until the registry
// restarts. Repeats are recognized for recognizedFor.
//
// The key of an event is its time and a hash of registry and id. Events arrive roughly in the
// order of their times, so new keys are appended at the end of the table. If keys began with a
// random id, each insert would change a different page. With such keys, the inserts took 17 % of
// the processor time of an event.
//
// The registry sets the time, which can be wrong or missing. If the time differs from now by
// more than timely, the event is found only by the hash: instead of the time, its key has the
// number of the epoch in which the event arrived. Two epochs are as long as recognizedFor. So the
// key of the first event with this id has the current epoch or one of the two epochs before.
const (
	recognizedFor = 30 * 24 * time.Hour
	timely        = recognizedFor + 24*time.Hour
	epochLength   = recognizedFor / 2
	firstTime     = 1 << 32 // microseconds since 1970; epochs are smaller numbers

	insertAtOnce = 256 // keys per statement
	tidyAtOnce   = 500 // keys per transaction, so that deleting does not delay the entries
	tidyEvery    = time.Hour
)

// eventKey is a row of journal_events.
type eventKey struct {
	at   int64 // microseconds since 1970, or an epoch
	hash int64
}

// repeats finds events that are already in the journal. Only one goroutine uses a value of this
// type.
type repeats struct {
	tidied clock.Span // ends tidyEvery after the last deletion of expired keys
}

// leaveOut stores the keys of events within tx. It returns the entries that are not repeats, in
// the array of the parameter.
func (r *repeats) leaveOut(ctx context.Context, tx *sql.Tx, now time.Time, entries []Entry) ([]Entry, error) {
	keys, err := newEventKeys(ctx, tx, now, entries)
	if err != nil || len(keys) == 0 {
		return entries, err
	}
	isNew := make(map[eventKey]bool, len(keys))
	for chunk := range slices.Chunk(slices.DeleteFunc(slices.Clone(keys), eventKey.isRepeat), insertAtOnce) {
		stored, err := insertEvents(ctx, tx, chunk)
		if err != nil {
			return nil, err
		}
		for _, key := range stored {
			isNew[key] = true
		}
	}
	kept := entries[:0]
	for _, entry := range entries {
		if isIdentified(&entry) {
			key := keys[0]
			keys = keys[1:]
			if !isNew[key] {
				continue
			}
			isNew[key] = false // the next event with this key is a repeat
		}
		kept = append(kept, entry)
	}
	return kept, r.tidy(ctx, tx, now)
}

// isIdentified reports whether an entry is an event with an id.
func isIdentified(entry *Entry) bool { return entry.Event != nil && entry.Event.ID != "" }

// repeat is the key of an event that is known to be a repeat.
var repeat = eventKey{}

func (k eventKey) isRepeat() bool { return k == repeat }

// newEventKeys returns the keys of those entries that are events with an id, in the order of the
// entries.
func newEventKeys(ctx context.Context, tx *sql.Tx, now time.Time, entries []Entry) (keys []eventKey, err error) {
	var asked []eventKey           // possible earlier keys of events that are not timely
	events := map[eventKey][]int{} // their indexes in keys
	for i := range entries {
		if !isIdentified(&entries[i]) {
			continue
		}
		key, earlier := newEventKey(now, entries[i].Registry, entries[i].Event)
		for _, at := range earlier {
			k := eventKey{at, key.hash}
			asked = append(asked, k)
			events[k] = append(events[k], len(keys))
		}
		keys = append(keys, key)
	}
	for chunk := range slices.Chunk(asked, insertAtOnce) {
		stored, err := selectEvents(ctx, tx, chunk)
		if err != nil {
			return nil, err
		}
		for _, k := range stored {
			for _, i := range events[k] {
				keys[i] = repeat
			}
		}
	}
	return keys, nil
}

// newEventKey returns the key of an event. If the event is not timely, an earlier copy of it may
// have another key: earlier are the times and epochs of such keys.
func newEventKey(now time.Time, registry string, e *notification.Event) (key eventKey, earlier []int64) {
	at, epoch := e.Time.UnixMicro(), epochOf(now)
	key = eventKey{at, hashEvent(registry, e.ID)}
	ahead := e.Time.Sub(now)
	if ahead.Abs() <= timely && ahead < 24*time.Hour {
		return key, nil
	}
	// The first copy of the event may have been timely, or may have arrived in an earlier epoch. A
	// replica's clock can be ahead by an epoch.
	earlier = []int64{epoch - 2, epoch - 1, epoch, epoch + 1}
	if ahead.Abs() > timely {
		key.at = epoch
		earlier = append(earlier, at)
	}
	return key, earlier
}

// hashEvent returns a hash of an event's registry and id. The hash includes the length of the
// registry's name, so that no registry can choose an id whose hash equals that of another
// registry's event.
func hashEvent(registry, id string) int64 {
	b := make([]byte, 0, 256)
	b = binary.BigEndian.AppendUint64(b, uint64(len(registry)))
	b = append(b, registry...)
	b = append(b, id...)
	sum := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(sum[:]))
}

func epochOf(now time.Time) int64 { return now.Unix() / int64(epochLength/time.Second) }

// tidy deletes some of the keys that are no longer needed. The oldest key that is still needed has
// the time recognizedFor + timely ago: its event arrived recognizedFor ago, and the event's time
// was the time timely before that.
func (r *repeats) tidy(ctx context.Context, tx *sql.Tx, now time.Time) error {
	if r.tidied.Holds(now) {
		return nil
	}
	times, err := deleteEvents(ctx, tx, firstTime, now.Add(-2*timely).UnixMicro(), tidyAtOnce)
	if err != nil {
		return err
	}
	epochs, err := deleteEvents(ctx, tx, math.MinInt64, epochOf(now)-2, tidyAtOnce)
	if err != nil {
		return err
	}
	if times < tidyAtOnce && epochs < tidyAtOnce {
		r.tidied = clock.For(now, tidyEvery)
	}
	return nil
}
