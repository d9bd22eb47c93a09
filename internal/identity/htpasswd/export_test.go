package htpasswd

// Look is one look of Run at the file.
func (f *File) Look() { f.poll() }
