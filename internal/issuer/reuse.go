package issuer

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// reused holds tokens that may answer an identical request. It holds at most 2*generationSize tokens
// of about 1.3 kB: two generations, the older of which is dropped when the younger is full, so that
// whoever asks for a million different things costs a constant amount of memory.
type reused struct {
	mu           sync.Mutex
	young, older map[string]paper
}

const generationSize = 2048

func newReused() *reused {
	return &reused{young: make(map[string]paper)}
}

func (r *reused) find(key []byte, now time.Time) (paper, bool) {
	r.mu.Lock()
	p, ok := r.young[string(key)]
	if !ok {
		p, ok = r.older[string(key)]
	}
	r.mu.Unlock()
	return p, ok && p.reuse.Holds(now)
}

func (r *reused) keep(key []byte, p paper) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.young) >= generationSize {
		r.older, r.young = r.young, make(map[string]paper, generationSize)
	}
	r.young[string(key)] = p
}

// appendKey appends what makes two answers identical: registry, principal (a source's ids are never
// reused), lifetime and grants. Whatever else a token says is the same for all that are held
// (sameTokens). Each part carries its length, so that no part can pose as two.
func appendKey(dst []byte, registry *Registry, p *policy.Principal, lifetime time.Duration, results []policy.Result) []byte {
	dst = appendPart(dst, registry.Service)
	dst = append(dst, byte(p.Kind))
	dst = appendPart(dst, p.Source)
	dst = appendPart(dst, p.ID)
	dst = appendPart(dst, p.Name)
	dst = binary.AppendVarint(dst, int64(lifetime))
	for i := range results {
		if results[i].Granted == 0 {
			continue
		}
		dst = appendPart(dst, results[i].Asked.Type)
		dst = appendPart(dst, results[i].Asked.Class)
		dst = appendPart(dst, results[i].Asked.Name)
		dst = append(dst, byte(results[i].Granted))
	}
	return dst
}

func appendPart(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
