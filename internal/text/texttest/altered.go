package texttest

// Altered returns the credential with its tenth character from the end replaced by a different
// one. The result has the same form as the credential, but is never valid. A constant in place of
// the last characters could be equal to the characters that it replaces.
func Altered(credential string) string {
	at, other := len(credential)-10, "A"
	if credential[at] == 'A' {
		other = "B"
	}
	return credential[:at] + other + credential[at+1:]
}
