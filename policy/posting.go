package policy

import "slices"

// posting is the rules at a place of the tree, by those whom they speak of: a mention for each
// subject of each rule. A decision looks for what rules and principal have in common from the side
// with less.
type postingList struct {
	entries []posting
	buckets []uint32 // for many mentions, which are then ordered by bucket: where each begins, and the end
	shift   uint8    // what is left of a hash after it is the bucket

	expected int   // mentions, while the tree is planted
	latest   int32 // the rule that was planted last
}

// mention says that a rule speaks of a subject.
type posting struct {
	hash uint32 // of the subject
	rule int32  // its number
	nth  uint32 // which of the rule's subjects it is
}

// few is up to how many mentions are tried one by one, whoever asks.
const maxLinearScan = 16

// bucket returns the mentions among which those of subjects with the hash are.
func (p *postingList) bucket(hash uint32) []posting {
	b := hash >> p.shift
	return p.entries[p.buckets[b]:p.buckets[b+1]]
}

// order puts the mentions into buckets, about two for each mention. Those of one subject stay in
// the order of their rules.
func (p *postingList) order() {
	bits := uint8(1)
	for 1<<bits < 2*len(p.entries) && bits < 32 {
		bits++
	}
	p.shift = 32 - bits
	p.buckets = make([]uint32, 1<<bits+1)
	for i := range p.entries {
		p.buckets[p.entries[i].hash>>p.shift+1]++
	}
	for b := range 1 << bits {
		p.buckets[b+1] += p.buckets[b]
	}
	for _, m := range slices.Clone(p.entries) {
		next := &p.buckets[m.hash>>p.shift]
		p.entries[*next] = m
		*next++
	}
	copy(p.buckets[1:], p.buckets) // each begin has moved to its end, which is where the next one begins
	p.buckets[0] = 0
}
