package catalog

// SetMaxExamined changes maxExamined, and returns its value before.
func SetMaxExamined(n int) (before int) {
	before, maxExamined = maxExamined, n
	return before
}
