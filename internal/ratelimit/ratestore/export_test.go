package ratestore

// Bound sets the bounds of the tables, so that a test does not have to fill them.
func (s *Store) Bound(levels, attempts int, every int64) { s.bounds = bounds{levels, attempts, every} }
