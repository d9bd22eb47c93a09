package policy

import "slices"

// postingList is the list of rules at one node of the tree, with a posting for each subject of
// each rule. A decision loops over the shorter of two lists, the postings or the principal's
// subjects, and looks up each item in the other list.
type postingList struct {
	entries []posting
	// A long list of postings is sorted by bucket. The bucket of a posting is hash >> shift.
	// The slice buckets has the start index of each bucket, and then the end index of the last
	// bucket.
	buckets []uint32
	shift   uint8

	// While the tree is built:
	expected int   // the number of entries
	latest   int32 // the number of the rule that was added last
}

// posting is a pair of a rule and one of its subjects.
type posting struct {
	hash uint32 // of the subject
	rule int32  // the rule's number
	nth  uint32 // index into the rule's subjects
}

// maxLinearScan is the maximum length of a list that is searched without buckets.
const maxLinearScan = 16

// bucket returns the postings of the bucket that the hash belongs to.
func (p *postingList) bucket(hash uint32) []posting {
	b := hash >> p.shift
	return p.entries[p.buckets[b]:p.buckets[b+1]]
}

// sortIntoBuckets sorts the postings into buckets. There are about two buckets for each posting.
// The postings of one subject stay in the order of their rules.
func (p *postingList) sortIntoBuckets() {
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
	// The loop replaced the start index of each bucket by the bucket's end index. This is the
	// start index of the next bucket.
	copy(p.buckets[1:], p.buckets)
	p.buckets[0] = 0
}
