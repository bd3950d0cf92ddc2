package rawjson

// Member returns where the value of the object's member of that name begins and ends, the
// last of several. It is not ok if there is none, or the text is no JSON object.
func Member(text []byte, name string) (from, to int, ok bool) {
	at := Space(text, 0)
	if at >= len(text) || text[at] != '{' {
		return 0, 0, false
	}
	at = Space(text, at+1)
	if at < len(text) && text[at] == '}' {
		return 0, 0, false
	}
	for {
		begin := at
		if at = Name(text, at); at < 0 {
			return 0, 0, false
		}
		end, t := String(text, begin)
		mine := t&(Escaped|NonASCII) == 0 && string(text[begin+1:end-1]) == name
		if t&(Escaped|NonASCII) != 0 {
			mine = string(AppendText(nil, text[begin:end])) == name
		}
		begin = at
		if at = Value(text, at, 1); at < 0 {
			return 0, 0, false
		}
		if mine {
			from, to, ok = begin, at, true
		}
		if at = Space(text, at); at >= len(text) {
			return 0, 0, false
		}
		switch text[at] {
		case ',':
			at = Space(text, at+1)
		case '}':
			if Space(text, at+1) != len(text) {
				return 0, 0, false
			}
			return from, to, ok
		default:
			return 0, 0, false
		}
	}
}
