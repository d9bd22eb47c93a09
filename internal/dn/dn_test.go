package dn_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/dn"
)

func TestCanonical(t *testing.T) {
	const ops = "cn=ops,ou=groups,dc=example,dc=com"
	for _, tt := range []struct{ text, want string }{
		{ops, ops},
		{"CN=Ops,OU=Groups,DC=example,DC=com", ops},
		{" cn = ops , ou=groups ; dc=EXAMPLE,dc=com ", ops},
		{"2.5.4.3=ops,OID.2.5.4.11=groups,domainComponent=example,0.9.2342.19200300.100.1.25=com", ops},
		{"cn=#0C034F7073,ou=#1306477265617473,dc=com", "cn=ops,ou=greats,dc=com"},
		{`cn="Ops, EU",dc=com`, `cn=ops\, eu,dc=com`},
		{`cn=Ops\2C EU,dc=com`, `cn=ops\, eu,dc=com`},
		{`cn=Ops\, EU,dc=com`, `cn=ops\, eu,dc=com`},
		{`cn=ops\,  \20 eu\ ,dc=com`, `cn=ops\, eu,dc=com`},
		{`cn=M\C3\9CLLER,dc=com`, "cn=müller,dc=com"},
		{"cn=MÜLLER,dc=com", "cn=müller,dc=com"},
		{"uid=1+CN=A,dc=com", "cn=a+uid=1,dc=com"},
		{"cn=a+uid=1,dc=com", "cn=a+uid=1,dc=com"},
		{`cn=\#1,dc=com`, `cn=\#1,dc=com`},
		{`cn=a\=b=c,dc=com`, `cn=a=b=c,dc=com`},
		{`cn=a\00b,dc=com`, `cn=a\00b,dc=com`},
		{"cn=,dc=com", "cn=,dc=com"},
		{"x-team=Ops,dc=com", "x-team=Ops,dc=com"}, // its comparison rule is unknown
		{"X-Team=Ops,DC=com", "x-team=Ops,dc=com"},
		{`x-team=\ Ops\ ,DC=com`, `x-team=\ Ops\ ,dc=com`},
		{"1.2.3=#0203010203,DC=com", "1.2.3=#0203010203,dc=com"},

		// A text that is not certainly a name is returned unchanged.
		{"ops", "ops"},
		{"Team=Ops", "Team=Ops"},
		{"CN=Ops", "CN=Ops"},
		{"Team=Ops,Env=Prod", "Team=Ops,Env=Prod"},
		{"CN=a,b,DC=com", "CN=a,b,DC=com"},
		{"CN=a\\,DC=com\\", "CN=a\\,DC=com\\"},
		{"", ""},
	} {
		if got := dn.Canonical(tt.text); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	for text, doubt := range map[string]bool{
		"ops": false, "cn=ops": false, "team=a,b": false, "cn=a,dc=com": false, "CN=a b,DC=com": false,
		"CN=a,b,DC=com": true, `CN=a\,DC=com\`: true, `CN="a,DC=com`: true, "cn=a,=b": true, "cn=a,dc=com,": true, `cn=\zz,dc=com`: true,
		"cn=<a>,dc=com": true, "cn=#zz,dc=com": true, "CN=Ops,OU": true,
	} {
		if got := dn.Warning(text); (got != "") != doubt {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestBelowAndValue(t *testing.T) {
	for _, tt := range []struct {
		base, text string
		below      bool
	}{
		{"ou=groups,dc=com", "cn=a,ou=groups,dc=com", true},
		{"OU=Groups, DC=com", "cn=a,ou=groups,dc=com", true},
		{"2.5.4.11=groups,dc=com", "cn=a,cn=b,OU=GROUPS,dc=com", true},
		{"ou=groups,dc=com", "ou=groups,dc=com", false},
		{"ou=groups,dc=com", "cn=a,ou=othergroups,dc=com", false},
		{"ou=groups,dc=com", `cn=a\,ou=groups,dc=com`, false},
		{"", "dc=com", true},
	} {
		base, err := dn.Parse(tt.base)
		d, err2 := dn.Parse(tt.text)
		if err != nil || err2 != nil || d.Below(base) != tt.below {
			t.Errorf("%s below %s: %v %v %v", tt.text, tt.base, d.Below(base), err, err2)
		}
	}
	a, _ := dn.Parse("cn=a,OU=groups,dc=com")
	b, _ := dn.Parse("cn=b,ou=x,ou=Groups,DC=com")
	if got := a.Common(b).String() + " " + a.Common(a).String() + " " + a.Common(dn.DN{}).String(); got != "ou=groups,dc=com cn=a,ou=groups,dc=com " {
		t.Error(got)
	}
	d, err := dn.Parse(`CN=Ops\2C EU+uid=7,dc=com`)
	if err != nil || d.Value("commonName") != "Ops, EU" || d.Value("UID") != "7" || d.Value("dc") != "" {
		t.Errorf("%q %q %q %v", d.Value("commonName"), d.Value("UID"), d.Value("dc"), err)
	}
}

func TestACanonicalTextDoesNotAllocate(t *testing.T) {
	for _, text := range []string{"a group", "cn=ops team,ou=groups,dc=example,dc=com"} {
		if n := testing.AllocsPerRun(100, func() { dn.Canonical(text) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// attribute is an attribute of a generated name, unescaped.
type attribute struct{ name, value string }

var spellings = map[string][]string{
	"cn":     {"cn", "CN", "Cn", "commonName", "2.5.4.3", "OID.2.5.4.3"},
	"ou":     {"ou", "OU", "organizationalUnitName", "2.5.4.11"},
	"dc":     {"dc", "DC", "domainComponent", "0.9.2342.19200300.100.1.25"},
	"x-team": {"x-team", "X-Team"},
}

func drawName(t *rapid.T, label string) [][]attribute {
	value := rapid.StringOfN(rapid.SampledFrom([]rune("abz9 ,+\"\\<>;=#üßİıſKẞ\x00-_.")), 0, 8, -1)
	one := rapid.Custom(func(t *rapid.T) attribute {
		return attribute{rapid.SampledFrom([]string{"cn", "ou", "dc", "x-team"}).Draw(t, "type"), value.Draw(t, "value")}
	})
	parts := rapid.SliceOfN(rapid.SliceOfN(one, 1, 3), 1, 4).Draw(t, label)
	return append(parts, []attribute{{"dc", "com"}}) // so that it is certainly a name
}

// spell returns one of the spellings of a name.
func spell(r *rand.Rand, name [][]attribute) string {
	parts := make([]string, len(name))
	blank := func() string { return strings.Repeat(" ", r.IntN(2)) }
	for i, part := range name {
		part = slices.Clone(part)
		r.Shuffle(len(part), func(a, b int) { part[a], part[b] = part[b], part[a] })
		texts := make([]string, len(part))
		for k, a := range part {
			types := spellings[a.name]
			texts[k] = blank() + types[r.IntN(len(types))] + blank() + "=" + blank() + spellValue(r, a) + blank()
		}
		parts[i] = strings.Join(texts, "+")
	}
	return strings.Join(parts, []string{",", ";"}[r.IntN(2)])
}

func spellValue(r *rand.Rand, a attribute) string {
	value := a.value
	if a.name != "x-team" {
		value = strings.Map(func(c rune) rune {
			if r.IntN(2) == 0 && c >= 'a' && c <= 'z' {
				return c - 'a' + 'A'
			}
			return c
		}, value)
	}
	switch r.IntN(4) {
	case 0:
		return "#0c" + berLength(len(value)) + hex.EncodeToString([]byte(value))
	case 1:
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
	}
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		special := strings.IndexByte(` "#+,;<=>\`, c) >= 0
		must := c == 0 || strings.IndexByte(`"+,;<>\`, c) >= 0 || (c == ' ' || c == '#') && i == 0 || c == ' ' && i == len(value)-1
		switch {
		case r.IntN(4) == 0 || must && !special:
			fmt.Fprintf(&b, []string{`\%02x`, `\%02X`}[r.IntN(2)], c)
		case special && (must || r.IntN(2) == 0):
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func berLength(n int) string {
	if n < 0x80 {
		return fmt.Sprintf("%02x", n)
	}
	return fmt.Sprintf("81%02x", n)
}

// leastFold returns the first letter of all letters that differ from r only by case.
func leastFold(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return least
}

// sameName is a simple comparison of two names.
func sameName(a, b [][]attribute) bool {
	if len(a) != len(b) {
		return false
	}
	known := func(part []attribute) []string {
		var texts []string
		for _, a := range part {
			v := a.value
			if a.name != "x-team" {
				v = strings.Map(leastFold, strings.Join(strings.FieldsFunc(v, func(r rune) bool { return r == ' ' }), " "))
			}
			texts = append(texts, a.name+"="+v)
		}
		slices.Sort(texts)
		return texts
	}
	for i := range a {
		x, y := known(a[i]), known(b[i])
		if len(x) != len(y) {
			return false
		}
		for k := range x {
			if x[k] != y[k] {
				return false
			}
		}
	}
	return true
}

func TestEverySpellingHasOneForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := drawName(t, "name")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		want := dn.Canonical(spell(r, name))
		for range 5 {
			text := spell(r, name)
			if _, err := dn.Parse(text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			got := dn.Canonical(text)
			if got != want {
				t.Fatalf("%s: got %s, want %s", text, got, want)
			}
			if again := dn.Canonical(got); again != got {
				t.Fatalf("%s becomes %s", got, again)
			}
		}
	})
}

func TestOtherNamesHaveOtherForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawName(t, "a"), drawName(t, "b")
		if rapid.Bool().Draw(t, "near") { // differs in one value
			b = make([][]attribute, len(a))
			for i := range a {
				b[i] = slices.Clone(a[i])
			}
			part := b[rapid.IntRange(0, len(b)-1).Draw(t, "part")]
			part[0].value += rapid.SampledFrom([]string{"x", ",", `\`, " ", "+cn=a", ",cn=a", "#"}).Draw(t, "more")
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		x, y := spell(r, a), spell(r, b)
		if one := dn.Canonical(x) == dn.Canonical(y); one && !sameName(a, b) {
			t.Fatalf("%s and %s are both %s", x, y, dn.Canonical(x))
		} else if !one && sameName(a, b) {
			t.Fatalf("%s and %s are one name: %s, %s", x, y, dn.Canonical(x), dn.Canonical(y))
		}
	})
}

func TestCanonicalParts(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		sure       bool
	}{
		{"CN=Ops", "cn=ops", true},
		{"CN=", "cn=", true},
		{"cn=Team ", "cn=team ", true},
		{",OU=Groups,DC=example,DC=com", ",ou=groups,dc=example,dc=com", true},
		{"Team, OU = Groups ; DC=Example", "team,ou=groups,dc=example", true},
		{`CN=Ops\2C EU`, `cn=ops\, eu`, true},
		{"2.5.4.11=Groups,", "ou=groups,", true},
		{"CN=a+UID=b,O", "cn=a+uid=b,o", true},
		{"Boss,ou=x", "Boss,ou=x", true}, // the type may be case-sensitive
		{"employeeType=Boss,OU=x", "employeetype=Boss,ou=x", true},
		{`x-team=\ ,dc=`, `x-team=\ ,dc=`, true}, // an escaped space belongs to the value
		{`x-team=a\\ ,dc=x`, `x-team=a\\,dc=x`, true},
		{"Ops", "", false},
		{"Team=Ops", "", false},
		{"a,b,CN=c", "", false},
		{"A team, CN", "", false},
		{`CN="Ops, EU"`, "", false},
		{`CN=a\`, "", false},
		{"", "", false},
	} {
		got, sure := dn.CanonicalPart(tt.text)
		if sure != tt.sure || sure && got != tt.want {
			t.Errorf("%q: got %q %t, want %q %t", tt.text, got, sure, tt.want, tt.sure)
		}
	}
}

// CanonicalPart does not change a part of a canonical name. Otherwise a search for this part would
// not find the name.
func TestEveryPartOfACanonicalNameIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := drawName(t, "name")
		text := []rune(dn.Canonical(spell(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), name)))
		if d, err := dn.Parse(string(text)); err != nil || d.String() != string(text) {
			return // too short to be certainly a name
		}
		from := rapid.IntRange(0, len(text)).Draw(t, "from")
		if inValue(string(text[:from])) && strings.Contains(value(string(text[from:])), "=") {
			return // ambiguous: "a =" may be the end of a value, or a type
		}
		part := string(text[from:rapid.IntRange(from, len(text)).Draw(t, "to")])
		if got, sure := dn.CanonicalPart(part); sure && got != part {
			t.Fatalf("%q of %q is taken for %q", part, string(text), got)
		}
	})
}

// inValue reports whether text ends inside a value. The text is the beginning of a canonical name.
func inValue(text string) bool {
	in := false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '=':
			in = true
		case ',', '+':
			in = false
		}
	}
	return in
}

// value returns the beginning of text up to the end of the value in which the text begins.
func value(text string) string {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ',', '+':
			return text[:i]
		}
	}
	return text
}

func FuzzCanonical(f *testing.F) {
	for _, text := range []string{
		"cn=ops,dc=com", `CN=a\2Cb,DC=com`, `cn="a,b";dc=com`, "cn=#0c0161,dc=com", "a+b=c,dc=x", "cn=a+uid=1,dc=com", `cn=\`, "cn=#", `cn="`, "==,=", "oid.1.2=a,dc=b",
		"cn= a  b ,dc=com", "cn=\xff,dc=com", "cn=İ,dc=com",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := dn.Canonical(text)
		if again := dn.Canonical(got); again != got {
			t.Fatalf("%q becomes %q, and that %q", text, got, again)
		}
		d, err := dn.Parse(text)
		if err != nil {
			if got != text {
				t.Fatalf("%q is no name, and becomes %q", text, got)
			}
			return
		}
		whole := d.String()
		back, err := dn.Parse(whole)
		if err != nil || back.String() != whole || back.Len() != d.Len() {
			t.Fatalf("%q is written as %q, which is read as %q: %v", text, whole, back, err)
		}
		if d.Below(d) {
			t.Fatalf("%q is below itself", text)
		}
	})
}
