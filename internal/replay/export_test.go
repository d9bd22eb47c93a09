package replay

// Counts returns the numbers of the decisions that were added.
func (r *Replay) Counts() (decisions, same, refused, allowed, notJudged int64) {
	p := &r.report
	return p.Decisions, p.Same, p.Refused, p.Allowed, p.NotJudged
}

const MaxGroups = maxGroups
