package search

// SmallSegments makes segments of two groups and reads them one after another, so that a test with
// few entries has several.
func SmallSegments() { groupsPerSegment, firstGroups = 2, 1 }
