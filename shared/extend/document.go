package extend

import "errors"

// FileInput is the document of a call: FileURL, which Extend fetches without credentials some time after the call, or
// FileID, a file that Extend has already, as after [FileService.Upload].
type FileInput struct {
	FileName string `json:"fileName,omitzero"` // the extension helps to tell the type; a run can be found by part of it
	FileURL  string `json:"fileUrl,omitzero"`
	FileID   string `json:"fileId,omitzero"` // file_…
}

// RunFile is an older name of [FileInput].
type RunFile = FileInput

func (f FileInput) check(at string) error { return oneFile(at, f.FileURL, f.FileID) }

// oneFile checks that a document is in one place.
func oneFile(at, fileURL, fileID string) error {
	switch {
	case fileURL == "" && fileID == "":
		return errors.New(at + "fileUrl and " + at + "fileId are both empty: one is needed")
	case fileURL != "" && fileID != "":
		return errors.New(at + "fileUrl and " + at + "fileId are both set: only one may be")
	}
	return nil
}

// oneDocument checks that there is one document, as a file or as a text.
func oneDocument(at string, file *FileInput, rawText string) error {
	switch {
	case file == nil && rawText == "":
		return errors.New(at + "file and " + at + "rawText are both absent: one is needed")
	case file != nil && rawText != "":
		return errors.New(at + "file and " + at + "rawText are both set: only one may be")
	}
	return nil
}
