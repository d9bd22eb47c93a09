package texttest

// Altered returns the credential with its tenth character from the end replaced by a different
// one. The result has the form of the credential, but is never valid. A test must not replace the
// last characters by a constant, because the constant could equal these characters.
func Altered(credential string) string {
	at, other := len(credential)-10, "A"
	if credential[at] == 'A' {
		other = "B"
	}
	return credential[:at] + other + credential[at+1:]
}
