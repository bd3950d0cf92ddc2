package extend

import "encoding/json"

// ParseConfig says how a document is turned into text. Its zero value is the API's defaults; a *bool is nil for them.
type ParseConfig struct {
	Target           string                `json:"target,omitzero"` // "markdown", unless set, or "spatial"
	ChunkingStrategy *ChunkingStrategy     `json:"chunkingStrategy,omitzero"`
	Engine           string                `json:"engine,omitzero"` // "parse_performance", unless set, or "parse_light"
	BlockOptions     *BlockOptions         `json:"blockOptions,omitzero"`
	AdvancedOptions  *ParseAdvancedOptions `json:"advancedOptions,omitzero"`
}

// ChunkingStrategy says how the text of a document is cut into [Chunk]s.
type ChunkingStrategy struct {
	Type    string           `json:"type,omitzero"` // "page", unless set, "document" or "section"; with target "spatial" only the first
	Options *ChunkingOptions `json:"options,omitzero"`

	MinCharacters *int `json:"minCharacters,omitzero"` // deprecated: in Options
	MaxCharacters *int `json:"maxCharacters,omitzero"` // deprecated: in Options
}

// ChunkingOptions bounds the length of chunks.
type ChunkingOptions struct {
	MinCharacters *int `json:"minCharacters,omitzero"`
	MaxCharacters *int `json:"maxCharacters,omitzero"`
}

// BlockOptions says how the [Block]s of each kind are read.
type BlockOptions struct {
	Figures *FigureOptions `json:"figures,omitzero"`
	Tables  *TableOptions  `json:"tables,omitzero"`
	Text    *TextOptions   `json:"text,omitzero"`
}

// FigureOptions says how figures are read.
type FigureOptions struct {
	Enabled                    *bool `json:"enabled,omitzero"`                    // true unless set
	FigureImageClippingEnabled *bool `json:"figureImageClippingEnabled,omitzero"` // true unless set
}

// TableOptions says how tables are read.
type TableOptions struct {
	Enabled                        *bool    `json:"enabled,omitzero"`      // deprecated, has no effect
	TargetFormat                   string   `json:"targetFormat,omitzero"` // "markdown" or "html"
	TableHeaderContinuationEnabled *bool    `json:"tableHeaderContinuationEnabled,omitzero"`
	CellBlocksEnabled              *bool    `json:"cellBlocksEnabled,omitzero"` // cells become children of the table's block
	Agentic                        *Agentic `json:"agentic,omitzero"`
}

// TextOptions says how text is read.
type TextOptions struct {
	SignatureDetectionEnabled *bool    `json:"signatureDetectionEnabled,omitzero"` // true unless set
	Agentic                   *Agentic `json:"agentic,omitzero"`
}

// Agentic has a model review what was read.
type Agentic struct {
	Enabled            *bool  `json:"enabled,omitzero"`
	CustomInstructions string `json:"customInstructions,omitzero"`
}

// ParseAdvancedOptions are the advanced options of a [ParseConfig].
type ParseAdvancedOptions struct {
	PageRotationEnabled       *bool       `json:"pageRotationEnabled,omitzero"` // true unless set
	AgenticOCREnabled         *bool       `json:"agenticOcrEnabled,omitzero"`   // deprecated
	PageRanges                []PageRange `json:"pageRanges,omitzero"`          // none: the whole document
	ExcelParsingMode          string      `json:"excelParsingMode,omitzero"`    // "basic" or "advanced"
	ExcelSkipHiddenContent    *bool       `json:"excelSkipHiddenContent,omitzero"`
	ExcelUseRawCellValues     *bool       `json:"excelUseRawCellValues,omitzero"`
	ExcelSkipCalculation      *bool       `json:"excelSkipCalculation,omitzero"`
	VerticalGroupingThreshold json.Number `json:"verticalGroupingThreshold,omitzero"` // 0.1 to 5; "1" unless set; of target "spatial"
	ReturnOCR                 *ReturnOCR  `json:"returnOcr,omitzero"`
	AlwaysConvertToPDF        *bool       `json:"alwaysConvertToPdf,omitzero"`
}

// ReturnOCR asks for what the character recognition found.
type ReturnOCR struct {
	Words *bool `json:"words,omitzero"` // [ParserRun].OCR
}
