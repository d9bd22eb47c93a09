package store

// Patient dials connections that give the server a limited time for each answer.
var Patient = patient

// LookAround looks at the file like Look. After it has checked the names, it calls the function
// between.
func LookAround(db *DB, between func()) error {
	info, err := db.file.check()
	if info == nil {
		return err
	}
	between()
	_, err = db.file.look(info, 0)
	return err
}
