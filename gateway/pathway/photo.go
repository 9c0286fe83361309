package pathway

import (
	"slices"
	"time"
)

// Photo is one photo or document of the request, or of an answer to it.
type Photo struct {
	Media    string   `json:"media"`             // fullUrl of the Media or DocumentReference
	Original string   `json:"original"`          // hex SHA-256 of the bytes as received
	Blob     string   `json:"blob"`              // object name of the derivative that travels
	SHA256   string   `json:"sha256"`            // of the derivative
	Keep     string   `json:"keep"`              // object name of the original
	Came     string   `json:"came,omitempty"`    // media type of the original
	Type     string   `json:"type"`              // media type
	Size     int64    `json:"size"`              // bytes of the derivative
	Width    int      `json:"width,omitempty"`   // pixels as stored; 0 of a document
	Height   int      `json:"height,omitempty"`  // pixels
	Profile  bool     `json:"profile,omitempty"` // has a colour profile
	Name     string   `json:"name"`              // file name for channels that want one
	Removed  []string `json:"removed,omitempty"` // metadata taken out, by name
	Waiting  string   `json:"waiting,omitempty"` // why it may not travel yet: "consent"
	Document bool     `json:"document,omitempty"`
	// From is the message of the answer that brought it, and At when; empty of what the request brought.
	From string    `json:"from,omitempty"`
	At   time.Time `json:"at,omitzero"`
	// Unclean is a photo whose private metadata goes only when it is decoded: it travels as one of Fits, never as it came.
	Unclean bool  `json:"unclean,omitempty"`
	Says    Says  `json:"says,omitzero"`
	Fits    []Fit `json:"fits,omitempty"` // what it became for destinations that take less
	// Fitted is the one of Fits that this photo is, where a destination has its own.
	Fitted *Fit `json:"-"`
}

// Says is what a photo's own header says of it, for a request that does not: codes, no words.
type Says struct {
	Taken      string `json:"taken,omitempty"`      // FHIR dateTime
	Modality   string `json:"modality,omitempty"`   // of DICOM: XC, DMS
	Region     string `json:"region,omitempty"`     // SNOMED CT code of where on the body
	Laterality string `json:"laterality,omitempty"` // of DICOM: L, R, U, B
}

// Fit is a photo as made to fit what some destinations take.
type Fit struct {
	For     string    `json:"for"` // what they take, in one word
	At      time.Time `json:"at"`
	Blob    string    `json:"blob,omitempty"`
	SHA256  string    `json:"sha256,omitempty"`
	Type    string    `json:"type,omitempty"` // media type
	Size    int64     `json:"size,omitempty"`
	Width   int       `json:"width,omitempty"`
	Height  int       `json:"height,omitempty"`
	Step    string    `json:"step,omitempty"` // what was done: "optimised"
	Quality int       `json:"quality,omitempty"`
	SSIM    float64   `json:"ssim,omitempty"`    // likeness to the photo, of a JPEG that was requantised or resized
	Removed []string  `json:"removed,omitempty"` // metadata taken out besides Photo.Removed
	Lost    []string  `json:"lost,omitempty"`    // what the type cannot hold
	Refused string    `json:"refused,omitempty"` // why it cannot be done
}

// Fit gives what the photo became for destinations that take so much; nil when that was not tried yet.
func (p *Photo) Fit(takes string) *Fit {
	for i := range p.Fits {
		if p.Fits[i].For == takes {
			return &p.Fits[i]
		}
	}
	return nil
}

// As gives the photo in the form of one of Fits.
func (p Photo) As(f *Fit) Photo {
	p.Blob, p.SHA256, p.Type, p.Size, p.Width, p.Height, p.Fitted = f.Blob, f.SHA256, f.Type, f.Size, f.Width, f.Height, f
	p.Unclean = false
	return p
}

// Shown gives the photo as it may be seen by who takes anything; false of one that is not clean and was not made so yet.
func (p Photo) Shown() (Photo, bool) {
	if !p.Unclean {
		return p, true
	}
	for i := range p.Fits {
		if p.Fits[i].Refused == "" {
			return p.As(&p.Fits[i]), true
		}
	}
	return p, false
}

// Withheld gives the photos that wait, Sendable the others, of the request.
func (c *Case) Withheld() []Photo {
	return c.photos(func(p *Photo) bool { return p.From == "" && p.Waiting != "" })
}

// Sendable gives the photos and documents of the request that may travel.
func (c *Case) Sendable() []Photo {
	return c.photos(func(p *Photo) bool { return p.From == "" && p.Waiting == "" })
}

// Brought gives the photos and documents that a message brought in answer.
func (c *Case) Brought(message string) []Photo {
	return c.photos(func(p *Photo) bool { return p.From == message })
}

// Releasable tells whether a photo waits for anything but the reason given.
func (c *Case) Releasable(but string) bool {
	return slices.ContainsFunc(c.Photos, func(p Photo) bool { return p.Waiting != "" && p.Waiting != but })
}

func (c *Case) photos(of func(*Photo) bool) (out []Photo) {
	for i := range c.Photos {
		if of(&c.Photos[i]) {
			out = append(out, c.Photos[i])
		}
	}
	return out
}
