package journal

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"runtime"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// readAhead returns the results of a function for the blocks after a position, in order, up to the
// end of the journal. While the loop body runs, the function works on the next blocks, on all
// processors. Only the caller's goroutine reads blocks from q, so q can be a transaction.
func readAhead[T any](ctx context.Context, q store.Querier, after Position, work func(*decoder, *block) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		processors := runtime.GOMAXPROCS(0)
		decoders := make(chan *decoder, processors)
		for range processors {
			decoders <- newDecoder(q)
		}
		var ahead []chan T // each result is in memory until its turn comes
		for ended := false; ; {
			for !ended && len(ahead) <= processors {
				b, err := blockAfter(ctx, q, after)
				if ended = errors.Is(err, sql.ErrNoRows); ended {
					break
				}
				if err != nil {
					var none T
					yield(none, err)
					return
				}
				after = b.end() - 1
				one := make(chan T, 1)
				ahead = append(ahead, one)
				go func() {
					d := <-decoders
					one <- work(d, b)
					decoders <- d
				}()
			}
			if len(ahead) == 0 || !yield(<-ahead[0], nil) {
				return
			}
			ahead = ahead[1:]
		}
	}
}

// decodedBlock has the decoded entries of a block, up to the first error.
type decodedBlock struct {
	entries []Entry
	err     error
}

// ReadDecisions returns the decisions after a position, in order, up to the current end. While
// the loop body runs, ReadDecisions decodes the next blocks on all processors. So use it only in
// commands. In the service, requests would have to wait for a processor. Equal principals mostly
// have the same pointer.
func (j *Journal) ReadDecisions(ctx context.Context, after Position) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		work := func(d *decoder, b *block) decodedBlock { return d.decisions(ctx, b, after) }
		for block, err := range readAhead(ctx, j.db.Read(), after, work) {
			if err != nil {
				yield(Entry{}, fmt.Errorf("reading the journal: %w", err))
				return
			}
			for i := range block.entries {
				if !yield(block.entries[i], nil) {
					return
				}
			}
			if block.err != nil {
				yield(Entry{}, block.err)
				return
			}
		}
	}
}

// decisions decodes the decisions of a block after a position.
func (d *decoder) decisions(ctx context.Context, b *block, after Position) (decoded decodedBlock) {
	o, err := d.open(b)
	if err == nil {
		err = d.load(ctx, o.principals)
	}
	if err != nil {
		decoded.err = fmt.Errorf("reading the block at position %d: %w", b.first, err)
		return decoded
	}
	key := KindDecision.key()
	decoded.entries = make([]Entry, 0, len(o.entries))
	for _, r := range o.entries {
		if r.position <= after || !bytes.Contains(r.line, key) {
			continue
		}
		entry, err := d.entry(ctx, o, r)
		if err != nil {
			decoded.err = err
			return decoded
		}
		if entry.Decision != nil {
			decoded.entries = append(decoded.entries, entry)
		}
	}
	return decoded
}
