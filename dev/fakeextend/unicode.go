package fakeextend

import "strings"

// marks holds, for each combining mark, the letters that have one code point
// with it, each before the letter without it. It is a part of Unicode's own
// table: the standard library has none.
var marks = map[rune]string{
	'\u0300': "ÀAÈEÌIÒOÙUàaèeìiòoùuЀЕЍИѐеѝи",
	'\u0301': "ÁAÉEÍIÓOÚUÝYáaéeíióoúuýyĆCćcĹLĺlŃNńnŔRŕrŚSśsŹZźzΆΑΈΕΉΗΊΙΌΟΎΥΏΩάαέεήηίιόούυώωЃГЌКѓгќк",
	'\u0302': "ÂAÊEÎIÔOÛUâaêeîiôoûuĈCĉcĜGĝgĤHĥhĴJĵjŜSŝsŴWŵwŶYŷy",
	'\u0303': "ÃAÑNÕOãañnõoĨIĩiŨUũu",
	'\u0304': "ĀAāaĒEēeĪIīiŌOōoŪUūu",
	'\u0306': "ĂAăaĔEĕeĞGğgĬIĭiŎOŏoŬUŭuЎУЙИйиўу",
	'\u0307': "ĊCċcĖEėeĠGġgİIŻZżz",
	'\u0308': "ÄAËEÏIÖOÜUäaëeïiöoüuÿyŸYΪΙΫΥϊιϋυЁЕЇІёеїі",
	'\u030a': "ÅAåaŮUůu",
	'\u030b': "ŐOőoŰUűu",
	'\u030c': "ČCčcĎDďdĚEěeĽLľlŇNňnŘRřrŠSšsŤTťtŽZžz",
	'\u0327': "ÇCçcĢGģgĶKķkĻLļlŅNņnŖRŗrŞSşsŢTţt",
	'\u0328': "ĄAąaĘEęeĮIįiŲUųu",
	'\u3099': "がかぎきぐくげけごこざさじしずすぜせぞそだたぢちづつでてどとばはびひぶふべへぼほゔうゞゝガカギキグクゲケゴコザサジシズスゼセゾソダタヂチヅツデテドトバハビヒブフベヘボホヴウヷワヸヰヹヱヺヲヾヽ",
	'\u309a': "ぱはぴひぷふぺへぽほパハピヒプフペヘポホ",
}

// apart holds u and the mark for ü, together ü for both.
var apart, together = func() (map[rune][2]rune, map[[2]rune]rune) {
	apart, together := make(map[rune][2]rune), make(map[[2]rune]rune)
	for mark, letters := range marks {
		pair := []rune(letters)
		for i := 0; i < len(pair); i += 2 {
			apart[pair[i]] = [2]rune{pair[i+1], mark}
			together[[2]rune{pair[i+1], mark}] = pair[i]
		}
	}
	return apart, together
}()

// Hangul syllables are composed by arithmetic.
const (
	syllables, leads, vowels, trails = 0xAC00, 0x1100, 0x1161, 0x11A7
	syllableCount                    = 11172
	vowelCount, trailCount           = 21, 28
)

func decompose(s string) string {
	var out strings.Builder
	for _, r := range s {
		n := r - syllables
		pair, ok := apart[r]
		switch {
		case ok:
			out.WriteRune(pair[0])
			out.WriteRune(pair[1])
		case n >= 0 && n < syllableCount:
			out.WriteRune(leads + n/(vowelCount*trailCount))
			out.WriteRune(vowels + n/trailCount%vowelCount)
			if n%trailCount > 0 {
				out.WriteRune(trails + n%trailCount)
			}
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

func compose(s string) string {
	var out []rune
	for _, r := range s {
		if len(out) > 0 {
			if one, ok := composed(out[len(out)-1], r); ok {
				out[len(out)-1] = one
				continue
			}
		}
		out = append(out, r)
	}
	return string(out)
}

// composed returns the one code point for two, if there is one.
func composed(a, b rune) (rune, bool) {
	if one, ok := together[[2]rune{a, b}]; ok {
		return one, true
	}
	lead, vowel, trail := a-leads, b-vowels, b-trails
	if lead >= 0 && lead < 19 && vowel >= 0 && vowel < vowelCount {
		return syllables + (lead*vowelCount+vowel)*trailCount, true
	}
	if n := a - syllables; n >= 0 && n < syllableCount && n%trailCount == 0 && trail > 0 && trail < trailCount {
		return a + trail, true
	}
	return 0, false
}
