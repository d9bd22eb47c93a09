package api

// made is an object that was created, as it is answered.
type made[T any] struct {
	Location string `header:"Location" doc:"Where it is"`
	ETag     string `header:"ETag" doc:"Stands for the version that is shown, for If-Match"`
	Body     T
}

// created answers with a new object.
func created[T any](path, id string, version int64, body T, err error) (*made[T], error) {
	if err != nil {
		return nil, err
	}
	return &made[T]{Prefix + path, tag(id, version), body}, nil
}
