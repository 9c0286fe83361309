package fhir

import "strings"

// The three things that nearly every element of a message needs, in one call each. The errors are those of
// Add and Set.

// AddCoding adds an element of type Coding or CodeableConcept with one coding; display may be "".
func AddCoding(e Element, name, system, code, display string) error {
	c, err := e.Add(name)
	if err != nil {
		return err
	}
	if c.Type().Name == "CodeableConcept" {
		if c, err = c.Add("coding"); err != nil {
			return err
		}
	}
	return setAll(c, "system", system, "code", code, "display", display)
}

// AddIdentifier adds an identifier.
func AddIdentifier(e Element, system, value string) error {
	c, err := e.Add("identifier")
	if err != nil {
		return err
	}
	return setAll(c, "system", system, "value", value)
}

// AddReference adds an element of type Reference, such as one to the "urn:uuid:…" of a Bundle's entry.
func AddReference(e Element, name, ref string) error {
	c, err := e.Add(name)
	if err != nil {
		return err
	}
	return c.Set("reference", ref)
}

// IsOriginal tells the DocumentReference of a message as it came, which a Provenance points at.
func IsOriginal(r Element) bool {
	return r.OK() && r.Type().Name == "DocumentReference" && r.Child("masterIdentifier").Child("system").Text() == SystemSHA256
}

// IdentifierIn gives the value that a resource has in an identifier system, "" where it has none.
func IdentifierIn(e Element, system string) string {
	if !e.OK() {
		return ""
	}
	for id := range e.Children("identifier") {
		if id.Child("system").Text() == system {
			return id.Child("value").Text()
		}
	}
	return ""
}

// OwnExtension gives the value of an extension of ours (ExtensionBase + name), "" where there is none.
func OwnExtension(e Element, name string) string {
	for x := range e.Children("extension") {
		if x.Child("url").Text() != ExtensionBase+name {
			continue
		}
		for v := range x.Children("") {
			if strings.HasPrefix(v.Name(), "value") {
				return v.Text()
			}
		}
	}
	return ""
}

// setAll sets primitives by pairs of name and value, leaving out those without a value.
func setAll(e Element, pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if err := e.Set(pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}
