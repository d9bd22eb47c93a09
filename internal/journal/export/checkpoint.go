package export

import (
	"fmt"
	"strconv"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// checkpointKind is the kind of the row of a checkpoint in CSV. No entry has this kind.
const checkpointKind = "checkpoint"

// Last returns the highest position of the entries that were written, or 0.
func (w *Writer) Last() journal.Position { return w.last }

// Checkpoint writes a signed checkpoint of the journal. The checkpoint covers the entries up to
// the given position. It belongs at the end of an export. The checkpoint has a signed root of the
// tree, and all entries of the export are in this tree. So a reader of the export can later
// notice if an entry was changed in the journal.
func (w *Writer) Checkpoint(signed []byte, covers journal.Position) error {
	if w.csv == nil {
		return w.json.Encode(struct {
			Checkpoint string           `json:"checkpoint"`
			Covers     journal.Position `json:"covers"`
		}{string(signed), covers})
	}
	return w.csv.Write(row{
		"position": strconv.FormatInt(int64(covers), 10), "kind": checkpointKind,
		"summary": fmt.Sprintf("signed checkpoint of the journal up to position %d", covers), "checkpoint": string(signed),
	}.cells())
}
