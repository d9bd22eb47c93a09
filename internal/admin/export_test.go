package admin

// Cut calls cut.
func Cut[T any](items []T, page Page, key func(*T) string) ([]T, string) {
	return cut(items, page, key)
}
