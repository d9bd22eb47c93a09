package store

// Patient is dialWithTimeout, for tests.
var Patient = dialWithTimeout

// LookAround examines the file as Look does. It calls the given function after it has checked the
// names and before it reads the file.
func LookAround(db *DB, between func()) error {
	info, err := db.file.check()
	if info == nil {
		return err
	}
	between()
	_, err = db.file.look(info, 0)
	return err
}
