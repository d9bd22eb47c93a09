package search

// SmallSegments sets the size of segments to two groups, so that a test with few entries has
// several segments.
func SmallSegments() { groupsPerSegment = 2 }
