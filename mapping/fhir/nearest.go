package fhir

// Nearest gives the word that a mistyped one most likely meant; "" when none is near.
func Nearest(got string, words []string) string {
	best, at := "", len(got)/3+2
	for _, w := range words {
		if d := distance(got, w, at); d < at {
			best, at = w, d
		}
	}
	return best
}

// distance is the Levenshtein distance, at most most.
func distance(a, b string, most int) int {
	if len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := left
			if a[i] != b[j] {
				cost++
			}
			left = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
