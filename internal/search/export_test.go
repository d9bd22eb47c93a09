package search

// SmallSegments makes segments of two groups, so that a test with few entries has several.
func SmallSegments() { groupsPerSegment = 2 }
