// Package dedup recognizes events that a registry sends again. A registry repeats an event every
// few seconds until the event is accepted, or until the registry restarts.
package dedup

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// RecognizedFor is the time for which an event is recognized.
const RecognizedFor = 30 * 24 * time.Hour

// The key of an event is its time and a hash of registry and id. Events arrive roughly in the
// order of their times, so new keys are appended at the end of the table. If keys began with a
// random id, each insert would change a different page. With such keys, the inserts needed 17 % of
// the processor time of an event.
//
// The registry sets the time, which can be wrong or missing. If this time differs from the
// current time by more than maxDifference, the key does not contain it. Instead, the key contains
// the number of the epoch in which the event arrived. Two epochs are as long as RecognizedFor. So
// the key of the first event with this id has the current epoch or one of the two epochs before
// it.
const (
	maxDifference = RecognizedFor + 24*time.Hour
	epochLength   = RecognizedFor / 2
	firstTime     = 1 << 32 // microseconds since 1970; epochs are smaller numbers

	insertAtOnce = 256 // keys per statement
	tidyAtOnce   = 500 // keys per transaction, so that deleting does not delay the entries
	tidyEvery    = time.Hour
)

// key is a row of journal_events.
type key struct {
	at   int64 // microseconds since 1970, or the number of an epoch
	hash int64
}

// Event identifies an event of a registry.
type Event struct {
	Registry, ID string
	Time         time.Time
}

// Filter finds events that were stored before. Only one goroutine uses a Filter.
type Filter struct {
	tidied clock.Span // ends tidyEvery after the last deletion of expired keys
}

// New stores the keys of events within tx, and reports for each event whether it is new.
func (f *Filter) New(ctx context.Context, tx *sql.Tx, now time.Time, events []Event) ([]bool, error) {
	keys, err := newKeys(ctx, tx, now, events)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	unseen := make(map[key]bool, len(keys))
	for chunk := range slices.Chunk(slices.DeleteFunc(slices.Clone(keys), key.isKnown), insertAtOnce) {
		inserted, err := insertKeys(ctx, tx, chunk)
		if err != nil {
			return nil, err
		}
		for _, k := range inserted {
			unseen[k] = true
		}
	}
	isNew := make([]bool, len(keys))
	for i, k := range keys {
		isNew[i] = unseen[k]
		unseen[k] = false // the next event with this key is a duplicate
	}
	return isNew, f.deleteOldKeys(ctx, tx, now)
}

// knownKey replaces the key of an event that is already stored under another key.
var knownKey = key{}

func (k key) isKnown() bool { return k == knownKey }

// newKeys returns the keys of events.
func newKeys(ctx context.Context, tx *sql.Tx, now time.Time, events []Event) (keys []key, err error) {
	var asked []key            // possible earlier keys of events with a wrong time
	indexes := map[key][]int{} // of their events
	for i := range events {
		k, earlier := newKey(now, &events[i])
		for _, at := range earlier {
			e := key{at, k.hash}
			asked = append(asked, e)
			indexes[e] = append(indexes[e], i)
		}
		keys = append(keys, k)
	}
	for chunk := range slices.Chunk(asked, insertAtOnce) {
		stored, err := selectKeys(ctx, tx, chunk)
		if err != nil {
			return nil, err
		}
		for _, k := range stored {
			for _, i := range indexes[k] {
				keys[i] = knownKey
			}
		}
	}
	return keys, nil
}

// newKey returns the key of an event. It also returns the possible times and epochs in the keys
// of earlier copies of the event. These times and epochs are needed only if the event's time
// differs too much from the current time.
func newKey(now time.Time, e *Event) (k key, earlier []int64) {
	at, epoch := e.Time.UnixMicro(), epochOf(now)
	k = key{at, hashEvent(e.Registry, e.ID)}
	ahead := e.Time.Sub(now)
	if ahead.Abs() <= maxDifference && ahead < 24*time.Hour {
		return k, nil
	}
	// The first copy of the event may have arrived near its time, or in an earlier epoch. A
	// replica's clock can be ahead by an epoch.
	earlier = []int64{epoch - 2, epoch - 1, epoch, epoch + 1}
	if ahead.Abs() > maxDifference {
		k.at = epoch
		earlier = append(earlier, at)
	}
	return k, earlier
}

// hashEvent returns a hash of an event's registry and id. The hash includes the length of the
// registry's name. Otherwise, a registry could choose an id that has the same hash as an event of
// another registry.
func hashEvent(registry, id string) int64 {
	b := make([]byte, 0, 256)
	b = binary.BigEndian.AppendUint64(b, uint64(len(registry)))
	b = append(b, registry...)
	b = append(b, id...)
	sum := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(sum[:]))
}

func epochOf(now time.Time) int64 { return now.Unix() / int64(epochLength/time.Second) }

// deleteOldKeys deletes some of the keys that are no longer needed. An event is recognized for
// RecognizedFor after its arrival, and its time can be before its arrival by up to maxDifference.
// Keys that are younger than RecognizedFor plus maxDifference are still needed.
func (f *Filter) deleteOldKeys(ctx context.Context, tx *sql.Tx, now time.Time) error {
	if f.tidied.Holds(now) {
		return nil
	}
	times, err := deleteKeys(ctx, tx, firstTime, now.Add(-2*maxDifference).UnixMicro(), tidyAtOnce)
	if err != nil {
		return err
	}
	epochs, err := deleteKeys(ctx, tx, math.MinInt64, epochOf(now)-2, tidyAtOnce)
	if err != nil {
		return err
	}
	if times < tidyAtOnce && epochs < tidyAtOnce {
		f.tidied = clock.For(now, tidyEvery)
	}
	return nil
}
