// Package spelling answers: how likely was one word meant by another? All rooms that say "did you mean"
// measure with it, each within the bounds that suit its words.
package spelling

// Distance is the least number of slips that make a into b: a byte left out, added or changed, or two neighbours
// that changed places (optimal string alignment). Its time grows with the product of the lengths.
func Distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			changed := above[j]
			if a[i] != b[j] {
				changed++
			}
			row[j+1] = min(changed, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
