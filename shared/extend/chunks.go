package extend

import "encoding/json"

// Chunk is a part of a document's text: of a page, of a section, or all of it.
type Chunk struct {
	Object string `json:"object"` // "chunk"
	Type   string `json:"type"`   // such as "page", "document" or "section"
	// Content is the text. With [ResponseURL] it can be a link instead: see ContentURL.
	Content  string        `json:"content"`
	Metadata ChunkMetadata `json:"metadata"`
	Blocks   []Block       `json:"blocks"`
}

// ContentURL returns the content where it is a link to the text, and not the text.
func (c Chunk) ContentURL() (string, bool) { return asLink(c.Content) }

// ChunkMetadata says where in the document a chunk is from.
type ChunkMetadata struct {
	PageRange PageRange `json:"pageRange"`
}

// Block is a thing on a page: a paragraph, a heading, a table, a figure.
type Block struct {
	Object        string        `json:"object"` // "block"
	ID            string        `json:"id"`
	ParentBlockID string        `json:"parentBlockId,omitzero"`
	Type          BlockType     `json:"type"`
	Content       string        `json:"content"`
	Details       BlockDetails  `json:"details"`
	Metadata      BlockMetadata `json:"metadata"`
	Polygon       []Point       `json:"polygon"`
	BoundingBox   BoundingBox   `json:"boundingBox"`
	Children      []Block       `json:"children,omitzero"` // the cells of a table, if they were asked for
}

// BlockType is what a [Block] is. The set is open.
type BlockType string

// The types of blocks that are known.
const (
	BlockText           BlockType = "text"
	BlockHeading        BlockType = "heading"
	BlockSectionHeading BlockType = "section_heading"
	BlockTable          BlockType = "table"
	BlockTableHead      BlockType = "table_head"
	BlockTableCell      BlockType = "table_cell"
	BlockFigure         BlockType = "figure"
	BlockKeyValue       BlockType = "key_value"
	BlockHeader         BlockType = "header"
	BlockFooter         BlockType = "footer"
)

// BlockDetails describes a table, a cell or a figure; it is often empty. Which fields are set depends on Type.
type BlockDetails struct {
	Type        string `json:"type,omitzero"` // such as "table_details", "table_cell_details", "figure_details" or "key_value_details"
	RowCount    int    `json:"rowCount,omitzero"`
	ColumnCount int    `json:"columnCount,omitzero"`
	RowIndex    int    `json:"rowIndex,omitzero"`
	ColumnIndex int    `json:"columnIndex,omitzero"`
	ImageURL    string `json:"imageUrl,omitzero"`   // presigned: do not log it
	FigureType  string `json:"figureType,omitzero"` // such as "chart", "image", "diagram", "logo" or "other"
}

// BlockMetadata says where a block is.
type BlockMetadata struct {
	Page *BlockPage `json:"page,omitzero"`
}

// BlockPage is the page of a block.
type BlockPage struct {
	Number int         `json:"number"` // from 1
	Width  json.Number `json:"width,omitzero"`
	Height json.Number `json:"height,omitzero"`
}

// Point is a corner of a polygon.
type Point struct {
	X json.Number `json:"x"`
	Y json.Number `json:"y"`
}

// BoundingBox is where something is on its page. An edge that is not known is "".
type BoundingBox struct {
	Left   json.Number `json:"left,omitzero"`
	Right  json.Number `json:"right,omitzero"`
	Top    json.Number `json:"top,omitzero"`
	Bottom json.Number `json:"bottom,omitzero"`
}

// OCR is what the character recognition found.
type OCR struct {
	Words []OCRWord `json:"words,omitzero"`
}

// OCRWord is a word on a page.
type OCRWord struct {
	Content     string      `json:"content"`
	BoundingBox BoundingBox `json:"boundingBox"`
	Confidence  json.Number `json:"confidence"` // 0 to 1
	PageNumber  json.Number `json:"pageNumber"`
}
