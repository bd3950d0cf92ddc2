package document

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseRoutes(t *testing.T) {
	t.Parallel()
	got, err := ParseRoutes(`[
		{"name":"invoices", "prefix":"invoices/", "suffix":".pdf", "processor":"dp_a", "version":"2.1", "priority":20, "usageTags":["ap","team-finance"]},
		{"name":"contracts", "pattern":"contracts/{customer}/{year}/*.pdf", "processor":"dp_b", "usageTags":["customer-{customer}"],
		 "config": {"type":"EXTRACT", "limit":12345678901234567890.10, "text":"\u003c <"} }
	]`)
	want := Routes{
		{Name: "invoices", Prefix: "invoices/", Suffix: ".pdf", ProcessorID: "dp_a", Version: "2.1", Priority: 20, UsageTags: []string{"ap", "team-finance"}},
		{Name: "contracts", Pattern: "contracts/{customer}/{year}/*.pdf", ProcessorID: "dp_b", Version: "latest", UsageTags: []string{"customer-{customer}"},
			Config: []byte(`{"type":"EXTRACT", "limit":12345678901234567890.10, "text":"\u003c <"}`)},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Fatal(err, d)
	}
	for key, name := range map[string]string{"invoices/1.pdf": "invoices", "contracts/acme/2026/1.pdf": "contracts", "contracts/acme/1.pdf": "", "Invoices/1.pdf": ""} {
		if r, ok := got.Find(key); r.Name != name || ok != (name != "") {
			t.Errorf("Find(%q) = %q, %v; want %q", key, r.Name, ok, name)
		}
	}
	if rs, err := ParseRoutes(""); rs != nil || err != nil {
		t.Errorf("no text: %v, %v", rs, err)
	}
}

func TestParseRoutesErrors(t *testing.T) {
	t.Parallel()
	// with is one route that is good but for what the case changes or adds.
	with := func(fields string) string {
		route := `[{"name":"a",`
		if !strings.Contains(fields, `"prefix"`) && !strings.Contains(fields, `"pattern"`) {
			route += `"prefix":"a/",`
		}
		if !strings.Contains(fields, `"processor"`) {
			route += `"processor":"dp_a",`
		}
		return route + fields + "}]"
	}
	const fields = "name, prefix, suffix, pattern, processor, workflow, version, priority, usageTags, config"
	tests := []struct{ name, text, want string }{
		{"too long", strings.Repeat(" ", 2401), `routes: 2401 bytes are too many, a function's environment takes 2400; shorten names and configs`},
		{"not JSON", `[{"name":"a",}]`, `routes: not JSON after 13 bytes: invalid character '}' looking for beginning of object key string; check quotes, commas and brackets`},
		{"cut off", `[{"name":`, `routes: not JSON after 9 bytes: unexpected EOF; check quotes, commas and brackets`},
		{"blank", ` `, `routes: not JSON after 1 bytes: EOF; check quotes, commas and brackets`},
		{"two values", with(`"priority":1`) + ` []`, `routes: "[]" follows the end of the JSON; put all routes into one array`},
		{"object", `{"name":"a"}`, `routes: "{\"name\":\"a\"}" must be an array of routes; put it in [ and ]`},
		{"null", `null`, `routes: "null" must be an array of routes; put it in [ and ]`},
		{"no route", `[ ]`, `routes: the array is empty; leave the parameter empty where ProcessorId is the only route`},
		{"route is no object", `["a"]`, `route 1: "a" must be an object such as {"name":"invoices","prefix":"invoices/","processor":"dp_…"}`},
		{"all is missing", `[{}]`, `route 1: name is missing; give one, such as invoices
route 1: prefix, suffix and pattern are all missing; give one (a route for everything is the parameter ProcessorId)
route 1: processor and workflow are both missing; give the id of one at Extend, which begins with dp_ or workflow_`},
		{"name of other characters", `[{"name":"in voices","prefix":"a","processor":"dp_a"}]`, `route 1: name "in voices" must be 1 to 40 letters, digits, _ or -`},
		{"name is long", `[{"name":"` + strings.Repeat("n", 41) + `","prefix":"a","processor":"dp_a"}]`, `route 1: name "` + strings.Repeat("n", 41) + `" must be 1 to 40 letters, digits, _ or -`},
		{"name is reserved", `[{"name":"default","prefix":"a","processor":"dp_a"}]`, `route 1: name "default" is that of the route which the parameter ProcessorId makes; choose another`},
		{"name is taken", `[{"name":"a","prefix":"a","processor":"dp_a"},{"name":"a","prefix":"b","processor":"dp_a"}]`, `route 2: name "a" is that of route 1 too; each route needs a name of its own`},
		{"field is unknown", with(`"Suffix":".pdf","x\ny":1`), `route "a": field "Suffix" is unknown; a route has ` + fields + "\n" + `route "a": field "x\ny" is unknown; a route has ` + fields},
		{"field comes twice", with(`"prefix":"b","prefix":"c"`), `route "a": field "prefix" is given more than once; keep one`},
		{"prefix is a number", with(`"prefix":7`), `route "a": prefix 7 must be text in double quotes`},
		{"prefix is null", with(`"prefix":null`), `route "a": prefix null must be text in double quotes`},
		{"prefix is empty", with(`"prefix":""`), `route "a": prefix, suffix and pattern are all missing; give one (a route for everything is the parameter ProcessorId)`},
		{"pattern and suffix", with(`"pattern":"a/*","suffix":".pdf"`), `route "a": pattern "a/*" stands beside a prefix or suffix; give either a pattern, or a prefix and/or suffix`},
		{"brace is not closed", with(`"pattern":"a/{b/*"`), `route "a": pattern "a/{b/*": "{b/*" is not closed; write {variable}`},
		{"variable without a name", with(`"pattern":"a/{}"`), `route "a": pattern "a/{}": "{}" must be a lower-case letter and then letters or digits, as in {customer}`},
		{"variable of an odd name", with(`"pattern":"{Year}/{b_c}"`), `route "a": pattern "{Year}/{b_c}": "{Year}" must be a lower-case letter and then letters or digits, as in {customer}
route "a": pattern "{Year}/{b_c}": "{b_c}" must be a lower-case letter and then letters or digits, as in {customer}`},
		{"variable stands twice", with(`"pattern":"{a}/{a}"`), `route "a": pattern "{a}/{a}": "{a}" stands twice; give each variable a name of its own`},
		{"variables in a row", with(`"pattern":"{a}{b}"`), `route "a": pattern "{a}{b}": "{a}{b}" is two wildcards in a row; put text between them`},
		{"star and variable", with(`"pattern":"*{a}"`), `route "a": pattern "*{a}": "*{a}" is two wildcards in a row; put text between them`},
		{"three stars", with(`"pattern":"***"`), `route "a": pattern "***": "***" is two wildcards in a row; put text between them`},
		{"processor of another kind", with(`"processor":"workflow_1"`), `route "a": processor "workflow_1" must be dp_ and then letters, digits, _ or -`},
		{"processor is only dp_", with(`"processor":"dp_"`), `route "a": processor "dp_" must be dp_ and then letters, digits, _ or -`},
		{"version", with(`"version":"v2"`), `route "a": version "v2" must be latest, draft, or a number such as 2.1`},
		{"version is a number", with(`"version":2.1`), `route "a": version 2.1 must be text in double quotes`},
		{"version ends in a dot", with(`"version":"2."`), `route "a": version "2." must be latest, draft, or a number such as 2.1`},
		{"priority 0", with(`"priority":0`), `route "a": priority 0 must be a whole number from 1 to 100, where the lower runs first`},
		{"priority 101", with(`"priority":101`), `route "a": priority 101 must be a whole number from 1 to 100, where the lower runs first`},
		{"priority with a fraction", with(`"priority":20.0`), `route "a": priority 20.0 must be a whole number from 1 to 100, where the lower runs first`},
		{"priority in quotes", with(`"priority":"20"`), `route "a": priority "20" must be a whole number from 1 to 100, where the lower runs first`},
		{"tags are no array", with(`"usageTags":"x"`), `route "a": usageTags "x" must be an array of texts, such as ["team-finance"]`},
		{"a tag is null", with(`"usageTags":["x", null]`), `route "a": usageTags ["x",null] must be an array of texts, such as ["team-finance"]`},
		{"nine tags", with(`"usageTags":["1","2","3","4","5","6","7","8","9"]`), `route "a": usageTags has 9 tags; at most 8 are possible`},
		{"a tag is empty", with(`"usageTags":[""]`), `route "a": usageTags: "" must have 1 to 60 characters, and has 0`},
		{"a tag is long", with(`"usageTags":["` + strings.Repeat("t", 61) + `"]`), `route "a": usageTags: "` + strings.Repeat("t", 61) + `" must have 1 to 60 characters, and has 61`},
		{"a tag has a space", with(`"usageTags":["team finance"]`), `route "a": usageTags: "team finance" may hold letters, digits, _, - and {variable}; Extend would remove all else`},
		{"a tag's brace is not closed", with(`"pattern":"{b}","usageTags":["{b"]`), `route "a": usageTags: "{b" may hold letters, digits, _, - and {variable}; Extend would remove all else`},
		{"a tag's variable is unknown", with(`"pattern":"{b}/*","usageTags":["{b}-{c}-{}"]`), `route "a": usageTags: "{b}-{c}-{}" needs a variable "{c}", which is not in the route's pattern
route "a": usageTags: "{b}-{c}-{}" needs a variable "{}", which is not in the route's pattern`},
		{"a tag's variable, and no pattern", with(`"usageTags":["{b}"]`), `route "a": usageTags: "{b}" needs a variable "{b}", which is not in the route's pattern`},
		{"config is no object", with(`"config":[1]`), `route "a": config [1] must be an object with a type`},
		{"config without a type", with(`"config":{"Type":"EXTRACT"}`), `route "a": config has no type; give the processor's, EXTRACT, CLASSIFY or SPLITTER`},
		{"config of an unknown type", with(`"config":{"type":"PARSE"}`), `route "a": config's type "PARSE" must be the processor's, EXTRACT, CLASSIFY or SPLITTER`},
		{"config with two types", with(`"config":{"type":"EXTRACT","type":"CLASSIFY"}`), `route "a": config has the field "type" more than once; keep one`},
		{"a processor and a workflow", `[{"name":"a","prefix":"a","processor":"dp_a","workflow":"workflow_a"}]`, `route "a": workflow "workflow_a" stands beside a processor; give one of the two`},
		{"a processor as a workflow", `[{"name":"a","prefix":"a","workflow":"dp_a"}]`, `route "a": workflow "dp_a" must be workflow_ and then letters, digits, _ or -, and no run's id`},
		{"a run as a workflow", `[{"name":"a","prefix":"a","workflow":"workflow_run_a"}]`, `route "a": workflow "workflow_run_a" must be workflow_ and then letters, digits, _ or -, and no run's id`},
		{"a workflow as a processor", `[{"name":"a","prefix":"a","processor":"workflow_a"}]`, `route "a": processor "workflow_a" must be dp_ and then letters, digits, _ or -`},
		{"a workflow is no text", `[{"name":"a","prefix":"a","workflow":1}]`, `route "a": workflow 1 must be text in double quotes`},
		{"a workflow's version and config", `[{"name":"a","prefix":"a","workflow":"workflow_a","version":"2.1","config":{"type":"EXTRACT"}}]`, `route "a": version "2.1" of a workflow must be latest, draft, or a whole number such as 3
route "a": config stands beside a workflow, whose runs take none; set it in the workflow at Extend`},
		{"overlap, and errors elsewhere", `[{"name":"a","prefix":"in/","processor":"x"},{"name":"b","pattern":"{x}/a/*.pdf","processor":"dp_b"},{"name":"c d","suffix":"f","processor":"dp_c"}]`,
			`route "a": processor "x" must be dp_ and then letters, digits, _ or -
route 3: name "c d" must be 1 to 40 letters, digits, _ or -
route "a" and route "b" both match the key "in/a/.pdf"; change one, so that a key has one route
route "a" and route 3 both match the key "in/f"; change one, so that a key has one route
route "b" and route 3 both match the key "x/a/.pdf"; change one, so that a key has one route`},
		{"overlap of three", `[{"name":"a","prefix":"ab","suffix":"bc","processor":"dp_a"},{"name":"b","pattern":"{v}bc","processor":"dp_b"},{"name":"c","pattern":"a{v}","processor":"dp_b"}]`,
			`route "a" and route "b" both match the key "abbc"; change one, so that a key has one route
route "a" and route "c" both match the key "abbc"; change one, so that a key has one route
route "b" and route "c" both match the key "abc"; change one, so that a key has one route`},
		{"overlap in every key", `[{"name":"a","pattern":"*","processor":"dp_a"},{"name":"b","pattern":"**","processor":"dp_b"}]`,
			`route "a" and route "b" both match the key "x"; change one, so that a key has one route`},
		{"overlap in the shared letters only", `[{"name":"a","prefix":"ab","suffix":"bc","processor":"dp_a"},{"name":"b","pattern":"abc","processor":"dp_b"}]`,
			`route "a" and route "b" both match the key "abc"; change one, so that a key has one route`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rs, err := ParseRoutes(tt.text)
			if err == nil {
				t.Fatalf("ParseRoutes(%s) = %+v, want an error", tt.text, rs)
			}
			if d := cmp.Diff(tt.want, err.Error()); rs != nil || d != "" {
				t.Error(d)
			}
		})
	}
}

func TestErrorsFitIntoOneMessage(t *testing.T) {
	t.Parallel()
	_, err := ParseRoutes("[1" + strings.Repeat(",1", 1150) + "]")
	if err == nil || len(err.Error()) > 4000 || !strings.HasSuffix(err.Error(), " more errors, which show once these are fixed") {
		t.Errorf("%v", err)
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, key string
		want         bool
		tags         []string
	}{
		{"a.pdf", "a.pdf", true, nil},
		{"a.pdf", "A.pdf", false, nil},
		{"a.pdf", "xa.pdf", false, nil},
		{"a.pdf", "a.pdfx", false, nil},
		{"a/*.pdf", "a/.pdf", true, nil},
		{"a/*.pdf", "a/b.c.pdf", true, nil},
		{"a/*.pdf", "a/b/c.pdf", false, nil},
		{"a/**.pdf", "a/b/c.pdf", true, nil},
		{"a/**/c", "a//c", true, nil},
		{"a/**/c", "a/c", false, nil},
		{"**", "a/b", true, nil},
		{"[a].?+", "[a].?+", true, nil},
		{"[a].?+", "a.xx", false, nil},
		{"a}", "a}", true, nil},
		{"{v}/x", "/x", false, nil},
		{"{v}/x", "a/x", true, []string{"v-a"}},
		{"{v}/x", "a/b/x", false, nil},
		{"{v}-{w}.pdf", "a-b-c.pdf", true, []string{"v-a", "w-b-c"}},
		{"{v}.{w}", "..x", true, []string{"v-", "w-x"}},
		{"**{v}", "", false, nil},
		{"**/{v}/{w}", "a/b/c/d", true, []string{"v-c", "w-d"}},
		{"{v}/**/{w}", "a/b/c/d", true, []string{"v-a", "w-d"}},
		{"*a{v}", "aaa", true, []string{"v-aa"}},
		{"für/{v}/*", "für/納品 Müller & Co/x", true, []string{"v-MllerCo"}},
		{"{v}é", "\u00e8é", true, []string{"v-"}},
		{"{v}\n*", "a\nb\n", true, []string{"v-a"}},
		{"{v}{w}", "ab", false, nil},
		{"Mu\u0308nchen/{v}/*", "M\u00fcnchen/a/x", true, []string{"v-a"}},
		{"M\u00fcnchen/{v}/*", "Mu\u0308nchen/Mu\u0308ller/x", true, []string{"v-Mller"}},
		{"a/{v}.pdf", "a/u\u0308.pdf", true, []string{"v-"}},
	}
	for _, tt := range tests {
		r := Route{Pattern: tt.pattern}
		for _, v := range []string{"v", "w"} {
			if strings.Contains(tt.pattern, "{"+v+"}") {
				r.UsageTags = append(r.UsageTags, v+"-{"+v+"}")
			}
		}
		if got := r.Matches(tt.key); got != tt.want {
			t.Errorf("%q matches %q: %v, want %v", tt.pattern, tt.key, got, tt.want)
		} else if got {
			if d := cmp.Diff(tt.tags, r.TagsFor(tt.key)); d != "" {
				t.Errorf("tags of %q for %q: %s", tt.pattern, tt.key, d)
			}
		}
	}
}

// A name from a Mac has letter and mark apart (NFD), a rule that was typed has them in one (NFC).
func TestRoutesCompareInNFC(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]struct{ nfc, nfd string }{
		"umlaut":          {"M\u00fcnchen", "Mu\u0308nchen"},
		"two marks":       {"ti\u1ebfng Vi\u1ec7t", "tie\u0302\u0301ng Vie\u0323\u0302t"},
		"marks reordered": {"Vi\u1ec7t", "Vie\u0302\u0323t"},
		"kana":            {"\u30ac\u30d1", "\u30ab\u3099\u30cf\u309a"},
		"Hangul":          {"\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af"},
		"angstrom sign":   {"\u00c5", "\u212b"},
		"nothing to do":   {"plain", "plain"},
	} {
		for _, rule := range []string{form.nfc, form.nfd} {
			for _, key := range []string{form.nfc, form.nfd} {
				for kind, r := range map[string]Route{"prefix": {Prefix: "in/" + rule + "/"}, "suffix": {Suffix: "/" + rule + ".pdf"}, "pattern": {Pattern: "in/" + rule + "/*/" + rule + ".pdf"}} {
					if key := "in/" + key + "/x/" + key + ".pdf"; !r.Matches(key) {
						t.Errorf("%s: %s %+q does not take %+q", name, kind, rule, key)
					}
				}
			}
			for _, other := range []string{form.nfc, form.nfd} {
				text := fmt.Sprintf(`[{"name":"a","prefix":%q,"processor":"dp_a"},{"name":"b","pattern":"**%s","processor":"dp_b"}]`, rule, other)
				if _, err := ParseRoutes(text); err == nil || !strings.Contains(err.Error(), "both match the key") {
					t.Errorf("%s: %+q and %+q can take the same key, and are let through: %v", name, rule, other, err)
				}
			}
		}
	}
	// "ü" is a letter of its own, not "u" with something behind it.
	if (Route{Prefix: "Mu"}).Matches("Mu\u0308nchen") {
		t.Error("the prefix Mu takes München")
	}
}

func TestNoKeyHasTwoRoutesInAnyForm(t *testing.T) {
	t.Parallel()
	const letters = "[eu/\u00e9\u00fc\u0301\u0308]"
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Route {
			if rapid.Bool().Draw(t, name+" has affixes") {
				return Route{Prefix: rapid.StringMatching(letters+"{0,3}").Draw(t, name+" prefix"), Suffix: rapid.StringMatching(letters+"{0,3}").Draw(t, name+" suffix")}
			}
			return Route{Pattern: rapid.StringMatching(letters+"{0,2}").Draw(t, name+" begins") + "*" + rapid.StringMatching(letters+"{0,3}").Draw(t, name+" ends")}
		}
		a, b := draw("a"), draw("b")
		if a.Pattern+a.Prefix+a.Suffix == "" || b.Pattern+b.Prefix+b.Suffix == "" {
			return
		}
		if _, ok := overlap(a, b); ok {
			return
		}
		for range 30 {
			if key := rapid.StringMatching(letters+"{1,6}").Draw(t, "key"); a.Matches(key) && b.Matches(key) {
				t.Fatalf("%+v and %+v both match %+q, and are said not to overlap", a, b, key)
			}
		}
	})
}

func TestTagsFor(t *testing.T) {
	t.Parallel()
	r := Route{Pattern: "{a}/{b}", UsageTags: []string{"fixed", "{a}", "x-{a}-{b}", "{b}"}}
	for key, want := range map[string][]string{
		"acme/1":                        {"fixed", "acme", "x-acme-1", "1"},
		"納品/7":                          {"fixed", "x--7", "7"},
		strings.Repeat("l", 200) + "/1": {"fixed", strings.Repeat("l", 100), "x-" + strings.Repeat("l", 98), "1"},
		"not of the route":              {"fixed", "x--"},
	} {
		if d := cmp.Diff(want, r.TagsFor(key)); d != "" {
			t.Errorf("%q: %s", key, d)
		}
	}
	if tags := (Route{Prefix: "a", UsageTags: []string{"b"}}).TagsFor("a"); !slices.Equal(tags, []string{"b"}) {
		t.Errorf("a route without variables: %q", tags)
	}
}

// A matcher that goes back at each wildcard would not end in a lifetime.
func TestHardPatternEnds(t *testing.T) {
	t.Parallel()
	r := Route{Pattern: strings.Repeat("*a**a", 200) + "b"}
	if r.Matches(strings.Repeat("a", 1024)) {
		t.Error("a key without b is matched")
	}
}

// patterns draws a pattern without errors, over letters so few that wildcards
// and text often meet.
func patterns(t *rapid.T) string {
	var b strings.Builder
	for n := range rapid.IntRange(1, 3).Draw(t, "wildcards") {
		b.WriteString(rapid.StringMatching(`[ab/é]{0,2}`).Draw(t, "text"))
		if b.Len() > 0 && n > 0 && strings.HasSuffix(b.String(), "*") || strings.HasSuffix(b.String(), "}") {
			b.WriteString("a")
		}
		b.WriteString(rapid.SampledFrom([]string{"", "*", "**", fmt.Sprintf("{v%d}", n)}).Draw(t, "wildcard"))
	}
	return b.String() + rapid.StringMatching(`[ab/]{0,2}`).Draw(t, "end")
}

func routes(t *rapid.T) Route {
	if rapid.Bool().Draw(t, "affixes") {
		return Route{Prefix: rapid.StringMatching(`[ab/]{0,4}`).Draw(t, "prefix"), Suffix: rapid.StringMatching(`[ab/]{0,3}`).Draw(t, "suffix")}
	}
	return Route{Pattern: patterns(t)}
}

// expression says the same as the pattern to Go's regular expressions, which
// prefer the leftmost shortest for a wildcard with "?".
func expression(pattern string) *regexp.Regexp {
	e := regexp.QuoteMeta(pattern)
	e = strings.ReplaceAll(e, `\*\*`, `(?s:.*?)`)
	e = strings.ReplaceAll(e, `\*`, `[^/]*?`)
	e = regexp.MustCompile(`\\\{(\w+)\\\}`).ReplaceAllString(e, `(?P<$1>[^/]+?)`)
	return regexp.MustCompile(`\A` + e + `\z`)
}

func TestPatternsAreAsRegularExpressions(t *testing.T) {
	t.Parallel()
	matched := 0
	rapid.Check(t, func(t *rapid.T) {
		r := Route{Pattern: patterns(t)}
		e := expression(r.Pattern)
		for range 50 {
			key := rapid.StringMatching(`[ab/éx]{0,9}`).Draw(t, "key")
			if r.Pattern == "" || key == "" {
				continue
			}
			m := e.FindStringSubmatch(key)
			values, ok := r.fit(key)
			if ok != (m != nil) {
				t.Fatalf("%q matches %q: %v, and %s: %v", r.Pattern, key, ok, e, !ok)
			}
			for i, name := range e.SubexpNames() {
				if ok && i > 0 && values[name] != m[i] {
					t.Fatalf("%q in %q: {%s} is %q, and %q by %s", r.Pattern, key, name, values[name], m[i], e)
				}
			}
			if ok {
				matched++
			}
		}
	})
	if matched == 0 {
		t.Error("no pattern matched any key")
	}
}

// shortestKeys are all keys of up to six of these letters.
var shortestKeys = func() (keys []string) {
	longest := []string{""}
	for range 6 {
		var longer []string
		for _, key := range longest {
			for _, c := range []string{"a", "b", "/", "x"} {
				longer = append(longer, key+c)
			}
		}
		keys, longest = append(keys, longer...), longer
	}
	return keys
}()

func TestOverlapIsExact(t *testing.T) {
	t.Parallel()
	seen := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		a, b := routes(t), routes(t)
		if a.Pattern+a.Prefix+a.Suffix == "" || b.Pattern+b.Prefix+b.Suffix == "" {
			return
		}
		key, ok := overlap(a, b)
		seen[ok]++
		if ok && !(a.Matches(key) && b.Matches(key)) {
			t.Fatalf("%+v and %+v: the example %q is matched by %v, %v", a, b, key, a.Matches(key), b.Matches(key))
		}
		for _, key := range shortestKeys {
			if !ok && a.Matches(key) && b.Matches(key) {
				t.Fatalf("%+v and %+v both match %q, and are said not to overlap", a, b, key)
			}
		}
		if _, other := overlap(b, a); other != ok {
			t.Fatalf("%+v and %+v overlap: %v, and the other way round %v", a, b, ok, other)
		}
	})
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("overlapping and not: %v", seen)
	}
}

func FuzzParseRoutes(f *testing.F) {
	f.Add(`[{"name":"a","prefix":"in/","suffix":".pdf","processor":"dp_a","version":"2.1","priority":20,"usageTags":["ap"]},{"name":"b","pattern":"out/{c}/**","processor":"dp_b","usageTags":["c-{c}"],"config":{"type":"EXTRACT"}}]`, "out/acme/1.pdf")
	f.Add(`[{"name":"a","prefix":"ab","suffix":"bc","processor":"dp_a"},{"name":"b","pattern":"abc","processor":"dp_b"}]`, "abc")
	f.Add("[{\"name\":\"a\",\"prefix\":\"M\u00fc/\",\"processor\":\"dp_a\"},{\"name\":\"b\",\"pattern\":\"Mu/*u\u0308\",\"processor\":\"dp_b\"}]", "Mu\u0308/u\u0308")
	f.Add(`[{"name":"a","pattern":"*a{b","processor":7,"usageTags":["{x}"],"name":null}] x`, "a")
	f.Fuzz(func(t *testing.T, text, key string) {
		rs, err := ParseRoutes(text)
		if err != nil {
			if rs != nil || len(err.Error()) > 4000 {
				t.Fatalf("%d routes beside an error of %d bytes", len(rs), len(err.Error()))
			}
			return
		}
		var first string
		for _, r := range rs {
			for _, tag := range r.TagsFor(key) {
				if tag == "" || len(tag) > 100 || CleanUsageTag(tag) != tag {
					t.Errorf("%q makes the tag %q of %q", r.UsageTags, tag, key)
				}
			}
			if !r.Matches(key) {
				continue
			}
			if first != "" {
				t.Errorf("%q is of route %q and of route %q", key, first, r.Name)
			}
			first = r.Name
		}
		if r, ok := rs.Find(key); ok != (first != "") || r.Name != first {
			t.Errorf("Find(%q) is %q, %v; want %q", key, r.Name, ok, first)
		}
	})
}
