package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"reflect"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/retention"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Write is the type of the function that writes to the database.
type Write = func(ctx context.Context, topic string, f func(*sql.Tx) error) error

// SetWrite wraps the function that writes to the database, to inject faults. Call it before the
// first entry.
func (j *Journal) SetWrite(wrap func(real Write) Write) { j.write = wrap(j.write) }

// SumOf returns the hash of a block with these columns.
func SumOf(first Position, entries, earliest, latest int64, previous, content []byte) [32]byte {
	b := block{first: first, entries: entries, earliest: earliest, latest: latest, previous: hash(previous), content: content}
	return b.sum()
}

// Remembered returns how many cache entries a writer has after n principals.
func Remembered(names func(i int) string, n int) (entries int) {
	known := newPrincipals()
	for i := range n {
		known.ref(&policy.Principal{Name: names(i)})
		known.settle(true)
	}
	return len(known.byPointer.young) + len(known.byPointer.old) + len(known.byText.young) + len(known.byText.old) +
		len(known.stored.young) + len(known.stored.old)
}

// ReportEvery is the minimum time between two log lines about losses or failures.
const ReportEvery = reportEvery

// MaxFolds is the maximum number of windows in which refusals are counted.
const MaxFolds = maxFolds

// FoldTimer records the windows of refusals that have ended, as the timer does.
func (j *Journal) FoldTimer() { j.foldTimer() }

// CloseFolds records all windows of refusals.
func (j *Journal) CloseFolds() { j.closeFolds() }

// VerifyIn is Verify within a transaction.
func (j *Journal) VerifyIn(ctx context.Context, tx *sql.Tx) (Verified, error) {
	return verify(ctx, tx, 0, 0, nil)
}

// Maintainer merges blocks and removes entries.
type Maintainer = maintainer

// NewMaintainer returns a Maintainer.
func NewMaintainer(j *Journal, limits retention.Limits) *Maintainer { return newMaintainer(j, limits) }

// Merge merges one group, and reports whether there was a group to merge.
func (m *maintainer) Merge(ctx context.Context) (bool, error) {
	return m.run(ctx, task{"merging blocks", m.merge})
}

// Remove removes the entries beyond their limits from one block.
func (m *maintainer) Remove(ctx context.Context) (bool, error) {
	return m.run(ctx, task{"removing entries", m.remove})
}

// Step does the next short task, such as the merge of one group.
func (m *maintainer) Step(ctx context.Context) (bool, error) { return m.step(ctx) }

// MinAge is the minimum time that each entry is stored.
const MinAge = minAge

// RetentionKind returns the name of the limit that applies to an entry.
func RetentionKind(e *Entry) string { return string(e.retentionKind()) }

// ErrRewritten means that another process rewrote blocks at the same time.
var ErrRewritten = errRewritten

// SizeOf returns the size of the merged entries of a kind, in bytes.
func (m *maintainer) SizeOf(ctx context.Context, kind string) (n int64, err error) {
	err = m.db.Read().QueryRowContext(ctx, `SELECT sum(bytes) FROM journal_sizes WHERE kind = $1`, kind).Scan(&n)
	return n, err
}

// MaxFoldBytes limits the memory of the windows of refusals.
const MaxFoldBytes = maxFoldBytes

// FoldBytes estimates how many bytes the open windows of refusals take.
func (j *Journal) FoldBytes() int { return j.folds.bytes }

// TreeReader returns a reader of the tree's hashes.
func (j *Journal) TreeReader(ctx context.Context) (tlog.HashReader, error) { return j.readTree(ctx) }

// FindIn searches the blocks that have the given positions. It returns the entries whose ids begin
// with the given text.
func (j *Journal) FindIn(ctx context.Context, firsts []Position, beginning string) ([]Entry, error) {
	return j.findIn(ctx, firsts, beginning, 2)
}

// SetSettle sets how long the clock must have run without a jump before entries are removed.
func (m *maintainer) SetSettle(d time.Duration) { m.trustAfter = d }

// EncodeLine returns the public and the private part of an entry's line.
func EncodeLine(entry *Entry) (public, private []byte) {
	e := newEncoder(newPrincipals())
	e.add(entry)
	return e.public, e.private
}

// LineParser parses lines like a decoder.
type LineParser struct{ p lineParser }

// Public reports whether the parser accepts a public part without encoding/json. If so, it also
// reports whether the result equals that of encoding/json.
func (l *LineParser) Public(b []byte) (accepted, equal bool) {
	var got, want entryLine
	if !l.p.parse(b, func() { l.p.entry(&got) }) {
		return false, true
	}
	return true, json.Unmarshal(b, &want) == nil && reflect.DeepEqual(got, want)
}

// Private is like Public, but for a private part.
func (l *LineParser) Private(b []byte) (accepted, equal bool) {
	var got, want privateLine
	if !l.p.parse(b, func() { l.p.persons(&got) }) {
		return false, true
	}
	return true, json.Unmarshal(b, &want) == nil && reflect.DeepEqual(got, want)
}

// Head is like Public, but for the first line of a block. It also compares the rules.
func (l *LineParser) Head(b []byte) (accepted, equal bool) {
	var got, want headLine
	var lines []ruleLine
	if !l.p.parse(b, func() { lines = l.p.head(&got) }) {
		return false, true
	}
	if json.Unmarshal(b, &want) != nil || !reflect.DeepEqual(got, want) {
		return true, false
	}
	for i := range lines {
		rule, err := parseRule(want.Rules[i])
		if err != nil || !reflect.DeepEqual(lines[i].rule(), rule) {
			return true, false
		}
	}
	return true, len(lines) == len(want.Rules)
}

// EncodeHead returns the first line of a block with the rules and a number of principals.
func EncodeHead(principals int, rules ...policy.Rule) []byte {
	refs := make([]principalRef, principals)
	for i := range refs {
		refs[i] = principalRef{int64(i) * 1000, sha256.Sum256([]byte{byte(i)})}
	}
	line := appendFirstLine(nil, refs, len(rules), func(i int) []byte { return appendRule(nil, &rules[i]) })
	return bytes.TrimSuffix(line, []byte("\n"))
}
