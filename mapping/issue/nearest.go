package issue

import "strings"

// Nearest gives the known word that a mistyped one most likely was to be, the first of several that are as near; "" when
// none is near: more than one slip in every three letters, and one, is another word. Small and capital letters are alike.
func Nearest(word string, known []string) string {
	best, most := "", 1+len(word)/3
	word = strings.ToLower(word)
	for _, k := range known {
		if max(len(k)-len(word), len(word)-len(k)) > most {
			continue
		}
		if d := slips(word, strings.ToLower(k)); d < most || d == most && best == "" {
			best, most = k, d
		}
	}
	return best
}

// slips counts the letters put in, left out, mistaken, and swapped with their neighbour between two words: the distance of
// optimal string alignment.
func slips(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
