package htpasswd

// Look is one poll of Run.
func (f *File) Look() { f.poll() }
