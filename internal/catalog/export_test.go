package catalog

// MaxSize is maxSize.
const MaxSize = maxSize

// SetMaxExamined changes maxExamined, and returns the old value.
func SetMaxExamined(n int) (before int) {
	before, maxExamined = maxExamined, n
	return before
}
