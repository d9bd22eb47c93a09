package texttest

// Altered returns a credential with another character in place of its tenth from the end. It has
// the same form, but is never valid. (A constant in place of the last characters would be the same
// credential now and then.)
func Altered(credential string) string {
	at, other := len(credential)-10, "A"
	if credential[at] == 'A' {
		other = "B"
	}
	return credential[:at] + other + credential[at+1:]
}
