package mapping

// What docs/mapping-reference.md is generated from, where no table of the code has its own texts. A test holds these
// against the code, and the file against these.

// named is a word of the language and what it means.
type named struct{ name, doc string }

func namesOf(list []named) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = n.name
	}
	return out
}

// fileKeys are those of a map file.
var fileKeys = []named{
	{"map", "its name: `FROM[TO]`, `FROM[TO-Variant]`, `REF_I12` for a message into FHIR, `Bundle[REF_I12]` for one out of it"},
	{"each", "of a segment map: it is about one repetition of this field, such as `OBX-5`"},
	{"for", "of a message into FHIR: the events it takes, `[REF^I12, REF^I13]`; a code alone, `[ACK]`, is any event of it that no other map has"},
	{"snapshot", "of a message into FHIR: those of its events in which `\"\"` deletes what the receiver holds of the patient"},
	{"extend", "`true`: it adds to the map or table of its name, and is tried first"},
	{"rules", "list of `FROM -> TO: HOW`"},
	{"checks", "list of `PLACE: what is wrong`"},
	{"ignore", "list of `PLACE: why it is left out`"},
	{"expect", "of a message into FHIR: how often a segment may stand, `{PID: 1, RF1: 0..1, OBX: 1..*}`"},
	{"resources", "of a message into FHIR: list of `name: Resource <- MAP[Resource], …`"},
	{"segments", "of a message out of FHIR: list of `SEG: Resource[SEG], …`, in the message's order"},
	{"early", "of a message out of FHIR: fields that are sent in versions of HL7 before the one that brought them, `[PRD-10]`"},
	{"table", "its name, in place of `map`"},
	{"system", "of a table: the system of the codes it gives, which a Coding or CodeableConcept needs"},
	{"codes", "of a table: `{M: male, F: female}`; a code is found whatever its case"},
	{"otherwise", "of a table: what any other code gives, absence too"},
	{"unlisted", "of a table: `warning` (default) or `quiet` for a code that is not listed"},
}

// senderKeys are those of senders/NAME.yaml.
var senderKeys = []named{
	{"sender", "its name, which a source of the configuration names as `overlay`"},
	{"systems", "`{ROYALMRN: https://royal.example/mrn}`: the uri of a coding system or assigning authority as this sender writes it (table CodingSystem)"},
	{"tables", "`Table: {CODE: code}`: codes added to a table, or in place of its own"},
	{"maps", "`PID[Patient]: {rules: […]}`: `rules`, `checks`, `ignore` and `resources` added to a map, as a file with `extend: true` does"},
}

var ruleKeys = []named{
	{"when", "a condition; the rule is about the repetitions for which it holds"},
	{"missing", "`error` or `warning`: an issue when the rule has written nothing"},
	{"set", "constants beside what is written, `{use: home}`, relative to the innermost element; `$Name` is a system of names.yaml"},
	{"else", "out of FHIR: the places in versions of HL7 that lack the one of the rule, the first that is free, `[CWE.2, CWE.5, CWE.9]` for `CWE.9`; its own place at the end: there all the same"},
	{"once", "`true`: a value that reads as one before it is not written again"},
}

var checkKeys = []named{
	{"when", "the condition that means trouble; required"},
	{"severity", "`error` (default: the message is refused) or `warning`"},
	{"kind", "which issue it is, `value` by default"},
}

var resourceKeys = []named{
	{"each", "one resource for each segment, `PRD`, or for each repetition of a field, `OBX-5`"},
	{"where", "a condition: only for these"},
	{"key", "a text: those of one text are the same resource"},
	{"link", "references: `{subject: patient, requester: [referrers, sender]}`"},
}

var segmentKeys = []named{
	{"each", "the elements it is made from, one segment each; else the resources of the first map's type"},
	{"where", "a condition: only for these"},
	{"once", "`true`: only of what no other segments of this name are made from"},
	{"split", "`lines`: one segment for each line of a text"},
	{"received", "fields that go home as the request had them, `[RF1-2, RF1-6]`, or the segment's name: all its segments"},
	{"set", "constants, `{OBX-2: ED}`, of places that no rule has filled"},
	{"segments", "those that follow each of these segments, made from elements of the same"},
}

var extensionKeys = []named{
	{"url", "of the extension"},
	{"value", "the type of its value, such as `code`"},
}

var namesKeys = []named{
	{"systems", "`Name: uri`; a map says `identifier(Name)` and `$Name`"},
	{"extensions", "`name: {url: …, value: type}`; a map says `extension(name)`"},
}

// hows are what may stand behind a rule's colon into FHIR, beside `table(Name)` and a data type map.
var hows = []named{
	{"string", "the text as it is; control characters are shown as Unicode's pictures of them"},
	{"markdown", "the same"},
	{"code", "the text with single spaces; the first component of a composite"},
	{"id", "up to 64 letters, digits, hyphens and dots"},
	{"uri", "the text; spaces inside and a stray % are escaped"},
	{"url", "the same"},
	{"canonical", "the same"},
	{"boolean", "Y, YES, TRUE, 1 and N, NO, FALSE, 0 in any case"},
	{"integer", "a whole number of at most nine digits"},
	{"positiveInt", "the same, above 0"},
	{"unsignedInt", "the same"},
	{"decimal", "a number with its digits as sent; the first component of a composite"},
	{"date", "the day of a date or time, as precise as it is"},
	{"dateTime", "a date or time; one without offset is local to the source's zone"},
	{"time", "a time of day, HH[MM[SS]], with colons or without"},
	{"instant", "a point in time, at least its day"},
	{"lines", "all values of the place, a line each"},
	{"text", "the same as the Attachment of a plain text file"},
	{"system", "the uri of a coding system's name (table CodingSystem), `urn:id:` and the name for one that is not listed"},
	{"file", "the Attachment of a photo or document, found by its bytes, never by OBX-2"},
	{"width", "the photo's width in pixels"},
	{"height", "the photo's height in pixels"},
}

// backHows are the same out of FHIR.
var backHows = []named{
	{"string", "the text of a primitive"},
	{"DTM", "a date or time as HL7 writes it, with the zone's offset"},
	{"DT", "its day"},
	{"system", "a coding system's name by its uri"},
	{"file", "an Attachment as ED with its bytes, as RP with its url where there are none"},
}

// calls are the functions of expressions that are not in functions: of two arguments, and CEL's own.
var calls = []named{
	{`listed("Table", text)`, "whether the table lists the code"},
	{`after(time, amount, unit)`, "the time so much later, such as `after(AIS-4, AIS-7, AIS-8.1)`; units of seconds, minutes, hours and days; `\"\"` where one is missing"},
	{"size(text or list)", "CEL: the number of characters or texts"},
	{"text in list", "CEL: membership, as in `\"RP\" in PRD-1[*].1`"},
	{"text.contains(text)", "CEL; likewise startsWith, endsWith, matches (RE2)"},
	{"list.exists(x, condition)", "CEL; likewise all, filter, map"},
	{"text.substring(from, to)", "CEL strings; likewise charAt, indexOf, lastIndexOf, lowerAscii, upperAscii, replace, split, trim, join"},
	{"condition ? text : text", "CEL: a choice"},
}
