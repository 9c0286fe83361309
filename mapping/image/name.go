package image

import (
	"fmt"
	"hash/fnv"
	"regexp"
)

// lesionForm is what a lesion is called when it is a label and not a sender's free text.
var lesionForm = regexp.MustCompile(`^[A-Za-z]{0,2}[0-9]{1,3}$`)

// FileName names a file for channels that want a name: lesion, view and a number, with the extension that
// its content has ("L1-overview-1.jpg"). Lesion and view are a sender's words and may hold a name or an NHS
// number, so those that are no plain label appear as a short hash: still different for different words.
func FileName(lesion, view string, n int, t Type) string {
	switch {
	case lesion == "":
		lesion = "L"
	case !lesionForm.MatchString(lesion):
		lesion = "L" + short(lesion)
	}
	return fmt.Sprintf("%s-%s-%d.%s", lesion, viewWord(view, t), n, t.Ext())
}

func viewWord(view string, t Type) string {
	switch view {
	case "overview", "dermoscopic":
		return view
	case "close-up":
		return "closeup"
	case "":
		if t.Photo() {
			return "photo"
		}
		return "document"
	}
	return "photo" + short(view)
}

// short is 16 bits of a hash: too few to find out which words they were.
func short(s string) string {
	h := fnv.New32a()
	h.Write([]byte(s))
	return fmt.Sprintf("x%04x", h.Sum32()>>16)
}
